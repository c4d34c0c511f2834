"""Whatever is done to conversations, every store does what a plain model of them does."""

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from assay.deps.errors import InputError, SessionMoved
from assay.deps.sessions import MemorySessions, Sessions
from assay.deps.sessions.sql import SqlSessions

from .stores import postgres as postgres

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

IDS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 6)


def said(text: str) -> list[ModelMessage]:
    asked = ModelRequest(parts=[UserPromptPart(text, timestamp=NOON)], timestamp=NOON)
    return [asked, ModelResponse(parts=[TextPart(text)], timestamp=NOON)]


@dataclass
class Plain:
    """A conversation as one would write it down: what was said under which number."""

    origin: str | None = None
    used: int = 0
    turns: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def last(self) -> int:
        return max(self.turns, default=0)


class Conversations(RuleBasedStateMachine):
    """Does the same to a store and to the plain model, and looks for a difference."""

    opened: Any

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.sessions: Sessions = self.stack.enter_context(self.opened())
        self.loop = self.stack.enter_context(asyncio.Runner())
        self.plain: dict[str, Plain] = {}
        self.said = 0

    def teardown(self) -> None:
        self.stack.close()

    @rule(id=IDS, after=st.none() | NUMBERS)
    def append(self, id: str, after: int | None) -> None:
        plain = self.plain.get(id, Plain())
        self.said += 1
        adding = self.sessions.append(id, said(str(self.said)), after=after)
        if after is not None and after != plain.last:
            with pytest.raises(SessionMoved):
                self.loop.run(adding)
            return
        added = self.loop.run(adding)
        plain.used += 1
        plain.turns[plain.used] = str(self.said)
        self.plain[id] = plain
        assert added.number == plain.used

    @rule(id=IDS, at=NUMBERS, to=IDS)
    def fork(self, id: str, at: int, to: str) -> None:
        plain = self.plain.get(id, Plain())
        if at not in plain.turns or to in self.plain:
            with pytest.raises(InputError):
                self.loop.run(self.sessions.fork(id, at, to))
            return
        assert self.loop.run(self.sessions.fork(id, at, to)) == to
        turns = {number: text for number, text in plain.turns.items() if number <= at}
        self.plain[to] = Plain(id, at, turns)

    @rule(id=IDS, to=NUMBERS)
    def rewind(self, id: str, to: int) -> None:
        plain = self.plain.get(id, Plain())
        if to and to not in plain.turns:
            with pytest.raises(InputError):
                self.loop.run(self.sessions.rewind(id, to))
            return
        self.loop.run(self.sessions.rewind(id, to))
        plain.turns = {number: text for number, text in plain.turns.items() if number <= to}

    @rule(id=IDS, forks=st.booleans())
    def forget(self, id: str, forks: bool) -> None:
        gone = {id} & self.plain.keys()
        while forks:
            more = {to for to, one in self.plain.items() if one.origin in gone} - gone
            if not more:
                break
            gone |= more
        assert self.loop.run(self.sessions.forget(id, forks=forks)) == len(gone)
        self.plain = {to: one for to, one in self.plain.items() if to not in gone}

    @rule(id=IDS, within=st.integers(0, 60))
    def load_the_last_of_it(self, id: str, within: int) -> None:
        found = self.loop.run(self.sessions.load(id, within=within))
        whole = self.loop.run(self.sessions.load(id))
        kept = len(found.turns)
        assert found.left_out + kept == len(whole.turns)
        assert found.turns == whole.turns[found.left_out :]
        assert (kept > 0) == (len(whole.turns) > 0)
        assert kept <= max(1, within // 10)  # no turn here is less than 10 tokens

    @invariant()
    def the_store_says_what_was_done(self) -> None:
        found = {one.id: (one.turns, one.origin) for one in self.loop.run(self.sessions.find())}
        assert found == {id: (len(one.turns), one.origin) for id, one in self.plain.items()}
        for id, plain in self.plain.items():
            session = self.loop.run(self.sessions.load(id))
            assert session.last == plain.last
            assert {turn.number: list(turn.messages) for turn in session.turns} == {
                number: said(text) for number, text in plain.turns.items()
            }


class _Memory(ExitStack, MemorySessions):
    def __init__(self) -> None:
        ExitStack.__init__(self)
        MemorySessions.__init__(self)


def in_a_new_file() -> Any:
    folder = tempfile.TemporaryDirectory()
    store = SqlSessions(Path(folder.name) / "s.db")
    return _Closing(store, folder.cleanup)


class _Closing(ExitStack):
    """Gives a store, and does what is to be done after it is closed."""

    def __init__(self, store: SqlSessions, after: Any) -> None:
        super().__init__()
        self._store = store
        self.callback(after)
        self.callback(store.close)

    def __enter__(self) -> Any:
        return self._store


def check(opened: Any, examples: int) -> None:
    machine: Any = type("Machine", (Conversations,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_memory_does_what_the_plain_model_does() -> None:
    check(_Memory, 60)


def test_sqlite_does_what_the_plain_model_does() -> None:
    check(in_a_new_file, 12)


def test_postgres_does_what_the_plain_model_does(postgres: str) -> None:
    def opened() -> Any:
        store = SqlSessions(postgres)

        async def empty() -> None:
            for one in await store.find(limit=1000):
                await store.forget(one.id)

        asyncio.run(empty())
        return _Closing(store, lambda: None)

    check(opened, 8)
