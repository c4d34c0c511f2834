"""A model's requests on their way into a batch: who makes them, and what they learn on the way."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ..errors import ConfigError

__all__ = ("ASKER", "TICKET", "Asker", "BatchedModel", "Ticket", "WouldStream", "asking")

Forget = Callable[[str], Awaitable[None]]
"""Forgets an answer, by its request's name."""


@dataclass
class Asker:
    """Whose requests are found again after a crash, and how they fared.

    Attributes:
        name: The same in every process, and no other asker's: a run's, a case's and a trial's.
        requests: Answers that came in batches.
        waited: Seconds in which at least one request waited for its batch.
    """

    name: str
    requests: int = 0
    waited: float = 0.0
    _waiting: int = field(default=0, repr=False)
    _since: float = field(default=0.0, repr=False)

    @contextmanager
    def waiting(self, clock: Callable[[], float] = monotonic) -> Generator[None]:
        if self._waiting == 0:
            self._since = clock()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self.waited += clock() - self._since
        self.requests += 1


@dataclass
class Ticket:
    """What a model's request learns from its journey: HTTP tells its caller a status at most."""

    name: str = ""
    error: Exception | None = None


class WouldStream(Exception):
    """A client would have its whole answer streamed, of so many tokens at most."""

    def __init__(self, most: int | None) -> None:
        super().__init__(f"streams {most} tokens")
        self.most = most


_NOBODY = Asker("")
ASKER: ContextVar[Asker] = ContextVar("assay_batch_asker", default=_NOBODY)
TICKET: ContextVar[Ticket | None] = ContextVar("assay_batch_ticket", default=None)


@contextmanager
def asking(name: str) -> Generator[Asker]:
    """Say who makes the requests of this block, so that a later process finds them again."""
    asker = Asker(name)
    token = ASKER.set(asker)
    try:
        yield asker
    finally:
        ASKER.reset(token)


class BatchedModel(WrapperModel):
    """Lets its model's requests be part of batches, and says at which price they were."""

    def __init__(self, wrapped: Model, forget: Forget) -> None:
        super().__init__(wrapped)
        self._forget = forget

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        try:
            return await self._asked(messages, model_settings, model_request_parameters)
        except WouldStream as e:
            # A long answer is streamed behind the scenes, unless the limit was the caller's.
            settings = model_settings or ModelSettings()
            if e.most is None or "max_tokens" in settings:
                raise self._no_stream() from e
            limited: ModelSettings = {**settings, "max_tokens": e.most}
            return await self._asked(messages, limited, model_request_parameters)

    async def _asked(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        ticket = Ticket()
        token = TICKET.set(ticket)
        try:
            response = await self.wrapped.request(messages, settings, parameters)
        except Exception:
            if ticket.error is not None:
                raise ticket.error from None
            if ticket.name:
                await self._forget(ticket.name)
            raise
        finally:
            TICKET.reset(token)
        if ticket.name:
            # As Pydantic AI marks it, for the prices of genai-prices, which knows it from 0.2.4 on.
            details = response.provider_details or {}
            response.provider_details = {**details, "processing": "batch"}
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        raise self._no_stream()
        yield  # what makes it a generator

    def _no_stream(self) -> ConfigError:
        return ConfigError(
            f"model {self.model_name!r} is asked in batches, which have no streams; "
            "leave --batch away, or have the agent ask for whole answers"
        )
