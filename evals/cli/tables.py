"""Reports as terminal tables: plain data in, something that rich prints out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..report import CheckSummary, SuiteReport
from ..reports.views import Reliability, reliability
from ..reports.words import Against, Tone, Verdict, in_unit, signed_in_unit
from ..statistics.comparison import Comparison
from ..statistics.estimates import Estimate, FlakyCase

__all__ = (
    "Against",
    "comparison_table",
    "print_comparisons",
    "suite_table",
    "total_table",
)

MAX_SHOWN = 5
"""Crashed trials and flaky cases shown under a table; the JSON and the report have them all."""

Show: TypeAlias = Callable[[float | None], str]
"""How a figure is written; a dash where there is none."""

_COLOURS: Mapping[Tone, str] = {"good": "green", "bad": "red", "doubtful": "yellow"}


def suite_table(report: SuiteReport, against: Against | None = None) -> RenderableType:
    """Return a row per check, what the comparison says, and what several trials say.

    Args:
        report: The suite's run.
        against: What it was compared with, if it was.
    """
    held = {check.check: reliability(report.tally.trials(check.check)) for check in report.checks}
    several = {check: found for check, found in held.items() if found is not None}
    parts: list[RenderableType] = [
        _checks(report) if against is None else _compared(report, against)
    ]
    if against is not None:
        parts += map(_line, _sentences(against))
    if several:
        parts += [_reliability(several), *map(_line, _flaky(several))]
    return parts[0] if len(parts) == 1 else Group(*parts)


def total_table(reports: Sequence[SuiteReport]) -> Table:
    """Return a row per agent; underneath, what was replayed and what judges took, if anything."""
    table = Table(
        title="total",
        title_justify="left",
        caption="\n".join(escape(line) for report in reports for line in _aside(report)) or None,
        caption_justify="left",
    )
    table.add_column("agent")
    for heading in ("cases", "trials", "errors", "unscored", "requests", "cost", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for report in reports:
        totals = report.totals
        table.add_row(
            escape(report.suite),
            str(totals.cases),
            str(totals.trials),
            str(totals.errors),
            str(sum(check.unscored for check in report.checks)),
            str(totals.requests),
            _cost(totals.cost),
            f"{report.seconds:.1f}",
            _passed(report),
        )
    return table


def comparison_table(
    name: str, comparisons: Iterable[Comparison], resources: Iterable[Comparison] = ()
) -> Table:
    """Return a row per comparison, those of cost and latency last, in their units.

    `mde` is the minimum detectable effect; behind the number of cases stands how many more only
    one side has.

    Args:
        name: The suite's.
        comparisons: Of its checks.
        resources: Of cost, latency and tokens, by the names of `evals.resources`.
    """
    table = Table(title=escape(name), title_justify="left")
    table.add_column("check", overflow="fold", min_width=12)
    for heading in ("before", "after", "difference (95%)", "mde", "cases"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in comparisons:
        _add_comparison(table, one, _number, _signed)
    for one in resources:
        _add_comparison(table, one, *_units(one.name))
    return table


def print_comparisons(
    console: Console,
    name: str,
    comparisons: Sequence[Comparison],
    resources: Sequence[Comparison] = (),
) -> None:
    """Print a suite's comparisons as a table, and each verdict's sentence."""
    console.print(comparison_table(name, comparisons, resources))
    said = [one.why for one in comparisons]
    said += [f"{one.name}: {Verdict.resource(one).sentence}" for one in resources]
    for sentence in said:
        console.print(f"  {sentence}", markup=False, soft_wrap=True)


# -- a suite's checks


def _checks(report: SuiteReport) -> Table:
    table = _titled(report, _caption(report))
    table.add_column("check", no_wrap=True)
    for heading in ("mean", "95%", "threshold", "pass", "fail", "unscored", "error"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for check in report.checks:
        counts = (check.passed, check.failed, check.unscored, check.errors)
        table.add_row(
            escape(check.check),
            *_mean(check),
            f"{check.threshold:g}",
            *map(str, counts),
            _outcome(check),
        )
    return table


def _compared(report: SuiteReport, against: Against) -> Table:
    """Return the checks with what the comparison says, in the room of their counts."""
    table = _titled(report, [*_caption(report), *_unscored(report.checks)])
    table.add_column("check", overflow="fold")
    for heading in ("mean", "95%", "threshold", f"{against.heading} (95%)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    found = {one.name: one for one in against.comparisons}
    for check in report.checks:
        table.add_row(
            escape(check.check),
            *_mean(check),
            f"{check.threshold:g} {_outcome(check)}",
            *_difference(found.get(check.check)),
        )
    return table


def _titled(report: SuiteReport, caption: Iterable[str]) -> Table:
    return Table(
        title=escape(f"{report.suite}: {report.about}"),
        title_justify="left",
        caption="\n".join(map(escape, caption)),
        caption_justify="left",
    )


def _caption(report: SuiteReport) -> Iterator[str]:
    """Yield what the run took, the first crashed trials, and why checks are advisory."""
    totals = report.totals
    replayed = f"{totals.replayed} replayed, " if totals.replayed else ""
    hits = f"{totals.cache_hits:.0%} cache hits, " if totals.cached_tokens else ""
    yield (
        f"model: {report.model}; {totals.cases} cases, {totals.trials} trials, {replayed}"
        f"{totals.requests} requests, {hits}{_cost(totals.cost)}, {report.seconds:.1f} s"
    )
    for result in report.failures[:MAX_SHOWN]:
        if result.failure is not None:
            said = f"{result.failure.type}: {result.failure.message[:200]}"
            yield f"error in {result.case}: {said}"
    more = totals.errors - min(MAX_SHOWN, len(report.failures))
    if more > 0:
        yield f"and {more} more"
    for why in dict.fromkeys(report.advisory.values()):
        checks = ", ".join(check for check, its in report.advisory.items() if its == why)
        yield f"advisory: {checks}: {why}"


def _unscored(checks: Iterable[CheckSummary]) -> Iterator[str]:
    found = ", ".join(f"{check.check} {check.unscored}" for check in checks if check.unscored)
    if found:
        yield f"unscored: {found}"


def _mean(check: CheckSummary) -> tuple[str, str]:
    return _number(check.mean), "-" if check.low is None else f"{check.low:.3f}–{check.high:.3f}"


def _outcome(check: CheckSummary) -> str:
    if check.mean is None:
        return "[yellow]unscored[/]"
    if check.advisory:
        return "[yellow]advisory[/]"
    return "[green]ok[/]" if check.ok else "[red]below[/]"


# -- what it is compared with


def _difference(one: Comparison | None) -> tuple[str, str]:
    if one is None:
        return "-", "not compared"
    return _change(one), _coloured(Verdict.of(one))


def _sentences(against: Against) -> Iterator[str]:
    """Yield what every comparison says: all of a baseline's, and what is not plain of others'."""
    yield f"compared with {against.label}:"
    for check, verdict in against.verdicts().items():
        if against.lift or verdict.tone != "good":
            yield f"  {check} {verdict.sentence}" if against.lift else _said(check, verdict)
    for one in against.resources:
        yield _said(one.name, Verdict.resource(one))


def _said(name: str, verdict: Verdict) -> str:
    return f"  {name}: {verdict.sentence}"


def _add_comparison(table: Table, one: Comparison, show: Show, signed: Show) -> None:
    alone = one.only_a + one.only_b  # cases that only one side has
    table.add_row(
        escape(one.name),
        show(one.mean_a),
        show(one.mean_b),
        _change(one, signed),
        show(one.mde),
        f"{one.n_cases} (+{alone})" if alone else str(one.n_cases),
        one.verdict,
    )


# -- several trials


def _reliability(found: Mapping[str, Reliability]) -> Table:
    """Return pass@k and pass^k for as many trials as every case has, and how far trials differ."""
    most = max(one.k for one in found.values())
    table = Table(title=f"reliability over {most} trials of each case", title_justify="left")
    table.add_column("check", no_wrap=True)
    for heading in ("k", "pass@k", "pass^k", "95% of pass^k", "flaky cases", "sd of a rerun"):
        table.add_column(heading, justify="right")
    for check, one in found.items():
        at, hat = one.pass_at.get(one.k), one.pass_hat.get(one.k)
        table.add_row(
            escape(check),
            str(one.k) if hat else "-",
            _number(at.mean if at else None),
            _number(hat.mean if hat else None),
            _ends(hat),
            str(len(one.flaky)) if one.pass_hat else "-",
            _number(one.rerun_sd),
        )
    return table


def _flaky(found: Mapping[str, Reliability]) -> Iterator[str]:
    for check, one in found.items():
        if one.flaky:
            named = ", ".join(map(_flaky_case, one.flaky[:MAX_SHOWN]))
            more = len(one.flaky) - MAX_SHOWN
            yield f"flaky in {check}: {named}" + (f"; and {more} more" if more > 0 else "")


def _flaky_case(one: FlakyCase) -> str:
    return f"{one.case} {one.rate:.2f} of {one.trials} ({one.low:.2f} to {one.high:.2f})"


def _ends(found: Estimate | None) -> str:
    return "-" if found is None or found.ci is None else f"{found.low:.3f}–{found.high:.3f}"


# -- totals


def _aside(report: SuiteReport) -> Iterator[str]:
    """Yield what a suite replayed, and what its judges asked and cost."""
    totals = report.totals
    if totals.replayed:
        share = f"{totals.replayed} of {totals.trials} trials were replayed"
        yield f"{report.suite}: {share}, at no cost"
    if totals.judge_requests:
        cost = _cost(totals.judge_cost)
        yield f"{report.suite}: judges took {totals.judge_requests} requests, {cost}"


def _passed(report: SuiteReport) -> str:
    if all(check.mean is None for check in report.checks):
        return "[yellow]unscored[/]"
    return "[green]pass[/]" if report.ok else "[red]below[/]"


# -- cells


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _interval(low: float | None, high: float | None, show: Show = _signed) -> str:
    return "-" if low is None or high is None else f"{show(low)}…{show(high)}"


def _change(one: Comparison, show: Show = _signed) -> str:
    """Return a difference and its interval."""
    interval = "" if one.low is None else f" ({_interval(one.low, one.high, show)})"
    return f"{show(one.difference)}{interval}"


def _units(resource: str) -> tuple[Show, Show]:
    """Return how a mean and a difference of a resource are written."""

    def plain(value: float | None) -> str:
        return "-" if value is None else in_unit(value, resource)

    def signed(value: float | None) -> str:
        return "-" if value is None else signed_in_unit(value, resource)

    return plain, signed


def _coloured(verdict: Verdict) -> str:
    return f"[{_COLOURS[verdict.tone]}]{escape(verdict.word)}[/]"


def _line(text: str) -> Text:
    return Text(text)


def _cost(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.4f}"
