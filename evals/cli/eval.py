"""`assay eval`: run suites, show a table per agent and a total, exit with what came of it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic_core import to_json
from rich.console import Console

from ...deps.errors import ConfigError
from ..engine import AnySuite
from ..experiment import Conditions, Experiment, Judged
from ..reports.words import Against
from ..runs import marked
from ..store.database import DEFAULT, RunStore
from ..suites import NAMES, load
from .door import BUDGET, FAILED, INTERRUPTED, PASS, PROVIDER, err, out, say_model, start, wait_for
from .progress import RunProgress
from .tables import suite_table, total_table

__all__ = ("EvalOptions", "evaluate_agents")

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Where what comes of an evaluation is kept, and what it goes on with."""

    model: str | None = None
    trace: str | None = None
    json: Path | None = None
    store: str = DEFAULT
    resume: str | None = None


def evaluate_agents(names: list[str], conditions: Conditions, options: EvalOptions) -> None:
    """Evaluate the named agents, or all of them, into the store."""
    asked = names or list(NAMES)
    suites = tuple(load(name) for name in asked)  # a wrong name is told before anything runs
    if options.json is not None and options.json != STDOUT:
        _write(options.json, "", "a")  # told now, not after an hour
    store = RunStore(options.store)
    if options.resume:
        experiment = _resumed(store, options, conditions)
    else:
        models = start(options.model, options.trace)
        where = {suite.name: name for suite, name in zip(suites, asked, strict=True)}
        called = {"model": options.model}
        experiment = Experiment.begin(suites, models, conditions, store, called, where)
    say_model(experiment.run.model)
    console = err() if options.json == STDOUT else out()
    judged = _evaluate(experiment, console)
    stopped = experiment.meter.reached()
    console.print(total_table([one.report for one in judged]))
    run = experiment.run.id
    console.print(f"run {run}; assay show {run}", style="dim", markup=False)
    if options.json is not None:
        shown = {"run": run, "stopped": stopped, "suites": [one.as_json() for one in judged]}
        _write(options.json, to_json(shown, indent=2, serialize_unknown=True).decode() + "\n")
    code = exit_code(judged, stopped)
    if code in (PROVIDER, BUDGET):
        _say_how_to_resume(run)
    raise typer.Exit(code)


def _resumed(store: RunStore, options: EvalOptions, conditions: Conditions) -> Experiment:
    """Return a run that is to go on, on the terms on which it was begun."""
    run = store.run(options.resume or "latest")
    begun: dict[str, Any] = dict(run.options.get("conditions", {}))
    models = start(options.model or run.options.get("model"), options.trace)
    shown = run.options.get("suites", {})
    suites = tuple(load(shown.get(name, {}).get("where", name)) for name in run.suites)
    return Experiment.resume(suites, models, replace(conditions, **begun), store, run)


def _evaluate(experiment: Experiment, console: Console) -> list[Judged]:
    """Run the suites; Ctrl-C keeps what is done and says how to go on."""
    try:
        with marked(experiment.store, experiment.run):
            return wait_for(_each(experiment, console), experiment.models)
    except KeyboardInterrupt:
        _say_how_to_resume(experiment.run.id)
        raise typer.Exit(INTERRUPTED) from None


async def _each(experiment: Experiment, console: Console) -> list[Judged]:
    """Evaluate suite by suite, with live progress on stderr and a table each on `console`."""
    found: list[Judged] = []
    with RunProgress(err()) as progress:
        for suite in experiment.suites:
            progress.start(suite.name, suite_size(suite) * experiment.conditions.trials)
            judged = await experiment.evaluate(suite, progress.advance)
            progress.finish()
            found.append(judged)
            _show(judged, console)
            if why := experiment.meter.reached():
                _say_what_is_undecided(experiment, found, why)
                break
    return found


def suite_size(suite: AnySuite) -> int:
    """Return how many cases a suite has."""
    from ..cases import Cases

    return len(Cases.of(suite))


def _show(judged: Judged, console: Console) -> None:
    reference = judged.reference
    against = None
    if reference is not None:
        against = Against(
            label=reference.label,
            comparisons=judged.comparisons,
            resources=judged.resources,
            lift=reference.lift,
        )
    console.print(suite_table(judged.report, against))
    if judged.sequential is not None:
        console.print(judged.sequential.saved, markup=False, soft_wrap=True)
    if judged.aa is not None:
        console.print(judged.aa.why, markup=False, soft_wrap=True)
    for check in judged.missing:
        console.print(f"{check}: the reference has it, and this run said nothing of it")
    if judged.passed is not None and reference is not None:
        console.print(f"gate against {reference.label}: {'pass' if judged.passed else 'FAIL'}")


def _say_what_is_undecided(experiment: Experiment, found: Sequence[Judged], why: str) -> None:
    """Tell what a spent budget left open."""
    planned = experiment.conditions.trials
    err().print(f"stopped: {why}", markup=False, soft_wrap=True)
    last = found[-1].report
    missing = suite_size(experiment.suites[len(found) - 1]) * planned - last.totals.trials
    if missing:
        err().print(f"undecided: {last.suite}, {missing} trials not run", markup=False)
    open_ = [c for c, verdict in found[-1].verdicts.items() if verdict in (None, "inconclusive")]
    if open_:
        err().print(f"undecided: {last.suite}: {', '.join(open_)}", markup=False, soft_wrap=True)
    for suite in experiment.suites[len(found) :]:
        err().print(f"undecided: {suite.name}, not begun", markup=False)


def _say_how_to_resume(run: str) -> None:
    err().print(f"what is done is kept; go on with: assay eval --resume {run}", markup=False)


def exit_code(judged: Sequence[Judged], stopped: str | None = None) -> int:
    """Return 3 if a provider failed, 4 if a budget ended the run, 1 if it may not pass, else 0."""
    if any(one.report.totals.provider_errors for one in judged):
        return PROVIDER
    if stopped:
        return BUDGET
    passed = [one.report.ok if one.passed is None else one.passed for one in judged]
    return PASS if all(passed) else FAILED


def _write(path: Path, text: str, mode: Literal["w", "a"] = "w") -> None:
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
