"""Runs outlive the process that writes them, and nothing is ever written twice."""

import asyncio
import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from assay.deps.errors import ConfigError
from assay.evals.outcome import Failure, FailureKind, Outcome, TrialResult
from assay.evals.store.database import Content, Record, RunStore, UnknownRun
from assay.evals.store.writer import StoreWriter

from .stores import begin, postgres, record, store
from .test_store_versions import VERSION_3

pytestmark = pytest.mark.slow

__all__ = ("postgres", "store")  # fixtures

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
    group=st.none() | PLAIN,
    metrics=st.dictionaries(TEXT, st.integers() | st.floats(allow_nan=False), max_size=2),
    position=st.integers(0, 2**31 - 1),
    key=st.text("0123456789abcdef-", min_size=1, max_size=24),
    replayed=st.booleans(),
    messages=st.none() | st.lists(JSON, min_size=1, max_size=2),
)
RECORDS = st.builds(Record, suite=PLAIN, result=RESULTS)


def failed(number: int, kind: FailureKind) -> Record:
    return record(number, failure=Failure(type="E", message='{"kind":"provider"}', kind=kind))


def keys(*numbers: int) -> set[str]:
    return {f"{number:016x}" for number in numbers}


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
        expected.setdefault((one.suite, one.result.key, one.result.trial), one)
    found = {(r.suite, r.result.key, r.result.trial): r for r in store.results(run_id)}
    assert found == expected
    figures = [replace(r.result, output=None, messages=None) for r in store.results(run_id)]
    assert [r.result for r in store.results(run_id, outputs=False)] == figures
    for suite in {one.suite for one in records}:
        keys = {(r.result.key, r.result.trial) for r in expected.values() if r.suite == suite}
        assert store.done(run_id, suite) == keys
        assert {(r.result.key, r.result.trial) for r in store.results(run_id, suite)} == keys


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


# -- contents


async def test_what_a_case_asks_is_read_back_without_its_suite(store: RunStore) -> None:
    run_id, empty = begin(store), begin(store)
    asked: list[Any] = [{"text": "a\0"}, "plain", None, ["half a pair \ud83d"]]
    async with StoreWriter(store, run_id) as writer:
        for number, inputs in enumerate(asked):
            content = Content(inputs=inputs, expected=number or None)
            await writer.add(record(number, content=content))
            await writer.add(record(number, trial=1))
        await writer.add(record(9))  # nobody said what it asks
    found = dict(store.contents(run_id, "s"))
    assert set(found) == keys(0, 1, 2, 3)
    assert [found[f"{n:016x}"].inputs for n in range(3)] == asked[:3]
    assert [found[f"{n:016x}"].expected for n in range(3)] == [None, 1, 2]
    assert dict(store.contents(run_id, "other")) == dict(store.contents(empty, "s")) == {}


def test_the_first_to_say_what_a_case_asks_is_believed(store: RunStore) -> None:
    first, second = begin(store), begin(store)
    store.add(first, [record(content=Content(inputs="first")), record(1)])
    store.add(second, [record(content=Content(inputs="second")), record(1)])
    for run_id in (first, second):
        assert dict(store.contents(run_id, "s")) == {f"{0:016x}": Content(inputs="first")}


def test_what_no_run_refers_to_goes_with_the_last_that_did(store: RunStore) -> None:
    first, second = begin(store), begin(store)
    store.add(first, [record(n, content=Content(inputs=n)) for n in (0, 1)])
    store.add(second, [record(n, content=Content(inputs=n)) for n in (1, 2)])
    store.delete_runs([first])
    third = begin(store)
    store.add(third, [record(n) for n in (0, 1, 2)])
    assert set(dict(store.contents(third, "s"))) == keys(1, 2)
    assert {second, third} == set(store.prune(keep=0))
    last = begin(store)
    store.add(last, [record(n) for n in (0, 1, 2)])
    assert list(store.contents(last, "s")) == []


def test_writers_of_the_same_trials_do_not_wait_for_each_other_for_ever(store: RunStore) -> None:
    run_id = begin(store)

    def write(worker: int) -> None:
        for start in range(0, 200, 20):
            numbers = list(range(start, start + 20))[:: 1 if worker % 2 else -1]
            store.add(
                run_id, [record(n, content=Content(inputs=n), output=worker) for n in numbers]
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(list(store.results(run_id))) == len(list(store.contents(run_id, "s"))) == 200


# -- reading


def test_trials_come_in_the_datasets_order(store: RunStore) -> None:
    run_id = begin(store)
    placed = [(7, 2), (3, 0), (5, 1)]  # (key, position)
    for number, position in placed:
        for trial in (1, 0):
            one = record(number, trial)
            store.add(run_id, [replace(one, result=replace(one.result, position=position))])
    found = [(r.result.position, r.result.trial) for r in store.results(run_id, "s")]
    assert found == [(position, trial) for position in range(3) for trial in range(2)]


def test_a_long_run_is_read_a_few_trials_at_a_time(store: RunStore) -> None:
    run_id = begin(store)
    store.add(run_id, [record(n, content=Content(inputs=n)) for n in range(1000)])
    cursors: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *_: object) -> None:
        if "FROM trial" in statement:
            cursors.append(type(cursor).__name__)

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        trials, contents = store.results(run_id), store.contents(run_id, "s")
        assert next(trials).result.key == f"{0:016x}"
        assert next(contents)[1].inputs in range(1000)
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)
    assert len(cursors) == 2
    if "postgresql" in str(store.url):  # SQLite's cursors always read as they go
        assert cursors == ["ServerCursor"] * 2
    assert len(list(trials)) == len(list(contents)) == 999


def test_what_providers_failed_is_forgotten_and_nothing_else(store: RunStore) -> None:
    run_id, other = begin(store), begin(store)
    for one in (run_id, other):
        store.add(one, [failed(0, "provider"), failed(1, "bug"), record(2), failed(3, "provider")])
    assert store.forget_provider_failures(run_id, "s") == 2
    assert store.forget_provider_failures(run_id, "s") == 0
    assert {key for key, _ in store.done(run_id, "s")} == keys(1, 2)
    assert {key for key, _ in store.done(other, "s")} == keys(0, 1, 2, 3)


# -- what is known of a run


def test_many_may_add_to_what_is_known_of_a_run_at_once(store: RunStore) -> None:
    run_id = begin(store, identity={"commit": "c", "agents": {"s": "old"}})

    def note(suite: str) -> None:
        store.merge_identity(run_id, {"agents": {suite: f"hash of {suite}"}, "seen": True})

    suites = [f"suite-{n}" for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(note, suites))
    agents = {"s": "old", **{suite: f"hash of {suite}" for suite in suites}}
    assert store.run(run_id).identity == {"commit": "c", "agents": agents, "seen": True}
    with pytest.raises(UnknownRun, match="'nobody'"):
        store.merge_identity("nobody", {"a": 1})


def test_a_status_is_changed_only_from_the_one_that_is_named(store: RunStore) -> None:
    run_id = begin(store)
    store.update_run(run_id, status="stopped")
    store.update_run(run_id, status="done", was="running")
    assert store.run(run_id).status == "stopped"
    store.update_run(run_id, status="running")
    store.update_run(run_id, status="done", was="running")
    assert store.run(run_id).status == "done"


# -- older stores; SQLite's are in test_store_versions


PG_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""


def test_an_older_postgres_is_brought_up_to_date(postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    found: list[list[tuple[object, ...]]] = []
    for name in ("older", "fresh"):
        url = sa.make_url(postgres).set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(postgres, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(url) as raw:
            if name == "older":
                raw.execute(VERSION_3.replace("DOUBLE", "DOUBLE PRECISION"))
        with closing(RunStore(url)) as store:
            assert [r.result.output for r in store.results("20250101-old")] == (
                ["kept"] if name == "older" else []
            )
        with psycopg.connect(url) as raw:
            found.append(raw.execute(PG_COLUMNS).fetchall())
    assert found[0] == found[1]
