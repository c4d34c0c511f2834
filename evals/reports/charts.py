"""Where the marks of the report's charts go. Numbers only; the template draws them.

All charts share one coordinate system: x from 0 to `WIDTH`, y downwards from 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from ..statistics.estimates import Estimate
from ..statistics.trials import Floats
from .views import CheckView, Reliability
from .words import Verdict, in_unit, number

__all__ = (
    "HEIGHT",
    "WIDTH",
    "Bar",
    "Curve",
    "Histogram",
    "Interval",
    "Shift",
    "Stack",
    "curve",
    "histogram",
    "interval",
    "shift",
)

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
    """A check's mean and interval, its threshold, and those of what it is compared with."""

    about: str
    span: Span | None
    threshold: float
    reference: Span | None
    baseline: Span | None
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


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A mean beside what it was, and the interval of the difference drawn from there.

    Attributes:
        low: The label of the axis' left end.
        high: The label of its right end.
    """

    about: str
    before: float
    span: Span
    low: str
    high: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One of a curve's lines.

    Attributes:
        points: Where its marks stand, and what each says.
        path: The line through them, as SVG path data.
        band: The outline of their intervals, as SVG path data; empty where there are none.
    """

    kind: str
    points: tuple[tuple[float, float, str], ...]
    path: str
    band: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """pass@k and pass^k over k, on an axis from 0 to 1."""

    about: str
    lines: tuple[Line, ...]
    ends: tuple[str, str]


def interval(check: CheckView) -> Interval:
    """Place a check's mean and interval on an axis from 0 to 1, or wider if its scores are."""
    drawn = (check.estimate, check.reference, check.baseline)
    seen = [
        value
        for found in drawn
        if found is not None
        for value in (found.mean, found.low, found.high)
        if value is not None
    ]
    low = min([0.0, check.summary.threshold, *seen])
    high = max([1.0, check.summary.threshold, *seen])

    def place(value: float) -> float:
        return PAD + (WIDTH - 2 * PAD) * (value - low) / (high - low)

    spans = [None if found is None else _span(found, place) for found in drawn]
    return Interval(
        about=_interval_in_words(check),
        span=spans[0],
        threshold=place(check.summary.threshold),
        reference=spans[1],
        baseline=spans[2],
        ticks=tuple(place(low + (high - low) * part) for part in (0, 0.25, 0.5, 0.75, 1)),
    )


def _interval_in_words(check: CheckView) -> str:
    about = f"{number(check.estimate.mean)}, 95% interval {check.interval}"
    about += f"; threshold {check.summary.threshold:g}"
    for what, found in (("reference", check.reference), ("baseline", check.baseline)):
        if found is not None:
            about += f"; {what} {number(found.mean)}"
            about += f" ({number(found.low)} to {number(found.high)})" if found.ci else ""
    return about


def shift(verdict: Verdict, resource: str) -> Shift | None:
    """Place a mean of cost or latency beside what it was; None where nothing was compared."""
    before, after = verdict.before, verdict.after
    if before is None or after is None:
        return None
    ends = [before + end for end in (verdict.low, verdict.high) if end is not None]
    low, high = min(0.0, *ends, before, after), max([*ends, before, after])
    high = high if high > low else 1.0

    def place(value: float) -> float:
        return PAD + (WIDTH - 2 * PAD) * (value - low) / (high - low)

    return Shift(
        about=f"{in_unit(after, resource)} a trial, {in_unit(before, resource)} before",
        before=place(before),
        span=Span(
            x=place(after),
            low=place(ends[0]) if ends else None,
            high=place(ends[-1]) if ends else None,
        ),
        low=in_unit(low, resource) if low >= 0 else f"-{in_unit(-low, resource)}",
        high=in_unit(high, resource),
    )


def curve(found: Reliability) -> Curve | None:
    """Draw pass@k and pass^k; None with fewer than two trials of every case."""
    if len(found.pass_hat) < 2:
        return None
    lines = (
        _line("at", "pass@", found.pass_at),
        _line("hat", "pass^", found.pass_hat),
    )
    said = (label for line in lines for _, _, label in line.points)
    return Curve(about="; ".join(said), lines=lines, ends=("k = 1", f"k = {found.k}"))


def _line(kind: str, name: str, estimates: Mapping[int, Estimate]) -> Line:
    last = max(estimates)

    def x(k: int) -> float:
        return PAD + (WIDTH - 2 * PAD) * (k - 1) / (last - 1)

    def y(value: float) -> float:
        return HEIGHT * (1 - value)

    known = {k: found for k, found in estimates.items() if found.mean is not None}
    points = tuple(
        (x(k), y(found.mean or 0.0), f"{name}{k} {number(found.mean)}")
        for k, found in known.items()
    )
    upper = [(x(k), y(found.high)) for k, found in known.items() if found.high is not None]
    lower = [(x(k), y(found.low)) for k, found in known.items() if found.low is not None]
    band = _path([*upper, *reversed(lower)]) + "Z" if upper else ""
    return Line(kind=kind, points=points, path=_path([(px, py) for px, py, _ in points]), band=band)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


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
    if not len(values):
        return None
    x = np.array(values, dtype=np.float64)
    scale = _scale(x, bounds)
    counts = [int(n) for n in np.histogram(scale.clipped(x), bins=np.array(scale.edges))[0]]
    marks = _quantiles(x, scale, show) if quantiles else ()
    about = f"{len(x)} {what} from {show(float(x.min()))} to {show(float(x.max()))}"
    return Histogram(
        about="; ".join([about, *(mark.label for mark in marks)]),
        bars=_bars(counts, scale, what, show),
        marks=marks,
        low=show(scale.edges[0]),
        high=show(scale.edges[-1]),
        top=max(counts),
        logarithmic=scale.logarithmic,
    )


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """The axis of a histogram: the edges of its bins, and where a value stands."""

    edges: tuple[float, ...]
    logarithmic: bool = False

    def clipped(self, x: Floats) -> Floats:
        return np.clip(x, self.edges[0], self.edges[-1])

    def place(self, value: float) -> float:
        low, high = self.edges[0], self.edges[-1]
        value = min(max(value, low), high)
        if self.logarithmic:
            return WIDTH * log10(value / low) / log10(high / low)
        return WIDTH * (value - low) / (high - low)


def _scale(x: Floats, bounds: tuple[float, float] | None) -> _Scale:
    """Choose the axis: a long tail of positive values asks for a logarithmic one."""
    middle, most = float(np.median(x)), float(x.max())
    logarithmic = bounds is None and middle > 0 and most > LONG_TAIL * middle
    if logarithmic:
        low, high = float(x[x > 0].min()), most
        edges = np.logspace(log10(low), log10(high), BINS + 1).tolist()
    else:
        low, high = bounds or (min(0.0, float(x.min())), most if most > 0 else 1.0)
        edges = np.linspace(low, high, (10 if bounds else BINS) + 1).tolist()
    edges[0], edges[-1] = low, high  # logspace may round past the greatest value
    return _Scale(edges=tuple(edges), logarithmic=logarithmic)


def _quantiles(x: Floats, scale: _Scale, show: Callable[[float], str]) -> tuple[Mark, ...]:
    named = (("median", 0.5), ("95th percentile", 0.95))
    found = [(name, float(np.quantile(x, part))) for name, part in named]
    return tuple(Mark(x=scale.place(v), label=f"{name} {show(v)}") for name, v in found)


def _bars(
    counts: Sequence[int], scale: _Scale, what: str, show: Callable[[float], str]
) -> tuple[Bar, ...]:
    top, edges = max(counts), scale.edges
    bars: list[Bar] = []
    for i, count in enumerate(counts):
        if count:
            height = max(2.0, HEIGHT * count / top)  # one of ten thousand can still be seen
            x = scale.place(edges[i])
            bars.append(
                Bar(
                    x=x + 0.5,
                    y=HEIGHT - height,
                    width=max(1.0, scale.place(edges[i + 1]) - x - 1),
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
