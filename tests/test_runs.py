"""A stored run says how it began, how it ended, and what differs from another one."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.deps import ConfigError, Models
from assay.evals import Suite, evaluate, plain
from assay.evals.differences import notes
from assay.evals.outcome import Outcome
from assay.evals.runs import (
    StoredResults,
    begin,
    marked,
    note_identity,
    note_stopped,
    report_of,
    where_of,
)
from assay.evals.store.database import RunStore
from assay.evals.store.rows import Run

from .stores import record


async def echo(text: str) -> str:
    return text


def suite_of(folder: Path, name: str = "s") -> Suite[str, str]:
    (folder / "cases.yaml").write_text("cases: [{name: a, inputs: x, expected_output: x}]\n")
    return Suite(
        name=name,
        about="say it again",
        task=plain(echo),
        path=folder / "cases.yaml",
        types=(str, str),
        thresholds={"label": 0.5},
    )


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs.db")


def begun(store: RunStore, tmp_path: Path, **more: Any) -> Run:
    return begin(store, [suite_of(tmp_path)], models=Models(), **more)


# -- beginning and end


def test_a_run_is_reported_without_its_suite(store: RunStore, tmp_path: Path) -> None:
    run = begun(store, tmp_path, options={"names": ["s"]}, where={"s": "mine.evals:suite"})
    label = (Outcome("label", "pass", 1.0),)
    store.add(run.id, [record(n, outcomes=label, duration=0.5, output="x") for n in range(3)])
    note_identity(store, run, "datasets", "s", "hash")
    run = store.run(run.id)
    report = report_of(store, run, "s")
    assert (report.about, report.dataset, report.totals.trials) == ("say it again", "hash", 3)
    assert (report.checks[0].threshold, report.checks[0].mean) == (0.5, 1.0)
    assert [result.output for result in report.results] == ["x"] * 3
    assert report_of(store, run, "s", {f"{1:016x}"}).totals.cases == 1
    assert where_of(run, "s") == "mine.evals:suite"
    assert run.options["names"] == ["s"]


def test_a_suite_is_found_by_its_name_where_nothing_else_was_noted(
    store: RunStore, tmp_path: Path
) -> None:
    assert where_of(begun(store, tmp_path), "s") == "s"
    assert where_of(begun(store, tmp_path), "other") == "other"


def test_two_suites_of_one_name_are_refused(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two suites are called 's'"):
        begin(store, [suite_of(tmp_path), suite_of(tmp_path)], models=Models())
    assert store.list_runs() == []


def test_how_a_run_ends_is_noted(store: RunStore, tmp_path: Path) -> None:
    run = begun(store, tmp_path)
    with marked(store, run):
        assert store.run(run.id).status == "running"
    assert store.run(run.id).status == "done"
    with pytest.raises(KeyboardInterrupt), marked(store, run):
        raise KeyboardInterrupt
    assert store.run(run.id).status == "interrupted"


def test_a_run_that_stopped_itself_says_why(store: RunStore, tmp_path: Path) -> None:
    run = begun(store, tmp_path)
    with marked(store, run):
        note_stopped(store, run, "2.00 USD were spent")
    stopped = store.run(run.id)
    assert (stopped.status, stopped.identity["stopped"]) == ("stopped", "2.00 USD were spent")
    assert stopped.finished is not None
    with suppress(SystemExit), marked(store, run):
        note_stopped(store, run, "again")
        raise SystemExit(4)
    assert store.run(run.id).status == "stopped"
    with marked(store, run):  # resumed, and done
        pass
    assert store.run(run.id).status == "done"


# -- results


def test_stored_results_are_a_sequence_in_the_datasets_order(
    store: RunStore, tmp_path: Path
) -> None:
    run = begun(store, tmp_path)
    store.add(run.id, [record(n, output=n) for n in (3, 1, 2, 0)])
    results = StoredResults(store, run, "s")
    assert [result.output for result in results] == [0, 1, 2, 3]
    assert (len(results), results[0].output, results[-1].output) == (4, 0, 3)
    assert [result.output for result in results[1:3]] == [1, 2]
    for index in (4, -5):
        with pytest.raises(IndexError):
            results[index]
    some = StoredResults(store, run, "s", only={f"{2:016x}"})
    assert (len(some), some[0].output) == (1, 2)
    assert [result.output for result in results.figures()] == [None] * 4


async def test_what_the_engine_stores_is_what_it_reports(store: RunStore, tmp_path: Path) -> None:
    report = await evaluate(suite_of(tmp_path), store=store)
    run = store.run()
    assert run.status == "done"
    again = report_of(store, run, "s")
    for name in ("model", "about", "checks", "totals", "dataset"):
        assert getattr(again, name) == getattr(report, name)
    assert list(again.results) == list(report.results)


# -- what differs between two runs

IDENTITY = {
    "datasets": {"s": "d"},
    "agents": {"s": "a"},
    "packages": {"pydantic": "2.12"},
    "commit": "0123456789abcdef",
    "dirty": False,
}


def two(store: RunStore, model: str = "m", **changed: Any) -> tuple[Run, Run]:
    """Store two runs of the same 3 cases; the second's identity is changed."""
    first = store.create_run(model="m", suites=["s"], identity=IDENTITY)
    second = store.create_run(model=model, suites=["s"], identity={**IDENTITY, **changed})
    for run in (first, second):
        store.add(run.id, [record(n) for n in range(3)])
    return first, second


def test_runs_that_are_alike_differ_by_chance(store: RunStore) -> None:
    assert notes(store, *two(store), "s") == (
        "the agents are the same, and model, packages and commit are the same: a difference is due "
        "to chance",
    )


def test_what_differs_is_named(store: RunStore) -> None:
    changed = {"packages": {"pydantic": "2.13", "scipy": "1"}, "commit": None}
    assert notes(store, *two(store, model="n", **changed), "s") == (
        "the agents are the same; a difference may be due to the model (m before, n now); "
        "packages (pydantic 2.12 before, 2.13 now, scipy absent before, 1 now); "
        "the commit (0123456789ab before, none now); or to chance",
    )
    (said,) = notes(store, *two(store, dirty=True), "s")
    assert "changes that were not committed" in said


def test_other_agents_are_told(store: RunStore) -> None:
    (said,) = notes(store, *two(store, agents={"s": "b"}), "s")
    assert said.startswith("the agents differ")
    (said,) = notes(store, *two(store, agents={}), "s")
    assert said == (
        "whether the agents are the same is not known; model, packages and commit are the same"
    )
    (said,) = notes(store, *two(store, agents={}, packages={"pydantic": "3"}), "s")
    assert "known to differ: packages (pydantic 2.12 before, 3 now)" in said


@pytest.mark.parametrize(
    ("dataset", "why"), [("other", "the datasets differ"), ("d", "not all cases were run in both")]
)
def test_what_is_left_out_of_a_comparison_is_told(store: RunStore, dataset: str, why: str) -> None:
    first, second = two(store, datasets={"s": dataset})
    store.add(second.id, [record(n) for n in (7, 8)])
    store.add(first.id, [record(9)])
    said, _ = notes(store, first, second, "s")
    assert said == (
        f"{why}: compared on the 3 cases they have in common; "
        f"{first.id} has 1 more, {second.id} has 2 more"
    )


def test_a_run_that_is_not_finished_is_no_other_dataset(store: RunStore) -> None:
    first, second = two(store)
    store.add(first.id, [record(5)])
    killed = replace(second, identity={})
    said, _ = notes(store, first, killed, "s")
    assert said.startswith("not all cases were run in both: compared on the 3 cases")
