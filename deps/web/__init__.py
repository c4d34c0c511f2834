"""The web, as far as a model may reach it: public addresses, bounded answers."""

from .pages import (
    Fetched,
    GuardedClient,
    HasWeb,
    Reach,
    Resolve,
    Web,
    system_resolver,
)

__all__ = (
    "Fetched",
    "GuardedClient",
    "HasWeb",
    "Reach",
    "Resolve",
    "Web",
    "system_resolver",
)
