"""What a tool does once per key, however often it is asked: after retries, replays and crashes."""

from .acts import (
    Act,
    Acts,
    Guarantee,
    HasIdempotency,
    Idempotency,
    MemoryActs,
    Note,
    claimed,
)

__all__ = (
    "Act",
    "Acts",
    "Guarantee",
    "HasIdempotency",
    "Idempotency",
    "MemoryActs",
    "Note",
    "claimed",
)
