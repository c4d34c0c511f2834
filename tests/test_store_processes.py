"""Processes share a store, and what one has written outlives it."""

import asyncio
import multiprocessing
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from assay.deps.errors import ConfigError
from assay.evals.store.database import RunStore
from assay.evals.store.writer import StoreWriter

from .stores import begin, record

pytestmark = pytest.mark.slow


async def test_a_cancelled_writer_still_writes_what_it_was_given(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.db")
    run_id = begin(store)
    async with StoreWriter(store, run_id) as writer:
        adding = [asyncio.create_task(writer.add(record(n))) for n in range(20)]
        await asyncio.sleep(0)
        for task in adding:
            task.cancel()
        await asyncio.gather(*adding, return_exceptions=True)
    assert len(store.done(run_id, "s")) == 20
    store.close()


async def test_a_store_that_cannot_be_written_says_so_to_everyone(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.db")
    run_id = begin(store)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as other:
        other.execute("DROP TABLE trial")
    async with StoreWriter(store, run_id) as writer:
        failed = await asyncio.gather(
            *[writer.add(record(n)) for n in range(3)], return_exceptions=True
        )
    assert [type(e) for e in failed] == [ConfigError] * 3
    assert "runs.db" in str(failed[0])
    assert "no such table" in str(failed[0])
    store.close()


SHARER = """
from assay.evals.outcome import TrialResult
from assay.evals.store.database import Record, RunStore

store = RunStore(place)
for n in range(40):  # every process writes the same trials
    result = TrialResult(case="c", key=f"{n:016x}", trial=0, model="m", output=worker)
    store.add(run_id, [Record(suite="s", result=result)])
"""

WRITER = """
import asyncio, os
from assay.evals.outcome import TrialResult
from assay.evals.store.database import Record, RunStore
from assay.evals.store.writer import StoreWriter

async def main():
    numbers = iter(range(10**6))
    said = os.open(acknowledged, os.O_WRONLY | os.O_APPEND)
    async with StoreWriter(RunStore(place), run_id) as writer:
        async def work():
            for n in numbers:
                key = f"{n:016x}"
                result = TrialResult(case="c", key=key, trial=0, model="m", output="x" * 500)
                await writer.add(Record(suite="s", result=result))
                os.write(said, b"%016x\\n" % n)
        await asyncio.gather(*[work() for _ in range(8)])

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that start fast: forked from one that has imported the library."""
    if sys.platform == "win32":
        pytest.skip("Windows has neither fork nor SIGKILL")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.evals.store.writer", "psycopg"])
    return context


def test_processes_share_a_store(tmp_path: Path, processes: Any) -> None:
    store = RunStore(tmp_path / "runs.db")
    run_id = begin(store)
    world = {"place": store.url, "run_id": run_id}
    workers = [processes.Process(target=exec, args=(SHARER, world | {"worker": n})) for n in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(store.done(run_id, "s")) == 40
    store.close()


def test_processes_may_make_a_store_at_the_same_moment(tmp_path: Path, processes: Any) -> None:
    world = {"place": tmp_path / "new" / "runs.db", "run_id": "r"}
    workers = [processes.Process(target=exec, args=(SHARER, world | {"worker": n})) for n in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    tmp_path: Path, processes: Any
) -> None:
    path = tmp_path / "runs.db"
    chance = random.Random(7)
    for moment in range(5):
        with closing(RunStore(path)) as store:
            run_id = begin(store)
        acknowledged = tmp_path / f"acknowledged-{moment}"
        acknowledged.touch()
        world = {"place": path, "run_id": run_id, "acknowledged": acknowledged}
        process = processes.Process(target=exec, args=(WRITER, world))
        process.start()
        enough = 17 * chance.randrange(1, 400)
        while acknowledged.stat().st_size < enough and process.is_alive():
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        process.close()
        with closing(RunStore(path)) as store:
            kept = {key for key, _ in store.done(run_id, "s")}
            said = set(acknowledged.read_text(encoding="utf-8").split())
            assert said
            assert said <= kept
            assert len(list(store.results(run_id))) == len(kept)
            store.add(run_id, [record(10**7)])  # nobody holds a lock from beyond the grave
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
