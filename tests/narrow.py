"""A provider that refuses what comes too fast, in virtual time, and limiters for it."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, StreamedResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel

from assay.deps.resilience.limiter import Limiter, Load

from .virtual import now


def load(limiter: Limiter) -> Load:
    (found,) = limiter.snapshot()
    return found


def refusal(seconds: object = None, status: int = 429, body: object = None) -> ModelHTTPError:
    headers = None if seconds is None else {"Retry-After": str(seconds)}
    return ModelHTTPError(status, "narrow", body, headers=headers)


def limited(most: int = 10, *, patience: float = 60.0, seed: int = 7) -> Limiter:
    clock = asyncio.get_running_loop().time
    return Limiter(most, patience=patience, clock=clock, chance=random.Random(seed))


@dataclass
class Narrow:
    """A provider that answers after `seconds`, and first raises each of `refusals`.

    Attributes:
        starts: When requests arrived, and how many were under way with each.
    """

    refusals: list[Exception] = field(default_factory=list[Exception])
    seconds: float = 1.0
    starts: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    under_way: int = 0

    async def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        async for text in self.answer_in_parts(messages, info):
            return ModelResponse(parts=[TextPart(text)])
        raise AssertionError

    async def answer_in_parts(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str]:
        self.under_way += 1
        self.starts.append((now(), self.under_way))
        error = self.refusals.pop(0) if self.refusals else None
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if error is not None:
            raise error
        yield "yes"

    def model(self) -> Model:
        return FunctionModel(self.answer, stream_function=self.answer_in_parts, model_name="narrow")


class Watched(WrapperModel):
    """Calls `on_start` in the moment in which a request starts, before anything else happens."""

    def __init__(self, wrapped: Model, on_start: Callable[[], None]) -> None:
        super().__init__(wrapped)
        self._on_start = on_start

    async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self._on_start()
        return await super().request(*args, **kwargs)

    @asynccontextmanager
    async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[StreamedResponse]:
        self._on_start()
        async with super().request_stream(*args, **kwargs) as answer:
            yield answer


TIMES = st.integers(0, 40).map(lambda n: n / 4)
ERRORS = st.one_of(
    st.none(),
    st.builds(refusal, st.none() | st.integers(0, 30), st.sampled_from([429, 529, 500])),
)


def in_a_minute(per_minute: int | None = None, tokens: int | None = None) -> Limiter:
    clock = asyncio.get_running_loop().time
    return Limiter(50, per_minute=per_minute, tokens_per_minute=tokens, clock=clock)
