"""Two processes write to one conversation: nothing is lost, nothing is torn, nothing interleaved."""

import asyncio
import multiprocessing
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from assay.deps.sessions import Session
from assay.deps.sessions.sql import SqlSessions

from .stores import postgres as postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
]

WRITES = 1_000

HEAD = """
import asyncio
from assay.deps.errors import SessionMoved
from assay.deps.sessions import turn
from assay.deps.sessions.sql import SqlSessions
from pydantic_ai.messages import *

def said(n):
    text, call = f"{worker}-{n}", f"{worker}-{n}-call"
    return [
        ModelRequest(parts=[UserPromptPart(text)]),
        ModelResponse(parts=[ToolCallPart("look", {"q": text}, tool_call_id=call)]),
        ModelRequest(parts=[ToolReturnPart("look", text, call)]),
        ModelResponse(parts=[TextPart(text)]),
    ]
"""

# Each writes at the end, and after what it saw, in turn.
WRITER = (
    HEAD
    + """
async def after_what_it_saw(sessions, n):
    while True:
        last = (await sessions.load("s", within=0)).last
        try:
            return await sessions.append("s", said(n), after=last)
        except SessionMoved:
            pass

async def main():
    with SqlSessions(place) as sessions:
        await sessions.load("s")
        (folder / f"ready-{worker}").touch()
        while len(list(folder.glob("ready-*"))) < 2:
            await asyncio.sleep(0.001)
        for n in range(writes):
            if n % 2:
                await after_what_it_saw(sessions, n)
            else:
                await sessions.append("s", said(n))

asyncio.run(main())
"""
)

# Each runs on what it loaded, while the other waits, and is killed or not.
TALKER = (
    HEAD
    + """
from datetime import timedelta
import os, signal

async def main():
    with SqlSessions(place) as sessions:
        for n in range(writes):
            async with turn(sessions, "s", lease=timedelta(seconds=1), poll=timedelta(milliseconds=2)) as talk:
                talk.say([*said(n), ModelRequest(parts=[UserPromptPart(str(talk.session.last))])])
                if dies and n == writes // 2:
                    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
)


def started(script: str, **names: Any) -> Any:
    fork: Any = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["assay.deps.sessions.sql", "pydantic_ai.messages"])
    process = fork.Process(target=exec, args=(script, names))
    process.start()
    return process


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    where: Any = (
        tmp_path / "s.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    )
    with SqlSessions(where) as store:
        asyncio.run(store.forget("s"))
    return where


def load(place: Any) -> Session:
    with SqlSessions(place) as store:
        return asyncio.run(store.load("s"))


def test_no_turn_is_lost_or_interleaved_in_1000_writes_of_two_processes(
    place: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.perf_counter()
    writers = [
        started(WRITER, place=place, folder=tmp_path, worker=worker, writes=WRITES // 2)
        for worker in "AB"
    ]
    for process in writers:
        process.join()
    seconds = time.perf_counter() - begun
    assert [process.exitcode for process in writers] == [0, 0]
    session = load(place)
    with capsys.disabled():
        kind = "PostgreSQL" if "://" in str(place) else "SQLite"
        print(f"\n{kind}: {WRITES} turns of two processes in {seconds:.1f} s")  # noqa: T201
    check(session, {f"{worker}-{n}" for worker in "AB" for n in range(WRITES // 2)})
    by = [str(text(turn.messages[0]))[0] for turn in session.turns]
    assert sum(a != b for a, b in pairwise(by)) > 10  # they did write together


def check(session: Session, expected: set[str]) -> None:
    assert [turn.number for turn in session.turns] == list(range(1, len(expected) + 1))
    found = [text(turn.messages[0]) for turn in session.turns]
    assert len(found) == len(set(found))
    assert set(found) == expected
    for turn in session.turns:
        of_turn = {text(turn.messages[0]), text(turn.messages[2]), text(turn.messages[3])}
        assert len(of_turn) == 1  # one writer's, and one write's
    for worker in "AB":
        mine = [int(one.partition("-")[2]) for one in found if one.startswith(worker)]
        assert mine == sorted(mine)  # each in its own order


def text(message: Any) -> str:
    return str(message.parts[0].content)


def test_each_turn_is_made_on_the_one_before_it_though_a_worker_is_killed(place: Any) -> None:
    talkers = [
        started(TALKER, place=place, worker=worker, writes=40, dies=worker == "B")
        for worker in "AB"
    ]
    for process in talkers:
        process.join()
    assert [process.exitcode for process in talkers] == [0, -9]
    session = load(place)
    mine = {f"A-{n}" for n in range(40)} | {f"B-{n}" for n in range(20)}
    assert {text(turn.messages[0]) for turn in session.turns} == mine
    seen = [int(text(turn.messages[4])) for turn in session.turns]
    assert seen == [turn.number - 1 for turn in session.turns]
