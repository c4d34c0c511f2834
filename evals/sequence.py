"""One check between finished trials and its `Decider`: what is fed to it, and what it says.

One observation is one case, or all cases of one group. A group counts by its size, so that the mean
is over cases as in `compare`: what is fed is the group's mean difference times its size over the
largest group's, and margin and interval are scaled to match. With groups of one size that is the
plain mean difference. One large group among many small ones widens the interval, and should: the
mean over cases rests on it.

A trial counts as in `report.Tally`: a crash is 0, unless the check has never said a value;
unscored trials are left out. A case without a value on either side is left out. That is harmless
where silence does not depend on how good the output is. A candidate whose bad outputs leave a
judge speechless looks better than it is, here as in any comparison of what was scored, so
decisions say what they left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from .statistics.comparison import Verdict
from .statistics.sequential import LEAST, Decider, Decision, Looks
from .statistics.trials import UNIT, Trials

__all__ = ("CheckSequence", "Heard", "finite", "unfit")


@dataclass(frozen=True)
class Heard:
    """What one trial came to: a value per check that spoke, None where it was unscored."""

    crashed: bool
    values: Mapping[str, float | None]


def unfit(reference: Trials, groups: Sequence[Sequence[str]]) -> str:
    """Return why a check cannot be decided by this reference and plan; empty where it can."""
    sizes = _sizes(reference, groups)
    if why := _outside(value for values in reference.values for value in values):
        return why
    if len(sizes) < 2:
        return f"{len(sizes)} {_unit(sizes)} can be compared, and 2 are the least"
    return ""


def finite(value: float | None) -> float | None:
    """Return the value; None where it is no number, which is as good as unscored."""
    return value if value is not None and isfinite(value) else None


class CheckSequence:
    """One check's differences, observation by observation in the plan's order.

    Args:
        check: Its name.
        reference: What it is compared with.
        groups: The observations planned, each the keys of its cases.
        margin: How much worse a mean over cases may be and still be no worse.
        seek: The verdicts worth waiting for.
        alpha: Two-sided error over all looks.

    Attributes:
        verdict: None while undecided.
        reason: Why it cannot be decided; empty where it can.
    """

    def __init__(
        self,
        check: str,
        reference: Trials,
        groups: Sequence[Sequence[str]],
        *,
        margin: float,
        seek: tuple[Verdict, ...],
        alpha: float,
    ) -> None:
        self.verdict: Verdict | None = None
        self.reason = unfit(reference, groups)
        self._check = check
        self._before = dict(zip(reference.cases, reference.means.tolist(), strict=True))
        sizes = _sizes(reference, groups)
        self._largest = max(sizes, default=1)
        # One unit of what is fed, in differences over cases.
        self._scale = self._largest * len(sizes) / max(1, sum(sizes))
        self._what = _unit(sizes)
        self._margin, self._alpha, self._horizon = margin, alpha, len(sizes)
        self._looks = Looks(
            horizon=max(2, len(sizes)), margin=margin / self._scale, seek=seek, alpha=alpha
        )
        self._sizes = self._looks.sizes()
        self._decider = Decider(
            margin=self._looks.margin, horizon=self._looks.horizon, seek=seek, alpha=alpha
        )
        self._fed: list[float] = []
        self._held: list[tuple[int, float]] = []
        self._sum = self._weight = 0.0
        self._low, self._high = -1.0, 1.0
        self._left_out = 0
        self._spoke = self._mute = False

    @property
    def fixed_share(self) -> float:
        """The fixed design's observations as a share of the horizon; 0 where there is none."""
        return 0.0 if self.reason else self._looks.fixed_cases / self._horizon

    def add(self, trials: Mapping[str, Sequence[Heard]]) -> None:
        """Add an observation: every trial of its cases."""
        keys = [key for key in trials if key in self._before]
        if not keys or self.reason or self.verdict is not None:
            return
        self._listen([heard for key in keys for heard in trials[key]])
        if self.reason:
            return
        found = [(self._before[key], self._mean(trials[key])) for key in keys]
        differences = [after - before for before, after in found if after is not None]
        if not differences:
            self._leave_out()
            return
        # Those without a value are taken to be like the others of their group.
        self._held.append((len(keys), sum(differences) / len(differences)))
        if self._spoke or not self._mute:
            self._feed()

    def finish(self) -> None:
        """Take the last look at the end of the plan, with all of the error that is left.

        It is due where cases were left out and the horizon was not met. Taking the looks before to
        be further from it than they are widens the interval a little, and keeps it valid.
        """
        if self.reason or self.verdict is not None:
            return
        n = len(self._fed)
        if n < 2:
            self.reason = f"{n} {self._what} had a value on both sides, and 2 are the least"
            return
        times = [size / self._horizon for size in self._sizes if size <= n]
        found, _ = self._looks.at(np.array([self._fed]), (*times, 1.0))
        self._low, self._high = float(found.low[0]), float(found.high[0])
        self.verdict = _reading(self._low, self._high, self._margin / self._scale)

    @property
    def decision(self) -> Decision:
        """What is known, in differences over cases."""
        n = len(self._fed)
        mean = self._sum / self._weight if n else None
        low, high = max(-1.0, self._low * self._scale), min(1.0, self._high * self._scale)
        if self.reason:
            why = f"cannot be decided: {self.reason}"
            return Decision(
                verdict="inconclusive", difference=mean, low=-1.0, high=1.0, n_cases=n, why=why
            )
        if mean is not None:  # over cases; the interval's middle weighs groups by the plan's mean
            low, high = min(low, mean), max(high, mean)
        why = self._why(mean, low, high)
        return Decision(
            verdict=self.verdict, difference=mean, low=low, high=high, n_cases=n, why=why
        )

    def _listen(self, trials: Sequence[Heard]) -> None:
        """Note whether the check speaks, and refuse values it cannot be decided by."""
        said = [heard.values[self._check] for heard in trials if self._check in heard.values]
        values = [value for value in said if value is not None]
        self._spoke |= bool(values)
        self._mute |= len(values) < len(said)
        self.reason = _outside(values)

    def _mean(self, trials: Sequence[Heard]) -> float | None:
        values = [0.0 if heard.crashed else heard.values.get(self._check) for heard in trials]
        scored = [value for value in values if value is not None]
        return sum(scored) / len(scored) if scored else None

    def _leave_out(self) -> None:
        self._left_out += 1
        if not self._spoke and self._left_out >= LEAST:
            self.reason = f"it said nothing of the first {self._left_out} {self._what}"

    def _feed(self) -> None:
        """Hand over what is held, a look at a time: between looks nothing can be decided."""
        while self._held and self.verdict is None:
            size, difference = self._held.pop(0)
            self._sum += size * difference
            self._weight += size
            self._fed.append(size / self._largest * difference)
            if len(self._fed) in self._sizes:
                decision = self._decider.feed(self._fed[self._decider.decision.n_cases :])
                self._low, self._high = decision.low, decision.high
                self.verdict = decision.verdict

    def _why(self, mean: float | None, low: float, high: float) -> str:
        if mean is None:
            return "nothing was seen"
        level = f"sequential {100 * (1 - self._alpha):.4g}% interval"
        why = (
            f"{self.verdict or 'undecided'} after {len(self._fed)} of {self._horizon} "
            f"{self._what}: {mean:+.4g} ({level} {low:+.4g} to {high:+.4g}), "
            f"margin {self._margin:g}"
        )
        if self._left_out:
            why += f"; {self._left_out} without a value left out"
        if self.verdict is not None:
            why += f"; a fixed design of equal power needs {self._looks.fixed_cases} {self._what}"
        return why


def _reading(low: float, high: float, margin: float) -> Verdict:
    """Read a verdict off an interval, as `compare` does."""
    if low > 0:
        return "improved"
    if low > -margin or low == high == 0:
        return "no worse"
    return "regressed" if high < 0 else "inconclusive"


def _sizes(reference: Trials, groups: Sequence[Sequence[str]]) -> list[int]:
    """Return how many of the check's cases each observation has; those with none are not its."""
    having = set(reference.cases)
    sizes = [sum(key in having for key in group) for group in groups]
    return [size for size in sizes if size]


def _unit(sizes: Sequence[int]) -> str:
    return "groups" if max(sizes, default=1) > 1 else "cases"


def _outside(values: Iterable[float]) -> str:
    outside = next((value for value in values if not UNIT[0] <= value <= UNIT[1]), None)
    return "" if outside is None else f"it has the value {outside:g}, outside [0, 1]; scale it"
