"""`assay score`: statistics for results that other harnesses have written."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...deps.errors import ConfigError
from ..score import Columns, Score, read_trials, score, score_outputs
from ..statistics.estimates import Estimate
from ..suites import load
from .door import err, out

__all__ = ("score_file",)

MAX_FLAKY = 5
"""Flaky cases named under a table; the JSON has them all."""


def score_file(
    path: Path,
    *,
    case: str,
    trial: str | None,
    value: str | None,
    group: str | None,
    output: str | None,
    suite: str | None,
    json: Path | None,
) -> None:
    """Score a column of values, or check a column of outputs with a suite's checks.

    Raises:
        ConfigError: the options do not fit together, or a file cannot be read or written.
    """
    console = err() if json == Path("-") else out()
    if value is not None and output is None and suite is None:
        found = score(read_trials(path, Columns(case=case, trial=trial, value=value, group=group)))
        _show(console, value, found)
        _write(json, found.as_json())
        return
    if value is not None or output is None or suite is None:
        raise ConfigError("give either --value COLUMN, or --output COLUMN and --suite NAME")
    columns = Columns(case=case, trial=trial, value=output, group=group)
    checks = asyncio.run(score_outputs(path, columns, load(suite)))
    for check, found in checks.items():
        _show(console, check, found)
    _write(json, _together(suite, checks))


def _together(suite: str, checks: Mapping[str, Score]) -> dict[str, object]:
    return {"suite": suite, "checks": {name: found.as_json() for name, found in checks.items()}}


def _show(console: Console, title: str, found: Score) -> None:
    console.print(_table(title, found))
    for line in _caption(found):
        console.print(line, markup=False)


def _table(title: str, found: Score) -> Table:
    """Return a row per figure: the mean, then pass@k and pass^k."""
    mean = found.mean
    table = Table(
        title=f"{escape(title)}: {mean.n_cases} cases, {mean.n_trials} trials, "
        f"{mean.unscored} unscored",
        title_justify="left",
    )
    table.add_column("figure")
    for heading in ("estimate", "95% interval", "standard error"):
        table.add_column(heading, justify="right")
    table.add_row("mean", *_figures(mean))
    for k, estimate in found.pass_at_k.items():
        table.add_row(f"pass@{k}", *_figures(estimate))
    for k, estimate in found.pass_hat_k.items():
        table.add_row(f"pass^{k}", *_figures(estimate))
    return table


def _figures(estimate: Estimate) -> tuple[str, str, str]:
    ci = estimate.ci
    return (
        "-" if estimate.mean is None else f"{estimate.mean:.4f}",
        "cannot say" if ci is None else f"{ci[0]:.4f} to {ci[1]:.4f}",
        "-" if estimate.se is None else f"{estimate.se:.4f}",
    )


def _caption(found: Score) -> list[str]:
    mean, spread = found.mean, found.spread
    lines = [f"interval: {mean.method}" if mean.method else f"no interval: {mean.reason}"]
    if spread.within is not None and spread.rerun_sd is not None:
        between = "unknown" if spread.between is None else f"{spread.between:.4f}"
        lines.append(
            f"variance between cases {between}, between trials of a case {spread.within:.4f}; "
            f"a rerun moves the mean by {spread.rerun_sd:.4f} (1 sd)"
        )
    if found.flaky:
        names = ", ".join(f"{c.case} ({c.rate:.2f})" for c in found.flaky[:MAX_FLAKY])
        more = len(found.flaky) - MAX_FLAKY
        tail = f" and {more} more" if more > 0 else ""
        lines.append(f"{len(found.flaky)} flaky cases: {names}{tail}")
    return [*lines, *found.notes]


def _write(path: Path | None, found: dict[str, object]) -> None:
    if path is None:
        return
    text = to_json(found, indent=2).decode() + "\n"
    if path == Path("-"):
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
