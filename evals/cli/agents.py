"""`assay agents`: what there is, and how good its baseline is."""

import sys

from pydantic_core import to_json
from rich.table import Table

from ...deps.models import Models
from ..engine import evaluate
from ..report import SuiteReport
from ..suites import NAMES, load
from .door import err, out, wait_for
from .progress import RunProgress

__all__ = ("list_agents",)


def list_agents(score: bool, json: bool) -> None:
    """List the agents; with `score`, evaluate their baselines here and now."""
    reports: dict[str, SuiteReport] = {}
    if score:
        baselines = Models()
        reports = wait_for(_scored(baselines), baselines)
    rows = [_row(name, reports.get(name)) for name in NAMES]
    if json:
        sys.stdout.write(to_json(rows, indent=2).decode() + "\n")
        return
    table = Table(caption="baseline: a non-LLM solver of the same task", caption_justify="left")
    for heading in ("agent", "what it does", "cases", "baseline's main check"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out().print(table)


async def _scored(models: Models) -> dict[str, SuiteReport]:
    reports: dict[str, SuiteReport] = {}
    with RunProgress(err()) as progress:
        for suite in map(load, NAMES):
            progress.start(suite.name, len(suite.dataset().cases))
            reports[suite.name] = await evaluate(suite, models=models, on_result=progress.advance)
            progress.finish()
    return reports


def _row(name: str, report: SuiteReport | None) -> dict[str, str | int]:
    suite = load(name)
    checks = {check.check: check for check in report.checks} if report else {}
    named = (checks[check] for check in (*suite.thresholds, *checks) if check in checks)
    main = next(named, None)
    score = "not run" if report is None else "unscored"
    if main is not None and main.mean is not None:
        score = f"{main.mean:.3f} {main.check}"
    cases = len(suite.dataset().cases)
    return {"agent": name, "about": suite.about, "cases": cases, "baseline": score}
