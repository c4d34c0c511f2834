"""What stands around a judge's model: a count of its own, and one answer to equal requests."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from ...deps.baseline import is_baseline
from ...deps.layer import AnswerT, Asked, Layer, Opening, response_of
from ...deps.models import Models
from ...deps.replay.answers import asked_of
from ...deps.replay.requests import canonical, digest
from ...deps.spending.budget import price
from ..suite import Trial

__all__ = ("MOST", "Once", "judging")

MOST = 5_000
"""Answers that are kept at once: some ten megabytes."""


def judging(trial: Trial, usage: RunUsage) -> Models:
    """Return a trial's models for a judge: what they are asked is added up in `usage`.

    What is known already is not asked, and not counted.
    """

    def counted(model: Model) -> Model:
        return _Counted(model, usage)

    around: tuple[Callable[[Model], Model], ...] = (counted,)
    if trial.once is not None:
        around = (counted, trial.once)
    return replace(trial.models, wrap=(*trial.models.wrap, *around))


class _Counted(Layer):
    """Adds up what is asked and what it costs, whoever asks: pydantic-evals tells nobody."""

    def __init__(self, wrapped: Model, usage: RunUsage) -> None:
        super().__init__(wrapped)
        self._usage = usage

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        async with opening() as answer:
            yield answer
        response = response_of(answer)
        self._usage.requests += 1
        self._usage.incr(replace(response.usage, cost=price(response)))


@dataclass(eq=False)
class Once:
    """Asks judges once about what several trials have in common. Calling it wraps a model.

    Two trials with one output give a judge one prompt. Equal requests at one moment are asked
    once, too: the others wait, and one of them asks in the place of who fails or is cancelled.
    Baselines are left alone: to look an answer up takes as long as to count anew.
    """

    _kept: OrderedDict[str, ModelResponse] = field(default_factory=OrderedDict[str, ModelResponse])
    _asking: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[str, asyncio.Lock]
    )

    def __call__(self, model: Model) -> Model:
        """Return `model`, asked only for what nobody has asked yet."""
        return model if is_baseline(model) else _AskedOnce(model, self)

    @asynccontextmanager
    async def alone(self, request: str) -> AsyncGenerator[None]:
        """Let nobody else ask the same in this block."""
        lock = self._asking.setdefault(request, asyncio.Lock())
        async with lock:
            yield

    def find(self, request: str) -> ModelResponse | None:
        """Return the answer to a request, if there is one; the caller may change it."""
        return deepcopy(self._kept.get(request))

    def keep(self, request: str, response: ModelResponse) -> None:
        """Keep an answer; the oldest goes when there are too many."""
        self._kept[request] = deepcopy(response)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


class _AskedOnce(WrapperModel):
    """Answers what was asked before. Judges are not streamed, so streams pass as they are."""

    def __init__(self, wrapped: Model, once: Once) -> None:
        super().__init__(wrapped)
        self._once = once

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        document = asked_of(self.wrapped, messages, model_settings, model_request_parameters)
        request = digest(canonical(document))
        async with self._once.alone(request):
            if (known := self._once.find(request)) is not None:
                return known
            response = await self.wrapped.request(
                messages, model_settings, model_request_parameters
            )
            self._once.keep(request, response)
            return response
