"""Settings, read from the environment at the door: by a CLI, a plugin or a service's start-up."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from .models import BASELINE, Endpoint, Models

__all__ = ("Settings",)


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
    base_url: str | None = Field(default=None, description="an OpenAI-compatible server")
    api_key: SecretStr = Field(default=SecretStr("none"), description="its key, if it wants one")
    trace: str | None = Field(
        default=None, description="console, logfire, or a file: where the CLI sends spans"
    )

    def models(self) -> Models:
        """Return what model names mean under these settings."""
        roles = {"small": self.small_model, "large": self.large_model, "judge": self.judge_model}
        return Models(
            default=self.model,
            roles={role: name for role, name in roles.items() if name},
            endpoint=Endpoint(self.base_url, self.api_key) if self.base_url else None,
        )
