"""Values per case and trial, and how they gather into independent clusters."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...deps.errors import InputError

__all__ = ("UNIT", "Bounds", "Clusters", "Floats", "Trials", "clusters", "refuse_outside")

Floats: TypeAlias = NDArray[np.float64]

Bounds: TypeAlias = tuple[float, float]
"""The least and the greatest value that is possible, not that was seen."""

UNIT: Bounds = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """One check's values, case by case. Build it with `of`.

    Attributes:
        cases: The cases with at least one value, in order of appearance.
        values: Their values, at least one each; all finite.
        groups: The group of each case; None when every case stands for itself.
        unscored: Trials without a value. They are in no figure, and counted here.
        unscored_cases: Cases of which no trial has a value.
    """

    cases: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    groups: tuple[str, ...] | None = None
    unscored: int = 0
    unscored_cases: int = 0

    @classmethod
    def of(
        cls,
        cases: Iterable[str],
        values: Iterable[float | None],
        groups: Iterable[str] | None = None,
    ) -> "Trials":
        """Gather one row per trial: its case, its value and, if there are any, its case's group.

        None, NaN and infinite values are unscored.

        Raises:
            InputError: the columns differ in length, or a case is in two groups.
        """
        cases, values = list(cases), list(values)
        by_case: dict[str, list[float]] = {}
        unscored = 0
        for case, value in _rows(cases, values):
            scored = by_case.setdefault(case, [])
            if value is None or not isfinite(value):
                unscored += 1
            else:
                scored.append(float(value))
        group_of = None if groups is None else _group_of(cases, list(groups))
        kept = [case for case, scored in by_case.items() if scored]
        return cls(
            cases=tuple(kept),
            values=tuple(tuple(by_case[case]) for case in kept),
            groups=None if group_of is None else tuple(group_of[case] for case in kept),
            unscored=unscored,
            unscored_cases=len(by_case) - len(kept),
        )

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many values each case has."""
        return np.array([len(scored) for scored in self.values], dtype=np.int64)

    @cached_property
    def means(self) -> Floats:
        """The mean of each case."""
        return np.array([sum(scored) / len(scored) for scored in self.values], dtype=np.float64)

    @cached_property
    def binary(self) -> bool:
        """Whether every value is 0 or 1."""
        return all(value in (0.0, 1.0) for scored in self.values for value in scored)

    @property
    def n_trials(self) -> int:
        """Trials that have a value."""
        return sum(map(len, self.values))


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """A mean over cases as a mean over clusters.

    Attributes:
        scores: One number a cluster, with the cases' mean as mean and the clustered standard
            error as the error of that mean: `m + G/n * sum(x_i - m)` (its linearised score).
        means: The plain mean of each cluster.
        effective: Kish's effective number of clusters: G where all have one size, else fewer.
    """

    scores: Floats
    means: Floats
    effective: float

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    @property
    def se(self) -> float:
        """The clustered standard error: sqrt(G/(G-1) * sum_g(sum_i(x_i - m))^2) / n."""
        return float(self.scores.std(ddof=1)) / sqrt(self.n)


def clusters(x: Floats, groups: Sequence[str] | None) -> Clusters:
    """Gather per-case numbers into clusters: the groups, or each case by itself."""
    if groups is None:
        return Clusters(scores=x, means=x, effective=float(len(x)))
    _, index = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.bincount(index, weights=x)
    mean = float(x.mean())
    return Clusters(
        scores=mean + len(sizes) / len(x) * (sums - sizes * mean),
        means=sums / sizes,
        effective=float(sizes.sum() ** 2 / (sizes**2).sum()),
    )


def _rows(cases: list[str], values: list[float | None]) -> Iterator[tuple[str, float | None]]:
    if len(cases) != len(values):
        raise InputError(f"{len(cases)} cases but {len(values)} values; give one value a row")
    return zip(cases, values, strict=True)


def _group_of(cases: list[str], groups: list[str]) -> dict[str, str]:
    if len(cases) != len(groups):
        raise InputError(f"{len(cases)} cases but {len(groups)} groups; give one group a row")
    found: dict[str, str] = {}
    for case, group in zip(cases, groups, strict=True):
        if found.setdefault(case, group) != group:
            raise InputError(
                f"case {case!r} is in groups {found[case]!r} and {group!r}; a case has one group"
            )
    return found


def refuse_outside(trials: Trials, bounds: Bounds) -> None:
    """Raise InputError if a value lies outside the bounds."""
    for case, scored in zip(trials.cases, trials.values, strict=True):
        for value in scored:
            if not bounds[0] <= value <= bounds[1]:
                raise InputError(
                    f"case {case!r} has the value {value:g}, outside {list(bounds)}; "
                    "give the right bounds, or None where there are none"
                )
