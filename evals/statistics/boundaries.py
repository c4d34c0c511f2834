"""Group-sequential boundaries: how far z must go at each look when a horizon is known.

A run that looks k times at a 5% test raises false alarms in more than 5%; spending the 5% over the
looks keeps it (Lan and DeMets, Biometrika 70, 1983). Assumes that z is normal with independent
increments, as a mean of independent clusters is when there are enough of them: 10 or more that
differ. All times are shares of the horizon's information, which for cases in random order is the
share of the cases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import e, log, sqrt
from typing import Any, Literal, TypeAlias

import numpy as np

from .distributions import normal_quantile
from .trials import Floats

__all__ = ("Crossing", "Plan", "Spending", "boundaries", "crossing", "normal_cdf", "plan", "spent")

Spending: TypeAlias = Literal["obrien-fleming", "pocock", "linear"]
"""How fast the error is spent: late, early or evenly."""

_NODES = 96  # Gauss-Legendre; the published values are met to 3 decimals from 40 on
_FAR = 9.0  # standard deviations, beyond which there is no probability worth adding


@dataclass(frozen=True)
class Crossing:
    """Chances of first leaving the region at each look.

    Attributes:
        above: Through the upper boundary.
        below: Through the lower one.
    """

    above: tuple[float, ...]
    below: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """A design of equally spaced looks.

    Attributes:
        times: The looks, as shares of the horizon.
        upper: |z| from which there is a difference (two-sided, whatever futility says).
        futile: z up to which looking for a gain is not worth while (it may be ignored at no
            cost in false alarms: it is non-binding); the last one equals the last upper.
        drift: Mean of z at the horizon under the effect found with the wanted power.
    """

    times: tuple[float, ...]
    upper: tuple[float, ...]
    futile: tuple[float, ...]
    drift: float

    def inflation(self, alpha: float = 0.05, power: float = 0.8) -> float:
        """Return the horizon as a multiple of the fixed design of the same error and power."""
        return (self.drift / (normal_quantile(1 - alpha / 2) + normal_quantile(power))) ** 2


def spent(time: float, total: float, spending: Spending) -> float:
    """Return how much of the two-sided error `total` may be spent by `time`, a share in [0, 1].

    Lan and DeMets's alpha_1* (O'Brien-Fleming type) and alpha_2* (Pocock type), and alpha t (Kim
    and DeMets, Biometrika 74, 1987, with rho 1).
    """
    time = min(1.0, time)
    if time <= 0:
        return 0.0
    if spending == "obrien-fleming":
        return float(4 * normal_cdf(-normal_quantile(1 - total / 4) / sqrt(time)))
    return total * (log(1 + (e - 1) * time) if spending == "pocock" else time)


@cache
def boundaries(
    times: tuple[float, ...], alpha: float = 0.05, spending: Spending = "obrien-fleming"
) -> tuple[float, ...]:
    """Return the two-sided boundary of |z| at each look; it depends on no later look.

    Args:
        times: Looks so far, rising shares of the horizon's information.
        alpha: Two-sided error over all looks.
        spending: How fast it is spent.
    """
    found: list[float] = []
    used = 0.0
    walk = _Walk(0.0)
    for time in times:
        due = spent(time, alpha, spending)
        walk.step(time)
        bound = _bound(walk.above, (due - used) / 2)
        walk.keep(-bound, bound)
        found.append(bound)
        used = due
    return tuple(found)


@cache
def plan(
    looks: int,
    alpha: float = 0.05,
    power: float = 0.8,
    spending: Spending = "pocock",
    beta_spending: Spending = "pocock",
) -> Plan:
    """Return a design of equally spaced looks: efficacy two-sided, futility non-binding.

    The futility boundary spends 1 - power under the drift that meets the efficacy boundary at the
    horizon (Pampallona, Tsiatis and Kim, Drug Inf. J. 35, 2001).
    """
    times = tuple((k + 1) / looks for k in range(looks))
    upper = boundaries(times, alpha, spending)

    def futility(drift: float) -> tuple[float, ...]:
        return _futility(times, upper, drift, 1 - power, beta_spending)

    def shortfall(drift: float) -> float:
        return power - sum(crossing(times, futility(drift), upper, drift).above)

    drift = _root(shortfall, 1.5, 8.0)
    return Plan(times=times, upper=upper, futile=futility(drift), drift=drift)


def crossing(
    times: Sequence[float], lower: Sequence[float], upper: Sequence[float], drift: float = 0.0
) -> Crossing:
    """Return the chances of first crossing z boundaries at each look.

    Args:
        times: The looks, rising shares of the horizon.
        lower: Lower boundary of z at each.
        upper: Upper boundary.
        drift: Mean of z at the horizon.
    """
    walk = _Walk(drift)
    above: list[float] = []
    below: list[float] = []
    for time, low, high in zip(times, lower, upper, strict=True):
        walk.step(time)
        above.append(walk.above(high))
        below.append(walk.below(low))
        walk.keep(low, high)
    return Crossing(above=tuple(above), below=tuple(below))


class _Walk:
    """The density of z sqrt(t), by quadrature over the region still going on.

    Armitage, McPherson and Rowe's recursion (J. R. Stat. Soc. A 132, 1969), on Gauss-Legendre
    nodes.
    """

    def __init__(self, drift: float) -> None:
        self.drift = drift
        self.time = self.before = 0.0
        self.nodes: Floats = np.zeros(1)
        self.weights: Floats = np.ones(1)  # density times quadrature weight

    def step(self, time: float) -> None:
        if not time > self.time:
            raise ValueError(f"a look at {time:g} after one at {self.time:g}; looks must advance")
        self.before, self.time = self.time, time

    def above(self, z: float) -> float:
        """Return the chance of first being above z now."""
        return float(self.weights @ normal_cdf(-self._standard(z)))

    def below(self, z: float) -> float:
        return float(self.weights @ normal_cdf(self._standard(z)))

    def keep(self, low: float, high: float) -> None:
        """Go on from between two values of z."""
        root, middle = sqrt(self.time), self.drift * self.time
        ends = max(low * root, middle - _FAR * root), min(high * root, middle + _FAR * root)
        x, w = _gauss()
        half = max(0.0, (ends[1] - ends[0]) / 2)
        nodes = (ends[0] + ends[1]) / 2 + half * x
        step = self.time - self.before
        away = (nodes[:, None] - self.nodes[None, :] - self.drift * step) / sqrt(step)
        density = np.exp(-(away**2) / 2) @ self.weights / sqrt(2 * np.pi * step)
        self.nodes, self.weights = nodes, density * half * w

    def _standard(self, z: float) -> Floats:
        step = self.time - self.before
        return (z * sqrt(self.time) - self.nodes - self.drift * step) / sqrt(step)


def _futility(
    times: tuple[float, ...],
    upper: tuple[float, ...],
    drift: float,
    beta: float,
    spending: Spending,
) -> tuple[float, ...]:
    walk = _Walk(drift)
    found: list[float] = []
    used = 0.0
    for time, high in zip(times[:-1], upper[:-1], strict=True):
        due = spent(time, beta, spending)
        walk.step(time)
        low = -_bound(lambda z: walk.below(-z), due - used)
        found.append(min(low, high))
        walk.keep(found[-1], high)
        used = due
    return (*found, upper[-1])


def _bound(chance: Callable[[float], float], wanted: float) -> float:
    """Return the z whose chance, falling in z, is as wanted; `_FAR` where too little is wanted."""

    def excess(z: float) -> float:
        return chance(z) - wanted

    return _root(excess, -_FAR, _FAR) if excess(_FAR) < 0 < excess(-_FAR) else _FAR


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    optimize, _ = _scipy()
    return float(optimize.brentq(function, low, high, xtol=1e-9))


@cache
def _gauss() -> tuple[Floats, Floats]:
    x, w = np.polynomial.legendre.leggauss(_NODES)
    return np.asarray(x, dtype=np.float64), np.asarray(w, dtype=np.float64)


def normal_cdf(z: Any) -> Any:
    """Return the chance that a standard normal value is below z, a number or an array."""
    _, special = _scipy()
    return special.ndtr(z)


def _scipy() -> tuple[Any, Any]:
    from scipy import optimize, special  # type: ignore[import-untyped]

    return optimize, special
