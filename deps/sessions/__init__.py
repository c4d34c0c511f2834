"""Conversations kept by id, turn by turn: nothing stays in the process between two calls."""

from .conversations import (
    HasSessions,
    MemorySessions,
    OpenTurn,
    Session,
    Sessions,
    Summary,
    Turn,
    turn,
)

__all__ = (
    "HasSessions",
    "MemorySessions",
    "OpenTurn",
    "Session",
    "Sessions",
    "Summary",
    "Turn",
    "turn",
)
