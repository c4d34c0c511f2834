"""Means of a judge's verdicts, corrected for its errors by people's labels of a random part.

Prediction-powered inference (PPI++: Angelopoulos, Duchi and Zrnic, arXiv:2311.01453) takes the
judge for a covariate: the labelled cases say how far it is off, all others make that precise. It
needs no assumption about the judge; it needs labels that chance has drawn.

Rogan and Gladen's estimator (Am. J. Epidemiol. 107, 1978) needs no labels of this run, only the
judge's sensitivity and specificity from its calibration, and that they hold here as they did there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ...deps.errors import InputError
from .distributions import t_quantile
from .trials import UNIT, Bounds, Floats

__all__ = ("Corrected", "corrected_difference", "corrected_mean", "rogan_gladen")

LEAST = 10
"""Labels below which neither the judge's error nor its spread can be told."""

DOUBT = 0.5
"""Labels that are taken to be as far off as can be, beside those seen. Without, a judge that errs
seldom is found right in 50 labels and its interval is too short: it covers 90 to 93% in place of
95, and 95 to 99% with this, for 1 to 20% of errors."""

DRAWS = 4_000


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A mean that a judge's errors are taken out of.

    Attributes:
        mean: The corrected mean.
        low: The lower end of its 95% interval.
        high: Its upper end.
        raw: The mean of the judge's verdicts as they are.
        labels: Cases that people labelled.
        cases: All cases.
        power: How much the judge was worth, 0 (nothing) to 1: PPI++'s lambda.
        only_labels: The interval that the labels alone would give.
        method: How it was made, in words.
    """

    mean: float
    low: float
    high: float
    raw: float
    labels: int
    cases: int
    power: float | None = None
    only_labels: tuple[float, float] | None = None
    method: str = "PPI++"


def corrected_mean(
    judged: Mapping[str, float], labelled: Mapping[str, float], bounds: Bounds = UNIT
) -> Corrected:
    """Return the mean of what people would have said of all cases, with its 95% interval.

    The estimate is mean(Y) + power * (mean of the judge where nobody labelled - where they did);
    its variance var(Y - power f) / n + power^2 var(f) / N, and `power` that which makes it least,
    kept within 0 and 1. A t quantile of n - 1 degrees of freedom allows for few labels, and
    `DOUBT` for errors too rare to be among them.

    Args:
        judged: The judge's value of every case, its trials' mean.
        labelled: People's value of the cases that were drawn by chance.
        bounds: What values are possible.

    Raises:
        InputError: labels of cases that were not judged; fewer than 10 labels.
    """
    _refuse(judged, labelled)
    truth = np.array([labelled[case] for case in labelled], dtype=np.float64)
    said = np.array([judged[case] for case in labelled], dtype=np.float64)
    others = np.array([v for case, v in judged.items() if case not in labelled], dtype=np.float64)
    n, more = len(truth), len(others)
    power = _power(truth, said, more)
    shift = power * (float(others.mean()) - float(said.mean())) if more else 0.0
    unseen = DOUBT * (bounds[1] - bounds[0]) ** 2 / (n - 1)
    variance = (float((truth - power * said).var(ddof=1)) + unseen) / n
    if more:
        variance += power**2 * float(np.concatenate([said, others]).var(ddof=1)) / more
    quantile = t_quantile(0.975, n - 1)
    mean = float(truth.mean()) + shift
    alone = quantile * sqrt((float(truth.var(ddof=1)) + unseen) / n)
    low, high = _within(mean, quantile * sqrt(variance), bounds)
    return Corrected(
        mean=min(max(mean, bounds[0]), bounds[1]),
        low=low,
        high=high,
        raw=sum(judged.values()) / len(judged),
        labels=n,
        cases=len(judged),
        power=power,
        only_labels=_within(float(truth.mean()), alone, bounds),
    )


def corrected_difference(
    judged: tuple[Mapping[str, float], Mapping[str, float]],
    labelled: tuple[Mapping[str, float], Mapping[str, float]],
    bounds: Bounds = UNIT,
) -> Corrected:
    """Return how much better the second of two runs is than the first, by people's measure.

    The same estimator, on the differences of the cases that both runs have.

    Args:
        judged: The judge's value by case, of each run.
        labelled: People's value by case; cases labelled in both runs count.
        bounds: What values are possible.

    Raises:
        InputError: as for `corrected_mean`.
    """
    width = bounds[1] - bounds[0]
    before, after = judged
    gold_before, gold_after = labelled
    return corrected_mean(
        {case: after[case] - before[case] for case in before if case in after},
        {case: gold_after[case] - gold_before[case] for case in gold_before if case in gold_after},
        (-width, width),
    )


def rogan_gladen(
    passed: int, n: int, sensitivity: tuple[int, int], specificity: tuple[int, int]
) -> Corrected:
    """Return the pass rate that people would have found, from the judge's known errors.

    (q + Sp - 1) / (Se + Sp - 1), kept within 0 and 1; the interval from draws of all three rates,
    each a beta posterior with Jeffreys' prior, so the calibration's own uncertainty is in it.

    Args:
        passed: Items that the judge passed.
        n: Items that it judged.
        sensitivity: Of its calibration, hits and items that people passed.
        specificity: Hits and items that people failed.

    Raises:
        InputError: the judge's errors are as many as chance would make.
    """
    if not n or not sensitivity[1] or not specificity[1]:
        raise InputError("no items, or a calibration without passes or without fails; label both")
    se, sp = sensitivity[0] / sensitivity[1], specificity[0] / specificity[1]
    if se + sp <= 1:
        raise InputError(
            f"sensitivity {se:.2f} and specificity {sp:.2f} are no better than chance; its pass "
            "rate says nothing of the true one, use another judge"
        )
    rng = np.random.default_rng(0)
    rates, hits, misses = (
        rng.beta(k + 0.5, of - k + 0.5, DRAWS) for k, of in ((passed, n), sensitivity, specificity)
    )
    better = hits + misses > 1  # what the calibration has ruled out already
    draws = np.clip((rates + misses - 1)[better] / (hits + misses - 1)[better], 0, 1)
    mean = min(max((passed / n + sp - 1) / (se + sp - 1), 0.0), 1.0)
    low, high = (float(end) for end in np.quantile(draws, (0.025, 0.975)))
    return Corrected(
        mean=mean,
        low=min(low, mean),
        high=max(high, mean),
        raw=passed / n,
        labels=sensitivity[1] + specificity[1],
        cases=n,
        method="Rogan-Gladen",
    )


def _refuse(judged: Mapping[str, float], labelled: Mapping[str, float]) -> None:
    if unknown := sorted(labelled.keys() - judged.keys()):
        raise InputError(f"labels of cases that were not judged: {unknown[:5]}; judge them too")
    if len(labelled) < LEAST:
        raise InputError(
            f"{len(labelled)} labels cannot correct a mean; label {LEAST} or more, at random"
        )


def _power(truth: Floats, said: Floats, more: int) -> float:
    spread = float(said.var(ddof=1))
    if not more or not spread:
        return 0.0
    together = float(np.cov(truth, said, ddof=1)[0, 1])
    return min(max(together / ((1 + len(truth) / more) * spread), 0.0), 1.0)


def _within(mean: float, half: float, bounds: Bounds) -> tuple[float, float]:
    return max(bounds[0], mean - half), min(bounds[1], mean + half)
