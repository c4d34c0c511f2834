"""A server with batches, models that ask in them, and what it answers."""

import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic_ai import models
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from assay.deps.batches import Batches, Pace, batched
from assay.deps.models import Models

from .batch_server import BatchServer, Body, chat
from .batch_suite import FAST


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    # Every client reads the certificates of the world, which no loopback needs, for half a test.
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", MagicMock())
    with BatchServer() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789abcdef")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", found.origin)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-planted-0123456789abcdef")
        yield found


@asynccontextmanager
async def asked(
    path: Path | None = None, *, pace: Pace = FAST, **kwargs: Any
) -> AsyncGenerator[Models]:
    """Models that ask in batches, remembered in a file; closed in the end."""
    async with Batches(path, pace=pace, **kwargs) as batches:
        found = batched(Models(default="openai-chat:gpt-5"), batches)
        yield found
        await found.aclose()


async def say(model: Model, text: str, settings: ModelSettings | None = None) -> ModelResponse:
    request: list[ModelMessage] = [ModelRequest.user_text_prompt(text)]
    return await model.request(request, settings, ModelRequestParameters())


def texts(body: Body) -> str:
    """Return what was asked last, in either protocol."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def echo(body: Body) -> Body:
    return chat(body, texts(body))
