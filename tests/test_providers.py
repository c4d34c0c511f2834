"""Names become clients: what they ask, where, with which key, and how long they wait."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_ai import models
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model

from assay.deps import ConfigError, Endpoint, MissingExtra, Settings
from assay.deps.providers import Clients, build
from assay.deps.providers.output_mode import OutputModes, current_mode

from .scripted import Scripted, refused, said, serving

KEY = "sk-planted-planted-1"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow requests, all of them to loopback, and know no provider's key or address."""
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    for name in (
        "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL",
        "OPENROUTER_API_KEY", "OPENROUTER_APP_URL", "OPENROUTER_APP_TITLE", "OLLAMA_BASE_URL",
        "OLLAMA_API_KEY", "VLLM_BASE_URL", "VLLM_API_KEY", "PYDANTIC_AI_GATEWAY_API_KEY",
        "PYDANTIC_AI_GATEWAY_BASE_URL",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that says ok to whatever it is asked."""
    with serving(lambda sent: (200, said("ok"))) as running:
        yield running


@asynccontextmanager
async def built(
    name: str, endpoint: Endpoint | None = None, clients: Clients | None = None
) -> AsyncGenerator[Model]:
    async with build(name, endpoint, clients) as model:  # leaving it closes its client
        yield model


async def say(model: Model) -> str | None:
    return (await model_request(model, [ModelRequest.user_text_prompt("hi")])).text


# -- names


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("llama3.2:latest", "llama3.2:latest"),
        ("ollama:llama3.2", "llama3.2"),
        ("vllm:Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("litellm:anthropic/claude-opus-4-5", "anthropic/claude-opus-4-5"),
    ],
)
async def test_what_stands_anywhere_is_asked_at_the_endpoint(
    name: str, asked: str, server: Scripted
) -> None:
    async with built(name, Endpoint(server.url, SecretStr(KEY))) as model:
        assert await say(model) == "ok"
    (sent,) = server.sent
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body is not None
    assert sent.body["model"] == asked
    assert KEY not in repr(model) + repr(Endpoint(server.url, SecretStr(KEY)))


async def test_a_proxy_of_its_own_goes_before_the_endpoint(server: Scripted) -> None:
    nowhere = Endpoint("http://127.0.0.1:9/v1")
    clients = Clients(endpoints=(("litellm", Endpoint(server.url, SecretStr(KEY))),))
    async with built("litellm:openai/gpt-5", nowhere, clients) as model:
        assert await say(model) == "ok"


async def test_an_address_of_its_own_goes_before_the_endpoint(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
    async with built("ollama:llama3.2", Endpoint("http://127.0.0.1:9/v1")) as model:
        assert await say(model) == "ok"


async def test_openai_is_asked_by_the_api_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(lambda sent: refused("no")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for name in ("openai-chat:gpt-5", "openai:gpt-5", "openai-responses:gpt-5"):
            async with built(name) as model:
                with pytest.raises(ModelHTTPError):
                    await say(model)
    paths = [sent.path for sent in server.sent]
    assert paths == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]


def at_router(url: str) -> Clients:
    return Clients(endpoints=(("openrouter", Endpoint(url, SecretStr(KEY))),))


async def test_openrouter_is_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_APP_URL", "https://app.example")
    monkeypatch.setenv("OPENROUTER_APP_TITLE", "App")
    reply: dict[str, Any] = {**said("ok"), "provider": "Somebody"}
    reply["choices"][0]["native_finish_reason"] = "stop"
    with serving(lambda sent: (200, reply)) as server:
        async with built("openrouter:openrouter/auto", None, at_router(server.url)) as model:
            assert await say(model) == "ok"
    (sent,) = server.sent
    assert sent.headers["http-referer"] == "https://app.example"
    assert sent.headers["x-title"] == "App"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body is not None
    assert sent.body["model"] == "openrouter/auto"


async def test_openrouters_error_in_a_success_is_an_error() -> None:
    error = {"error": {"code": 502, "message": "Provider returned error"}, "user_id": "u"}
    with serving(lambda sent: (200, error)) as server:
        async with built("openrouter:openrouter/auto", None, at_router(server.url)) as model:
            with pytest.raises(ModelHTTPError, match="Provider returned error") as caught:
                await say(model)
    assert caught.value.status_code == 502


def test_a_bare_name_at_openrouter_is_asked_as_one_of_its_own() -> None:
    model = build("anthropic/claude-opus-4.5", Endpoint("https://openrouter.ai/api/v1"))
    assert (type(model).__name__, model.system) == ("OpenRouterModel", "openrouter")


async def test_the_gateway_is_asked_with_its_key(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYDANTIC_AI_GATEWAY_API_KEY", KEY)
    monkeypatch.setenv("PYDANTIC_AI_GATEWAY_BASE_URL", server.url)
    async with built("gateway/openai-chat:gpt-5") as model:
        assert await say(model) == "ok"
    assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:gpt-5", "has no key: Set the `OPENAI_API_KEY` environment variable$"),
        ("anthropic:claude-opus-4-5", "has no key: Set the `ANTHROPIC_API_KEY`"),
        ("openrouter:openrouter/auto", "has no key: Set the `OPENROUTER_API_KEY`"),
        ("gateway/openai:gpt-5", "has no key: Set the `PYDANTIC_AI_GATEWAY_API_KEY`"),
        ("litellm:openai/gpt-5", "has no address: Set the `ASSAY_LITELLM_BASE_URL`"),
        ("ollama:llama3.2", "has no address: Set the `OLLAMA_BASE_URL`"),
        ("vllm:llama", "has no address: Set the `VLLM_BASE_URL`"),
    ],
)
def test_what_is_missing_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, None)


@pytest.mark.parametrize("name", ["llama", "ollama:llama", "litellm:a/b", "openrouter:a/b"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object) -> Model:
        raise ImportError("no openai")

    monkeypatch.setattr("assay.deps.providers.names._model", missing)
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[openai\]'"):
        build(name, Endpoint("http://127.0.0.1:9/v1"))


async def test_settings_say_how_clients_are_made(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LITELLM_BASE_URL", server.url)
    monkeypatch.setenv("ASSAY_LITELLM_API_KEY", KEY)
    monkeypatch.setenv("ASSAY_OUTPUT_MODE", "native,litellm:a/b=prompted")
    monkeypatch.setenv("ASSAY_TIMEOUT", "7")
    async with aclosing(Settings().models()) as known:
        model = known.resolve("litellm:a/b")
        assert await say(model) == "ok"
        assert current_mode(model) == "prompted"
        assert current_mode(known.resolve("litellm:a/c")) == "native"
        assert model.provider is not None
        assert model.provider.client.timeout.read == 7
    assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(known) + repr(Settings())


def test_only_some_providers_are_given_an_address() -> None:
    clients = Clients(endpoints=(("groq", Endpoint("http://127.0.0.1:9/v1")),))
    with pytest.raises(ConfigError):
        build("groq:llama", None, clients)


# -- clients


async def test_a_client_never_asks_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with serving(lambda sent: refused("down", 500)) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
        for name in ("llama", "anthropic:claude-opus-4-5"):
            async with built(name, Endpoint(server.url)) as model:
                with pytest.raises(ModelHTTPError, match="500"):
                    await say(model)
    assert len(server.sent) == 2


def test_a_client_has_the_timeouts_it_is_given() -> None:
    clients = Clients(timeout=7, connect_timeout=2)
    model = build("llama", Endpoint("http://127.0.0.1:9/v1"), clients)
    assert model.provider is not None
    timeout = model.provider.client.timeout
    assert (timeout.read, timeout.connect) == (7, 2)


async def test_leaving_a_model_closes_its_client(server: Scripted) -> None:
    async with built("llama", Endpoint(server.url), Clients(modes=OutputModes("native"))) as model:
        await say(model)
        assert model.provider is not None
        client = model.provider.client
        assert not client.is_closed()
    assert client.is_closed()


def test_anthropics_models_are_cached_at_openrouter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    settings = build("openrouter:anthropic/claude-opus-4.5", None).settings
    assert settings is not None
    assert {name for name, value in settings.items() if value is True} == {
        "openrouter_cache_tool_definitions",
        "openrouter_cache_instructions",
        "openrouter_cache_messages",
    }
    assert build("openrouter:openai/gpt-5", None).settings is None
