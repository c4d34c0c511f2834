"""How a model's name becomes a provider's client."""

from .names import (
    Clients,
    Endpoint,
    Transport,
    build,
    build_embedding,
)

__all__ = (
    "Clients",
    "Endpoint",
    "Transport",
    "build",
    "build_embedding",
)
