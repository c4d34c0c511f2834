"""The clock: the one place that reads it."""

from datetime import UTC, datetime
from typing import Protocol

__all__ = ("Clock", "utc_now")


class Clock(Protocol):
    """Tells the time, as any function does that returns it.

    No `Callable`: pyright binds a field of that type as if it were a method, so deps with such a
    field do not fit a protocol of deps with a clock.
    """

    def __call__(self) -> datetime: ...


def utc_now() -> datetime:
    """Return the present moment, with its zone."""
    return datetime.now(UTC)  # noqa: TID251
