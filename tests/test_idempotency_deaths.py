"""Whenever workers die, what a tool says of its act holds: in a model of them, and by kill -9."""

import asyncio
import json
import multiprocessing
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps.errors import OutcomeUnknown
from assay.deps.idempotency import Act, Acts, Guarantee, Idempotency, MemoryActs, Note
from assay.deps.idempotency.sql import SqlActs

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

# -- the law, whatever workers do and whenever they die


@dataclass
class Worker:
    note: Note
    acted: bool = False


@dataclass
class Play:
    """Workers that claim, act, note, sleep past their lease, and die at any moment."""

    acts: Acts
    guarantee: Guarantee
    now: datetime = NOON
    workers: list[Worker] = field(default_factory=list[Worker])
    done: list[Note] = field(default_factory=list[Note])
    results: set[str] = field(default_factory=set[str])

    async def step(self, kind: str, number: int, name: str) -> None:
        if kind == "wait":
            self.now += timedelta(seconds=number)
        elif kind == "claim":
            await self.claim(name)
        elif self.workers:
            worker = self.workers[number % len(self.workers)]
            if kind == "act" and not worker.acted:
                worker.acted = True
                self.done.append(worker.note)
            elif kind == "note" and worker.acted:
                self.workers.remove(worker)
                self.results.add(await self.acts.finish("k", worker.note.owner))
            elif kind == "die":
                self.workers.remove(worker)

    async def claim(self, name: str) -> None:
        until = self.now + timedelta(seconds=10)
        wanted = Note(key="k", tool="t", owner=name, begun=self.now, until=until)
        found = await self.acts.claim(wanted, again=self.guarantee == "at_least_once")
        if found.owner == name:
            self.workers.append(Worker(found))
        elif found.result is not None:
            self.results.add(found.result)

    def check(self) -> None:
        assert len(self.results) <= 1  # who has a result has the same one
        attempts = [note.attempt for note in self.done]
        assert len(set(attempts)) == len(attempts)
        assert attempts.count(1) <= 1  # all others are told that they are not the first
        assert self.guarantee == "at_least_once" or attempts in ([], [1])


STEPS = st.lists(
    st.tuples(st.sampled_from(["claim", "act", "note", "die", "wait"]), st.integers(0, 15)),
    max_size=40,
)


async def check_the_law(acts: Acts, guarantee: Guarantee, steps: list[tuple[str, int]]) -> None:
    play = Play(acts, guarantee)
    for n, (kind, number) in enumerate(steps):
        await play.step(kind, number, f"worker-{n}")
        play.check()


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
@given(steps=STEPS)
def test_the_guarantee_holds_whenever_workers_die(
    guarantee: Guarantee, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(check_the_law(MemoryActs(), guarantee, steps))


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
@settings(max_examples=15)
@given(steps=STEPS)
def test_it_holds_in_a_database_too(guarantee: Guarantee, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(SqlActs(Path(folder) / "a")) as acts:
        asyncio.run(check_the_law(acts, guarantee, steps))


# -- kill -9

HEAD = """
import asyncio, os
from pathlib import Path
from pydantic_ai import RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from assay.deps.errors import OutcomeUnknown
from assay.deps.idempotency import Act, Idempotency
from assay.deps.idempotency.sql import SqlActs
from assay.tools.idempotent import idempotent

@dataclass
class Deps:
    idempotency: Idempotency
    file: int

def write(ctx, act, order):
    os.write(ctx.deps.file, f"{order} {act.attempt}\\n".encode())
    os.fsync(ctx.deps.file)
    return f"{order} {act.attempt}"

@idempotent("at_most_once")
async def once(ctx: RunContext[Deps], act: Act, order: str) -> str:
    return write(ctx, act, order)

@idempotent("at_least_once")
async def again(ctx: RunContext[Deps], act: Act, order: str) -> str:
    return write(ctx, act, order)

def deps(acts, after=timedelta(0)):
    file = os.open(str(folder / "effects"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    now = lambda: datetime.now(UTC) + after
    poll = timedelta(milliseconds=5)
    return Deps(Idempotency(acts, "caller", timedelta(minutes=1), poll, now), file)

def context(deps):
    return RunContext(deps=deps, model=TestModel(), usage=RunUsage())
"""

# A process without threads forks: each child acts until it is killed, at a moment of its own.
KILLED = (
    HEAD
    + """
import random, signal, time
from assay.deps.idempotency import MemoryActs

def child(kill, begun):
    ctx = context(deps(SqlActs(folder / "acts.db")))
    async def main():
        for n in range(1_000):
            for tool in (once, again):
                await tool(ctx, f"{tool.__name__}-{kill}-{n}")
                os.write(begun, b".")  # at the latest now
    asyncio.run(main())

SqlActs(folder / "acts.db").close()
for tool in (once, again):  # what is compiled here is not compiled by each child
    asyncio.run(tool(context(deps(MemoryActs())), "warm"))
(folder / "effects").unlink()

chance = random.Random(7)
for kill in range(50):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(kill, writing)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1)  # it acts
    time.sleep(chance.uniform(0, 0.02))  # the random moment
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    os.close(reading)
"""
)

TWO = (
    HEAD
    + """
acts = SqlActs(folder / "acts.db")
async def main():
    ctx = context(deps(acts))
    found = await asyncio.gather(*[once(ctx, f"order-{n}") for n in range(40)])
    (folder / f"found-{worker}").write_text("\\n".join(found), encoding="utf-8")
asyncio.run(main())
acts.close()
"""
)


def started(script: str, **names: Any) -> Any:
    fork: Any = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["assay.deps.idempotency.sql", "assay.tools.idempotent"])
    process = fork.Process(target=exec, args=(script, names))
    process.start()
    return process


@posix
async def test_the_guarantee_holds_after_kill_9_at_50_moments(tmp_path: Path) -> None:
    process = started(KILLED, folder=tmp_path)
    process.join()
    assert process.exitcode == 0
    effects = (tmp_path / "effects").read_text(encoding="utf-8").splitlines()
    assert len(set(effects)) == len(effects)
    acts = SqlActs(tmp_path / "acts.db")
    notes = noted(acts)
    results = [json.loads(result) for _, _, result in notes if result is not None]
    assert set(results) <= set(effects)
    assert len(results) <= len(effects) <= len(notes) <= len(results) + 50
    at = datetime.now(UTC) + timedelta(hours=1)
    idempotency = Idempotency(acts, "caller", now=lambda: at)
    for key, tool, result in notes:
        assert await asked_again(idempotency, key, tool) == GUARANTEED[tool, result is not None]
    acts.close()


GUARANTEED = {
    ("once", True): "its result, and it did not act",
    ("again", True): "its result, and it did not act",
    ("once", False): "it is said that the outcome is unknown, and it did not act",
    ("again", False): "it acted, and was told that it is not the first time",
}


async def asked_again(idempotency: Idempotency, key: str, tool: str) -> str:
    told: list[bool] = []

    async def act(one: Act) -> str:
        told.append(one.again)
        return "true"

    try:
        guarantee: Guarantee = "at_most_once" if tool == "once" else "at_least_once"
        result = await idempotency.once(key, tool, guarantee, act)
    except OutcomeUnknown:
        assert not told
        return GUARANTEED["once", False]
    if told == [True] and result == "true":
        return GUARANTEED["again", False]
    assert not told
    return GUARANTEED[tool, True]


def noted(acts: SqlActs) -> list[tuple[str, str, str | None]]:
    with acts._engine.begin() as connection:  # pyright: ignore[reportPrivateUsage]
        rows = connection.exec_driver_sql("SELECT key, tool, result FROM act").all()
    return [(key, tool, result) for key, tool, result in rows]


@posix
def test_two_processes_act_once_between_them(tmp_path: Path) -> None:
    SqlActs(tmp_path / "acts.db").close()
    processes = [started(TWO, folder=tmp_path, worker=n) for n in "ab"]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    effects = (tmp_path / "effects").read_text(encoding="utf-8").splitlines()
    assert sorted(effects) == sorted(f"order-{n} 1" for n in range(40))
    found = [(tmp_path / f"found-{n}").read_text(encoding="utf-8") for n in "ab"]
    assert found[0] == found[1]
