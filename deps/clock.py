"""The clock: the one place that reads it."""

from datetime import UTC, datetime

__all__ = ("utc_now",)


def utc_now() -> datetime:
    """Return the present moment, with its zone."""
    return datetime.now(UTC)  # noqa: TID251
