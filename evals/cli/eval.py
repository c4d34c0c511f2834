"""`assay eval`: run suites, show a table per agent and a total, exit with what came of it."""

import sys
from pathlib import Path
from typing import Literal

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ...deps.errors import ConfigError
from ...deps.models import Models
from ..outcome import TrialResult
from ..report import SuiteReport
from ..runner import evaluate
from ..suites import NAMES, load
from .door import FAILED, PASS, PROVIDER, err, out, say_model, wait_for
from .tables import suite_table, total_table

__all__ = ("evaluate_agents", "run_suites")

STDOUT = Path("-")


def evaluate_agents(
    names: list[str], models: Models, trials: int, max_concurrency: int, json: Path | None
) -> None:
    """Evaluate the named agents, or all of them."""
    suites = [load(name) for name in names or NAMES]  # a wrong name is told before anything runs
    if json is not None and json != STDOUT:
        _write(json, "", "a")  # told now, not after an hour
    say_model(models)
    console = err() if json == STDOUT else out()
    names = [suite.name for suite in suites]
    reports = wait_for(run_suites(names, models, trials, max_concurrency, console), models)
    console.print(total_table(reports))
    if json is not None:
        _write(json, to_json(reports, indent=2, serialize_unknown=True).decode() + "\n")
    raise typer.Exit(exit_code(reports))


async def run_suites(
    names: list[str],
    models: Models,
    trials: int = 1,
    max_concurrency: int = 10,
    console: Console | None = None,
) -> list[SuiteReport]:
    """Run suites one after another, with a progress bar on stderr, a table each on `console`."""
    reports: list[SuiteReport] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err(), transient=True) as progress:
        for name in names:
            suite = load(name)
            total = len(suite.dataset().cases) * trials
            bar = progress.add_task(name, total=total)

            def advance(result: TrialResult, bar: TaskID = bar) -> None:
                progress.advance(bar)

            report = await evaluate(
                suite,
                models=models,
                trials=trials,
                max_concurrency=max_concurrency,
                on_result=advance,
            )
            progress.remove_task(bar)
            reports.append(report)
            if console is not None:
                console.print(suite_table(report))
    return reports


def exit_code(reports: list[SuiteReport]) -> int:
    """Return 3 if a provider failed, else 1 if a threshold was missed, else 0."""
    if any(report.provider_failed for report in reports):
        return PROVIDER
    return PASS if all(report.ok for report in reports) else FAILED


def _write(path: Path, text: str, mode: Literal["w", "a"] = "w") -> None:
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
