"""`assay runs`, `show`, `diff`, `accept` and `prune`: what the store keeps, and what changed."""

import sys
from itertools import islice
from typing import Any

from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...deps.clock import utc_now
from ...deps.errors import ConfigError
from ..differences import Difference, differences
from ..judges.corrections import Corrections, corrected_differences, corrections, said_of
from ..report import SuiteReport
from ..runs import report_of, where_of
from ..scorecard import Scorecard, path_of
from ..store.database import RunStore, UnknownRun
from ..store.rows import Run
from ..suites import load
from .door import err, out
from .tables import Against, print_comparisons, suite_table, total_table

__all__ = (
    "BASELINE",
    "accept_run",
    "against",
    "baseline_of",
    "diff_runs",
    "list_runs",
    "prune_runs",
    "show_run",
    "stop_of",
)

BASELINE = "the baseline"
"""What the run of the baselines is called where a run is compared with it."""

MAX_FAILED = 10
"""Failed cases named under `assay show`; its JSON has them all."""


def list_runs(url: str, limit: int, json: bool) -> None:
    """List runs, newest first."""
    found = RunStore(url).list_runs(limit)
    if json:
        _print_json(found)
        return
    table = Table()
    table.add_column("run", no_wrap=True)
    for heading in ("status", "model", "agents"):
        table.add_column(heading)
    for heading in ("trials", "failed", "cost"):
        table.add_column(heading, justify="right")
    for one in found:
        cost = "-" if one.cost is None else f"${one.cost:.4f}"
        names = ", ".join(one.run.suites)
        cells = (
            one.run.id,
            one.run.status,
            one.run.model,
            names,
            one.finished,
            one.failed,
            cost,
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    out().print(table)


def show_run(url: str, name: str, json: bool) -> None:
    """Show what a run came to."""
    store = RunStore(url)
    run = store.run(name)
    reports = [report_of(store, run, suite) for suite in run.suites]
    if json:
        corrected = {suite: corrections(store, run, suite) for suite in run.suites}
        shown = [report.as_json() for report in reports]
        _print_json({"run": run, "reports": shown, "corrected": corrected})
        return
    baseline = baseline_of(store, run)
    lifts = differences(store, baseline, run) if baseline else []
    lift = {one.suite: against(one, BASELINE, lift=True) for one in lifts}
    console = out()
    for report in reports:
        console.print(suite_table(report, lift.get(report.suite)))
        _print_corrected(console, corrections(store, run, report.suite))
        _print_failed(console, report)
    console.print(total_table(reports))
    begun = f"begun {run.created:%Y-%m-%d %H:%M} UTC"
    console.print(f"{run.id}: {_status(run)}, {run.model}, {begun}", markup=False, soft_wrap=True)


def diff_runs(url: str, a: str, b: str, margin: float, json: bool) -> None:
    """Compare run b with run a on the cases that both have, unchanged."""
    store = RunStore(url)
    left, right = store.run(a), store.run(b)
    found = differences(store, left, right, margin=margin)
    corrected = {one.suite: corrected_differences(store, left, right, one.suite) for one in found}
    if json:
        shown = {one.suite: one for one in found}
        _print_json({"a": left, "b": right, "suites": shown, "corrected": corrected})
        return
    console = out()
    said = f"{left.id} ({left.model})  ->  {right.id} ({right.model})"
    console.print(said, markup=False, soft_wrap=True)
    for one in found:
        print_comparisons(console, one.suite, one.comparisons, one.resources)
        _print_corrected(console, corrected[one.suite], signed=True)
        for note in one.notes:
            console.print(f"  {note}", markup=False, soft_wrap=True)
    if not found:
        console.print("these runs have no agent in common")


def accept_run(url: str, name: str, agent: str) -> None:
    """Write what a run came to as the agent's scorecard.

    Args:
        url: The store.
        name: The run.
        agent: The suite's name, or the place where it is found.

    Raises:
        ConfigError: the run has nothing of this agent.
    """
    store = RunStore(url)
    run = store.run(name)
    suite = load(where_of(run, agent))
    report = report_of(store, run, suite.name)
    if not report.totals.trials:
        raise ConfigError(f"run {run.id} has no trials of {agent!r}; `assay runs` lists what has")
    if run.status != "done":
        said = f"run {run.id} is {_status(run)}: only what it has is accepted"
        err().print(said, markup=False, soft_wrap=True)
    path = path_of(suite)
    Scorecard.of(report, run=run.id, accepted=utc_now()).write(path)
    out().print(f"wrote {path}; review its diff and commit it", markup=False, soft_wrap=True)


def prune_runs(url: str, keep: int) -> None:
    """Delete all but the newest runs, and give their room back."""
    store = RunStore(url)
    gone = store.prune(keep=keep)
    store.compact()
    out().print(f"deleted {len(gone)} runs")


def baseline_of(store: RunStore, run: Run) -> Run | None:
    """Return the run of the baselines that a run was begun with; say so if it is gone."""
    name = run.options.get("baseline")
    if not name:
        return None
    try:
        return store.run(name)
    except UnknownRun:
        said = f"the run of the baselines, {name}, has been deleted: no lift is shown"
        err().print(said, markup=False, soft_wrap=True)
        return None


def against(found: Difference, label: str, *, lift: bool = False) -> Against:
    """Return a comparison as tables and reports show it."""
    return Against(label=label, comparisons=found.comparisons, resources=found.resources, lift=lift)


def _print_corrected(console: Console, found: Corrections, *, signed: bool = False) -> None:
    """Print what people's labels make of the judged checks; of a comparison, with signs."""
    for check, one in found.items():
        said = f"  {check}: {said_of(one, signed=signed)}"
        console.print(said, markup=False, soft_wrap=True)


def _print_failed(console: Console, report: SuiteReport) -> None:
    """Print the first trials that failed a check; crashed ones stand under the table."""
    each = ((result, result.failed(report.advisory)) for result in report.results)
    failed = ((result, found) for result, found in each if found and not result.failure)
    for result, found in islice(failed, MAX_FAILED):
        why = "; ".join(f"{one.check}: {one.reason}" for one in found)
        console.print(f"  {result.case} #{result.trial}: {why}", markup=False, soft_wrap=True)
    if more := sum(1 for _ in failed):
        console.print(f"  and {more} more; --json has them")


def _status(run: Run) -> str:
    """Return how a run ended; why, if it ended itself."""
    why = stop_of(run)
    return f"stopped ({why})" if why else run.status


def stop_of(run: Run) -> str:
    """Return why a run ended itself; empty if it did not."""
    return str(run.identity.get("stopped", "")) if run.status == "stopped" else ""


def _print_json(value: Any) -> None:
    sys.stdout.write(to_json(value, indent=2, serialize_unknown=True).decode() + "\n")
