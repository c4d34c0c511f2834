"""How sure we are of a mean, of pass@k and of pass^k: estimates with 95% intervals.

The unit is the case: trials of one case are not independent, and cases of one `group` (one
document, one user) are not either. So every figure is a mean over cases, and its error is computed
between clusters: groups where they are given, else cases (Miller, "Adding Error Bars to Evals",
arXiv:2411.00640, section 2.2). Nothing here reads, prints or returns NaN: where no interval can be
had, it is None and `reason` says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb, inf, sqrt
from typing import Any

import numpy as np

from ...deps.errors import InputError
from .distributions import clopper_pearson, t_quantile, wilson
from .trials import UNIT, Bounds, Clusters, Floats, Trials, clusters, refuse_outside

__all__ = (
    "Estimate",
    "FlakyCase",
    "Spread",
    "flaky_cases",
    "mean_interval",
    "pass_at_k",
    "pass_hat_k",
    "spread",
)

_NOTHING = 1e-300  # a variance next to where numbers end: what is divided by it may be 0
_PRIOR_EVENTS = 2.0
"""How many clusters' worth of doubt `_effective_size` starts from; see there."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over cases and its 95% interval, in the unit of the values.

    Attributes:
        mean: The mean of the cases' means; None when nothing was scored.
        low: The interval's lower end; None when there is none.
        high: Its upper end.
        se: The standard error between clusters; None with fewer than two clusters.
        method: How the interval was made, in words.
        reason: Why there is no interval; empty when there is one.
        n_cases: Cases with a value.
        n_trials: Trials with a value.
        n_clusters: What the error was computed between: groups, or cases.
        unscored: Trials without a value; in no figure.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    method: str = ""
    reason: str = ""
    n_cases: int = 0
    n_trials: int = 0
    n_clusters: int = 0
    unscored: int = 0

    @property
    def ci(self) -> tuple[float, float] | None:
        """The 95% interval, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where the variance comes from, by the one-way analysis of variance.

    Attributes:
        between: Variance between the cases' true means, in squared units of the values.
        within: Variance between trials of one case; None when no case has two trials.
        icc: between / (between + within), in [0, 1]: 1 when trials of a case always agree.
        rerun_sd: How far the mean moves when the same cases are run again, as a standard deviation.
    """

    between: float | None
    within: float | None
    icc: float | None
    rerun_sd: float | None


@dataclass(frozen=True, kw_only=True)
class FlakyCase:
    """A case that neither always passes nor always fails, with its pass rate's 95% interval."""

    case: str
    rate: float
    low: float
    high: float
    trials: int


def mean_interval(trials: Trials, bounds: Bounds | None = UNIT) -> Estimate:
    """Return the mean over cases with its 95% interval.

    One trial a case, passes and fails, no groups: Wilson's interval (J. Am. Stat. Assoc. 22, 1927).
    Values with bounds: Wilson's interval at the effective sample size, with a t quantile of G-1
    degrees of freedom (Dean and Pagano, J. Surv. Stat. Methodol. 3, 2015; see `_effective_size`).
    Without bounds: the mean and a t quantile times the clustered standard error.

    Args:
        trials: The values.
        bounds: What values are possible; None when there is no least or no greatest.

    Raises:
        InputError: a value lies outside the bounds.
    """
    if bounds is not None:
        refuse_outside(trials, bounds)
    return _estimate(trials, trials.means, bounds, plain=trials.binary and bounds == UNIT)


def pass_at_k(trials: Trials) -> Mapping[int, Estimate]:
    """Return the chance that at least one of k trials passes, for k from 1 to the fewest trials.

    Per case the unbiased 1 - C(n-c, k) / C(n, k), then the mean over cases (Chen et al.,
    arXiv:2107.03374, equation 1).

    Raises:
        InputError: a value is neither 0 nor 1.
    """
    return _over_k(trials, lambda n, c, k: 1 - comb(n - c, k) / comb(n, k))


def pass_hat_k(trials: Trials) -> Mapping[int, Estimate]:
    """Return the chance that all of k trials pass (pass^k), for k from 1 to the fewest trials.

    Per case the unbiased C(c, k) / C(n, k), then the mean over cases (Yao et al., tau-bench,
    arXiv:2406.12045, section 3). The shortcut rate^k is biased upwards.

    Raises:
        InputError: a value is neither 0 nor 1.
    """
    return _over_k(trials, lambda n, c, k: comb(c, k) / comb(n, k))


def spread(trials: Trials) -> Spread:
    """Split the variance into that between cases and that between trials of one case."""
    repeated = [np.array(scored) for scored in trials.values if len(scored) > 1]
    if not repeated:
        return Spread(between=None, within=None, icc=None, rerun_sd=None)
    freedom = sum(len(scored) - 1 for scored in repeated)
    within = sum(float(((s - s.mean()) ** 2).sum()) for s in repeated) / freedom
    share = float((1 / trials.counts).mean())  # of `within` that a case's mean still carries
    rerun_sd = sqrt(within * share / len(trials.cases))
    if len(trials.cases) < 2:
        return Spread(between=None, within=within, icc=None, rerun_sd=rerun_sd)
    between = max(0.0, float(trials.means.var(ddof=1)) - within * share)
    total = between + within
    return Spread(
        between=between, within=within, icc=between / total if total else None, rerun_sd=rerun_sd
    )


def flaky_cases(trials: Trials, tolerance: float = 0.0) -> tuple[FlakyCase, ...]:
    """Return the cases whose rate is surely neither 0 nor 1, the least settled first.

    A case is flaky when the exact (Clopper-Pearson) 95% interval of its own pass rate lies within
    (tolerance, 1 - tolerance). With tolerance 0 that is: at least one pass and one fail. Raise the
    tolerance to be told only of cases that are far from settled. Values strictly between 0 and 1
    are no passes or fails: such data have no flaky cases, only a `spread`.
    """
    if not trials.binary:
        return ()
    found: list[FlakyCase] = []
    for case, scored in zip(trials.cases, trials.values, strict=True):
        n, passed = len(scored), round(sum(scored))
        if 0 < passed < n:
            low, high = clopper_pearson(passed, n)
            if low > tolerance and high < 1 - tolerance:
                found.append(FlakyCase(case=case, rate=passed / n, low=low, high=high, trials=n))
    return tuple(sorted(found, key=lambda flaky: (abs(flaky.rate - 0.5), flaky.case)))


def _estimate(trials: Trials, x: Floats, bounds: Bounds | None, *, plain: bool) -> Estimate:
    """Return the mean of `x` over cases; `plain` allows Wilson's own interval for single trials."""
    found = Estimate(
        mean=float(x.mean()) if len(x) else None,
        n_cases=len(x),
        n_trials=trials.n_trials,
        n_clusters=len(set(trials.groups)) if trials.groups else len(x),
        unscored=trials.unscored,
    )
    if not len(x):
        return _with(found, reason="nothing was scored")
    if found.n_clusters < 2:
        what = "group" if trials.groups else "case"
        return _with(found, reason=f"one {what} says nothing of how {what}s differ; add more")
    gathered = clusters(x, trials.groups)
    single = plain and trials.groups is None and bool((trials.counts == 1).all())
    if single:
        low, high = wilson(gathered.mean, len(x), t_quantile(0.975, inf))
        return _with(found, low=low, high=high, se=gathered.se, method="Wilson")
    if bounds is None:
        return _unbounded(found, gathered)
    return _bounded(found, gathered, bounds, "group" if trials.groups else "case")


def _unbounded(found: Estimate, gathered: Clusters) -> Estimate:
    if not gathered.se:
        return _with(
            found, se=0.0, reason="all values are equal, and nothing bounds those not yet seen"
        )
    half = t_quantile(0.975, gathered.n - 1) * gathered.se
    mean = gathered.mean
    return _with(
        found, low=mean - half, high=mean + half, se=gathered.se, method="t, clustered error"
    )


def _bounded(found: Estimate, gathered: Clusters, bounds: Bounds, what: str) -> Estimate:
    least, width = bounds[0], bounds[1] - bounds[0]
    n = _effective_size(gathered, bounds)
    rate = min(1.0, max(0.0, (gathered.mean - least) / width))
    low, high = wilson(rate, n, t_quantile(0.975, gathered.n - 1))
    return _with(
        found,
        low=least + width * low,
        high=least + width * high,
        se=gathered.se,
        method=f"Wilson at the effective sample size, clustered by {what}",
    )


def _effective_size(gathered: Clusters, bounds: Bounds) -> float:
    """Return how many independent passes or fails would give the mean this error.

    It is m(1-m) / SE^2, the sample size over the design effect. Near 0 and 1 that SE comes from the
    few clusters that differ from the rest, and is often far too small: with 25 cases of 4 trials
    and a mean near 0.05 the t interval covers 72%, this one without what follows 90%. So the
    variance between clusters is mixed with its greatest possible value, m(1-m) (trials of a cluster
    always agree), weighted as `_PRIOR_EVENTS` clusters against the clusters that tell: those
    with mixed results, and the rarer of all-pass and all-fail. In simulations (10 to 100 cases,
    2 to 8 trials, means 0.05 to 0.9, intra-class correlation 0 to 1; tests/test_estimates.py has
    a part) that covers 94% or more, but for Wilson's own dips where the trials of each case agree
    (93.5% at worst; 91% for a mean of 0.02 over 25 cases); the t interval falls to 40%. When all
    values are the least or the greatest, a cluster counts as one trial: with 50 clusters of
    passes the interval begins at 0.925.
    """
    least, width = bounds[0], bounds[1] - bounds[0]
    rate = (gathered.mean - least) / width
    most = rate * (1 - rate)
    if most < _NOTHING:
        return gathered.effective
    means = (gathered.means - least) / width
    zeros, ones = int((means == 0).sum()), int((means == 1).sum())
    telling = gathered.n - zeros - ones + min(zeros, ones)
    weight = telling / (telling + _PRIOR_EVENTS)
    seen = gathered.se**2 / width**2
    return most / (weight * seen + (1 - weight) * most / gathered.effective)


def _over_k(trials: Trials, estimator: Callable[[int, int, int], float]) -> Mapping[int, Estimate]:
    if not trials.binary:
        raise InputError("pass@k and pass^k need passes and fails; some values are not 0 or 1")
    passed = [round(sum(scored)) for scored in trials.values]
    found: dict[int, Estimate] = {}
    for k in range(1, min(map(len, trials.values), default=0) + 1):
        counts = zip(trials.counts.tolist(), passed, strict=True)
        x = np.array([estimator(n, c, k) for n, c in counts], dtype=np.float64)
        found[k] = _estimate(trials, x, UNIT, plain=True)
    return found


def _with(found: Estimate, **changes: Any) -> Estimate:
    return Estimate(**{**vars(found), **changes})
