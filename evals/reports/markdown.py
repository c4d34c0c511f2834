"""A run as Markdown, for a CI job's summary page."""

import re
from collections.abc import Iterable, Sequence

from ..report import SuiteReport
from .views import CheckView, Reference, SuiteView, dollars, number, seconds, suite_views

__all__ = ("markdown_summary",)

MAX_FAILURES = 20
"""Failed cases listed under a suite; the HTML report has them all."""

MAX_REASON = 200

_MARKUP = re.compile(r"[\\`*_\[\]<>#!|~&@:$]|(?<=www)\.", re.IGNORECASE)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u2069\ud800-\udfff]+")


def markdown_summary(
    reports: Iterable[SuiteReport], *, reference: Reference | None = None, title: str = "Evaluation"
) -> str:
    """Return a table of all checks with their verdicts, and the first failed cases.

    Args:
        reports: The run's suites.
        reference: What they are compared with; without one, verdicts are about thresholds.
        title: The heading.
    """
    suites = suite_views(reports, reference)
    lines = [f"## {_text(title)}", ""]
    if reference is not None:
        lines += [f"Compared with {_text(reference.label)}.", ""]
    lines += _table(
        ("suite", "check", "mean", "95% interval", "threshold", "verdict", "why"),
        [_row(suite, check) for suite in suites for check in suite.checks],
    )
    for suite in suites:
        lines += ["", _totals(suite), *_failures(suite.report)]
    return "\n".join(lines) + "\n"


def _row(suite: SuiteView, check: CheckView) -> Sequence[str]:
    verdict = check.verdict
    return (
        suite.name,
        check.name,
        number(check.estimate.mean),
        check.interval,
        f"{check.summary.threshold:g}",
        verdict.word,
        verdict.why,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(map(_text, row))} |" for row in rows),
    ]


def _totals(suite: SuiteView) -> str:
    report = suite.report
    return (
        f"**{_text(suite.name)}**: {_text(report.model)}; {report.cases} cases, "
        f"{len(report.results)} trials, {len(report.failures)} errors, {suite.unscored} unscored, "
        f"cost {_text(dollars(report.cost))}, {_text(seconds(report.seconds))}"
    )


def _failures(report: SuiteReport) -> list[str]:
    found: dict[str, str] = {}  # case to the first reason
    for result in report.results:
        if result.failure is not None:
            found.setdefault(result.case, f"{result.failure.type}: {result.failure.message}")
        for outcome in result.outcomes:
            if outcome.status == "fail":
                found.setdefault(result.case, f"{outcome.check}: {outcome.reason}")
    if not found:
        return []
    rows = [(case, reason[:MAX_REASON]) for case, reason in found.items()]
    more = [f"and {len(rows) - MAX_FAILURES} more"] if len(rows) > MAX_FAILURES else []
    return ["", *_table(("failed case", "first reason"), rows[:MAX_FAILURES]), "", *more]


def _text(text: str) -> str:
    """Return a text that Markdown and HTML read as that text: markup as numeric references."""
    plain = _INVISIBLE.sub(" ", text)
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain)
