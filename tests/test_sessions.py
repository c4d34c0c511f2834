"""Conversations: the same in memory, in SQLite and in PostgreSQL."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic_ai import Agent, BinaryContent, ModelRetry
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from assay.deps.errors import ConfigError, InputError, SessionBusy, SessionMoved
from assay.deps.sessions import MemorySessions, Session, Sessions, turn
from assay.deps.sessions.sql import SqlSessions
from assay.deps.sessions.turns import dump, read, tokens

from .stores import postgres as postgres

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
QUICK = timedelta(milliseconds=1)


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    if request.param == "memory":
        yield MemorySessions(Clock())
        return
    where: Any = (
        tmp_path / "deep" / "sessions.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")
    )
    with SqlSessions(where, Clock()) as store:
        empty(store)
        yield store


def empty(store: SqlSessions) -> None:
    async def forget() -> None:
        for one in await store.find(limit=1000):
            await store.forget(one.id)

    asyncio.run(forget())


def said(text: str) -> list[ModelMessage]:
    asked = ModelRequest(parts=[UserPromptPart(f"{text}?", timestamp=NOON)], timestamp=NOON)
    return [asked, ModelResponse(parts=[TextPart(f"{text}!")], timestamp=NOON)]


def texts(session: Session) -> list[str]:
    """Return what was said, turn by turn, having checked that no turn is torn."""
    found: list[str] = []
    for one in session.turns:
        asked, answer = (str(getattr(m.parts[0], "content", "")) for m in one.messages)
        assert asked[:-1] == answer[:-1]
        found.append(answer[:-1])
    return found


async def test_a_session_is_what_was_appended(sessions: Sessions) -> None:
    assert await sessions.load("s") == Session(id="s")
    first = await sessions.append("s", said("a"))
    second = await sessions.append("s", said("b"), after=1)
    assert (first.number, second.number) == (1, 2)
    found = await sessions.load("s")
    assert found.turns == (first, second)
    assert (found.last, found.left_out) == (2, 0)
    assert found.messages == [*said("a"), *said("b")]


async def test_a_turn_after_another_than_the_last_is_refused(sessions: Sessions) -> None:
    await sessions.append("s", said("a"), after=0)
    with pytest.raises(
        SessionMoved, match="is at turn 1, and a turn that was made after turn 0"
    ) as e:
        await sessions.append("s", said("b"), after=0)
    assert (e.value.session, e.value.expected, e.value.found) == ("s", 0, 1)
    with pytest.raises(SessionMoved):
        await sessions.append("new", said("b"), after=3)
    assert texts(await sessions.load("s")) == ["a"]
    assert await sessions.load("new") == Session(id="new")
    assert [one.id for one in await sessions.find()] == ["s"]


async def test_after_a_rewind_no_number_means_another_turn(sessions: Sessions) -> None:
    for text in "abc":
        await sessions.append("s", said(text))
    await sessions.rewind("s", 1)
    assert texts(await sessions.load("s")) == ["a"]
    with pytest.raises(SessionMoved):
        await sessions.append("s", said("late"), after=3)
    assert (await sessions.append("s", said("d"), after=1)).number == 4
    with pytest.raises(SessionMoved):
        await sessions.append("s", said("later"), after=3)
    assert texts(await sessions.load("s")) == ["a", "d"]
    await sessions.rewind("s", 0)
    assert (await sessions.load("s")).last == 0
    assert (await sessions.append("s", said("e"), after=0)).number == 5


async def test_a_fork_goes_its_own_way(sessions: Sessions) -> None:
    for text in "abc":
        await sessions.append("s", said(text))
    assert await sessions.fork("s", 2, "f") == "f"
    await sessions.append("f", said("x"), after=2)
    await sessions.append("s", said("d"), after=3)
    assert texts(await sessions.load("f")) == ["a", "b", "x"]
    assert texts(await sessions.load("s")) == ["a", "b", "c", "d"]
    unnamed = await sessions.fork("f", 3)
    assert texts(await sessions.load(unnamed)) == ["a", "b", "x"]


async def test_what_is_not_there_or_is_taken_is_said(sessions: Sessions) -> None:
    await sessions.append("s", said("a"))
    with pytest.raises(InputError, match="'s' has no turn 2; its turns are 1"):
        await sessions.fork("s", 2)
    with pytest.raises(InputError, match="'none' has no turn 1; it has none"):
        await sessions.rewind("none", 1)
    with pytest.raises(InputError, match="'s' is there already"):
        await sessions.fork("s", 1, "s")
    await sessions.rewind("none", 0)
    assert await sessions.forget("none") == 0


async def test_what_is_forgotten_is_gone_with_its_forks_if_they_are_meant(
    sessions: Sessions,
) -> None:
    await sessions.append("s", said("a"))
    for of, to in (("s", "f"), ("f", "g"), ("s", "h")):
        await sessions.fork(of, 1, to)
    assert await sessions.forget("h") == 1
    assert await sessions.forget("s", forks=True) == 3
    assert await sessions.find() == ()
    assert (await sessions.load("g")).turns == ()


async def test_sessions_are_found_by_the_beginning_of_their_ids(sessions: Sessions) -> None:
    for id in ("u/1", "u/2", "U/3", "u%/4"):
        await sessions.append(id, said("a"))
    await sessions.append("u/1", said("b"))
    await sessions.fork("u/1", 1, "u/5")
    found = await sessions.find("u/")
    assert [(one.id, one.turns, one.origin) for one in found] == [
        ("u/5", 1, "u/1"),
        ("u/1", 2, None),
        ("u/2", 1, None),
    ]
    assert found[1].begun < found[2].changed < found[1].changed
    assert [one.id for one in await sessions.find("u", limit=1)] == ["u/5"]


async def test_no_more_is_loaded_than_is_wanted(sessions: Sessions) -> None:
    opening: ModelRequest = ModelRequest(parts=[SystemPromptPart("Rules."), UserPromptPart("a?")])
    await sessions.append("s", [opening, ModelResponse(parts=[TextPart("a!")])])
    for text in "bcd":
        await sessions.append("s", said(text))
    size = tokens(said("b"))
    found = await sessions.load("s", within=2 * size)
    assert texts(found) == ["c", "d"]
    assert (found.left_out, found.last) == (2, 4)
    first = found.messages[0]
    assert [str(getattr(p, "content", "")) for p in first.parts] == [
        "Rules.",
        "[The first 2 turns of this conversation are left out here.]",
        "c?",
    ]
    assert texts(await sessions.load("s", within=0)) == ["d"]
    assert texts(await sessions.load("s", within=2 * size - 1)) == ["d"]
    whole = await sessions.load("s", within=1000)
    assert whole == await sessions.load("s")
    assert await sessions.load("none", within=5) == Session(id="none")


# -- turns


def tool_turn(*answer: Any) -> list[ModelMessage]:
    parts = [ToolCallPart("look", {}, tool_call_id="1")]
    return [*said("a"), ModelResponse(parts=parts), ModelRequest(parts=list(answer))]


async def test_a_turn_is_kept_whole_or_not_at_all(sessions: Sessions) -> None:
    with pytest.raises(InputError, match="holds calls without a result: 'look'"):
        await sessions.append("s", tool_turn())
    with pytest.raises(InputError, match="a result of 'look' without its call"):
        await sessions.append("s", tool_turn(ToolReturnPart("look", "x", "2")))
    with pytest.raises(InputError, match="a turn without messages"):
        await sessions.append("s", [])
    assert await sessions.find() == ()
    await sessions.append("s", tool_turn(ToolReturnPart("look", "x", "1")))


async def test_files_are_kept_and_what_callers_change_later_is_not(sessions: Sessions) -> None:
    file = BinaryContent(bytes(range(256)), media_type="image/png")
    asked = ModelRequest(parts=[UserPromptPart(["see", file])])
    await sessions.append("s", [asked, *said("a")[1:]])
    asked.parts = [UserPromptPart("changed")]
    part = (await sessions.load("s")).messages[0].parts[0]
    assert isinstance(part, UserPromptPart)
    see, kept = part.content
    assert isinstance(kept, BinaryContent)
    assert (see, kept.data, kept.media_type) == ("see", file.data, "image/png")


async def run_with_retries() -> Sequence[ModelMessage]:
    """Return the messages of a run in which everything was sent back once."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        calls: list[Any] = [
            ToolCallPart("look", {"word": "again"}),
            ToolCallPart("look", {"wrong": 1}),
            TextPart("no number"),
            ToolCallPart(info.output_tools[0].name, {"response": 3}),
        ]
        return ModelResponse(parts=[calls[len(messages) // 2]], usage=RequestUsage(input_tokens=1))

    agent = Agent(FunctionModel(answer), output_type=int, retries=5)

    @agent.tool_plain
    def look(word: str) -> str:
        raise ModelRetry(f"not {word}")

    return (await agent.run("go")).new_messages()


async def test_what_was_sent_back_is_stored_as_every_version_knows_it() -> None:
    messages = await run_with_retries()
    stored = json.loads(dump(messages))
    kinds = [[part["part_kind"] for part in message["parts"]] for message in stored]
    assert kinds[2::2] == [["retry-prompt"], ["retry-prompt"], ["retry-prompt"], ["tool-return"]]
    names = [part.get("tool_name") for message in stored[2::2] for part in message["parts"]]
    assert names == ["look", "look", None, "final_result"]
    again = read(dump(messages))
    assert [type(m) for m in again] == [type(m) for m in messages]
    assert dump(again) == dump(messages)


def test_messages_of_a_later_version_are_said_to_be() -> None:
    later = '[{"kind": "request", "parts": [{"part_kind": "telepathy", "content": "?"}]}]'
    with pytest.raises(ConfigError, match="written by a later one"):
        read(later)


# -- taking turns


async def test_one_waits_for_the_other_and_sees_what_it_said(sessions: Sessions) -> None:
    async def speak(name: str) -> list[str]:
        async with turn(sessions, "s", poll=QUICK) as talk:
            await asyncio.sleep(0)
            before = texts(talk.session)
            talk.say(said(name))
            return before

    heard = await asyncio.gather(*[speak(str(n)) for n in range(5)])
    order = texts(await sessions.load("s"))
    assert sorted(heard, key=len) == [order[:n] for n in range(5)]


async def test_a_turn_that_fails_or_says_nothing_is_none(sessions: Sessions) -> None:
    async def fail() -> None:
        async with turn(sessions, "s") as talk:
            talk.say(said("a"))
            raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        await fail()
    async with turn(sessions, "s") as talk:
        assert talk.history == []
    assert await sessions.find() == ()
    assert await sessions.hold("s", "anybody", timedelta(seconds=9))


async def test_who_waits_too_long_is_told(sessions: Sessions) -> None:
    assert await sessions.hold("busy", "other", timedelta(hours=1))
    with pytest.raises(SessionBusy, match=r"more than 0\.001 seconds"):
        async with turn(sessions, "busy", wait=QUICK, poll=QUICK):
            raise AssertionError("it is another's turn")
    assert not await sessions.hold("busy", "third", QUICK)
    await sessions.release("busy", "third")
    assert not await sessions.hold("busy", "third", QUICK)
    await sessions.release("busy", "other")
    assert await sessions.hold("busy", "third", QUICK)


async def test_a_lease_that_ran_out_costs_the_slow_its_turn_alone(sessions: Sessions) -> None:
    # The clock goes on by a second at each look: the lease runs out at once.
    async def overtaken() -> None:
        async with turn(sessions, "s", lease=QUICK) as slow:
            async with turn(sessions, "s", poll=QUICK) as quick:
                quick.say(said("quick"))
            slow.say(said("slow"))

    with pytest.raises(SessionMoved):
        await overtaken()
    assert texts(await sessions.load("s")) == ["quick"]


async def test_a_lease_is_renewed_as_long_as_it_takes() -> None:
    sessions = MemorySessions()
    held: list[bool] = []
    async with turn(sessions, "s", lease=timedelta(milliseconds=30)) as talk:
        for _ in range(5):
            await asyncio.sleep(0.02)
            held.append(await sessions.hold("s", "other", QUICK))
        talk.say(said("a"))
    assert held == [False] * 5


# -- SQLite's files


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_nothing_forgotten_is_left_in_the_files(tmp_path: Path) -> None:
    with SqlSessions(tmp_path / "s.db") as store:
        for n in range(20):
            await store.append("s", said(f"SECRET-{n}" * 50))
            await store.append("t", said(f"public-{n}" * 50))
        assert b"SECRET-10" in on_disk(tmp_path)
        await store.rewind("s", 10)
        left = on_disk(tmp_path)
        assert b"SECRET-9" in left
        assert b"SECRET-10" not in left
        await store.forget("s")
        left = on_disk(tmp_path)
        assert b"SECRET" not in left
        assert b"public-19" in left


async def test_a_reader_does_not_keep_one_from_forgetting(tmp_path: Path) -> None:
    with SqlSessions(tmp_path / "s.db") as store:
        await store.append("s", said("a"))
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM session_turn").fetchone() == (1,)
        assert await asyncio.wait_for(store.forget("s"), 10) == 1
        other.close()


def test_a_database_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_text("no database at all, " * 50, encoding="utf-8")
    with pytest.raises(ConfigError, match="the store of sessions"):
        SqlSessions(tmp_path / "s.db")


async def test_tables_have_a_row_per_turn(tmp_path: Path) -> None:
    with SqlSessions(tmp_path / "s.db") as store:
        await store.append("s", said("a"))
        await store.append("s", said("b"))
    engine = sa.create_engine(f"sqlite:///{tmp_path / 's.db'}")
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT session, number FROM session_turn")).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("s", 1), ("s", 2)]
