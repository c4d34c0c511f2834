"""How long a trial's models took to answer, apart from tools, checks and waiting for a slot."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

from pydantic_ai.models import Model

from ..deps.layer import AnswerT, Asked, Layer, Opening

__all__ = ("Stopwatch",)


@dataclass(eq=False)
class Stopwatch:
    """Adds up the seconds that models are asked. Calling it wraps a model.

    Put it first into `Models.wrap`: each attempt counts, and no wait between two.

    Attributes:
        seconds: The sum. Where requests run side by side, it is more than has passed.
    """

    seconds: float = 0.0

    def __call__(self, model: Model) -> Model:
        """Return `model`, timed."""
        return _Timed(model, self)


class _Timed(Layer):
    """Tells a stopwatch of each request, failed ones too; a stream's ends with its reader."""

    def __init__(self, wrapped: Model, stopwatch: Stopwatch) -> None:
        super().__init__(wrapped)
        self._stopwatch = stopwatch

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        started = perf_counter()
        try:
            async with opening() as answer:
                yield answer
        finally:
            self._stopwatch.seconds += perf_counter() - started
