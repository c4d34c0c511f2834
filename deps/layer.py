"""What stands around a model: one place through which every request passes, streamed or not."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

__all__ = ("AnswerT", "Asked", "Layer", "Opening", "response_of")

AnswerT = TypeVar("AnswerT", bound=ModelResponse | StreamedResponse)

Opening = Callable[[], AbstractAsyncContextManager[AnswerT]]
"""Asks what is within: each call is a new request, whose answer is there while it is open."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked. `run_context` is told of streams alone."""

    messages: list[ModelMessage]
    settings: ModelSettings | None
    parameters: ModelRequestParameters
    run_context: RunContext[Any] | None = None


class Layer(WrapperModel):
    """A model around another one, which does what it does in `around`."""

    @abstractmethod
    def around(
        self, asked: Asked, opening: Opening[AnswerT]
    ) -> AbstractAsyncContextManager[AnswerT]:
        """Return what opens an answer; a stream is read while it is open, a response is whole."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        asked = Asked(messages, model_settings, model_request_parameters)
        async with self.around(asked, lambda: _Answer(self.wrapped, asked)) as response:
            return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        asked = Asked(messages, model_settings, model_request_parameters, run_context)

        def opening() -> AbstractAsyncContextManager[StreamedResponse]:
            return self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            )

        async with self.around(asked, opening) as stream:
            yield stream


class _Answer(AbstractAsyncContextManager[ModelResponse]):
    """A whole response as what is opened. A generator would cost several times as much."""

    def __init__(self, model: Model, asked: Asked) -> None:
        self._model = model
        self._asked = asked

    async def __aenter__(self) -> ModelResponse:
        asked = self._asked
        return await self._model.request(asked.messages, asked.settings, asked.parameters)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


def response_of(answer: ModelResponse | StreamedResponse) -> ModelResponse:
    """Return a response: of a stream, what has come of it so far."""
    return answer.get() if isinstance(answer, StreamedResponse) else answer
