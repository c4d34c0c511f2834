"""The few functions of scipy and statsmodels that the verdicts rest on, typed.

All are imported when first called, for scipy.stats and statsmodels take a second or more; and by
name, for neither library has types.
"""

from collections.abc import Sequence
from importlib import import_module
from math import inf, sqrt
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = (
    "clopper_pearson",
    "holm",
    "mcnemar_p",
    "normal_quantile",
    "sign_flip_p",
    "t_p",
    "t_quantile",
    "wilson",
)

_STEPS = 2.0**30

RESAMPLES = 9999
"""Sign flips drawn where 2^n is more; below that all are enumerated and the test is exact."""


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    return float(_special().ndtri(probability))


def t_quantile(probability: float, freedom: float) -> float:
    """Return Student's t quantile; the normal one for infinite degrees of freedom."""
    if freedom == inf:
        return normal_quantile(probability)
    return float(_special().stdtrit(freedom, probability))


def t_p(t: float, freedom: float) -> float:
    """Return the two-sided p-value of a t statistic."""
    return float(2 * _special().stdtr(freedom, -abs(t)))


def wilson(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's score interval of a rate out of n, which need not be whole."""
    square = quantile * quantile / n
    middle = (rate + square / 2) / (1 + square)
    half = sqrt(rate * (1 - rate) * square + square * square / 4) / (1 + square)
    # Rounding must not push the estimate itself out.
    return max(0.0, min(middle - half, rate)), min(1.0, max(middle + half, rate))


def clopper_pearson(passed: int, n: int) -> tuple[float, float]:
    """Return the exact 95% interval of a rate (Clopper and Pearson, Biometrika 26, 1934)."""
    beta = _special().betaincinv
    low = float(beta(passed, n - passed + 1, 0.025)) if passed else 0.0
    return low, float(beta(passed + 1, n - passed, 0.975)) if passed < n else 1.0


def mcnemar_p(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: min(1, 2 P(Bin(b+c, 1/2) <= min))."""
    return min(1.0, float(2 * _special().bdtr(min(gained, lost), gained + lost, 0.5)))


def sign_flip_p(scores: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of a mean of 0 when the signs of the scores are flipped.

    Every pattern of signs is tried when there are at most `RESAMPLES`, else that many are drawn
    with a fixed seed. Valid when the scores are symmetric about 0 and independent under the null.
    """
    largest = float(np.abs(scores).max(initial=0.0))
    # In whole numbers sums are exact, so that equal ones are ties in whatever order they are added.
    whole = np.rint(scores / largest * _STEPS) if largest else scores
    found = import_module("scipy.stats").permutation_test(
        (whole,), _sum, permutation_type="samples", n_resamples=RESAMPLES, rng=0
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, Scand. J. Statist. 6, 1979).

    Not by statsmodels, whose `multipletests` collects garbage at every call: up to 0.2 s each.
    """
    p = np.array(p_values, dtype=np.float64)
    order = p.argsort()
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]


def _sum(scores: NDArray[np.float64], axis: int) -> Any:
    return scores.sum(axis=axis)


def _special() -> ModuleType:
    return import_module("scipy.special")
