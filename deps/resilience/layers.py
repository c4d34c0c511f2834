"""What stands between agents and providers by default, from the provider outwards."""

from collections.abc import Callable

from pydantic import SecretStr
from pydantic_ai.models import Model

from .circuit import Circuit
from .faults import Faults
from .limiter import Limiter
from .retry import Retry

__all__ = ("resilient",)


def resilient(
    *,
    timeout: float | None = None,
    max_concurrency: int = 20,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    secrets: tuple[SecretStr, ...] = (),
) -> tuple[Callable[[Model], Model], ...]:
    """Return wrappers for `Models.wrap`, to be shared by everything that asks the same providers.

    Faults become typed errors; a provider that keeps failing is left alone for a while; so many
    requests at once, and a minute, and no more; what may pass is asked again. Every attempt counts
    against the limits, and none holds a slot while it waits.

    Args:
        timeout: Seconds that one request may take in all, its stream included.
        max_concurrency: Requests that a provider is asked at once, at most.
        requests_per_minute: Of each provider.
        tokens_per_minute: Of each provider.
        secrets: Texts that no error may show, beside those that are known as keys.
    """
    limiter = Limiter(
        max_concurrency, per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute
    )
    return (Faults(within=timeout, secrets=secrets), Circuit(), limiter, Retry())
