"""`assay judge`: calibrate judges with people's labels, and look for what sways them."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from ...deps.clock import utc_now
from ...deps.errors import ConfigError, InputError
from ...deps.models import Models
from ..judges.ask import Asking, ask_all, judge_of
from ..judges.bias import CHANGES, Bias, battery, family_of
from ..judges.calibrate import Calibrated, calibrate
from ..judges.items import Item, Scale, Verdict, read_items, read_verdicts, scale_of
from ..judges.labelled import labelled, only_random
from ..judges.standing import FLOOR, said_of
from ..statistics.agreement import Interval
from ..store.database import RunStore
from .door import FAILED, PASS, err, out, wait_for

__all__ = ("bias_of", "calibrate_judge", "calibrate_run", "list_judges")

MAX_WORST = 5
"""Disagreements that are shown; the JSON has them all."""


def calibrate_judge(
    models: Models,
    labels: Path,
    *,
    judge: str,
    family: str,
    verdicts: Path | None,
    store: str,
    floor: float = FLOOR,
    max_concurrency: int = 10,
    json: bool = False,
) -> int:
    """Compare a judge with people, keep what comes of it, and show it.

    Raises:
        BadDataset: a file cannot be read.
        ConfigError: the judge's model is named wrongly, or lacks its key.
    """
    items = read_items(labels)
    scale = scale_of(items)
    asking = Asking(models=models, model=judge, family=family)
    who = str(judge_of(items, scale, asking))
    if verdicts is None:
        said = _asked(items, scale, asking, max_concurrency)
    else:
        said = read_verdicts(verdicts, scale)
    found = calibrate(items, said, scale, judge=who, made=utc_now(), source=labels.name)
    with closing(RunStore(store)) as kept:
        kept.people.add_calibration(found.calibration)
    why = said_of(who, found.calibration, floor)
    if json:
        sys.stdout.write(to_json({**asdict(found), "gates": not why, "why": why}).decode() + "\n")
        return PASS
    _show(found, out())
    _say_gates(why)
    if asking.usage.requests:
        cost = "" if asking.usage.cost is None else f", ${asking.usage.cost:.4f}"
        out().print(f"the judge took {asking.usage.requests} requests{cost}", markup=False)
    return PASS


def calibrate_run(run_id: str, *, store: str, floor: float = FLOOR, json: bool = False) -> int:
    """Compare the judges of a run with the labels that people gave to its outputs; ask nobody.

    Raises:
        UnknownRun: there is no such run.
        InputError: nobody has labelled it, at random at least.
    """
    with closing(RunStore(store)) as kept:
        run = kept.run(run_id)
        labels = only_random(kept.people.labels(run.id))
        if not labels:
            raise InputError(f"nobody has labelled run {run.id}; see assay label {run.id}")
        source = f"run {run.id}"
        found = [
            calibrate(
                one.items, one.verdicts, one.scale, judge=one.judge, made=utc_now(), source=source
            )
            for one in labelled(kept, run, labels)
        ]
        for one in found:
            kept.people.add_calibration(one.calibration)
    said = [said_of(one.calibration.judge, one.calibration, floor) for one in found]
    if json:
        shown = [
            {**asdict(one), "gates": not why, "why": why}
            for one, why in zip(found, said, strict=True)
        ]
        sys.stdout.write(to_json(shown).decode() + "\n")
        return PASS
    for one, why in zip(found, said, strict=True):
        _show(one, out())
        _say_gates(why)
    return PASS


def _say_gates(why: str) -> None:
    out().print(f"gates: {'yes' if not why else 'no, ' + why}", markup=False, soft_wrap=True)


def _asked(
    items: Sequence[Item], scale: Scale, asking: Asking, max_concurrency: int
) -> Mapping[str, Verdict]:
    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task(f"asking {asking.model}", total=len(items))
        asked = ask_all(
            items,
            scale,
            asking,
            max_concurrency=max_concurrency,
            on_verdict=lambda: bar.advance(task),
        )
        return wait_for(asked, asking.models)


def bias_of(
    models: Models,
    labels: Path,
    *,
    judge: str,
    limits: Sequence[str],
    own_family: str | None,
    max_concurrency: int = 10,
    json: bool = False,
) -> int:
    """Ask a judge about labelled items with changes that should not matter; tell what swayed it.

    Raises:
        BadDataset: the file cannot be read.
        ConfigError: a limit makes no sense; the judge's model is named wrongly, or lacks its key.
    """
    items = read_items(labels)
    scale = scale_of(items)
    asking = Asking(models=models, model=judge)
    bounds = _limits(limits)  # before anything is paid
    own = family_of(models.named(judge)) if own_family is None else own_family
    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task(f"asking {judge}", total=None)
        asked = battery(
            items,
            scale,
            asking,
            own_family=own,
            max_concurrency=max_concurrency,
            on_answer=lambda: bar.advance(task),
        )
        found = wait_for(asked, models)
    broken = [one.name for one in found if one.state(bounds.get(one.name, 1.0)) == "broken"]
    if json:
        shown = [
            {
                **asdict(one),
                "rate": one.rate,
                "interval": one.interval,
                "limit": bounds.get(one.name),
            }
            for one in found
        ]
        sys.stdout.write(to_json({"biases": shown, "broken": broken}).decode() + "\n")
    else:
        out().print(_bias_table(str(judge_of(items, scale, asking)), found, bounds))
    return FAILED if broken else PASS


def list_judges(store: str, json: bool = False) -> int:
    """Show every judge that was calibrated, and whether it may gate."""
    with closing(RunStore(store)) as kept:
        found = kept.people.calibrations()
    if json:
        sys.stdout.write(to_json([asdict(one) for one in found]).decode() + "\n")
        return PASS
    table = Table(title="calibrated judges", title_justify="left")
    for heading in ("judge", "made", "items", "accuracy", "kappa", "gates"):
        table.add_column(heading, overflow="fold")
    for one in found:
        agreed = one.agreement
        why = said_of(one.judge, one, FLOOR)
        table.add_row(
            escape(one.judge),
            f"{one.made:%Y-%m-%d}",
            str(agreed.items),
            _figure(agreed.accuracy),
            _figure(agreed.kappa),
            escape(why) or "yes",
        )
    out().print(table if found else "no judge was calibrated yet; see assay judge calibrate --help")
    return PASS


def _limits(given: Sequence[str]) -> dict[str, float]:
    """Read `0.1` for all, `order=0.1` for one."""
    names = ["order", "same twice", *CHANGES, "own family"]
    limits: dict[str, float] = {}
    for entry in given:
        name, named, number = entry.rpartition("=")
        try:
            limit = float(number)
        except ValueError as e:
            raise ConfigError(f"limit {entry!r} is no number; give 0.1, or order=0.1") from e
        if named and name not in names:
            raise ConfigError(f"limit {entry!r}: there is no {name!r}, there are {names}")
        limits |= {name: limit} if named else dict.fromkeys(names, limit)
    return limits


def _show(found: Calibrated, console: Console) -> None:
    agreed, made = found.agreement, found.calibration
    console.print(f"judge {made.judge}", markup=False, soft_wrap=True)
    table = Table(title=f"{agreed.items} items, {agreed.unscored} unscored", title_justify="left")
    table.add_column("figure")
    table.add_column("value, 95% interval", justify="right")
    rows: dict[str, Interval | None] = {
        "accuracy": agreed.accuracy,
        "sensitivity": agreed.sensitivity,
        "specificity": agreed.specificity,
        f"kappa ({agreed.weights})": agreed.kappa,
    }
    for name, figure in rows.items():
        if figure is not None or name.startswith("kappa"):
            table.add_row(name, _figure(figure))
    if made.people is not None:
        table.add_row("people with people, pairwise", f"{made.people:.3f}")
        table.add_row("people's alpha", _figure(found.alpha))
    console.print(table)
    console.print(_confusion(found))
    notes = {"winner changed with the order": found.flipped, "people have no majority": found.split}
    for what, count in notes.items():
        if count:
            console.print(f"{what}: {count} items")
    for one in found.worst[:MAX_WORST]:
        said = f"{one.id}: judge {one.judge}, people {one.people}. Judge: {one.reason}"
        console.print(f"  {said}{' People: ' + one.note if one.note else ''}", markup=False)


def _confusion(found: Calibrated) -> Table:
    agreed = found.agreement
    table = Table(title="judge (rows) and people (columns)", title_justify="left")
    table.add_column("")
    for label in agreed.labels:
        table.add_column(str(label), justify="right")
    for label, row in zip(agreed.labels, agreed.table, strict=True):
        table.add_row(str(label), *map(str, row))
    return table


def _bias_table(judge: str, found: Sequence[Bias], limits: Mapping[str, float]) -> Table:
    table = Table(title=escape(f"what sways {judge}"), title_justify="left")
    for heading in ("change", "swayed", "items", "rate, 95% interval", "limit", "unscored"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    table.add_column("")
    for one in found:
        limit = limits.get(one.name)
        state = "" if limit is None else _STATES[one.state(limit)]
        rate = "-" if one.rate is None or one.interval is None else _rate(one.rate, one.interval)
        table.add_row(
            one.name,
            str(one.swayed),
            str(one.items),
            rate,
            "" if limit is None else f"{limit:g}",
            str(one.unscored),
            one.why_none or state,
        )
    return table


_STATES = {"kept": "ok", "broken": "FAIL", "open": "too few items to say", "none": ""}


def _rate(rate: float, interval: tuple[float, float]) -> str:
    return f"{rate:.3f}  {interval[0]:.3f} to {interval[1]:.3f}"


def _figure(found: Interval | None) -> str:
    if found is None:
        return "cannot say"
    ends = (
        "" if found.low is None or found.high is None else f"  {found.low:.3f} to {found.high:.3f}"
    )
    return f"{found.value:.3f}{ends}"
