"""One ranking out of several."""

from collections.abc import Iterable, Sequence
from math import fsum

__all__ = ("K", "fused")

K = 60
"""The constant of reciprocal-rank fusion, as its authors chose it: it damps the first places."""


def fused(rankings: Iterable[Sequence[int]], k: int = K) -> list[tuple[int, float]]:
    """Return what any ranking holds, best first, each with its score.

    Reciprocal-rank fusion: an item's score is the sum of 1 / (k + rank) over the rankings that
    hold it, ranks from 1 (Cormack, Clarke and Büttcher, SIGIR 2009). It needs no common scale of
    the rankings' own scores. Of equal scores the smaller number is first, so the order of the
    rankings does not matter.

    Args:
        rankings: Items by number, best first, each at most once.
        k: How little the first places count above the rest.
    """
    terms: dict[int, list[float]] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            terms.setdefault(item, []).append(1 / (k + rank))
    scores = ((item, fsum(parts)) for item, parts in terms.items())
    return sorted(scores, key=lambda scored: (-scored[1], scored[0]))
