"""Settings, read from the environment at the door: by a CLI, a plugin or a service's start-up."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_ai.models import Model
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .models import BASELINE, Endpoint, Models
from .providers import Clients, Transport
from .providers.output_mode import OutputModes
from .replay.cache import Cache
from .replay.recordings import Recordings
from .resilience.layers import resilient

__all__ = ("Settings",)

Wrap = Callable[[Model], Model]


class Settings(BaseSettings):
    """`ASSAY_*` variables. Nothing in the library reads them by itself; you do: `Settings()`."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="ignore")

    model: str = Field(default=BASELINE, description="the model that agents use")
    small_model: str | None = Field(
        default=None, description="for the agents that ask for a small one"
    )
    large_model: str | None = Field(
        default=None, description="for the agents that ask for a large one"
    )
    judge_model: str | None = Field(default=None, description="for judges")
    embed_model: str | None = Field(default=None, description="for vectors of texts")
    # `NoDecode`: a list with commas, as people write it, not JSON.
    fallback: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="the models that are asked when another fails, in order, with commas between: "
        "openai:gpt-5,anthropic:claude-opus-4-5,baseline",
    )
    base_url: str | None = Field(default=None, description="an OpenAI-compatible server")
    api_key: SecretStr = Field(default=SecretStr("none"), description="its key, if it wants one")
    litellm_base_url: str | None = Field(
        default=None, description="a LiteLLM proxy, for litellm:... (else ASSAY_BASE_URL)"
    )
    litellm_api_key: SecretStr = Field(default=SecretStr("none"), description="its key")
    output_mode: str = Field(
        default="auto",
        description="auto, tool, native+tools, native or prompted; or by model: "
        "llama3.2=prompted,openai:x=tool",
    )
    transport: Transport = Field(
        default="sdk",
        description="lean asks OpenAI-compatible providers with less CPU (assay-agents[fast])",
    )
    timeout: float = Field(default=300.0, gt=0, description="seconds that a request may take")
    run_timeout: float | None = Field(
        default=None, gt=0, description="seconds that a whole run of an agent may take"
    )
    tool_timeout: float | None = Field(
        default=None, gt=0, description="seconds that one call of a tool may take"
    )
    max_concurrency: int = Field(
        default=20, ge=1, description="requests that a provider is asked at once, at most"
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="of each provider")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="of each provider")
    cache: Path | None = Field(
        default=None, description="a folder in which responses are kept, for equal requests"
    )
    cache_seconds: float | None = Field(
        default=None, gt=0, description="how long a kept response is good for; else for ever"
    )
    trace: str | None = Field(
        default=None,
        description="local, console, logfire, a database (*.db) or another file: where the CLI "
        "sends spans",
    )
    trace_content: bool | None = Field(
        default=None,
        description="whether prompts, answers and tools' arguments are in the spans; else they are "
        "while spans stay on this machine",
    )

    @field_validator("fallback", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if not isinstance(names, str):
            return names
        return tuple(name for part in names.split(",") if (name := part.strip()))

    def models(self) -> Models:
        """Return what model names mean under these settings.

        Providers are asked through `resilience.resilient`: call this once, and share the result.
        """
        roles = {
            "small": self.small_model,
            "large": self.large_model,
            "judge": self.judge_model,
            "embed": self.embed_model,
        }
        return Models(
            default=self.model,
            roles={role: name for role, name in roles.items() if name},
            endpoint=Endpoint(self.base_url, self.api_key) if self.base_url else None,
            clients=self._clients(),
            fallback=self.fallback,
            run_timeout=self.run_timeout,
            tool_timeout=self.tool_timeout,
            wrap=(*self._resilient(), *self._cache()),
        )

    def _resilient(self) -> tuple[Wrap, ...]:
        return resilient(
            timeout=self.timeout,
            max_concurrency=self.max_concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            secrets=(self.api_key, self.litellm_api_key),
        )

    def _cache(self) -> tuple[Wrap, ...]:
        """Return a cache last, so that a hit waits for nothing."""
        if self.cache is None:
            return ()
        secrets = (self.api_key, self.litellm_api_key)
        return (Cache(Recordings(self.cache), self.cache_seconds, secrets),)

    def _clients(self) -> Clients:
        litellm = self.litellm_base_url
        return Clients(
            timeout=self.timeout,
            transport=self.transport,
            modes=OutputModes.parse(self.output_mode),
            endpoints=(("litellm", Endpoint(litellm, self.litellm_api_key)),) if litellm else (),
        )
