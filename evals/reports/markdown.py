"""A run as Markdown, for a CI job's summary page."""

import re
from collections.abc import Container, Iterable, Sequence

from ..outcome import TrialResult
from ..report import SuiteReport
from .views import CheckView, Reference, SuiteView, sides, suite_views
from .words import Verdict, dollars, number, seconds, signed, span

__all__ = ("markdown_summary",)

MAX_FAILURES = 20
"""Failed cases listed under a suite; the HTML report has them all."""

MAX_REASON = 200

_MARKUP = re.compile(r"[\\`*_\[\]<>#!|~&@:$]|(?<=www)\.", re.IGNORECASE)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u2069\ud800-\udfff]+")


def markdown_summary(
    reports: Iterable[SuiteReport],
    *,
    reference: Reference | None = None,
    baseline: Reference | None = None,
    title: str = "Evaluation",
    stopped: str = "",
) -> str:
    """Return a table of all checks with their verdicts, and the first failed cases.

    Args:
        reports: The run's suites.
        reference: What they are compared with; without one, verdicts are about thresholds.
        baseline: The non-LLM baseline, where they are compared with that as well.
        title: The heading.
        stopped: Why the run ended before all was done; empty if it did not.
    """
    reference, baseline = sides(reference, baseline)
    suites = suite_views(reports, reference, baseline)
    lines = [f"## {_text(title)}", ""]
    if stopped:
        lines += [f"**Stopped before all was done**: {_text(stopped)}", ""]
    if labels := [_text(side.label) for side in (reference, baseline) if side]:
        lines += [f"Compared with {'; '.join(labels)}.", ""]
    compared = [side.heading for side in (reference, baseline) if side]
    lines += _table(
        ("suite", "check", "mean", "95% interval", "threshold", *compared, "verdict", "why"),
        [_row(suite, check) for suite in suites for check in suite.checks],
    )
    for suite in suites:
        lines += ["", _totals(suite), *_resources(suite), *_failures(suite.report)]
    return "\n".join(lines) + "\n"


def _row(suite: SuiteView, check: CheckView) -> Sequence[str]:
    verdict, *others = check.verdicts
    changes = ((suite.reference, check.compared), (suite.baseline, check.lift))
    # Where there is a reference and a baseline, both are said.
    more = [other.sentence for other in others if other is check.lift]
    return (
        suite.name,
        check.name,
        number(check.estimate.mean),
        check.interval,
        f"{check.summary.threshold:g}",
        *(_change(found) for side, found in changes if side is not None),
        verdict.word,
        "; ".join(part for part in (verdict.why, *more) if part),
    )


def _change(found: Verdict | None) -> str:
    if found is None or found.difference is None:
        return "–"
    return f"{signed(found.difference)} ({span(found.low, found.high)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(map(_text, row))} |" for row in rows),
    ]


def _totals(suite: SuiteView) -> str:
    report, totals = suite.report, suite.report.totals
    replayed = f"{totals.replayed} replayed, " if totals.replayed else ""
    return (
        f"**{_text(suite.name)}**: {_text(report.model)}; {totals.cases} cases, "
        f"{totals.trials} trials, {replayed}{totals.errors} errors, {suite.unscored} unscored, "
        f"cost {_text(dollars(totals.cost))}, {_text(seconds(report.seconds))}"
    )


def _resources(suite: SuiteView) -> list[str]:
    """Return what the comparison of cost and latency says, one line each."""
    lines = [
        f"- {name}, compared with {_text(label)}: {_text(verdict.sentence)}"
        for name, label, verdict in suite.resources
    ]
    return ["", *lines] if lines else []


def _failures(report: SuiteReport) -> list[str]:
    found: dict[str, str] = {}  # case to the first reason
    for result in report.results:
        if result.case not in found and (reason := _reason(result, report.advisory)):
            found[result.case] = reason[:MAX_REASON]
    if not found:
        return []
    rows = list(found.items())
    more = [f"and {len(rows) - MAX_FAILURES} more"] if len(rows) > MAX_FAILURES else []
    return ["", *_table(("failed case", "first reason"), rows[:MAX_FAILURES]), "", *more]


def _reason(result: TrialResult, advisory: Container[str]) -> str:
    """Return why a trial failed; empty if it did not."""
    if result.failure is not None:
        return f"{result.failure.type}: {result.failure.message}"
    failed = (f"{o.check}: {o.reason}" for o in result.failed(advisory))
    return next(failed, "")


def _text(text: str) -> str:
    """Return a text that Markdown and HTML read as that text: markup as numeric references."""
    plain = _INVISIBLE.sub(" ", text)
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain)
