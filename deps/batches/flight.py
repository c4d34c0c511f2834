"""The life of one batch: it fills, is handed in, is waited for, and gives each its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import TypeVar
from uuid import uuid4

import httpx2

from ..errors import ConfigError
from .journal import Intent, Journal, Key, Noted
from .protocol import Answer, BatchFormat, Line, Refusal, Server, Standing, passes

__all__ = ("Flight", "Lane", "Outcome", "Pace", "Progress", "World")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long is waited for what.

    Attributes:
        settle: Seconds without a new request after which a batch is handed in.
        first: Seconds after which a batch is looked at again; half as many more each time.
        longest: Seconds that this comes to at most.
        attempts: In how many batches a request may be, while what befalls it may pass.
        failures: How often in a row a batch may be looked at in vain.
    """

    settle: float = 1.0
    first: float = 5.0
    longest: float = 60.0
    attempts: int = 2
    failures: int = 20

    def pause(self, number: int) -> float:
        return min(self.longest, self.first * 1.5 ** min(number, 60))


@dataclass(frozen=True)
class Progress:
    """How a batch stands, for people. `number` counts the batches of this process."""

    number: int
    id: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"batch {self.number} ({self.id}): {self.done} of {self.total} done"


@dataclass(frozen=True, kw_only=True)
class World:
    """What all batches of a process have in common."""

    journal: Journal
    pace: Pace
    told: Callable[[Progress], object]
    sleep: Callable[[float], Awaitable[object]]
    now: Callable[[], datetime]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))


@dataclass(frozen=True)
class Lane:
    """What the requests of a batch have in common: a server, an endpoint, a model."""

    form: BatchFormat
    server: Server
    endpoint: str
    model: str

    @property
    def url(self) -> str:
        return self.server.base + self.endpoint


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a batch came to.

    Attributes:
        answers: By the requests' names. Who finds none may be asked anew: it never went out.
        refused: What the provider said to the batch as a whole, if it was an error. That is no
            reason to make another one: this one may be under way.
        unreached: Why the provider could not be spoken with, if it could not.
        wrong: Why there can be no batches, if there cannot.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict[str, Answer])
    refused: Answer | None = None
    unreached: str = ""
    wrong: str = ""


class Flight:
    """One batch, new or of an earlier process; `task` ends with what it came to.

    Its errors are part of the outcome: one exception, raised by ten thousand waiters, would carry
    the tracebacks of all.
    """

    def __init__(self, world: World, lane: Lane, noted: Noted | None = None) -> None:
        self._world = world
        self._lane = lane
        self.token = noted.token if noted else uuid4().hex
        self.id = noted.id if noted else None
        self.open = noted is None
        self._made = noted.made if noted else world.now()
        self._resumed = noted is not None
        self._names = set(noted.requests) if noted else set[str]()
        self._lines: dict[str, Line] = {}
        self._keys: dict[str, Key] = {}
        self._bytes = 0
        self._numbers = count()
        self._shown: Progress | None = None
        self._number = 0
        self.task = asyncio.create_task(self._run(), name=f"batch {self.token}")

    # -- while it fills

    def takes(self, body: bytes) -> bool:
        """Tell whether a request may still come along."""
        if not self.open or len(self._lines) >= self._lane.form.most:
            return False
        return not self._lines or self._bytes + len(body) <= self._lane.form.most_bytes

    def add(self, key: Key, body: bytes) -> str:
        """Take a request along; return its name."""
        name = f"{self.token}-{next(self._numbers)}"
        self._lines[name] = Line(name, body)
        self._keys[name] = key
        self._bytes += len(body) + len(name) + 80  # what a format writes around it
        return name

    def withdraw(self, name: str) -> None:
        """Leave a request behind that nobody waits for any more, if the batch is still here."""
        if self.open and name in self._lines:
            self._bytes -= len(self._lines.pop(name).body)

    # -- once it is full

    async def _run(self) -> Outcome:
        try:
            if not self._resumed:
                await self._settled()
            return await self._flown()
        except Refusal as e:
            return await self._refused(e)
        except httpx2.TransportError as e:
            return Outcome(unreached=f"{type(e).__name__}: {e}")
        except ConfigError as e:
            return Outcome(wrong=str(e))

    async def _settled(self) -> None:
        before = -1
        while before != len(self._lines):
            before = len(self._lines)
            await self._world.sleep(self._world.pace.settle)
        self.open = False
        self._names = set(self._lines)

    async def _flown(self) -> Outcome:
        if not self._names:
            return Outcome()
        self._number = next(self._world.numbers)
        if self.id is None:
            self.id = await (self._found() if self._resumed else self._submitted())
        if self.id is None:  # an intent that came to nothing
            await asyncio.to_thread(self._world.journal.drop, self.token)
            return Outcome()
        answers = await self._answers(await self._ended(self.id))
        await asyncio.to_thread(self._world.journal.keep, answers)
        return Outcome(answers=answers)

    async def _submitted(self) -> str:
        world, lane = self._world, self._lane
        self._made = world.now()
        keys = {name: self._keys[name] for name in self._lines}
        intent = Intent(self.token, lane.url, self._made, keys)
        await asyncio.to_thread(world.journal.intend, intent)
        found = await self._handed_in()
        self._lines.clear()  # up to 200 MB, for hours
        await asyncio.to_thread(world.journal.submitted, self.token, found)
        return found

    async def _handed_in(self) -> str:
        """Hand the batch in; again while that may help, and never twice."""
        lane, lines = self._lane, tuple(self._lines.values())
        for attempt in count(1):
            try:
                return await lane.form.submit(lane.server, lane.endpoint, self.token, lines)
            except (httpx2.TransportError, Refusal) as e:
                # Nobody knows what a server did that failed or was not heard.
                heard = isinstance(e, Refusal) and e.status < HTTPStatus.INTERNAL_SERVER_ERROR
                if not heard and (lost := await self._found()):
                    return lost
                if not _may_pass(e) or attempt >= self._world.pace.failures:
                    raise
                await self._wait(attempt, e)
        raise AssertionError  # it counts for ever

    async def _found(self) -> str | None:
        """Look for this batch at the provider: its name was never heard, if there ever was one."""
        lane = self._lane
        listed = partial(lane.form.lost, lane.server, self.token, self._made)
        for batch, certain in await self._patiently(listed):
            if certain:
                await asyncio.to_thread(self._world.journal.submitted, self.token, batch)
                return batch
            if await asyncio.to_thread(self._world.journal.knows, batch):
                continue
            standing = await self._patiently(partial(lane.form.standing, lane.server, batch))
            if standing.total != len(self._names):
                continue
            if self._names & (await self._said(await self._ended(batch))).keys():
                await asyncio.to_thread(self._world.journal.submitted, self.token, batch)
                return batch
        return None

    async def _ended(self, batch: str) -> Standing:
        """Wait for the end of a batch."""
        lane = self._lane
        look = partial(lane.form.standing, lane.server, batch)
        for number in count():
            standing = await self._patiently(look)
            self._tell(standing)
            if standing.ended:
                return standing
            await self._world.sleep(self._world.pace.pause(number))
        raise AssertionError  # it counts for ever

    async def _answers(self, standing: Standing) -> dict[str, Answer]:
        silence = self._lane.form.silence(standing)
        return dict.fromkeys(self._names, silence) | await self._said(standing)

    async def _said(self, standing: Standing) -> dict[str, Answer]:
        return await self._patiently(partial(self._lane.form.answers, self._lane.server, standing))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask of a batch what costs nothing, again while what goes wrong may pass."""
        for failures in count(1):
            try:
                return await ask()
            except (httpx2.TransportError, Refusal) as e:
                if not _may_pass(e) or failures >= self._world.pace.failures:
                    raise
                await self._wait(failures, e)
        raise AssertionError  # it counts for ever

    async def _wait(self, number: int, error: httpx2.TransportError | Refusal) -> None:
        asked = error.retry_after if isinstance(error, Refusal) else None
        await self._world.sleep(max(self._world.pace.pause(number), asked or 0.0))

    async def _refused(self, error: Refusal) -> Outcome:
        """Give everyone the provider's refusal; what it will never take is not looked for again."""
        gone = error.status == HTTPStatus.NOT_FOUND
        if gone or (self.id is None and error.status < HTTPStatus.INTERNAL_SERVER_ERROR):
            await asyncio.to_thread(self._world.journal.drop, self.token)
        if self.id is None and error.status in _NO_SUCH_PLACE:
            return Outcome(
                wrong=f"{self._lane.server.base} takes no batches ({error}); OpenAI, Anthropic and "
                "servers that speak OpenAI's /files and /batches do: leave --batch away, or ask one"
            )
        return Outcome(refused=Answer(error.status, error.body))

    def _tell(self, standing: Standing) -> None:
        # OpenAI counts nothing before it has read the file.
        total = max(standing.total, len(self._names))
        shown = Progress(self._number, standing.id, standing.done, total)
        if shown != self._shown:
            self._shown = replace(shown)
            self._world.told(shown)


_NO_SUCH_PLACE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


def _may_pass(error: httpx2.TransportError | Refusal) -> bool:
    if isinstance(error, Refusal):
        return passes(error.status) and error.status != HTTPStatus.NOT_IMPLEMENTED
    return not isinstance(error, (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError))
