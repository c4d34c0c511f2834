"""How far a judge agrees with people, beyond what chance would make of it, with 95% intervals.

Cohen's kappa is (po - pe) / (1 - pe): agreement seen, over that expected of two who label apart
(Educ. Psychol. Meas. 20, 1960); for scores each disagreement counts by its squared distance
(weighted kappa, Psychol. Bull. 70, 1968). Its usual standard error is 0 where two agree
throughout, as if 20 labels had proved anything. So the interval is Bayesian: the table's cells are
a Dirichlet posterior whose prior weighs two items in all (Jeffreys' for two labels), and kappa's
quantiles are taken from draws of it. It covers 91 to 97% where 95 are meant, from 30 items on, two
to five labels, kappa .4 to .95 (`tests/test_agreement.py` holds a part of that).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...deps.errors import InputError
from .distributions import normal_quantile, wilson
from .estimates import mean_interval
from .trials import Floats, Trials

__all__ = (
    "Agreement",
    "Interval",
    "Label",
    "Level",
    "Weights",
    "agreement",
    "alpha",
    "between",
    "labels_needed",
)

Label = str | int
Weights = Literal["nominal", "quadratic"]
"""What a disagreement counts: all alike, or by its squared distance on the scale."""

Level = Literal["nominal", "ordinal", "interval"]
"""What distances between ratings mean: none, their ranks', their numbers'."""

DRAWS = 4_000
PRIOR = 2.0
"""Items that the prior weighs, spread evenly over the table."""

RESAMPLES = 1_000
MOST_LABELS = 100_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure and its 95% interval; ends are None where there is none to be had."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A judge beside people.

    Attributes:
        labels: What they may say, in order.
        table: Items by what the judge said (row) and people said (column).
        unscored: Items that the judge did not answer; in no figure.
        accuracy: The share of items on which they agree.
        kappa: Agreement beyond chance, -1 to 1; None where all was given one label, so that
            chance agrees as well.
        weights: How disagreements count in kappa.
        sensitivity: Of what people passed, the share that the judge passes; of two labels alone.
        specificity: Of what people failed, the share that the judge fails.
        clusters: What independent observations are counted by: groups of items, or items.
    """

    labels: tuple[Label, ...]
    table: tuple[tuple[int, ...], ...]
    unscored: int
    accuracy: Interval
    kappa: Interval | None
    weights: Weights
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    clusters: int = 0

    @property
    def items(self) -> int:
        """Items that both have labelled."""
        return sum(map(sum, self.table))


def agreement(
    judge: Sequence[Label | None],
    people: Sequence[Label],
    *,
    labels: Sequence[Label] | None = None,
    weights: Weights = "nominal",
    positive: Label | None = None,
    groups: Sequence[str] | None = None,
) -> Agreement:
    """Compare what a judge said of items with what people said of them.

    Args:
        judge: Label by item; None where the judge gave no valid answer.
        people: Label by item.
        labels: All that there are, in order; those that occur by default.
        weights: How disagreements count in kappa.
        positive: Which of two labels is the pass, for sensitivity and specificity.
        groups: What each item stands or falls with, such as its document; widens the intervals.

    Raises:
        InputError: the columns differ in length, nothing was answered, or a label is unknown.
    """
    if len(judge) != len(people) or (groups is not None and len(groups) != len(people)):
        raise InputError(f"{len(judge)} verdicts, {len(people)} labels: give one each an item")
    answered = [i for i, said in enumerate(judge) if said is not None]
    if not answered:
        raise InputError(f"the judge answered none of {len(judge)} items; nothing can be compared")
    pairs = [(_some(judge[i]), people[i]) for i in answered]
    known = tuple(labels) if labels is not None else _in_order({x for pair in pairs for x in pair})
    counts = _table(pairs, known)
    right = [1.0 if said == true else 0.0 for said, true in pairs]
    of = None if groups is None else [groups[i] for i in answered]
    estimate = mean_interval(Trials.of(map(str, answered), right, of))
    size = _independent(right, estimate.se, of is not None)
    two = len(known) == 2 and positive in known
    hit, other = (known.index(positive), 1 - known.index(positive)) if two else (0, 0)
    return Agreement(
        labels=known,
        table=tuple(tuple(int(count) for count in row) for row in counts),
        unscored=len(judge) - len(answered),
        accuracy=Interval(value=sum(right) / len(right), low=estimate.low, high=estimate.high),
        kappa=_kappa_interval(counts * size, _weights(len(known), weights)),
        weights=weights,
        sensitivity=_share(counts[hit, hit], counts[:, hit].sum(), size) if two else None,
        specificity=_share(counts[other, other], counts[:, other].sum(), size) if two else None,
        clusters=estimate.n_clusters,
    )


def labels_needed(found: Agreement, floor: float) -> int | None:
    """Return how many items in all would lift kappa's lower end to `floor`, agreement as it is.

    None where more of the same would not, for kappa itself is not above the floor.
    """
    if found.kappa is None or found.kappa.value <= floor:
        return None
    counts = np.array(found.table, dtype=np.float64)
    matrix = _weights(len(found.labels), found.weights)
    low, high = found.items, MOST_LABELS
    while low < high:
        middle = (low + high) // 2
        wanted = _kappa_interval(counts * (middle / found.items), matrix)
        enough = wanted is not None and wanted.low is not None and wanted.low >= floor
        low, high = (low, middle) if enough else (middle + 1, high)
    return low if low < MOST_LABELS else None


def alpha(
    ratings: Sequence[Sequence[float | None]],
    level: Level = "nominal",
) -> Interval | None:
    """Return Krippendorff's alpha of several raters, who need not have rated everything.

    The interval is the bootstrap's over items, with a fixed seed (Hayes and Krippendorff,
    Communication Methods and Measures 1, 2007). None where nobody rated what another one did, or
    all ratings are alike.

    Args:
        ratings: A row a rater, a column an item; None where one did not rate.
        level: What distances between ratings mean.
    """
    data = np.array([[np.nan if r is None else r for r in row] for row in ratings], dtype=float)
    data = data[:, (~np.isnan(data)).sum(axis=0) > 1] if data.size else data
    values = np.unique(data[~np.isnan(data)])
    if len(values) < 2:
        return None
    # By items and values: all that alpha reads, and what a bootstrap draws from.
    counts = np.stack([(data == value).sum(axis=0) for value in values], axis=1)
    measure = import_module("krippendorff").alpha
    found = float(measure(value_counts=counts, value_domain=values, level_of_measurement=level))
    rng = np.random.default_rng(0)
    draws = [counts[rng.integers(len(counts), size=len(counts))] for _ in range(RESAMPLES)]
    again = [
        float(measure(value_counts=draw, value_domain=values, level_of_measurement=level))
        for draw in draws
        if (draw.sum(axis=0) > 0).sum() > 1  # of one value alone there is none
    ]
    low, high = np.quantile(again, (0.025, 0.975))
    return Interval(value=found, low=float(low), high=float(high))


def between(raters: Sequence[Sequence[Label | None]]) -> float | None:
    """Return how often two people agree: over all pairs of raters, on what both labelled."""
    same = [
        a == b
        for one, other in combinations(raters, 2)
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]
    return sum(same) / len(same) if same else None


def _some(label: Label | None) -> Label:
    assert label is not None
    return label


def _in_order(labels: set[Label]) -> tuple[Label, ...]:
    return tuple(sorted(labels, key=lambda label: (isinstance(label, str), label)))


def _table(pairs: Sequence[tuple[Label, Label]], labels: tuple[Label, ...]) -> Floats:
    place = {label: i for i, label in enumerate(labels)}
    if unknown := {label for pair in pairs for label in pair} - place.keys():
        raise InputError(f"labels {_in_order(unknown)} are none of {labels}")
    counts = np.zeros((len(labels), len(labels)))
    for said, true in pairs:
        counts[place[said], place[true]] += 1
    return counts


def _independent(right: Sequence[float], se: float | None, grouped: bool) -> float:
    """Return the share of items that count as independent: one over the design effect."""
    n, rate = len(right), sum(right) / len(right)
    alone = rate * (1 - rate) / n
    return min(1.0, alone / se**2) if grouped and se and alone else 1.0


def _weights(k: int, weights: Weights) -> Floats:
    if weights == "nominal":
        return np.eye(k)
    steps = np.arange(k)
    return 1.0 - ((steps[:, None] - steps) / max(1, k - 1)) ** 2


def _kappa(tables: NDArray[np.float64], weights: Floats) -> Any:
    shares = tables / tables.sum(axis=(-1, -2), keepdims=True)
    rows, columns = shares.sum(axis=-1), shares.sum(axis=-2)
    seen = (shares * weights).sum(axis=(-1, -2))
    chance = np.einsum("...i,ij,...j->...", rows, weights, columns)
    return (seen - chance) / (1 - chance)


def _kappa_interval(counts: Floats, weights: Floats) -> Interval | None:
    cells = counts.size
    used = (counts.sum(axis=0) > 0) | (counts.sum(axis=1) > 0)
    if used.sum() < 2:
        return None
    posterior = np.random.default_rng(0).dirichlet(counts.ravel() + PRIOR / cells, DRAWS)
    draws = _kappa(posterior.reshape(-1, *counts.shape), weights)
    value = float(_kappa(counts, weights))
    low, high = (float(end) for end in np.quantile(draws, (0.025, 0.975)))
    # Where they agree throughout, the estimate stands at the edge of what is possible.
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _share(hits: float, n: float, size: float) -> Interval | None:
    if not n:
        return None
    low, high = wilson(hits / n, n * size, normal_quantile(0.975))
    return Interval(value=float(hits / n), low=low, high=high)
