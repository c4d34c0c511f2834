"""How a model's name becomes a provider's client.

| name | asks | key and address |
|---|---|---|
| `openai:gpt-5`, `openai-responses:...` | OpenAI's responses API | `OPENAI_API_KEY` |
| `openai-chat:...` | its chat API | the same |
| `anthropic:claude-...` | Anthropic | `ANTHROPIC_API_KEY` |
| `openrouter:openrouter/auto` | OpenRouter | `OPENROUTER_API_KEY` |
| `litellm:anthropic/claude-...` | a LiteLLM proxy | `Clients.endpoints`, else the endpoint |
| `ollama:llama3.2` | an Ollama server | the same, or `OLLAMA_BASE_URL` between them |
| `vllm:...` | a vLLM server | the same, or `VLLM_BASE_URL` |
| `gateway/openai:gpt-5` | Pydantic AI's gateway | `PYDANTIC_AI_GATEWAY_API_KEY` |
| `instructor:json:llama3.2` | the same through Instructor, see `instructed` | the endpoint |
| `outlines:PATH` | a local model directory, see `constrained` | none |
| `llama3.2` | any OpenAI-compatible server | the endpoint |

`OPENAI_BASE_URL` and `ANTHROPIC_BASE_URL` move these two elsewhere; `OPENROUTER_APP_URL` and
`OPENROUTER_APP_TITLE` tell OpenRouter who asks. Other ids of Pydantic AI work as it has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr
from pydantic_ai.embeddings import EmbeddingModel, infer_embedding_model
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class

from ..errors import ConfigError, MissingExtra, UnknownModel
from .output_mode import OutputModes, in_mode

if TYPE_CHECKING:
    from pydantic_ai.models.anthropic import AnthropicModelSettings
    from pydantic_ai.models.openrouter import OpenRouterModelSettings

    from ..batches import Batches

__all__ = ("Clients", "Endpoint", "Transport", "build", "build_embedding")

SELF_HOSTED = ("litellm", "ollama", "vllm")
"""Providers that stand wherever their user has put them."""

WITH_OPENAI = ("openai", "openrouter", "gateway/openai", *SELF_HOSTED)
"""What begins so is asked through OpenAI's library."""

LEAN = ("openai", "openai-chat", "openai-responses", "openrouter", *SELF_HOSTED)
"""Providers that can be asked through the transport called lean."""

Transport = Literal["sdk", "lean"]
"""How requests travel: by the provider's own library, or with less work, see `transport`."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server: Ollama, LM Studio, vLLM, a proxy."""

    base_url: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr("none"))  # local servers ask none


@dataclass(frozen=True, kw_only=True)
class Clients:
    """How the clients of providers are made.

    They never ask again by themselves: what goes wrong is seen, counted and retried in one place.

    Args:
        timeout: Seconds that a client waits for the next byte of an answer.
        connect_timeout: Seconds that it waits for a connection.
        modes: How each model is asked for a validated output.
        endpoints: Pairs of a provider's prefix, `litellm`, `ollama`, `vllm` or `openrouter`, and
            where it stands.
        batches: Where requests of chat models wait for a batch; None asks one by one.
        transport: How requests to OpenAI-compatible providers travel. Others, and batches, travel
            by their own library whatever it is.
    """

    timeout: float = 300.0
    connect_timeout: float = 5.0
    modes: OutputModes = field(default_factory=OutputModes)
    endpoints: tuple[tuple[str, Endpoint], ...] = ()
    batches: Batches | None = None
    transport: Transport = "sdk"

    def set_up(self, client: object) -> None:
        """Give an SDK's client these timeouts, and no retries of its own."""
        if isinstance(client, _SdkClient):
            client.max_retries = 0
            client.timeout = httpx2.Timeout(self.timeout, connect=self.connect_timeout)

    def provider(self, prefix: str, provider: Provider[Any]) -> Provider[Any]:
        """Return a provider whose client is set up, and asks in batches where that is wanted.

        Raises:
            ConfigError: it is wanted, and the provider has none.
            MissingExtra: the lean transport is wanted, and its library is not installed.
        """
        if self.batches is not None:
            provider = self.batches.provider(prefix, provider)
        self.set_up(provider.client)
        quick = self.transport == "lean" and self.batches is None and prefix in LEAN
        return _lean(provider) if quick else provider


def _lean(provider: Provider[Any]) -> Provider[Any]:
    try:
        from .transport import lean
    except ImportError as e:
        raise MissingExtra(
            "the transport 'lean' needs a library that is not installed; install it with: "
            "pip install 'assay-agents[fast]', or set ASSAY_TRANSPORT=sdk"
        ) from e
    return lean(provider)


@runtime_checkable
class _SdkClient(Protocol):
    """What the clients of OpenAI, Anthropic and their kin have in common."""

    max_retries: int
    timeout: Any


def build(model_id: str, endpoint: Endpoint | None, clients: Clients | None = None) -> Model:
    """Return the model that a name stands for.

    Args:
        model_id: A Pydantic AI id such as `openai:gpt-5`, or a bare name at the endpoint.
        endpoint: Where a name without a known provider prefix is looked for.
        clients: How clients are made; None for the defaults.

    Raises:
        UnknownModel: nobody here knows the name.
        MissingExtra: its provider's library is not installed.
        ConfigError: a key or an address is missing.
    """
    clients = clients or Clients()
    try:
        if own := _ours(model_id, endpoint, clients):
            return own
        model = _model(model_id, endpoint, clients)
    except ImportError as e:
        raise MissingExtra(_what_to_install(model_id, endpoint, e)) from e
    except (UserError, ValueError) as e:
        raise _wrong(model_id, e) from e
    return in_mode(model, clients.modes.of(model_id, model))


def build_embedding(
    model_id: str, endpoint: Endpoint | None, clients: Clients
) -> tuple[EmbeddingModel, Provider[Any]]:
    """Return the embedding model that a name stands for, and the provider whose client it uses.

    Raises:
        UnknownModel: nobody here knows the name, or its provider makes no vectors.
        MissingExtra: its provider's library is not installed.
        ConfigError: a key or an address is missing.
    """
    made: list[Provider[Any]] = []

    def provider(prefix: str) -> Provider[Any]:
        made.append(_provider(prefix, endpoint, clients))
        return made[-1]

    try:
        if endpoint is None or _has_provider(model_id):
            return infer_embedding_model(model_id, provider_factory=provider), made[-1]
        from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

        at = _openai_at(endpoint)
        clients.set_up(at.client)
        return OpenAIEmbeddingModel(model_id, provider=at), at
    except ImportError as e:
        raise MissingExtra(_what_to_install(model_id, endpoint, e)) from e
    except (UserError, ValueError) as e:
        raise _wrong(model_id, e, "openai:text-embedding-3-small") from e


def _ours(model_id: str, endpoint: Endpoint | None, clients: Clients) -> Model | None:
    """Return a model of this library, which takes every output mode; None if it is none."""
    if clients.batches is not None and model_id.startswith(("outlines:", "instructor:")):
        raise clients.batches.unable(f"model {model_id!r}")
    if model_id.startswith("outlines:"):
        from .constrained import constrained

        return constrained(model_id)
    if model_id.startswith("instructor:"):
        from .instructed import instructed

        where = endpoint and _openai_at(endpoint)
        provider = where or infer_provider("openai")
        clients.set_up(provider.client)
        return instructed(model_id, provider)
    return None


def _model(model_id: str, endpoint: Endpoint | None, clients: Clients) -> Model:
    if not _has_provider(model_id):
        # Without an endpoint it is for Pydantic AI to say that it does not know the name either.
        return _at_endpoint(model_id, endpoint, clients) if endpoint else infer_model(model_id)

    def make(prefix: str) -> Provider[Any]:
        return clients.provider(prefix, _provider(prefix, endpoint, clients))

    prefix, _, name = model_id.partition(":")
    if prefix in ("anthropic", "gateway/anthropic"):
        from pydantic_ai.models.anthropic import AnthropicModel

        return AnthropicModel(name, provider=make(prefix), settings=_cached())
    if prefix == "openrouter":
        from pydantic_ai.models.openrouter import OpenRouterModel

        return OpenRouterModel(name, provider=make(prefix), settings=_cached_by_router(name))
    return infer_model(model_id, make)


def _provider(prefix: str, endpoint: Endpoint | None, clients: Clients) -> Provider[Any]:
    """Return what Pydantic AI calls a provider: an address, a key and a client."""
    where = dict(clients.endpoints).get(prefix)
    provider = _provider_at(prefix, where) if where else _inferred(prefix, endpoint)
    clients.set_up(provider.client)
    return provider


def _inferred(prefix: str, endpoint: Endpoint | None) -> Provider[Any]:
    """Return a provider where its own variables put it; one without address is at the endpoint."""
    if prefix == "litellm":  # Pydantic AI would ask OpenAI
        if endpoint is None:
            raise UserError("Set the `ASSAY_LITELLM_BASE_URL` environment variable to its URL")
        return _provider_at(prefix, endpoint)
    try:
        return infer_provider(prefix)
    except UserError:
        if endpoint is None or prefix not in SELF_HOSTED:
            raise
        return _provider_at(prefix, endpoint)


def _provider_at(prefix: str, where: Endpoint) -> Provider[Any]:
    """Return a provider that stands somewhere else than Pydantic AI would look for it."""
    key = where.api_key.get_secret_value()
    if prefix == "litellm":
        from pydantic_ai.providers.litellm import LiteLLMProvider

        return LiteLLMProvider(api_base=where.base_url, api_key=key)
    if prefix == "openrouter":
        from pydantic_ai.providers.openrouter import OpenRouterProvider

        router = OpenRouterProvider(api_key=key)
        router.client.base_url = where.base_url
        return router
    if prefix == "ollama":
        from pydantic_ai.providers.ollama import OllamaProvider

        return OllamaProvider(base_url=where.base_url, api_key=key)
    if prefix == "vllm":
        from pydantic_ai.providers.vllm import VLLMProvider

        return VLLMProvider(base_url=where.base_url, api_key=key)
    raise UserError(f"{prefix!r} cannot be given an address; there are openrouter, {SELF_HOSTED}")


def _at_endpoint(name: str, endpoint: Endpoint, clients: Clients) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.models.openrouter import OpenRouterModel

    host = urlsplit(endpoint.base_url).hostname or ""
    if host == "openrouter.ai" or host.endswith(".openrouter.ai"):  # its errors come as a 200
        router = clients.provider("openrouter", _provider_at("openrouter", endpoint))
        return OpenRouterModel(name, provider=router, settings=_cached_by_router(name))
    provider = clients.provider("openai", _openai_at(endpoint))
    return OpenAIChatModel(name, provider=provider)


def _openai_at(endpoint: Endpoint) -> Provider[Any]:
    from pydantic_ai.providers.openai import OpenAIProvider

    key = endpoint.api_key.get_secret_value()
    return OpenAIProvider(base_url=endpoint.base_url, api_key=key)


def _cached() -> AnthropicModelSettings:
    """Return where a prompt is cached: after the tools, the instructions, and all that was said.

    The last moves along, so that a long document is read from the cache in every further request
    of its run. A run's own settings go before these.
    """
    return {
        "anthropic_cache_tool_definitions": True,
        "anthropic_cache_instructions": True,
        "anthropic_cache": True,
    }


def _cached_by_router(name: str) -> OpenRouterModelSettings | None:
    """Return the same for Anthropic's models at OpenRouter; others cache by themselves."""
    if not name.removeprefix("~").startswith("anthropic/"):
        return None
    return {
        "openrouter_cache_tool_definitions": True,
        "openrouter_cache_instructions": True,
        "openrouter_cache_messages": True,
    }


def _has_provider(model_id: str) -> bool:
    """Tell whether the part before the colon is a provider that Pydantic AI knows."""
    prefix, colon, _ = model_id.partition(":")
    if not colon:
        return model_id == "test"
    try:
        infer_provider_class(prefix)
    except ValueError:
        return False
    except ImportError:
        return True  # known, but its library is missing: `build` says so
    return True


def _what_to_install(model_id: str, endpoint: Endpoint | None, error: ImportError) -> str:
    prefix = model_id.partition(":")[0]
    needs = f"model {model_id!r} needs a library that is not installed"
    extra = ""
    if prefix.startswith(WITH_OPENAI) or (endpoint and not _has_provider(model_id)):
        extra = "openai"
    elif prefix in ("anthropic", "gateway/anthropic"):
        extra = "anthropic"
    return (
        f"{needs}; install it with: pip install 'assay-agents[{extra}]'"
        if extra
        else (f"{needs}. {error}")
    )


def _wrong(model_id: str, error: Exception, such_as: str = "openai:gpt-5") -> ConfigError:
    """Return what is wrong with a name or with what it needs."""
    said = str(error).partition(" or pass it via ")[0]  # that is for who writes code
    if "API_KEY" in said or "api_key" in said:
        return ConfigError(f"model {model_id!r} has no key: {said}")
    if "environment variable" in said:
        return ConfigError(f"model {model_id!r} has no address: {said}")
    return UnknownModel(
        f"unknown model {model_id!r}: {said}. Use 'baseline', a Pydantic AI id such as "
        f"{such_as!r}, or set ASSAY_BASE_URL for an OpenAI-compatible server"
    )
