"""`assay runs`, `show`, `diff` and `prune`: what the store keeps, and what changed."""

import sys
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...deps.base import utc_now
from ...deps.errors import ConfigError
from ..scorecard import CheckValues, Scorecard, compare_trials, path_of
from ..statistics.comparison import Comparison
from ..store.database import RunStore
from ..store.rows import Run
from ..stored import report_of, stored_trials
from ..suites import load
from .door import out
from .tables import suite_table, total_table

__all__ = ("accept_run", "diff_runs", "list_runs", "print_comparisons", "prune_runs", "show_run")

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
        cells = (one.run.id, one.run.status, one.run.model, names, one.finished, one.failed, cost)
        table.add_row(*(escape(str(cell)) for cell in cells))
    out().print(table)


def show_run(url: str, name: str, json: bool) -> None:
    """Show what a run came to."""
    store = RunStore(url)
    run = store.run(name)
    reports = [report_of(store, run, load(suite)) for suite in run.suites]
    if json:
        _print_json({"run": run, "reports": reports})
        return
    console = out()
    for report in reports:
        console.print(suite_table(report))
        failed = [result for result in report.results if not result.ok and not result.failure]
        for result in failed[:MAX_FAILED]:
            why = "; ".join(f"{o.check}: {o.reason}" for o in result.outcomes if o.status == "fail")
            console.print(f"  {result.case} #{result.trial}: {why}", markup=False, soft_wrap=True)
        if len(failed) > MAX_FAILED:
            console.print(f"  and {len(failed) - MAX_FAILED} more; --json has them")
    console.print(total_table(reports))
    console.print(f"{run.id}: {run.status}, {run.model}, begun {run.created:%Y-%m-%d %H:%M} UTC")


def diff_runs(url: str, a: str, b: str, margin: float, json: bool) -> None:
    """Compare run b with run a on the cases that both have, unchanged."""
    store = RunStore(url)
    left, right = store.run(a), store.run(b)
    found = {
        name: compare_trials(
            stored_trials(store, left, name), stored_trials(store, right, name), margin
        )
        for name in _common(left, right)
    }
    if json:
        _print_json({"a": left, "b": right, "suites": found})
        return
    console = out()
    console.print(f"{left.id} ({left.model})  ->  {right.id} ({right.model})", markup=False)
    for name, comparisons in found.items():
        print_comparisons(console, name, comparisons)
    if not found:
        console.print("these runs have no agent in common")


def accept_run(url: str, name: str, agent: str) -> None:
    """Write what a run came to as the agent's scorecard.

    Raises:
        ConfigError: the run has nothing of this agent.
    """
    store, suite = RunStore(url), load(agent)
    run = store.run(name)
    trials = stored_trials(store, run, agent)
    if not trials:
        raise ConfigError(f"run {run.id} has no trials of {agent!r}; `assay runs` lists what has")
    card = Scorecard(
        suite=agent,
        model=run.model,
        run=run.id,
        accepted=utc_now(),
        checks={check: CheckValues.of(values) for check, values in trials.items()},
    )
    card.write(path_of(suite))
    out().print(f"wrote {path_of(suite)}; review its diff and commit it", markup=False)


def prune_runs(url: str, keep: int) -> None:
    """Delete all but the newest runs, and give their room back."""
    store = RunStore(url)
    gone = store.prune(keep=keep)
    store.compact()
    out().print(f"deleted {len(gone)} runs")


def _common(a: Run, b: Run) -> Iterator[str]:
    return (name for name in a.suites if name in b.suites)


def print_comparisons(console: Console, name: str, comparisons: tuple[Comparison, ...]) -> None:
    """Print a suite's comparisons as a table, and each verdict's sentence."""
    console.print(_table(name, comparisons))
    for one in comparisons:
        console.print(f"  {one.why}", markup=False, soft_wrap=True)


def _table(name: str, comparisons: tuple[Comparison, ...]) -> Table:
    table = Table(title=name, title_justify="left")
    table.add_column("check", no_wrap=True)
    for heading in ("before", "after", "difference", "95%", "detectable", "cases"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in comparisons:
        table.add_row(
            escape(one.name),
            _number(one.mean_a),
            _number(one.mean_b),
            _number(one.difference, "+.3f"),
            "-" if one.low is None else f"{one.low:+.3f}…{one.high:+.3f}",
            _number(one.mde),
            _cases(one),
            one.verdict,
        )
    return table


def _cases(one: Comparison) -> str:
    """Say how many cases were compared, and how many only one side has."""
    alone = one.only_a + one.only_b
    return f"{one.n_cases} (+{alone} apart)" if alone else str(one.n_cases)


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _print_json(value: Any) -> None:
    sys.stdout.write(to_json(value, indent=2, serialize_unknown=True).decode() + "\n")
