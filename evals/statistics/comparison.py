"""Is b better than a? Paired by case, with an interval, a p-value, a margin and a plain verdict.

The difference of a case is its mean in b minus its mean in a: what makes a case hard cancels out
(Miller, arXiv:2411.00640, section 4.2). One function serves scores, cost and latency.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Literal

import numpy as np

from ...deps.errors import InputError
from .distributions import holm, mcnemar_p, normal_quantile, sign_flip_p, t_p, t_quantile
from .trials import UNIT, Bounds, Clusters, Floats, Trials, clusters, refuse_outside

__all__ = (
    "Better",
    "Comparison",
    "Verdict",
    "compare",
    "correct_for_many",
    "decided",
    "difference_interval",
    "least_detectable",
)

Verdict = Literal["improved", "no worse", "regressed", "inconclusive"]
"""`no worse`: the interval lies above minus the margin, whichever side of 0 it is on."""

Better = Literal["higher", "lower"]

ALPHA = 0.05
POWER = 0.8

FEW = 50
"""Up to so many clusters the p-value comes from flipped signs, above from Student's t."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What b is against a, in the unit of the values; differences are b - a.

    Attributes:
        name: What was compared, such as a check's name, or cost.
        better: Whether higher or lower values are better.
        mean_a: a's mean over the common cases; None when there are none.
        mean_b: b's mean over them.
        difference: mean_b - mean_a.
        low: Lower end of its 95% interval; None when there is none.
        high: Upper end.
        se: The clustered standard error behind the interval.
        p: Two-sided p-value of no difference.
        test: How p was made.
        adjusted_p: p after Holm's correction, where several comparisons were made.
        margin: How much worse still counts as no worse, in the unit of the values.
        mde: The least true difference that a run of this size finds, with 80% power at 5%.
        verdict: See `Verdict`.
        why: The verdict in a sentence.
        more_trials: Further trials per case and side that would decide; None when that is
            unknown or when no number of them would.
        more_cases: Further cases that would decide; None when unknown.
        n_cases: Cases in both.
        n_clusters: Groups among them, or cases.
        only_a: Cases that only a has; they are left out.
        only_b: Cases that only b has; they are left out.
    """

    name: str
    better: Better
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    p: float | None = None
    test: str = ""
    adjusted_p: float | None = None
    margin: float
    mde: float | None = None
    verdict: Verdict = "inconclusive"
    why: str = ""
    more_trials: int | None = None
    more_cases: int | None = None
    n_cases: int = 0
    n_clusters: int = 0
    only_a: int = 0
    only_b: int = 0


def compare(
    a: Trials,
    b: Trials,
    *,
    margin: float,
    better: Better = "higher",
    bounds: Bounds | None = UNIT,
    name: str = "mean",
) -> Comparison:
    """Compare b with a, case by case.

    Args:
        a: The reference.
        b: The candidate. Cases are matched by name; those of one side alone are left out.
        margin: How much worse b may be and still count as no worse, at least 0. For cost and
            latency a share of a's mean is a good choice.
        better: "lower" for cost and latency.
        bounds: What values are possible; None for cost and latency.
        name: What is compared, for the sentence.

    Raises:
        InputError: the margin is negative, a value lies outside the bounds, or a and b put one
            case into different groups.
    """
    if not margin >= 0:
        raise InputError(f"the margin is {margin}; give 0 or more")
    if bounds is not None:
        refuse_outside(a, bounds)
        refuse_outside(b, bounds)
    left, right = _common(a, b)
    n = len(left.cases)
    found = Comparison(
        name=name,
        better=better,
        margin=margin,
        n_cases=n,
        n_clusters=len(set(left.groups)) if left.groups else n,
        only_a=len(a.cases) - n,
        only_b=len(b.cases) - n,
    )
    if not n:
        return replace(found, why=f"{name}: inconclusive, because no case was scored on both sides")
    means = float(left.means.mean()), float(right.means.mean())
    found = replace(found, mean_a=means[0], mean_b=means[1], difference=means[1] - means[0])
    if found.n_clusters < 2:
        what = "group" if left.groups else "case"
        why = f"{name}: inconclusive, because one {what} says nothing of the others; add {what}s"
        return replace(found, why=why)
    return decided(_measured(found, left, right, bounds))


def correct_for_many(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons with Holm's adjusted p-values, and verdicts that heed them.

    Finding any improvement or regression among many is what needs the correction. "No worse" does
    not: all must hold together, so no chance adds up (Berger, Technometrics 24, 1982).
    """
    comparisons = list(comparisons)
    adjusted = iter(holm([c.p for c in comparisons if c.p is not None]))
    return tuple(
        c if c.p is None else decided(replace(c, adjusted_p=next(adjusted))) for c in comparisons
    )


def _common(a: Trials, b: Trials) -> tuple[Trials, Trials]:
    """Return both sides' values for the cases they share, in a's order."""
    at = {case: i for i, case in enumerate(b.cases)}
    pairs = [(i, at[case]) for i, case in enumerate(a.cases) if case in at]
    cases = tuple(a.cases[i] for i, _ in pairs)
    groups = None if a.groups is None else tuple(a.groups[i] for i, _ in pairs)
    other = None if b.groups is None else tuple(b.groups[j] for _, j in pairs)
    if groups is not None and other is not None and groups != other:
        raise InputError("the two sides put the same cases into different groups; use one grouping")
    groups = other if groups is None else groups
    return (
        Trials(cases=cases, values=tuple(a.values[i] for i, _ in pairs), groups=groups),
        Trials(cases=cases, values=tuple(b.values[j] for _, j in pairs), groups=groups),
    )


def _measured(found: Comparison, a: Trials, b: Trials, bounds: Bounds | None) -> Comparison:
    """Add the interval, the p-value, the detectable effect and what more data would do."""
    d = b.means - a.means
    gathered = clusters(d, a.groups)
    p, test = _p(d, a, b, gathered)
    found = replace(found, p=p, test=test)
    interval = difference_interval(gathered, None if bounds is None else bounds[1] - bounds[0])
    if interval is None:
        return found
    low, high, se = interval
    found = replace(found, low=low, high=high, se=se, mde=least_detectable(se, gathered.n))
    more_trials, more_cases = _more(found, a, b)
    return replace(found, more_trials=more_trials, more_cases=more_cases)


def least_detectable(se: float, n: int) -> float:
    """Return the least true difference that n clusters find 4 times in 5, at 5%.

    As solving the t test's power for the effect does, but for the noncentral t's small skew.
    """
    return (t_quantile(1 - ALPHA / 2, n - 1) + t_quantile(POWER, n - 1)) * se


def difference_interval(
    gathered: Clusters, width: float | None
) -> tuple[float, float, float] | None:
    """Return the 95% interval of the mean difference, and the standard error in it.

    Without bounds: Student's t. With them the t interval fails where few cases differ (a mean of
    0.98 falling to 0.93: it covers 72% with 25 cases), so two pseudo-clusters are added, one
    for and one against, as Agresti and Min (Stat. Med. 24, 2005) do for matched pairs of passes
    and fails. There they differ by 1; here, where trials are averaged, by the root mean square of
    the clusters that differ at all and of one more that differs by the most possible. Where none
    differs: Wilson's bound on how often they might. Coverage in simulations: 94.2% or more.
    """
    n, scores = gathered.n, gathered.scores
    quantile = t_quantile(1 - ALPHA / 2, n - 1)
    if width is None:
        half = quantile * gathered.se
        return None if not half else (gathered.mean - half, gathered.mean + half, gathered.se)
    differing = int(np.count_nonzero(gathered.means))
    if not differing:
        bound = width * quantile**2 / (gathered.effective + quantile**2)
        return -bound, bound, bound / quantile
    squares = float((scores**2).sum())
    step = (squares + width**2) / (differing + 1)
    middle = float(scores.sum()) / (n + 2)
    se = sqrt(((squares + step) / (n + 2) - middle**2) / (n + 1))
    low, high = middle - quantile * se, middle + quantile * se
    return max(-width, min(low, gathered.mean)), min(width, max(high, gathered.mean)), se


def _p(d: Floats, a: Trials, b: Trials, gathered: Clusters) -> tuple[float, str]:
    single = a.n_trials == b.n_trials == len(d) and a.binary and b.binary and a.groups is None
    if single:
        return mcnemar_p(int((d > 0).sum()), int((d < 0).sum())), "exact McNemar"
    totals = gathered.means if a.groups is None else _totals(d, a.groups)
    differing = totals[totals != 0]  # a flipped 0 is a 0: it changes no pattern's mean
    if len(differing) < 2:
        return 1.0, "exact sign flip"
    if gathered.n <= FEW or not gathered.se:
        exact = len(differing) <= 13  # 2^13 patterns are fewer than are drawn
        return sign_flip_p(differing), "exact sign flip" if exact else "sign flip, seeded"
    return t_p(gathered.mean / gathered.se, gathered.n - 1), "t, clustered error"


def _totals(d: Floats, groups: tuple[str, ...]) -> Floats:
    _, index = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    return np.bincount(index, weights=d).astype(np.float64)


def _more(found: Comparison, a: Trials, b: Trials) -> tuple[int | None, int | None]:
    """Return how many more trials per case, or cases, would decide with 80% power.

    Supposing the difference stays as measured: SE^2 = (w^2 + s_a^2/K_a + s_b^2/K_b) / n, where
    s^2 is the variance between trials of a case, and w^2 what is left, which only cases reduce.
    """
    assert found.difference is not None
    assert found.se is not None
    gain = found.difference if found.better == "higher" else -found.difference
    distance = max(gain + found.margin, -gain)  # to the nearest bound that would decide
    if distance <= 0:
        return None, None
    wanted = (distance / (normal_quantile(1 - ALPHA / 2) + normal_quantile(POWER))) ** 2
    ratio = found.se**2 / wanted
    more_cases = max(0, ceil(found.n_cases * (ratio - 1)))
    noise = (_noise(a) + _noise(b)) / found.n_cases  # of SE^2, what more trials would reduce
    trials = min(a.n_trials, b.n_trials) / found.n_cases
    rest = wanted - max(0.0, found.se**2 - noise)
    if ratio <= 1 or noise <= 0 or rest <= 0:
        return (0 if ratio <= 1 else None), more_cases
    return max(0, ceil(trials * (noise / rest - 1))), more_cases


def _noise(trials: Trials) -> float:
    """Return the mean over cases of the variance that trials leave in a case's mean."""
    repeated = [np.array(scored) for scored in trials.values if len(scored) > 1]
    if not repeated:
        return 0.0
    freedom = sum(len(scored) - 1 for scored in repeated)
    within = sum(float(((s - s.mean()) ** 2).sum()) for s in repeated) / freedom
    return within * float((1 / trials.counts).mean())


def decided(found: Comparison) -> Comparison:
    """Return the comparison with its verdict, and why."""
    assert found.difference is not None
    # Every case differs alike, and nothing bounds those not yet seen: the sign test alone decides.
    low = found.difference if found.low is None else found.low
    high = found.difference if found.high is None else found.high
    if found.better == "lower":
        low, high = -high, -low
    p = found.p if found.adjusted_p is None else found.adjusted_p
    verdict = _verdict(low, high, found.margin, p is not None and p <= ALPHA)
    return replace(found, verdict=verdict, why=f"{found.name}: {_sentence(found, verdict, p)}")


def _verdict(low: float, high: float, margin: float, significant: bool) -> Verdict:
    """Judge the interval of the gain: positive is better whatever the unit."""
    if low > 0 and significant:
        return "improved"
    if low > -margin or low == high == 0:
        return "no worse"
    return "regressed" if high < 0 and significant else "inconclusive"


def _sentence(found: Comparison, verdict: Verdict, p: float | None) -> str:
    interval = "in every case"
    if found.low is not None:
        interval = f"95% interval {found.low:+.4g} to {found.high:+.4g}"
    figures = (
        f"{found.difference:+.4g} ({interval}; p = {p:.3g}, {found.test}) "
        f"over {found.n_cases} cases"
    )
    margin = f"the margin of {found.margin:g}"
    if verdict == "improved":
        return f"improved by {figures}"
    if verdict == "no worse":
        return f"no worse: {figures}, within {margin}"
    if verdict == "regressed":
        return f"regressed by {figures}, beyond {margin}"
    return f"inconclusive: {figures} neither keeps to {margin} nor shows a loss. {_advice(found)}"


def _advice(found: Comparison) -> str:
    if found.mde is None:
        return "More cases would decide."
    start = f"A true difference of {found.mde:.3g} or more would be found 4 times in 5. "
    if not found.more_cases:
        return start + "It is close: any more cases or trials may decide."
    if found.more_trials:
        means = f"{found.more_trials} more trials of every case on both sides, or "
    else:
        means = "" if found.more_trials is None else "a few more trials, or "
    tail = f"about {means}{found.more_cases} more cases would decide"
    only = "" if means else "; trials alone would not"
    return f"{start}If the difference stays, {tail} with 80% power{only}."
