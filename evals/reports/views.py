"""What a report shows of suites and checks, before it is HTML or Markdown.

Figures come from `estimates`; this module puts them beside the threshold, the reference and the
baseline, and says in words what they mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..report import CheckSummary, SuiteReport, estimate_of
from ..resources import COST, LATENCY, TOKENS
from ..statistics.comparison import Comparison
from ..statistics.estimates import Estimate, FlakyCase, flaky_cases, pass_at_k, pass_hat_k, spread
from ..statistics.trials import Trials
from .words import BEATEN, BEATS, NO_LIFT, Against, Tone, Verdict, dollars, number, seconds

__all__ = (
    "Against",
    "CheckView",
    "Reference",
    "Reliability",
    "SuiteView",
    "Tone",
    "Verdict",
    "dollars",
    "number",
    "reliability",
    "seconds",
    "sides",
    "suite_views",
)

_GRAVITY = (
    ("regressed", "undecided", "inconclusive", "no worse", "improved"),
    (BEATEN, NO_LIFT, BEATS),
    ("below its threshold", "meets its threshold"),
)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a run is compared with.

    Attributes:
        label: What it is, in words: a run's id, "the accepted scorecard", "the baseline".
        reports: Its suites, with the cases that can be compared and no others: a case whose
            content has changed is left out by the caller. A scorecard has none.
        verdicts: (suite, check) to what the comparison says.
        costs: Suite to what the comparison of cost says.
        latencies: Suite to what the comparison of latency says.
        tokens: Suite to what the comparison of tokens says.
        lift: Whether it is the baseline, so that a difference is the lift over it.
    """

    label: str
    reports: tuple[SuiteReport, ...] = ()
    verdicts: Mapping[tuple[str, str], Verdict] = field(
        default_factory=dict[tuple[str, str], Verdict]
    )
    costs: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    latencies: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    tokens: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    lift: bool = False

    @classmethod
    def of(cls, against: Mapping[str, Against], reports: Sequence[SuiteReport] = ()) -> "Reference":
        """Gather what each suite was compared with.

        Args:
            against: Suite to what came of it.
            reports: The reference's suites, where it has trials.
        """
        labels = dict.fromkeys(one.label for one in against.values())
        return cls(
            label="; ".join(labels),
            reports=tuple(reports),
            verdicts={
                (suite, check): verdict
                for suite, one in against.items()
                for check, verdict in one.verdicts().items()
            },
            costs=_resources(against, COST),
            latencies=_resources(against, LATENCY),
            tokens=_resources(against, TOKENS),
            lift=any(one.lift for one in against.values()),
        )

    def report(self, suite: str) -> SuiteReport | None:
        """Return its run of a suite, if it has one."""
        return next((report for report in self.reports if report.suite == suite), None)

    @property
    def heading(self) -> str:
        """What its differences are called."""
        return "lift" if self.lift else "difference"


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How a check holds up when its cases are tried again.

    Attributes:
        k: The most trials that every case has.
        pass_at: k to the chance that one of k trials passes; empty unless it passes and fails.
        pass_hat: k to the chance that all of k trials pass.
        flaky: The cases that neither always pass nor always fail, the least settled first.
        rerun_sd: How far the mean moves when the same cases are run again, as a standard deviation.
    """

    k: int
    pass_at: Mapping[int, Estimate]
    pass_hat: Mapping[int, Estimate]
    flaky: tuple[FlakyCase, ...]
    rerun_sd: float | None


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """One check of one suite.

    Attributes:
        values: Every case's values; a crash counts as 0.
        estimate: Their mean over cases, with its interval.
        reference: The same of the reference; None without one.
        compared: What the comparison with it says; None where nothing was compared.
        baseline: The same of the baseline.
        lift: What the comparison with the baseline says.
    """

    suite: str
    summary: CheckSummary
    values: Trials
    estimate: Estimate
    reference: Estimate | None = None
    compared: Verdict | None = None
    baseline: Estimate | None = None
    lift: Verdict | None = None

    @property
    def name(self) -> str:
        return self.summary.check

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is said of it, the weightiest first: the reference, the baseline, the threshold.

        Of what only advises, that comes first.
        """
        compared, own = (self.compared, self.lift), (self.against_threshold,)
        found = (*own, *compared) if self.summary.advisory else (*compared, *own)
        return tuple(one for one in found if one is not None)

    @property
    def verdict(self) -> Verdict:
        """The weightiest of its verdicts."""
        return self.verdicts[0]

    @cached_property
    def against_threshold(self) -> Verdict:
        """Whether the threshold is met, and whether the interval is sure of it."""
        if self.estimate.mean is None:
            return Verdict(word="cannot say", why="nothing was scored")
        if self.summary.advisory:
            return Verdict(word="advisory", why=self.summary.advisory)
        word = "meets its threshold" if self.summary.ok else "below its threshold"
        return Verdict(word=word, why=self._how_surely())

    @property
    def interval(self) -> str:
        """The 95% interval in words, or why there is none."""
        ci = self.estimate.ci
        return f"{number(ci[0])} to {number(ci[1])}" if ci else self.estimate.reason

    @cached_property
    def reliability(self) -> Reliability | None:
        """How it holds up over several trials; None where no case has two."""
        return reliability(self.values)

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
    """One suite's run, its checks, and what the reference and the baseline say of it."""

    report: SuiteReport
    checks: tuple[CheckView, ...]
    reference: Reference | None = None
    baseline: Reference | None = None

    @property
    def name(self) -> str:
        return self.report.suite

    @property
    def unscored(self) -> int:
        """Trials of which a check could not say, over all checks."""
        return sum(check.unscored for check in self.report.checks)

    @property
    def resources(self) -> tuple[tuple[str, str, Verdict], ...]:
        """What was compared: the resource's name, with what, and what that says of it."""
        return tuple(
            (name, side.label, verdicts[self.name])
            for side in self._sides
            for name, verdicts in (
                (COST, side.costs),
                (LATENCY, side.latencies),
                (TOKENS, side.tokens),
            )
            if self.name in verdicts
        )

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of the checks that decide, and how many of them say so."""
        checks = [check for check in self.checks if not check.summary.advisory]
        every = (
            [check.compared for check in checks if check.compared],
            [check.lift for check in checks if check.lift],
            [check.against_threshold for check in checks],
        )
        for gravity, found in zip(_GRAVITY, every, strict=True):
            words = [verdict.word for verdict in found]
            worst = next((word for word in gravity if word in words), next(iter(words), ""))
            if worst and worst != "cannot say":
                return Verdict(word=worst, why=_share(words.count(worst), len(checks)))
        return Verdict(word="cannot say", why="nothing was scored")

    @property
    def _sides(self) -> tuple[Reference, ...]:
        return tuple(one for one in (self.reference, self.baseline) if one is not None)


def suite_views(
    reports: Iterable[SuiteReport],
    reference: Reference | None = None,
    baseline: Reference | None = None,
) -> tuple[SuiteView, ...]:
    """Return what to show of each suite.

    Args:
        reports: The run's suites.
        reference: What they are compared with.
        baseline: The non-LLM baseline, where it is a second thing that they are compared with.
    """
    reference, baseline = sides(reference, baseline)
    return tuple(_suite(report, reference, baseline) for report in reports)


def sides(
    reference: Reference | None, baseline: Reference | None
) -> tuple[Reference | None, Reference | None]:
    """Return the reference and the baseline; a reference that is the baseline counts as that."""
    if reference is not None and reference.lift and baseline is None:
        return None, reference
    return reference, baseline


def reliability(values: Trials) -> Reliability | None:
    """Return how a check holds up over several trials; None where no case has two."""
    counts = [len(scored) for scored in values.values]
    if max(counts, default=0) < 2:
        return None
    return Reliability(
        k=min(counts),
        pass_at=pass_at_k(values) if values.binary else {},
        pass_hat=pass_hat_k(values) if values.binary else {},
        flaky=flaky_cases(values),
        rerun_sd=spread(values).rerun_sd,
    )


def _suite(
    report: SuiteReport, reference: Reference | None, baseline: Reference | None
) -> SuiteView:
    checks = tuple(_check(report, check, reference, baseline) for check in report.checks)
    return SuiteView(report=report, checks=checks, reference=reference, baseline=baseline)


def _check(
    report: SuiteReport,
    summary: CheckSummary,
    reference: Reference | None,
    baseline: Reference | None,
) -> CheckView:
    values = report.tally.trials(summary.check)
    before, compared = _side(reference, report.suite, summary.check)
    floor, lift = _side(baseline, report.suite, summary.check)
    return CheckView(
        suite=report.suite,
        summary=summary,
        values=values,
        estimate=estimate_of(values),
        reference=before,
        compared=compared,
        baseline=floor,
        lift=lift,
    )


def _side(side: Reference | None, suite: str, check: str) -> tuple[Estimate | None, Verdict | None]:
    """Return what one side's mean is, and what the comparison with it says."""
    if side is None:
        return None, None
    verdict = side.verdicts.get((suite, check))
    report = side.report(suite)
    if report is not None:
        return estimate_of(report.tally.trials(check)), verdict
    known = verdict is not None and verdict.before is not None
    return (Estimate(mean=verdict.before) if known and verdict else None), verdict


def _resources(against: Mapping[str, Against], name: str) -> dict[str, Verdict]:
    def found(one: Against) -> Comparison | None:
        return next((resource for resource in one.resources if resource.name == name), None)

    pairs = ((suite, found(one)) for suite, one in against.items())
    return {suite: Verdict.resource(one) for suite, one in pairs if one is not None}


def _share(count: int, of: int) -> str:
    checks = "check" if of == 1 else "checks"
    return f"{count} of {of} {checks}"
