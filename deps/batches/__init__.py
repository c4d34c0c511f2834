"""Ask in batches: slower by hours, for about half the price, where a provider offers it."""

from .asked import (
    UNDER_WAY,
    Asker,
    Batches,
    Pace,
    Progress,
    asking,
    batched,
)

__all__ = (
    "UNDER_WAY",
    "Asker",
    "Batches",
    "Pace",
    "Progress",
    "asking",
    "batched",
)
