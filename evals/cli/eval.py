"""`assay eval`: run suites, show a table per agent and a total, exit with what came of it."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
from ..replay.tape import Mode
from ..report import SuiteReport
from ..scorecard import MARGIN, Scorecard, gate, path_of
from ..store.database import DEFAULT, RunStore
from ..store.rows import Run
from ..stored import AnySuite, OnResult, begin, evaluate_stored, marked, stored_trials
from ..suites import NAMES, load
from .door import FAILED, INTERRUPTED, PASS, PROVIDER, err, out, say_model, start, wait_for
from .runs import print_comparisons
from .tables import suite_table, total_table

__all__ = ("EvalOptions", "evaluate_agents", "with_progress")

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """How suites are run and where what comes of them goes."""

    trials: int = 1
    max_concurrency: int = 10
    json: Path | None = None
    store: str = DEFAULT
    resume: str | None = None
    replay: Mode = "off"
    gate: bool = False
    margin: float = MARGIN
    inconclusive: Literal["pass", "fail"] = "pass"


def evaluate_agents(
    names: list[str], model: str | None, trace: str | None, options: EvalOptions
) -> None:
    """Evaluate the named agents, or all of them, into the store."""
    suites = [load(name) for name in names or NAMES]  # a wrong name is told before anything runs
    if options.json is not None and options.json != STDOUT:
        _write(options.json, "", "a")  # told now, not after an hour
    store = RunStore(options.store)
    run = store.run(options.resume) if options.resume else None
    begun_with: str | None = run.options.get("model") if run else None
    models = start(model or begun_with, trace)
    if run is None:
        run = begin(store, suites, models=models, trials=options.trials, model=model)
    else:
        suites = _resumed(run, models)
    say_model(models)
    console = err() if options.json == STDOUT else out()
    reports = _evaluate(store, run, suites, models, options, console)
    console.print(total_table(reports))
    console.print(f"run {run.id}; assay show {run.id}", style="dim", markup=False)
    if options.json is not None:
        _write(options.json, to_json(reports, indent=2, serialize_unknown=True).decode() + "\n")
    code = exit_code(reports)
    if options.gate and code != PROVIDER:
        passed = [_gate(store, run, suite, options, console) for suite in suites]
        code = PASS if all(passed) else FAILED
    if code == PROVIDER:
        _say_how_to_resume(run)
    raise typer.Exit(code)


def _gate(
    store: RunStore, run: Run, suite: AnySuite, options: EvalOptions, console: Console
) -> bool:
    """Compare a suite's run with its scorecard, and say what came of it."""
    card = Scorecard.read(path_of(suite))
    found = gate(
        suite.name,
        card.trials(),
        stored_trials(store, run, suite.name),
        margin=options.margin,
        inconclusive=options.inconclusive,
    )
    console.print(f"against the scorecard of {card.run} ({card.model})", markup=False)
    print_comparisons(console, suite.name, found.comparisons)
    console.print(f"gate: {'pass' if found.ok else 'FAIL'}")
    return found.ok


def _evaluate(
    store: RunStore,
    run: Run,
    suites: list[AnySuite],
    models: Models,
    options: EvalOptions,
    console: Console,
) -> list[SuiteReport]:
    """Run the suites; Ctrl-C keeps what is done and says how to go on."""

    async def one(suite: AnySuite, on_result: OnResult) -> SuiteReport:
        return await evaluate_stored(
            store,
            run,
            suite,
            models=models,
            max_concurrency=options.max_concurrency,
            replay=options.replay,
            on_result=on_result,
        )

    try:
        with marked(store, run):
            work = with_progress(suites, run.trials, one, console)
            return wait_for(work, models)
    except KeyboardInterrupt:
        _say_how_to_resume(run)
        raise typer.Exit(INTERRUPTED) from None


def _resumed(run: Run, models: Models) -> list[AnySuite]:
    """Return the suites of a run that is to go on.

    Raises:
        ConfigError: another model would answer than the one that began it.
    """
    if run.model != models.describe():
        raise ConfigError(
            f"run {run.id} was begun with {run.model!r}, and {models.describe()!r} would go on; "
            "set the same model, or begin a new run"
        )
    return [load(name) for name in run.suites]


def _say_how_to_resume(run: Run) -> None:
    err().print(f"what is done is kept; go on with: assay eval --resume {run.id}", markup=False)


async def with_progress(
    suites: list[AnySuite],
    trials: int,
    work: Callable[[AnySuite, OnResult], Awaitable[SuiteReport]],
    console: Console | None = None,
) -> list[SuiteReport]:
    """Do `work` on each suite, with a progress bar on stderr and a table each on `console`."""
    reports: list[SuiteReport] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err(), transient=True) as progress:
        for suite in suites:
            bar = progress.add_task(suite.name, total=len(suite.dataset().cases) * trials)

            def advance(_: TrialResult, bar: TaskID = bar) -> None:
                progress.advance(bar)

            report = await work(suite, advance)
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
