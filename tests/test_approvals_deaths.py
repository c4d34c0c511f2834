"""Paused in one process, resumed in others, of which some are killed: each act happens once."""

import asyncio
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic_ai.models.function import FunctionModel

from assay.deps.approvals import (
    AlreadyResumed,
    Approvals,
    BeingResumed,
    Deny,
    Edit,
    state_of,
)
from assay.deps.approvals.sql import SqlApprovals
from assay.deps.errors import OutcomeUnknown
from assay.deps.idempotency.sql import SqlActs

from . import approving
from .approving import Deps, approve_all, asks, call, in_folder, paused_run, resume

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

BOTH = "paid a 500; paid b 900; seen"


def started(what: str, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, approving.__file__, what, str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ran(what: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = started(what, folder, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def effects(folder: Path) -> list[str]:
    file = folder / "effects"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def later() -> datetime:
    """The leases of the dead have run out."""
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlApprovals]:
    with SqlApprovals(tmp_path / "approvals.db") as opened:
        yield opened


def test_a_run_is_paused_in_one_process_decided_in_another_and_resumed_in_a_third(
    tmp_path: Path, store: SqlApprovals
) -> None:
    code, id, err = ran("pause", tmp_path)
    assert (code, err) == (0, "")
    edit = Edit(by="ann", arguments={"order": "a", "cents": 5})
    asyncio.run(store.decide(id, "call-a", edit))
    asyncio.run(store.decide(id, "call-b", Deny(by="ann", why="no")))
    said = "This call was denied: no. It was not made.; paid a 5; seen"
    assert ran("resume", tmp_path, id) == (0, said, "")
    assert effects(tmp_path) == ["a 5"]
    kept = asyncio.run(store.get(id))
    assert kept.finished is not None
    assert kept.finished.output == said


def test_of_several_processes_one_resumes(tmp_path: Path, store: SqlApprovals) -> None:
    with SqlActs(tmp_path / "acts.db") as acts:
        paused = asyncio.run(paused_run(in_folder(tmp_path, store, acts)))
    asyncio.run(approve_all(store, paused))
    processes = [started("resume", tmp_path, paused.id) for _ in range(4)]
    came = [process.communicate(timeout=60) for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1, 1]
    assert [out for out, _ in came if out] == [BOTH]
    errors = [err for _, err in came if err]
    assert all("BeingResumed" in err or "AlreadyResumed" in err for err in errors)
    assert sorted(effects(tmp_path)) == ["a 500", "b 900"]


@pytest.mark.parametrize(
    ("moment", "done"),
    [("before the act", 0), ("after the act", 1), ("before it is noted", 2)],
)
def test_after_kill_9_another_process_goes_on_and_no_act_happens_twice(
    tmp_path: Path, store: SqlApprovals, moment: str, done: int
) -> None:
    with SqlActs(tmp_path / "acts.db") as acts:
        paused = asyncio.run(paused_run(in_folder(tmp_path, store, acts)))
        asyncio.run(approve_all(store, paused))
        code, _, err = ran("resume", tmp_path, paused.id, moment)
        assert (code, err) == (-9, "")
        assert len(effects(tmp_path)) == done
        deps = in_folder(tmp_path, store, acts)
        with pytest.raises(BeingResumed):  # as long as nobody knows that it is dead
            asyncio.run(resume(paused.id, deps))
        store.now = later
        deps = in_folder(tmp_path, store, acts)
        if moment == "before it is noted":
            assert asyncio.run(resume(paused.id, deps)) == BOTH
            assert state_of(asyncio.run(store.get(paused.id)), later()) == "finished"
        else:  # it was about to act, or had: nobody knows which, and that is said
            with pytest.raises(OutcomeUnknown, match="it is not done again"):
                asyncio.run(resume(paused.id, deps))
        assert len(set(effects(tmp_path))) == len(effects(tmp_path)) >= done
        with pytest.raises(AlreadyResumed, match="what was decided stands"):
            asyncio.run(store.decide(paused.id, "call-a", Deny(by="ann")))


# A process without threads forks: each child resumes one run after the other until it is killed.
KILLED = """
import asyncio, os, random, signal, sys, time
sys.path.insert(0, root)
from tests.approving import in_folder, resume
from assay.deps.approvals.sql import SqlApprovals
from assay.deps.idempotency.sql import SqlActs

def child(begun):
    store, acts = SqlApprovals(folder / "approvals.db"), SqlActs(folder / "acts.db")
    deps = in_folder(folder, store, acts)
    async def main():
        for paused in await store.pending():
            if paused.begun is None:
                os.write(begun, b".")
                await resume(paused.id, deps)
    asyncio.run(main())

chance = random.Random(7)
for _ in range(30):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(writing)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1)  # it resumes
    time.sleep(chance.uniform(0, 0.06))  # the random moment
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    os.close(reading)
"""


def test_no_act_happens_twice_after_kill_9_at_30_random_moments(tmp_path: Path) -> None:
    with SqlApprovals(tmp_path / "approvals.db") as store, SqlActs(tmp_path / "acts.db") as acts:
        asyncio.run(pause_each(store, in_folder(tmp_path, store, acts), 150))
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["assay.deps.approvals.sql", "assay.deps.idempotency.sql"])
    names = {"folder": tmp_path, "root": str(Path(__file__).parents[1])}
    process = fork.Process(target=exec, args=(KILLED, names))
    process.start()
    process.join()
    assert process.exitcode == 0
    with SqlApprovals(tmp_path / "approvals.db") as store, SqlActs(tmp_path / "acts.db") as acts:
        store.now = later
        killed = [one for one in asyncio.run(store.pending()) if one.begun is not None]
        assert 5 < len(killed) <= 30  # others died between two runs
        unknown = asyncio.run(resume_each(store, in_folder(tmp_path, store, acts)))
        kept = asyncio.run(store.kept())
    done = effects(tmp_path)
    assert len(set(done)) == len(done)
    assert 300 - 2 * unknown <= len(done) <= 300
    assert sum(one.finished is None for one in kept) == unknown <= len(killed)
    for one in kept:
        if one.finished is not None:
            orders = [str(request.arguments["order"]) for request in one.requests]
            assert one.finished.output == "; ".join(sorted(f"paid {o} 500" for o in orders))


async def pause_each(store: Approvals, deps: Deps, count: int) -> None:
    for n in range(count):
        asked = FunctionModel(asks(call(f"{n:03}-a"), call(f"{n:03}-b")))
        await approve_all(store, await paused_run(deps, asked))


async def resume_each(store: Approvals, deps: Deps) -> int:
    """Resume whatever waits, and return for how many nobody knows what was done."""
    unknown = 0
    for paused in await store.pending():
        try:
            await resume(paused.id, deps)
        except OutcomeUnknown:
            unknown += 1
    return unknown
