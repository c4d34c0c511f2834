"""What a report shows of suites and checks, before it is HTML or Markdown.

Figures come from `estimates`; this module puts them beside the threshold and the reference, and
says in words what they mean.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ..report import CheckSummary, SuiteReport, estimate_of, trials_of
from ..statistics.comparison import Comparison
from ..statistics.estimates import Estimate, flaky_cases, pass_at_k, pass_hat_k
from ..statistics.trials import Trials

__all__ = (
    "CheckView",
    "Reference",
    "SuiteView",
    "Tone",
    "Verdict",
    "dollars",
    "number",
    "seconds",
    "suite_views",
)

Tone = Literal["good", "bad", "doubtful"]

_TONES: Mapping[str, Tone] = {
    "improved": "good",
    "no worse": "good",
    "meets its threshold": "good",
    "regressed": "bad",
    "below its threshold": "bad",
}
_GRAVITY = ("regressed", "inconclusive", "no worse", "improved")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict in words.

    Attributes:
        word: "improved", "no worse", "regressed", "inconclusive", "meets its threshold", ...
        why: The sentence that says why; may be empty.
    """

    word: str
    why: str = ""

    @classmethod
    def of(cls, comparison: Comparison) -> "Verdict":
        """Take over what a comparison says."""
        return cls(word=comparison.verdict, why=comparison.why.removeprefix(f"{comparison.name}: "))

    @property
    def tone(self) -> Tone:
        """How to colour it; the word is always there as well."""
        return _TONES.get(self.word, "doubtful")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a run is compared with.

    Attributes:
        label: What it is, in words: a run's id, "the accepted scorecard", "the baseline".
        reports: Its suites, with the cases that can be compared and no others: a case whose
            content has changed is left out by the caller.
        verdicts: (suite, check) to what the comparison says.
        costs: Suite to what the comparison of cost says.
        latencies: Suite to what the comparison of latency says.
    """

    label: str
    reports: tuple[SuiteReport, ...] = ()
    verdicts: Mapping[tuple[str, str], Verdict] = field(
        default_factory=dict[tuple[str, str], Verdict]
    )
    costs: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    latencies: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])

    def report(self, suite: str) -> SuiteReport | None:
        """Return its run of a suite, if it has one."""
        return next((report for report in self.reports if report.suite == suite), None)


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """One check of one suite.

    Attributes:
        values: Every case's values; a crash counts as 0.
        estimate: Their mean over cases, with its interval.
        reference: The same of the reference run; None without one.
        compared: What the comparison says; None where nothing was compared.
    """

    suite: str
    summary: CheckSummary
    values: Trials
    estimate: Estimate
    reference: Estimate | None = None
    compared: Verdict | None = None

    @property
    def name(self) -> str:
        return self.summary.check

    @property
    def verdict(self) -> Verdict:
        """What the comparison says or, without one, the threshold."""
        return self.compared or self.against_threshold

    @cached_property
    def against_threshold(self) -> Verdict:
        """Whether the threshold is met, and whether the interval is sure of it."""
        if self.estimate.mean is None:
            return Verdict(word="cannot say", why="nothing was scored")
        word = "meets its threshold" if self.summary.ok else "below its threshold"
        return Verdict(word=word, why=self._how_surely())

    @property
    def interval(self) -> str:
        """The 95% interval in words, or why there is none."""
        ci = self.estimate.ci
        return f"{number(ci[0])} to {number(ci[1])}" if ci else self.estimate.reason

    @cached_property
    def repeated(self) -> str:
        """Return pass@k and pass^k for the greatest k, where cases have several trials."""
        if not self.values.binary or not self.values.values:
            return ""
        k = min(map(len, self.values.values))
        if k < 2:
            return ""
        any_of, all_of = pass_at_k(self.values)[k].mean, pass_hat_k(self.values)[k].mean
        return f"pass@{k} {number(any_of)}, pass^{k} {number(all_of)}"

    @cached_property
    def flaky(self) -> int:
        """How many cases neither always pass nor always fail."""
        return len(flaky_cases(self.values))

    def _how_surely(self) -> str:
        ci, threshold = self.estimate.ci, self.summary.threshold
        if ci is None:
            return self.estimate.reason
        low, high = ci
        if self.summary.ok:
            sure, reaches = low >= threshold, "below"
        else:
            sure, reaches = high < threshold, "above"
        return "with its whole interval" if sure else f"the interval reaches {reaches} it"


@dataclass(frozen=True, kw_only=True)
class SuiteView:
    """One suite's run, its checks, and what the reference says of it."""

    report: SuiteReport
    checks: tuple[CheckView, ...]
    reference: Reference | None = None

    @property
    def name(self) -> str:
        return self.report.suite

    @property
    def unscored(self) -> int:
        """Trials of which a check could not say, over all checks."""
        return sum(check.unscored for check in self.report.checks)

    @property
    def cost_verdict(self) -> Verdict | None:
        return self.reference.costs.get(self.name) if self.reference else None

    @property
    def latency_verdict(self) -> Verdict | None:
        return self.reference.latencies.get(self.name) if self.reference else None

    @property
    def verdict(self) -> Verdict:
        """The gravest of its checks' verdicts, and how many checks say so."""
        compared = [check.compared.word for check in self.checks if check.compared]
        if compared:
            worst = next((word for word in _GRAVITY if word in compared), compared[0])
            return Verdict(word=worst, why=_share(compared.count(worst), len(self.checks)))
        words = [check.against_threshold.word for check in self.checks]
        for word in ("below its threshold", "meets its threshold"):
            if word in words:
                return Verdict(word=word, why=_share(words.count(word), len(words)))
        return Verdict(word="cannot say", why="nothing was scored")


def suite_views(
    reports: Iterable[SuiteReport],
    reference: Reference | None = None,
) -> tuple[SuiteView, ...]:
    """Return what to show of each suite.

    Args:
        reports: The run's suites.
        reference: What they are compared with.
    """
    return tuple(_suite(report, reference) for report in reports)


def number(value: float | None) -> str:
    """Return a mean with three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def dollars(value: float | None) -> str:
    """Return a cost; an unknown price is said, not guessed."""
    if value is None:
        return "unknown"
    return "$0" if value == 0 else f"${value:.4f}" if value < 1 else f"${value:,.2f}"


def seconds(value: float) -> str:
    """Return a duration in the unit in which people would say it."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes / 60:.1f} h"


def _suite(report: SuiteReport, reference: Reference | None) -> SuiteView:
    checks = tuple(_check(report, check, reference) for check in report.checks)
    return SuiteView(report=report, checks=checks, reference=reference)


def _check(
    report: SuiteReport,
    summary: CheckSummary,
    reference: Reference | None,
) -> CheckView:
    values = trials_of(report.results, summary.check)
    before: Estimate | None = None
    compared: Verdict | None = None
    if reference is not None:
        other = reference.report(report.suite)
        if other is not None:
            before = estimate_of(trials_of(other.results, summary.check))
        compared = reference.verdicts.get((report.suite, summary.check))
    return CheckView(
        suite=report.suite,
        summary=summary,
        values=values,
        estimate=estimate_of(values),
        reference=before,
        compared=compared,
    )


def _share(count: int, of: int) -> str:
    checks = "check" if of == 1 else "checks"
    return f"{count} of {of} {checks}"
