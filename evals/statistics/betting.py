"""A confidence sequence for a mean of bounded differences: look as often as you like.

The hedged capital process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables
by betting" (J. R. Stat. Soc. B 86, 2024; arXiv:2010.01686, theorem 3). For each candidate mean m
one gambler bets that the true mean is greater and one that it is less; where m is true neither can
expect to gain, so by Ville's inequality a capital that ever reaches 1/alpha refutes m, whenever
and why ever one looked.

Assumes: each observation (one case, the mean difference over its trials) lies in [-1, 1], and has
the same mean given those before it, as cases taken in random order from a large population do.
Nothing about shape, variance, symmetry or sample size. The price: wider than a fixed interval.
"""

from functools import cache
from math import log

import numpy as np

from .trials import Floats

__all__ = ("ConfidenceSequence", "confidence_sequence")

_TRUNCATION = 0.5
"""The greatest share of its capital that a gambler stakes (the paper's c)."""


class ConfidenceSequence:
    """Several runs' intervals, one observation at a time.

    Args:
        runs: How many runs go side by side.
        alpha: The chance that a run's true mean is ever outside.
        points: Candidate means tried in [-1, 1]; an end is rounded outwards to one of them. They
            lie closest around 0.
    """

    def __init__(self, runs: int = 1, alpha: float = 0.05, points: int = 1001) -> None:
        self._grid = _grid(points)
        self._threshold = log(2 / alpha)  # either gambler has half of the capital
        with np.errstate(divide="ignore"):
            self._caps = _TRUNCATION / self._grid, _TRUNCATION / (1 - self._grid)
        self._up, self._down = np.zeros((runs, points)), np.zeros((runs, points))
        self._low, self._high = np.zeros(runs), np.ones(runs)
        self._n = 0
        self._sum, self._squares = np.full(runs, 0.5), np.full(runs, 0.25)

    @property
    def low(self) -> Floats:
        """The lower ends."""
        return 2 * self._low - 1

    @property
    def high(self) -> Floats:
        """The upper ends."""
        return 2 * self._high - 1

    def add(self, differences: Floats) -> None:
        """Add one observation to each run.

        An interval that would be empty (a chance of less than alpha) stays what it last was.

        Raises:
            ValueError: a difference is outside [-1, 1] or NaN.
        """
        if not np.all(np.abs(differences) <= 1):
            raise ValueError("a difference is outside [-1, 1]; scale the values to [0, 1] first")
        y = (differences + 1) / 2
        stakes = self._stakes()[:, None]
        away = y[:, None] - self._grid
        self._up += np.log1p(np.minimum(stakes, self._caps[0]) * away)
        self._down += np.log1p(-np.minimum(stakes, self._caps[1]) * away)
        # `_up` falls with the candidate and `_down` rises: count how far each refutes. A refuted
        # candidate is itself the end, so rounding is outwards.
        below = (self._up >= self._threshold).sum(axis=1)
        above = (self._down >= self._threshold).sum(axis=1)
        last = len(self._grid) - 1
        low = np.maximum(self._low, self._grid[np.maximum(below - 1, 0)])
        high = np.minimum(self._high, self._grid[np.minimum(last + 1 - above, last)])
        fine = low <= high
        self._low, self._high = np.where(fine, low, self._low), np.where(fine, high, self._high)
        self._n += 1
        self._sum += y
        self._squares += (y - self._sum / (self._n + 1)) ** 2

    def _stakes(self) -> Floats:
        """Return what to stake next, from what came before (the paper's equation 26)."""
        variances = self._squares / (self._n + 1)
        t = self._n + 1
        return np.sqrt(2 * self._threshold / (variances * t * log(1 + t)))


def confidence_sequence(
    differences: Floats, alpha: float = 0.05, points: int = 1001
) -> tuple[Floats, Floats]:
    """Return the lower and upper end after each observation: nested, jointly valid at 1 - alpha.

    Args:
        differences: Runs by observations, each value in [-1, 1].
        alpha: See `ConfidenceSequence`.
        points: See there.

    Returns:
        Two arrays of the shape of `differences`.

    Raises:
        ValueError: a difference is outside [-1, 1] or NaN.
    """
    sequence = ConfidenceSequence(len(differences), alpha, points)
    low, high = np.empty(differences.shape), np.empty(differences.shape)
    for t in range(differences.shape[1]):
        sequence.add(differences[:, t])
        low[:, t], high[:, t] = sequence.low, sequence.high
    return low, high


@cache
def _grid(points: int) -> Floats:
    """Return candidate means in [0, 1], three times closer at the middle than evenly spaced."""
    u = np.linspace(-1, 1, points)
    return (1 + u * (1 + 2 * u**2) / 3) / 2
