"""How a model's name becomes a provider's client."""

from dataclasses import dataclass, field

from pydantic import SecretStr
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from .errors import ConfigError, MissingExtra, UnknownModel

__all__ = ("Endpoint", "build")

EXTRAS = ("openai", "anthropic")


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server: Ollama, LM Studio, vLLM, a proxy."""

    base_url: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr("none"))  # local servers ask none


def build(model_id: str, endpoint: Endpoint | None) -> Model:
    """Return the model that a name stands for.

    Args:
        model_id: A Pydantic AI id such as `openai:gpt-5`, or a bare name at the endpoint.
        endpoint: Where a name without a known provider prefix is looked for.

    Raises:
        UnknownModel: nobody here knows the name.
        MissingExtra: its provider's library is not installed.
        ConfigError: a key is missing.
    """
    try:
        if endpoint is not None and not _has_provider(model_id):
            return _at_endpoint(model_id, endpoint)
        return infer_model(model_id)
    except ImportError as e:
        raise MissingExtra(_what_to_install(model_id, e)) from e
    except (UserError, ValueError) as e:
        if "API_KEY" in str(e) or "api_key" in str(e):
            raise ConfigError(f"model {model_id!r} has no key: {e}") from e
        raise UnknownModel(
            f"unknown model {model_id!r}: {e}. Use 'baseline', a Pydantic AI id such as "
            "'openai:gpt-5', or set ASSAY_BASE_URL for an OpenAI-compatible server"
        ) from e


def _what_to_install(model_id: str, error: ImportError) -> str:
    provider = model_id.partition(":")[0].partition("-")[0]
    if provider in EXTRAS:
        return (
            f"model {model_id!r} needs a library that is not installed; "
            f"install it with: pip install 'assay-agents[{provider}]'"
        )
    return f"model {model_id!r} needs a library that is not installed. {error}"


def _has_provider(model_id: str) -> bool:
    """Tell whether the part before the colon is a provider that Pydantic AI knows."""
    from pydantic_ai.providers import infer_provider_class

    prefix, colon, _ = model_id.partition(":")
    if not colon:
        return model_id == "test"
    try:
        infer_provider_class(prefix)
    except ValueError:
        return False
    except ImportError:
        return True  # known, but its library is missing: _build says so
    return True


def _at_endpoint(model_id: str, endpoint: Endpoint) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(
        base_url=endpoint.base_url, api_key=endpoint.api_key.get_secret_value()
    )
    return OpenAIChatModel(model_id, provider=provider)
