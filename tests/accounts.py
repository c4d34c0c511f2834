"""Models that are charged to an account, and how the account then stands."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from assay.deps.spending import Account, Allowance
from assay.deps.spending.caps import Amount, Cap

ASKED: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TOLD = 110
"""Tokens of an answer of `Says`, which cost this:"""
PRICE = 0.00035


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Says(Model):
    """Answers with 100 tokens in and 10 out of gpt-4o, or as it is told to; or only arrives."""

    usage: RequestUsage = field(
        default_factory=lambda: RequestUsage(input_tokens=100, output_tokens=10)
    )
    name: str = "gpt-4o"
    words: Sequence[str] = ("yes",)
    arrived: asyncio.Queue[None] | None = None
    asked: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def model_name(self) -> str:
        return self.name

    @property
    def system(self) -> str:
        return "openai"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        self.asked += 1
        if self.arrived is not None:
            self.arrived.put_nowait(None)
            await asyncio.Event().wait()  # until it is cancelled
        return ModelResponse(
            [TextPart(word) for word in self.words],
            usage=self.usage,
            model_name=self.name,
            provider_name="openai",
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )


async def ask(model: Model, of_model: ModelSettings | None = None) -> None:
    await model.request(ASKED, of_model, ModelRequestParameters())


async def stream(model: Model, of_model: ModelSettings | None = None) -> None:
    async with model.request_stream(ASKED, of_model, ModelRequestParameters()) as answer:
        async for _ in answer:
            pass


def allowed(*caps: Cap, **more: Any) -> tuple[Account, Clock]:
    clock = Clock()
    return Allowance(*caps, now=clock, **more).of("tenant-7"), clock


async def stood(account: Account) -> tuple[Amount, Amount]:
    """What is spent and what is reserved in the window of the first cap."""
    first, *_ = await account.standing()
    return first.spent, first.reserved
