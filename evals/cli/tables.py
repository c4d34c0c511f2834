"""Reports as terminal tables."""

from rich.markup import escape
from rich.table import Table

from ..report import CheckSummary, SuiteReport

__all__ = ("suite_table", "total_table")

MAX_SHOWN = 5
"""Crashed trials shown under a table; the JSON has them all."""


def suite_table(report: SuiteReport) -> Table:
    """Return a row per check, and the first crashed trials underneath."""
    failures = report.failures
    table = Table(
        title=escape(f"{report.suite}: {report.about}"),
        title_justify="left",
        caption="\n".join(
            [
                f"model: {escape(report.model)}; {report.cases} cases, "
                f"{len(report.results)} trials, {report.requests} requests, {_cost(report)}, "
                f"{report.seconds:.1f} s",
                *(
                    escape(f"error in {r.case}: {r.failure.type}: {r.failure.message[:200]}")
                    for r in failures[:MAX_SHOWN]
                    if r.failure
                ),
                *([f"and {len(failures) - MAX_SHOWN} more"] if len(failures) > MAX_SHOWN else []),
            ]
        ),
        caption_justify="left",
    )
    table.add_column("check", no_wrap=True)
    for heading in ("mean", "95%", "threshold", "pass", "fail", "unscored", "error"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for check in report.checks:
        table.add_row(escape(check.check), *_numbers(check), _verdict(check))
    return table


def total_table(reports: list[SuiteReport]) -> Table:
    """Return a row per agent."""
    table = Table(title="total", title_justify="left")
    table.add_column("agent")
    for heading in ("cases", "trials", "errors", "unscored", "requests", "cost", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for report in reports:
        table.add_row(
            report.suite,
            str(report.cases),
            str(len(report.results)),
            str(len(report.failures)),
            str(sum(check.unscored for check in report.checks)),
            str(report.requests),
            _cost(report),
            f"{report.seconds:.1f}",
            _outcome(report),
        )
    return table


def _numbers(check: CheckSummary) -> list[str]:
    return [
        "-" if check.mean is None else f"{check.mean:.3f}",
        "-" if check.low is None else f"{check.low:.3f}–{check.high:.3f}",
        f"{check.threshold:g}",
        str(check.passed),
        str(check.failed),
        str(check.unscored),
        str(check.errors),
    ]


def _verdict(check: CheckSummary) -> str:
    if check.mean is None:
        return "[yellow]unscored[/]"
    return "[green]ok[/]" if check.ok else "[red]below[/]"


def _outcome(report: SuiteReport) -> str:
    if all(check.mean is None for check in report.checks):
        return "[yellow]unscored[/]"
    return "[green]pass[/]" if report.ok else "[red]below[/]"


def _cost(report: SuiteReport) -> str:
    return "cost unknown" if report.cost is None else f"${report.cost:.4f}"
