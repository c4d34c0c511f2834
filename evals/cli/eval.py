"""`assay eval`: run suites, show a table per agent and a total, exit with what came of it."""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic_core import to_json
from rich.console import Console

from ...deps.batches import Progress, batched
from ...deps.errors import ConfigError
from ...deps.models import Models
from ..engine import AnySuite
from ..experiment import Conditions, Experiment, Judged
from ..reports.words import Against
from ..runs import marked
from ..store.database import DEFAULT, RunStore
from ..suites import NAMES, load
from .batching import open_batches, say_what_goes_on
from .door import BUDGET, FAILED, INTERRUPTED, PASS, PROVIDER, err, out, say_model, start, wait_for
from .progress import RunProgress
from .tables import suite_table, total_table

__all__ = ("EvalOptions", "evaluate_agents")

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Where what comes of an evaluation is kept, what it goes on with, and how it asks.

    `under_way` is how many trials wait for batches at once; None leaves it to these.
    """

    model: str | None = None
    trace: str | None = None
    json: Path | None = None
    store: str = DEFAULT
    resume: str | None = None
    batch: bool = False
    under_way: int | None = None


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
        models = _models(options, conditions, options.model, batch=options.batch)
        where = {suite.name: name for suite, name in zip(suites, asked, strict=True)}
        called = {"model": options.model, "batch": options.batch}
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
    conditions = replace(conditions, **begun)
    name = options.model or run.options.get("model")
    batch = options.batch or run.options.get("batch", False)
    models = _models(options, conditions, name, batch=batch)
    shown = run.options.get("suites", {})
    suites = tuple(load(shown.get(name, {}).get("where", name)) for name in run.suites)
    return Experiment.resume(suites, models, conditions, store, run)


def _models(
    options: EvalOptions, conditions: Conditions, name: str | None, *, batch: bool
) -> Models:
    models = start(name, options.trace)
    if not batch:
        return models
    return batched(models, open_batches(options.store, options.under_way, conditions))


def _evaluate(experiment: Experiment, console: Console) -> list[Judged]:
    """Run the suites; Ctrl-C keeps what is done and says how to go on."""
    try:
        with marked(experiment.store, experiment.run):
            return wait_for(_each(experiment, console), experiment.models)
    except KeyboardInterrupt:
        _say_how_to_resume(experiment.run.id)
        say_what_goes_on(experiment.models.clients.batches)
        raise typer.Exit(INTERRUPTED) from None


async def _each(experiment: Experiment, console: Console) -> list[Judged]:
    """Evaluate suite by suite, with live progress on stderr and a table each on `console`."""
    found: list[Judged] = []
    live, batches = err(), experiment.models.clients.batches
    async with AsyncExitStack() as stack:
        if batches is not None:
            await stack.enter_async_context(batches)
            batches.told = partial(_say_how_it_stands, live)
        progress = stack.enter_context(RunProgress(live))
        for suite in experiment.suites:
            progress.start(suite.name, suite_size(suite) * experiment.conditions.trials)
            judged = await experiment.evaluate(suite, progress.advance)
            progress.finish()
            found.append(judged)
            _show(judged, console)
            if why := experiment.meter.reached():
                _say_what_is_undecided(experiment, found, why)
                break
        if batches is not None and exit_code(found, experiment.meter.reached()) in (PASS, FAILED):
            await batches.forget(f"{experiment.run.id}/")  # all of it is in the store
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


def _say_how_it_stands(console: Console, batch: Progress) -> None:
    console.print(str(batch), style="dim", markup=False, highlight=False)


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
