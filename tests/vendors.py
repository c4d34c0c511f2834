"""Models of each vendor's own client, whose server is a faulty one on loopback."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic_ai import models
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from .faulty import Faulty, faulty

KEY = "correct-horse-battery-staple"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading all certificates takes most of a test


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    async with faulty() as found:
        yield found


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as found:
        yield found


Make = Callable[[str, AsyncExitStack, str], Awaitable[Model]]
Json = dict[str, Any]
Named = tuple[str, Json | str]


async def openai(url: str, clients: AsyncExitStack, key: str) -> OpenAIProvider:
    http = DefaultAsyncHttpxClient(verify=NO_TLS)
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=http)
    return OpenAIProvider(openai_client=await clients.enter_async_context(client))


async def chat(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    return OpenAIChatModel("m", provider=await openai(url, clients, key))


async def responses(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    return OpenAIResponsesModel("m", provider=await openai(url, clients, key))


async def claude(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    # Imported here, for it takes a second of every worker otherwise.
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    http = DefaultAsyncHttpxClient(verify=NO_TLS)
    base = url.removesuffix("/v1")
    client = AsyncAnthropic(base_url=base, api_key=key, max_retries=0, http_client=http)
    await clients.enter_async_context(client)
    return AnthropicModel("m", provider=AnthropicProvider(anthropic_client=client))


def error(message: str, **more: str) -> dict[str, object]:
    return {"error": {"message": message, **more}}
