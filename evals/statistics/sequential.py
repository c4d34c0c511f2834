"""Stop a paired comparison as soon as its verdict is settled.

One observation is one case (or the mean over one group of cases): the difference b - a of the
means of its trials, in [-1, 1]. Take the cases in a random order that does not depend on results,
run each case's trials on both sides, feed the difference in that order, and stop when `Decider`
says so:

    decider = Decider(margin=0.02, horizon=400)
    for batch in batches_of_cases:  # shuffled with a seed
        decision = decider.feed(differences_of(batch))
        if decision.settled:
            break

With a horizon (the budget pays for so many cases) the interval is a repeated confidence interval on
group-sequential boundaries: theta +- c_k SE_k (Jennison and Turnbull, J. R. Stat. Soc. B 51, 1989),
with c_k from alpha spending and futility that is non-binding. Without one it is a confidence
sequence. In simulations (`benchmarks/sequential.py`) the former needs a third to a half of the
latter's calls where there is no effect, half of them at the effect that a fixed design finds with
80% power, and as many at twice that: give a horizon wherever there is one.

Which trials are worth paying for: those of cases not yet seen. Further trials of a case because
of how its first ones came out would bias its difference (a case stopped at its first pass looks
better than it is), so the choice may rest on the reference's results only: see `trials_needed`.

What is assumed. Cases are independent, or fed as groups. With a horizon also: enough of them that
differ for z to be near normal (Student's t and two pseudo-clusters are used for few, see
`interval`); simulated false alarms and coverage are in tests/test_sequential.py. Several
checks: a decider each, with `alpha` divided by their number (Bonferroni).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...deps.errors import InputError
from .betting import ConfidenceSequence
from .boundaries import Plan, Spending, boundaries, normal_cdf, plan
from .comparison import ALPHA, POWER, Verdict
from .distributions import t_quantile
from .trials import Floats, Trials

__all__ = (
    "GATE",
    "Codes",
    "Decider",
    "Decision",
    "Intervals",
    "Looks",
    "interval",
    "settle",
    "trials_needed",
)

LEAST = 10
"""No look before so many cases: fewer never settle anything, and z is far from normal."""

GATE: tuple[Verdict, ...] = ("no worse", "regressed")
"""What a gate waits for; a search for something better seeks ("improved",)."""

Codes: TypeAlias = NDArray[np.int8]

_VERDICTS: tuple[Verdict | None, ...] = (
    None,
    "improved",
    "no worse",
    "regressed",
    "inconclusive",
)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is known after the cases so far.

    Attributes:
        verdict: None while undecided; see `assay.evals.statistics.comparison.Verdict`.
        difference: Mean difference b - a of the cases so far; None before the first.
        low: Lower end of its interval at the last look, valid although one looked before.
        high: Upper end.
        n_cases: Observations so far.
        why: The state in a sentence.
    """

    verdict: Verdict | None
    difference: float | None
    low: float
    high: float
    n_cases: int
    why: str

    @property
    def settled(self) -> bool:
        return self.verdict is not None


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of several runs at one look, and how far z is from what matters.

    Attributes:
        low: Lower ends.
        high: Upper ends.
        z: Difference over its standard error.
        z_margin: Difference + margin over its standard error.
    """

    low: Floats
    high: Floats
    z: Floats
    z_margin: Floats


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The arithmetic of looks at a known horizon, over arrays of runs.

    The spending is linear because that saved most calls at equal error in simulations, all effects
    considered: a few points over O'Brien-Fleming's for no effect or the expected one, 15 for twice
    that, at a horizon 1.3 to 1.4 times the fixed design's.

    Attributes:
        horizon: Cases that the budget pays for.
        margin: How much worse still counts as no worse.
        looks: How many looks are planned, equally spaced.
        alpha: Two-sided error over all looks.
        power: For the futility boundary.
        seek: The verdicts worth waiting for: `GATE`, or ("improved",).
        spending: How alpha is spent over the looks.
    """

    horizon: int
    margin: float
    looks: int = 20
    alpha: float = ALPHA
    power: float = POWER
    seek: tuple[Verdict, ...] = GATE
    spending: Spending = "linear"

    @property
    def plan(self) -> Plan:
        # A gate stops for futility only when both its verdicts are futile, which is late: giving up
        # early buys it nothing and would cost horizon.
        beta: Spending = "linear" if len(self.seek) == 1 else "obrien-fleming"
        return plan(self.looks, self.alpha, self.power, self.spending, beta)

    @property
    def fixed_cases(self) -> int:
        """Cases that a design without looks needs for the same error and power."""
        return ceil(self.horizon / self.plan.inflation(self.alpha, self.power))

    def sizes(self) -> list[int]:
        """Return after how many cases to look."""
        found = sorted({ceil(time * self.horizon) for time in self.plan.times})
        return [n for n in found if n >= min(LEAST, self.horizon)]

    def at(self, seen: Floats, times: tuple[float, ...]) -> tuple[Intervals, Codes]:
        """Return intervals and verdict codes of runs (runs, n) at the last of the looks at `times`.

        Codes are indexes into None, improved, no worse, regressed, inconclusive.
        """
        n = seen.shape[1]
        bound = boundaries(times, self.alpha, self.spending)[-1]
        found = interval(seen, _student(bound, n), self.margin)
        futile = float(np.interp(times[-1], self.plan.times, self.plan.futile))
        return found, settle(
            found, self.margin, _student(futile, n), self.seek, last=times[-1] >= 1
        )


def settle(
    found: Intervals, margin: float, futile: float, seek: Sequence[Verdict], *, last: bool
) -> Codes:
    """Return a verdict code for each run; see `Looks.at`.

    A run stops when none of the verdicts sought is open any more: each is shown, contradicted, or
    futile (what would be missed with less than the wanted power). The verdict is then read off the
    interval as in `compare`.

    Args:
        found: The intervals.
        margin: As in `compare`.
        futile: z up to which a gain is futile; mirrored for a loss.
        seek: The verdicts worth waiting for.
        last: Whether the horizon is reached.
    """
    improved, lost = found.low > 0, found.high < 0
    no_worse = (found.low > -margin) | ((found.low == 0) & (found.high == 0))
    waiting = np.zeros(len(improved), dtype=np.bool_)
    if "improved" in seek:
        waiting |= ~improved & (found.z > futile)
    if "no worse" in seek:
        waiting |= ~no_worse & ~lost & (found.z_margin > futile)
    if "regressed" in seek:
        waiting |= ~no_worse & ~lost & (found.z < -futile)
    waiting &= not last
    codes = np.select([waiting, improved, no_worse, lost], [0, 1, 2, 3], default=4)
    return codes.astype(np.int8)


class Decider:
    """Feed differences case by case; it says when the verdict is settled.

    Args:
        margin: How much worse b may be and still count as no worse, in the unit of the values.
        horizon: Cases the budget pays for; None when there is no end in sight.
        seek: The verdicts worth waiting for: `GATE` stops at no worse without waiting to see
            whether it is an improvement; ("improved",) stops when that is shown or futile.
        looks: How many looks to plan up to the horizon, 100 or fewer. A look is taken at the first
            feed that reaches it, so batches may have any size.
        alpha: Two-sided error over all looks.

    Raises:
        InputError: the margin, the horizon or what is sought makes no sense.
    """

    def __init__(
        self,
        *,
        margin: float,
        horizon: int | None = None,
        seek: tuple[Verdict, ...] = GATE,
        looks: int = 20,
        alpha: float = ALPHA,
    ) -> None:
        if not margin >= 0:
            raise InputError(f"the margin is {margin}; give 0 or more")
        if horizon is not None and horizon < 2:
            raise InputError(f"a horizon of {horizon} cases decides nothing; give 2 or more")
        if not 1 <= looks <= 100:
            raise InputError(f"{looks} looks are planned; give 1 to 100")
        if not seek or "inconclusive" in seek:
            raise InputError(f"seek is {seek!r}; give one or more of improved, no worse, regressed")
        self.margin = margin
        self.seek = seek
        self.alpha = alpha
        self.looks = None
        if horizon is not None:
            self.looks = Looks(horizon=horizon, margin=margin, looks=looks, alpha=alpha, seek=seek)
        self.decision = Decision(
            verdict=None, difference=None, low=-1.0, high=1.0, n_cases=0, why="nothing was seen"
        )
        self._sequence = ConfidenceSequence(alpha=alpha)
        self._seen: list[float] = []
        self._times: tuple[float, ...] = ()

    @property
    def fixed_cases(self) -> int | None:
        """Cases of the fixed design of equal error and power; None without a horizon."""
        return None if self.looks is None else self.looks.fixed_cases

    def feed(self, differences: Sequence[float]) -> Decision:
        """Add the differences of further cases and return what is known now.

        Once settled, further cases (those under way when it stopped) change nothing.

        Raises:
            InputError: a difference is outside [-1, 1] or NaN.
        """
        for d in differences:
            if not -1 <= d <= 1:
                raise InputError(f"the difference {d} is outside [-1, 1]; scale scores to [0, 1]")
        if self.decision.settled or not differences:
            return self.decision
        self._seen.extend(differences)
        seen = np.array(self._seen)
        low, high, code = self._anytime(differences) if self.looks is None else self._look(seen)
        self.decision = self._described(float(seen.mean()), low, high, _VERDICTS[code])
        return self.decision

    def _anytime(self, differences: Sequence[float]) -> tuple[float, float, int]:
        for d in differences:
            self._sequence.add(np.array([d]))
        low, high = float(self._sequence.low[0]), float(self._sequence.high[0])
        # Without a horizon nothing is futile; a gain greater than the margin is excluded or not.
        waiting = "improved" in self.seek and low <= 0 and high >= self.margin
        if "no worse" in self.seek or "regressed" in self.seek:
            waiting |= low <= -self.margin and high >= 0
        if waiting:
            return low, high, 0
        return low, high, 1 if low > 0 else 2 if low > -self.margin else 3 if high < 0 else 4

    def _look(self, seen: Floats) -> tuple[float, float, int]:
        """Take the look that is due, if one is; between looks the interval stays as it was.

        It sees the cases up to the planned size, not those of the batch beyond: looks close
        together would gain nothing, and be hard on the quadrature.
        """
        assert self.looks is not None
        due = max((size for size in self.looks.sizes() if size <= len(seen)), default=0)
        time = due / self.looks.horizon
        if not due or (self._times and time <= self._times[-1]):
            return self.decision.low, self.decision.high, 0
        self._times = (*self._times, time)
        found, codes = self.looks.at(seen[None, :due], self._times)
        return float(found.low[0]), float(found.high[0]), int(codes[0])

    def _described(self, mean: float, low: float, high: float, verdict: Verdict | None) -> Decision:
        n = len(self._seen)
        of = "" if self.looks is None else f" of {self.looks.horizon}"
        level = f"sequential {100 * (1 - self.alpha):g}% interval"
        interval = f"{mean:+.4g} ({level} {low:+.4g} to {high:+.4g})"
        why = f"{verdict or 'undecided'} after {n}{of} cases: {interval}, margin {self.margin:g}"
        if verdict is not None and self.looks is not None:
            why += f"; a fixed design of equal power needs {self.looks.fixed_cases} cases"
        if verdict == "inconclusive" and n < (self.looks.horizon if self.looks else n):
            why += "; no verdict is likely within the horizon any more"
        return Decision(verdict=verdict, difference=mean, low=low, high=high, n_cases=n, why=why)


def trials_needed(reference: Trials, most: int) -> dict[str, int]:
    """Return how many trials of b each case deserves: one where all of a's agreed, else `most`.

    Repeating a settled case teaches little. Each count depends on a's results only, which
    b's trials are independent of, so every case's difference stays unbiased (were b's own
    results to decide, it would not). A case with a single reference trial deserves `most`.
    """
    return {
        case: 1 if len(values) > 1 and min(values) == max(values) else most
        for case, values in zip(reference.cases, reference.values, strict=True)
    }


def interval(seen: Floats, quantile: float, margin: float) -> Intervals:
    """Return intervals of the mean of each run (runs, n) in [-1, 1], `quantile` errors wide.

    As in `comparison`: two pseudo-clusters, one for and one against, that differ by what clusters
    that differ at all differ by (Agresti and Min, Stat. Med. 24, 2005), since the plain error is
    far too small where few cases differ; Wilson's bound where none does.
    """
    n = seen.shape[1]
    mean: Floats = seen.mean(axis=1)
    squares: Floats = (seen**2).sum(axis=1)
    differing: Floats = (seen != 0).sum(axis=1, dtype=np.float64)
    middle: Floats = seen.sum(axis=1) / (n + 2)
    step = (squares + 1) / (differing + 1)
    se: Floats = np.sqrt(((squares + step) / (n + 2) - middle**2) / (n + 1))
    if_none = quantile / (n + quantile**2)  # so that quantile * se is Wilson's bound
    se[differing == 0] = if_none
    low, high = middle - quantile * se, middle + quantile * se
    return Intervals(
        low=np.maximum(-1.0, np.minimum(low, mean)),
        high=np.minimum(1.0, np.maximum(high, mean)),
        z=middle / se,
        z_margin=(middle + margin) / se,
    )


@cache
def _student(z: float, n: int) -> float:
    """Return Student's t quantile of n - 1 degrees of freedom that is as improbable as z."""
    tail = float(
        normal_cdf(-abs(z))
    )  # the other tail would round to 1 and its quantile to infinity
    return float(np.copysign(t_quantile(tail, n - 1), z))
