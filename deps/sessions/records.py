"""Conversations as stores keep them: what is the same in memory and in every database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    SystemPromptPart,
    UserPromptPart,
)

from ..errors import InputError
from .turns import dump, read, tokens

__all__ = (
    "Kept",
    "Session",
    "Summary",
    "Turn",
    "no_turn",
    "session_of",
    "taken",
    "within_tokens",
)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one run added to a conversation.

    Attributes:
        number: Its number in the session, from 1; numbers of deleted turns are not used again.
        messages: From its prompt to its answer.
        at: When it was added.
    """

    number: int
    messages: tuple[ModelMessage, ...]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Session:
    """A conversation as it was when it was loaded.

    Attributes:
        id: Its id.
        turns: Its turns, in their order, from the oldest that was loaded.
        last: The number of its last turn, 0 if it has none: what `append(after=)` takes.
        left_out: How many turns before those were left out, to stay within a number of tokens.
        system: The system prompts of the turns that were left out.
    """

    id: str
    turns: tuple[Turn, ...] = ()
    last: int = 0
    left_out: int = 0
    system: tuple[SystemPromptPart, ...] = ()

    @property
    def messages(self) -> list[ModelMessage]:
        """The messages of the turns, as an agent's `message_history`.

        Where turns were left out, the first message says so, and holds their system prompts.
        """
        messages = [message for turn in self.turns for message in turn.messages]
        if self.left_out and isinstance(first := messages[0], ModelRequest):
            note = f"[The first {self.left_out} turns of this conversation are left out here.]"
            parts: list[ModelRequestPart] = [*self.system, UserPromptPart(note), *first.parts]
            messages[0] = replace(first, parts=parts)
        return messages


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a session is, without its messages.

    Attributes:
        id: Its id.
        turns: How many turns it has.
        begun: When it was made.
        changed: When it was last added to, or rewound.
        origin: The session that it was forked from.
    """

    id: str
    turns: int
    begun: datetime
    changed: datetime
    origin: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A turn as it is stored.

    Attributes:
        number: Of the turn.
        at: When it was added.
        tokens: How many tokens it is, by estimate.
        messages: As JSON, see `turns.dump`.
    """

    number: int
    at: datetime
    tokens: int
    messages: str

    @classmethod
    def of(cls, number: int, messages: Sequence[ModelMessage], at: datetime) -> Kept:
        return cls(number=number, at=at, tokens=tokens(messages), messages=dump(messages))

    def turn(self) -> Turn:
        return Turn(number=self.number, at=self.at, messages=tuple(read(self.messages)))


def within_tokens(sizes: Sequence[int], within: int | None) -> int:
    """Return how many turns from the front to leave out, so that the rest is within `within`.

    The last turn is never left out: a conversation without it would be another one.
    """
    if within is None:
        return 0
    kept = 0
    for left, size in reversed(list(enumerate(sizes))):
        kept += size
        if kept > within:
            return min(left + 1, len(sizes) - 1)
    return 0


def session_of(
    id: str, rows: Sequence[Kept], *, left_out: int = 0, opening: Kept | None = None
) -> Session:
    """Return a session from the turns that were loaded, and its first one if that was not."""
    turns = tuple(row.turn() for row in rows)
    system = _system(opening.turn().messages) if opening is not None else ()
    last = turns[-1].number if turns else 0
    return Session(id=id, turns=turns, last=last, left_out=left_out, system=tuple(system))


def _system(messages: Iterable[ModelMessage]) -> Iterable[SystemPromptPart]:
    requests = (message for message in messages if isinstance(message, ModelRequest))
    return (p for one in requests for p in one.parts if isinstance(p, SystemPromptPart))


def no_turn(id: str, number: int, there: Sequence[int]) -> InputError:
    """Return the error that a session has no such turn."""
    has = f"its turns are {', '.join(map(str, there))}" if there else "it has none"
    return InputError(f"session {id!r} has no turn {number}; {has}. Load it to see what is there")


def taken(id: str) -> InputError:
    """Return the error that a session is there already."""
    return InputError(
        f"session {id!r} is there already, and nothing is forked over it; forget it first, or "
        "give another id"
    )
