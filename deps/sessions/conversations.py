"""Conversations kept by id, turn by turn: nothing stays in the process between two calls.

```python
sessions = SqlSessions(".assay/sessions.db")  # or postgresql://user@host/database

async with turn(deps.sessions, "user-7/chat-3") as talk:
    result = await agent.run(text, message_history=talk.history, deps=deps)
    talk.say(result.new_messages())
```

A **turn** is what one run adds, from its prompt to its answer: kept whole or not at all, never
with another's messages between its own. Turns are numbered from 1; a number is used once in a
session, so after a rewind to turn 3 of 5 the next turn is 6, and who saw turn 5 is not mistaken
for who sees what came instead.

Two who write at once: `append(..., after=n)` adds a turn only where turn `n` is still the last,
and raises `SessionMoved` otherwise. `turn(...)` goes further and lets one wait for the other, so
that no model is asked in vain. Its lease keeps others out; that nothing is lost rests on `after`
alone, so a lease that ran out under a slow worker costs that worker its turn and nobody else's.

Fork before a rewind to keep what follows: `rewind` deletes it, `forget` deletes the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol
from uuid import uuid4

from pydantic_ai.messages import ModelMessage

from ..clock import utc_now
from ..errors import SessionBusy, SessionMoved
from .records import (
    Kept,
    Session,
    Summary,
    Turn,
    no_turn,
    session_of,
    taken,
    within_tokens,
)
from .turns import check_whole

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

LEASE = timedelta(seconds=60)
WAIT = timedelta(seconds=120)
POLL = timedelta(milliseconds=50)


class Sessions(Protocol):
    """Keeps conversations. When a method returns, what it did is durable."""

    async def load(self, id: str, *, within: int | None = None) -> Session:
        """Return a session; one that nobody added to has no turns.

        Args:
            id: Of the session.
            within: Load the last turns that are, by estimate, so many tokens; at least one.
        """
        ...

    async def append(
        self, id: str, messages: Sequence[ModelMessage], *, after: int | None = None
    ) -> Turn:
        """Add a turn.

        Args:
            id: Of the session; it is made where it is not there yet.
            messages: The turn: `result.new_messages()`.
            after: The number of the turn that it is to follow, 0 for none; None: the last one,
                whatever it is, so that a session that was forgotten meanwhile is made anew.

        Raises:
            SessionMoved: another turn is the last one.
            InputError: it is not a whole turn: a call has no result.
        """
        ...

    async def fork(self, id: str, at: int, to: str | None = None) -> str:
        """Copy a session up to and with turn `at` to a new id, and return that.

        Raises:
            InputError: there is no such turn, or `to` is taken.
        """
        ...

    async def rewind(self, id: str, to: int) -> None:
        """Delete, for good, what follows turn `to`; 0 deletes every turn.

        Raises:
            InputError: there is no such turn.
        """
        ...

    async def forget(self, id: str, *, forks: bool = False) -> int:
        """Delete a session for good, and return how many were deleted; 0 if there is none.

        Args:
            id: Of the session.
            forks: Delete whatever was forked from it, too, and from that.
        """
        ...

    async def find(self, prefix: str = "", *, limit: int = 100) -> tuple[Summary, ...]:
        """Return the sessions whose ids begin so, the last changed first."""
        ...

    async def hold(self, id: str, owner: str, lease: timedelta) -> bool:
        """Take a session's lease for so long, or renew one's own; False if it is another's."""
        ...

    async def release(self, id: str, owner: str) -> None:
        """Give a lease back; nothing, if it is not the owner's."""
        ...


class HasSessions(Protocol):
    """Deps of what holds conversations."""

    @property
    def sessions(self) -> Sessions: ...


@dataclass
class OpenTurn:
    """A turn that is being made, while others wait.

    Attributes:
        session: The conversation before this turn.
    """

    session: Session
    said: Sequence[ModelMessage] | None = field(default=None, init=False)

    @property
    def history(self) -> list[ModelMessage]:
        """What was said before, as an agent's `message_history`."""
        return self.session.messages

    def say(self, messages: Sequence[ModelMessage]) -> None:
        """Make this the turn; it is added at the end of the block."""
        self.said = messages


@asynccontextmanager
async def turn(
    sessions: Sessions,
    id: str,
    *,
    within: int | None = None,
    lease: timedelta = LEASE,
    wait: timedelta = WAIT,
    poll: timedelta = POLL,
) -> AsyncGenerator[OpenTurn]:
    """Take a turn in a conversation: load, run, append, while others wait for theirs.

    Nothing is added where the block raises, is cancelled, or says nothing, as for a run that was
    paused. The lease is renewed as long as the block takes; the one of a worker that died runs out.

    Args:
        sessions: Where conversations are kept.
        id: Of the conversation.
        within: See `Sessions.load`.
        lease: How long a worker is not taken for dead, after it was last heard of.
        wait: How long one waits for others.
        poll: How often who waits looks whether the other is done.

    Raises:
        SessionBusy: others took longer than `wait`.
        SessionMoved: the lease ran out under the block, and another took a turn.
    """
    owner = uuid4().hex
    try:
        await _held(sessions, id, owner, lease=lease, wait=wait, poll=poll)
        renewing = asyncio.create_task(_renew(sessions, id, owner, lease))
        try:
            opened = OpenTurn(await sessions.load(id, within=within))
            yield opened
            if opened.said is not None:
                await sessions.append(id, opened.said, after=opened.session.last)
        finally:
            renewing.cancel()
            # A store that could not renew says so when the turn is to be added, too.
            await asyncio.gather(renewing, return_exceptions=True)
    finally:
        await asyncio.shield(sessions.release(id, owner))


async def _held(
    sessions: Sessions, id: str, owner: str, *, lease: timedelta, wait: timedelta, poll: timedelta
) -> None:
    try:
        async with asyncio.timeout(wait.total_seconds()):
            while True:
                if await sessions.hold(id, owner, lease):
                    return
                await asyncio.sleep(poll.total_seconds())
    except TimeoutError as e:
        raise SessionBusy(
            f"others took turns in session {id!r} for more than {wait.total_seconds():g} seconds; "
            "ask again later, or allow more time: turn(..., wait=...)"
        ) from e


async def _renew(sessions: Sessions, id: str, owner: str, lease: timedelta) -> None:
    while True:
        await asyncio.sleep(lease.total_seconds() / 3)
        await sessions.hold(id, owner, lease)


@dataclass
class _Held:
    """A session in memory."""

    begun: datetime
    changed: datetime
    used: int = 0  # the highest number that was ever given
    turns: list[Kept] = field(default_factory=list[Kept])
    origin: str | None = None


@dataclass(eq=False)
class MemorySessions:
    """Keeps conversations for as long as the process lives: for tests, and what need not last."""

    now: Callable[[], datetime] = utc_now
    _sessions: dict[str, _Held] = field(default_factory=dict[str, _Held], repr=False)
    _leases: dict[str, tuple[str, datetime]] = field(
        default_factory=dict[str, tuple[str, datetime]], repr=False
    )
    _lock: Lock = field(default_factory=Lock, repr=False)

    async def load(self, id: str, *, within: int | None = None) -> Session:
        with self._lock:
            found = self._sessions.get(id)
            rows = list(found.turns) if found else []
        left = within_tokens([row.tokens for row in rows], within)
        return session_of(id, rows[left:], left_out=left, opening=rows[0] if left else None)

    async def append(
        self, id: str, messages: Sequence[ModelMessage], *, after: int | None = None
    ) -> Turn:
        check_whole(messages)
        with self._lock:
            at = self.now()
            held = self._sessions.get(id) or _Held(begun=at, changed=at)
            last = held.turns[-1].number if held.turns else 0
            if after is not None and after != last:
                raise SessionMoved(id, expected=after, found=last)
            held.used, held.changed = held.used + 1, at
            held.turns.append(kept := Kept.of(held.used, messages, at))
            self._sessions[id] = held
        return kept.turn()

    async def fork(self, id: str, at: int, to: str | None = None) -> str:
        to = uuid4().hex if to is None else to
        with self._lock:
            turns = self._up_to(id, at)
            if to in self._sessions:
                raise taken(to)
            now = self.now()
            self._sessions[to] = _Held(begun=now, changed=now, used=at, turns=turns, origin=id)
        return to

    async def rewind(self, id: str, to: int) -> None:
        with self._lock:
            turns = self._up_to(id, to) if to else []
            if held := self._sessions.get(id):
                held.turns, held.changed = turns, self.now()

    async def forget(self, id: str, *, forks: bool = False) -> int:
        with self._lock:
            gone = [id] if id in self._sessions else []
            for one in gone if forks else ():  # which grows meanwhile
                gone += [to for to, held in self._sessions.items() if held.origin == one]
            for one in gone:
                del self._sessions[one]
        return len(gone)

    async def find(self, prefix: str = "", *, limit: int = 100) -> tuple[Summary, ...]:
        with self._lock:
            found = [
                Summary(
                    id=id,
                    turns=len(held.turns),
                    begun=held.begun,
                    changed=held.changed,
                    origin=held.origin,
                )
                for id, held in self._sessions.items()
                if id.startswith(prefix)
            ]
        found.sort(key=lambda one: one.id)
        return tuple(sorted(found, key=lambda one: one.changed, reverse=True)[:limit])

    async def hold(self, id: str, owner: str, lease: timedelta) -> bool:
        with self._lock:
            now = self.now()
            by, until = self._leases.get(id, (owner, now))
            if by != owner and until > now:
                return False
            self._leases[id] = (owner, now + lease)
            return True

    async def release(self, id: str, owner: str) -> None:
        with self._lock:
            if self._leases.get(id, ("",))[0] == owner:
                del self._leases[id]

    def _up_to(self, id: str, number: int) -> list[Kept]:
        held = self._sessions.get(id)
        turns = held.turns if held else []
        there = [turn.number for turn in turns]
        if number not in there:
            raise no_turn(id, number, there)
        return turns[: there.index(number) + 1]
