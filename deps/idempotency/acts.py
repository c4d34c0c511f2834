"""What a tool does once per key, however often it is asked: after retries, replays and crashes.

```python
acts = Idempotency(SqlActs(".assay/acts.db"))  # or postgresql://user@host/database
deps = Deps(..., idempotency=acts.of("ticket-4711"))  # the caller's key; without one, the run's id
```

Before a tool acts, it is noted that it is about to; afterwards, what came of it. Whoever asks with
the same key gets what came of it. Who comes while another acts, waits. A worker that acts holds a
lease and renews it; once a lease has run out, its worker is taken for dead, and nobody knows
whether it had acted. Then it is the tool's stated choice what holds:

| guarantee | after a death between the act and its note |
|---|---|
| `at_most_once` | it does not act again: `OutcomeUnknown`, until the key is settled or forgotten |
| `at_least_once` | it acts again, and is told so: `Act.again`, with the same `Act.key` as before |

A tool that raises may have acted, so the same holds, at once, for a tool that failed or was
cancelled; not for errors that say that nothing was done (see `tools.idempotent`).

`at_most_once` holds as long as the store keeps its keys. Leases are told by the clock: give them
more time than the clocks of your machines are apart, and than an event loop may stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Literal, Protocol, TypeAlias
from uuid import uuid4

from pydantic_core import to_jsonable_python

from ..clock import utc_now
from ..errors import ConfigError, OutcomeUnknown
from ..replay.requests import canonical

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

Guarantee: TypeAlias = Literal["at_most_once", "at_least_once"]


@dataclass(frozen=True)
class Act:
    """What a tool is told of the act that it is about to do.

    Attributes:
        key: The same for every attempt at this act: hand it on, as an `Idempotency-Key`.
        attempt: 1, 2, ...
    """

    key: str
    attempt: int

    @property
    def again(self) -> bool:
        """Whether an earlier attempt may have acted already."""
        return self.attempt > 1


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is noted of an act.

    Attributes:
        key: Of the act.
        tool: Which tool acts.
        owner: Who holds the lease.
        attempt: 1, 2, ...
        begun: When this attempt was begun.
        until: When the lease ends.
        result: What came of it, as JSON; None as long as that is not known.
    """

    key: str
    tool: str
    owner: str
    attempt: int = 1
    begun: datetime
    until: datetime
    result: str | None = None


class Acts(Protocol):
    """Keeps notes of acts. When a method returns, what it noted is durable."""

    async def claim(self, wanted: Note, *, again: bool) -> Note:
        """Note that `wanted` is begun, where that may be: see `claimed`. Return what holds now.

        Between looking and noting nobody else may note anything of this key. When it is cancelled,
        it may be noted or not.
        """
        ...

    async def renew(self, note: Note, until: datetime) -> None:
        """Note that the owner holds the lease until then; nothing, if it is no more the owner."""
        ...

    async def finish(self, key: str, result: str) -> str:
        """Note what came of an act, whoever owns it, and return that; the first one stays."""
        ...

    async def forget(self, key: str, *, owner: str | None = None) -> bool:
        """Delete what is noted; with `owner`, only what is its and has no result."""
        ...


def claimed(found: Note | None, wanted: Note, *, again: bool) -> Note | None:
    """Return what is noted when `wanted` is begun; None if it may not be.

    It may where nothing is noted yet, and, with `again`, where a lease ended without a result.

    Args:
        found: What is noted of the key.
        wanted: The new attempt; it is begun now.
        again: Whether another attempt may follow one of which nobody knows what came.
    """
    if found is None:
        return wanted
    over = found.result is None and found.until <= wanted.begun
    return replace(wanted, attempt=found.attempt + 1) if over and again else None


@dataclass(eq=False)
class MemoryActs:
    """Keeps notes for as long as the process lives: for tests, and for what need not last."""

    _notes: dict[str, Note] = field(default_factory=dict[str, Note], repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    async def claim(self, wanted: Note, *, again: bool) -> Note:
        with self._lock:
            new = claimed(self._notes.get(wanted.key), wanted, again=again)
            if new is not None:
                self._notes[wanted.key] = new
            return self._notes[wanted.key]

    async def renew(self, note: Note, until: datetime) -> None:
        with self._lock:
            found = self._notes.get(note.key)
            if found is not None and found.owner == note.owner:
                self._notes[note.key] = replace(found, until=until)

    async def finish(self, key: str, result: str) -> str:
        with self._lock:
            found = self._notes.get(key)
            if found is None:
                return result
            if found.result is None:
                found = self._notes[key] = replace(found, result=result)
            return found.result or result

    async def forget(self, key: str, *, owner: str | None = None) -> bool:
        with self._lock:
            found = self._notes.get(key)
            if found is None or (owner and (found.owner != owner or found.result is not None)):
                return False
            del self._notes[key]
            return True


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """An act that is asked for."""

    key: str
    tool: str
    again: bool
    undone: tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Idempotency:
    """Lets one act per key happen, and gives its result to all who ask.

    Args:
        acts: Where acts are noted.
        scope: The caller's key: equal calls within it are one act. None: within the run.
        lease: How long a worker is not taken for dead, after it was last heard of.
        poll: How often who waits looks whether the other is done.
        now: The clock, the same for all who share `acts`.
    """

    acts: Acts = field(default_factory=MemoryActs)
    scope: str | None = None
    lease: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(milliseconds=100)
    now: Callable[[], datetime] = utc_now

    def of(self, scope: str) -> Idempotency:
        """Return a copy whose equal calls are one act within a caller's key, across runs."""
        return replace(self, scope=scope)

    def key(self, tool: str, arguments: Mapping[str, object], run_id: str | None) -> str:
        """Return the key of a call: equal for equal arguments, in whatever order they came.

        Raises:
            ConfigError: there is neither a caller's key nor a run.
        """
        if self.scope is None and run_id is None:
            raise ConfigError(
                f"tool {tool!r} was called outside a run and without a caller's key, so nobody "
                "could tell its calls apart; give one: idempotency.of('order-7731')"
            )
        scope = ["run", run_id] if self.scope is None else ["caller", self.scope]
        said = canonical([scope, tool, to_jsonable_python(dict(arguments), bytes_mode="base64")])
        return sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    async def once(
        self,
        key: str,
        tool: str,
        guarantee: Guarantee,
        act: Callable[[Act], Awaitable[str]],
        *,
        undone: tuple[type[BaseException], ...] = (),
    ) -> str:
        """Return what came of the act with this key, as JSON; act if nothing came yet.

        Args:
            key: See `key`.
            tool: Which tool acts.
            guarantee: What holds after a death, see above.
            act: Acts, and returns JSON.
            undone: Errors of `act` that say that nothing was done: it may be tried anew.

        Raises:
            OutcomeUnknown: it may act at most once, and nobody knows whether it has.
        """
        asked = _Asked(key=key, tool=tool, again=guarantee == "at_least_once", undone=undone)
        while True:
            wanted, found = await self._claim(asked)
            if found.owner == wanted.owner:
                return await self._act(asked, found, act)
            if found.result is not None:
                return found.result
            if found.until <= wanted.begun:  # when it was looked at, and not now
                raise self._unknown(asked, found)
            await asyncio.sleep(self.poll.total_seconds())

    async def settle(self, key: str, result: str) -> str:
        """Note what came of an act of which nobody knew, as JSON; what is noted already stays."""
        return await self.acts.finish(key, result)

    async def forget(self, key: str) -> bool:
        """Forget an act: it is done anew when it is asked for. Tell whether it was noted."""
        return await self.acts.forget(key)

    async def _claim(self, asked: _Asked) -> tuple[Note, Note]:
        """Return what was to be noted of the act, and what is."""
        now, owner = self.now(), uuid4().hex
        wanted = Note(
            key=asked.key, tool=asked.tool, owner=owner, begun=now, until=now + self.lease
        )
        try:
            found = await self.acts.claim(wanted, again=asked.again)
        except asyncio.CancelledError:
            # It may be noted, or about to be, and nothing was done.
            await self._give_back(wanted)
            raise
        return wanted, found

    async def _act(self, asked: _Asked, note: Note, act: Callable[[Act], Awaitable[str]]) -> str:
        try:
            async with self._renewed(note):
                result = await act(Act(note.key, note.attempt))
        except asked.undone:
            await self._give_back(note)
            raise
        except BaseException:
            # It may have acted: nobody need wait for the end of the lease to know as little.
            await asyncio.shield(self.acts.renew(note, self.now()))
            raise
        return await asyncio.shield(self.acts.finish(note.key, result))

    async def _give_back(self, note: Note) -> None:
        """Undo a claim: nothing was done in this attempt; but maybe in one before."""
        if note.attempt == 1:
            await asyncio.shield(self.acts.forget(note.key, owner=note.owner))
        else:
            await asyncio.shield(self.acts.renew(note, self.now()))

    @asynccontextmanager
    async def _renewed(self, note: Note) -> AsyncGenerator[None]:
        """Renew a lease as long as the block takes."""
        renewing = asyncio.create_task(self._renew(note))
        try:
            yield
        finally:
            renewing.cancel()
            # A store that could not renew says so when it is to note the result, too.
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, note: Note) -> None:
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            await self.acts.renew(note, self.now() + self.lease)

    def _unknown(self, asked: _Asked, found: Note) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"tool {asked.tool!r} began to act at {found.begun:%Y-%m-%d %H:%M:%S %Z} and nobody "
            "noted what came of it: its worker died, or it failed. It may have acted, so it is not "
            f"done again. Look at what it acts on; then note the result: settle('{asked.key}', "
            f"result), or, if nothing was done, forget('{asked.key}')",
            tool=asked.tool,
            key=asked.key,
            begun=found.begun,
        )


class HasIdempotency(Protocol):
    """Deps of tools that act once per key."""

    @property
    def idempotency(self) -> Idempotency: ...
