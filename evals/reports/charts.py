"""Where the marks of the report's charts go. Numbers only; the template draws them.

All charts share one coordinate system: x from 0 to `WIDTH`, y downwards from 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from ..statistics.estimates import Estimate
from .views import CheckView, number

__all__ = ("HEIGHT", "WIDTH", "Bar", "Histogram", "Interval", "Stack", "histogram", "interval")

WIDTH, HEIGHT = 300.0, 72.0
PAD = 8.0
"""Room left and right of an interval's axis, so that a point at 0 or 1 is not cut off."""

BINS = 24
LONG_TAIL = 20
"""A greatest value that is so many medians asks for a logarithmic scale."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One rectangle, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    label: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line, such as the median."""

    x: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """A distribution.

    Attributes:
        about: The chart in words, for those who do not see it.
        low: The label of the axis' left end.
        high: The label of its right end.
        top: The greatest count.
    """

    about: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    low: str
    high: str
    top: int
    logarithmic: bool = False


@dataclass(frozen=True, kw_only=True)
class Span:
    """A point and its interval; the ends are None where there is no interval."""

    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A check's mean and interval, its threshold, and the reference's mean and interval."""

    about: str
    span: Span | None
    threshold: float
    reference: Span | None
    ticks: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Trials by what a check said of them, as parts of one bar."""

    about: str
    bars: tuple[Bar, ...]

    @classmethod
    def of(cls, check: CheckView) -> "Stack":
        """Draw a check's counts."""
        s = check.summary
        counts = {
            "pass": s.passed,
            "score": s.scored - s.passed - s.failed,
            "fail": s.failed,
            "unscored": s.unscored,
            "error": s.errors,
        }
        parts = [(kind, count) for kind, count in counts.items() if count > 0]
        total = sum(count for _, count in parts)
        bars: list[Bar] = []
        x = 0.0
        for kind, count in parts:
            width = WIDTH * count / total
            label = f"{kind}: {count} of {total} trials"
            bars.append(Bar(x=x, y=0, width=width, height=10, label=label, kind=kind))
            x += width
        about = ", ".join(f"{count} {kind}" for kind, count in parts) or "no trials"
        return cls(about=f"Trials by outcome: {about}", bars=tuple(bars))


def interval(check: CheckView) -> Interval:
    """Place a check's mean and interval on an axis from 0 to 1, or wider if its scores are."""
    estimate, reference = check.estimate, check.reference
    seen = [
        value
        for found in (estimate, reference)
        if found is not None
        for value in (found.mean, found.low, found.high)
        if value is not None
    ]
    low = min([0.0, check.summary.threshold, *seen])
    high = max([1.0, check.summary.threshold, *seen])

    def place(value: float) -> float:
        return PAD + (WIDTH - 2 * PAD) * (value - low) / (high - low)

    about = f"{number(estimate.mean)}, 95% interval {check.interval}"
    about += f"; threshold {check.summary.threshold:g}"
    if reference is not None:
        about += f"; reference {number(reference.mean)}"
        about += f" ({number(reference.low)} to {number(reference.high)})" if reference.ci else ""
    return Interval(
        about=about,
        span=_span(estimate, place),
        threshold=place(check.summary.threshold),
        reference=None if reference is None else _span(reference, place),
        ticks=tuple(place(low + (high - low) * part) for part in (0, 0.25, 0.5, 0.75, 1)),
    )


def histogram(
    values: Sequence[float],
    what: str,
    show: Callable[[float], str],
    *,
    bounds: tuple[float, float] | None = None,
    quantiles: bool = True,
) -> Histogram | None:
    """Count values into bins; None without values.

    Args:
        values: Finite numbers.
        what: What is counted, in the plural.
        show: How a value is written.
        bounds: The axis; the values' own range, or from 0, without it.
        quantiles: Whether to mark the median and the 95th percentile.
    """
    if not values:
        return None
    x = np.array(values, dtype=np.float64)
    middle, most = float(np.median(x)), float(x.max())
    positive = x[x > 0]
    logarithmic = bounds is None and middle > 0 and most > LONG_TAIL * middle
    if logarithmic:
        low, high = float(positive.min()), most
        edges = np.logspace(log10(low), log10(high), BINS + 1)
        x = np.clip(x, low, high)
    else:
        low, high = bounds or (min(0.0, float(x.min())), most if most > 0 else 1.0)
        edges = np.linspace(low, high, (10 if bounds else BINS) + 1)
    edges[0], edges[-1] = low, high  # logspace may round past the greatest value
    counts = [int(count) for count in np.histogram(x, bins=edges)[0]]

    def place(value: float) -> float:
        value = min(max(value, low), high)
        if logarithmic:
            return WIDTH * log10(value / low) / log10(high / low)
        return WIDTH * (value - low) / (high - low)

    p95 = float(np.quantile(x, 0.95))
    marks = (
        (
            Mark(x=place(middle), label=f"median {show(middle)}"),
            Mark(x=place(p95), label=f"95th percentile {show(p95)}"),
        )
        if quantiles
        else ()
    )
    said = "; ".join(mark.label for mark in marks)
    return Histogram(
        about=f"{len(values)} {what} from {show(float(x.min()))} to {show(most)}"
        + (f"; {said}" if said else ""),
        bars=_bars(counts, [place(float(edge)) for edge in edges], edges.tolist(), what, show),
        marks=marks,
        low=show(low),
        high=show(high),
        top=max(counts),
        logarithmic=logarithmic,
    )


def _bars(
    counts: Sequence[int],
    places: Sequence[float],
    edges: Sequence[float],
    what: str,
    show: Callable[[float], str],
) -> tuple[Bar, ...]:
    top = max(counts)
    bars: list[Bar] = []
    for i, count in enumerate(counts):
        if count:
            height = max(2.0, HEIGHT * count / top)  # one of ten thousand can still be seen
            bars.append(
                Bar(
                    x=places[i] + 0.5,
                    y=HEIGHT - height,
                    width=max(1.0, places[i + 1] - places[i] - 1),
                    height=height,
                    label=f"{show(edges[i])} to {show(edges[i + 1])}: {count} {what}",
                )
            )
    return tuple(bars)


def _span(found: Estimate, place: Callable[[float], float]) -> Span | None:
    if found.mean is None:
        return None
    ci = found.ci
    return Span(
        x=place(found.mean),
        low=place(ci[0]) if ci else None,
        high=place(ci[1]) if ci else None,
    )
