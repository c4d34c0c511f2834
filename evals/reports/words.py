"""Figures and verdicts in words, the same in terminals, pages and files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..resources import COST, LATENCY
from ..statistics.comparison import Comparison

__all__ = (
    "Against",
    "Tone",
    "Verdict",
    "dollars",
    "in_unit",
    "number",
    "seconds",
    "signed",
    "signed_in_unit",
    "span",
)

Tone = Literal["good", "bad", "doubtful"]

BEATS, BEATEN, NO_LIFT = (
    "beats the baseline",
    "does not beat the baseline, and is worse",
    "does not beat the baseline",
)

_TONES: Mapping[str, Tone] = {
    "improved": "good",
    "no worse": "good",
    "meets its threshold": "good",
    BEATS: "good",
    "regressed": "bad",
    "below its threshold": "bad",
    BEATEN: "bad",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict in words, and the figures behind it.

    Attributes:
        word: "improved", "no worse", "regressed", "inconclusive", "meets its threshold", ...
        why: The sentence that says why; may be empty.
        before: The reference's mean; None where nothing was compared.
        after: The run's mean over the same cases.
        difference: after - before.
        low: The lower end of its 95% interval; None where there is none.
        high: Its upper end.
    """

    word: str
    why: str = ""
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, comparison: Comparison) -> "Verdict":
        """Take over what a comparison says."""
        why = _reason(comparison).removeprefix(comparison.verdict)
        return cls._of(comparison, comparison.verdict, why.lstrip(":, "))

    @classmethod
    def lift(cls, comparison: Comparison) -> "Verdict":
        """Say whether a check beats the non-LLM baseline that it is compared with."""
        if comparison.difference is None:
            why = _reason(comparison).removeprefix("inconclusive, because ")
            return cls(word="cannot be compared with the baseline", why=why)
        word = {"improved": BEATS, "regressed": BEATEN}.get(comparison.verdict, NO_LIFT)
        by = "by " if word == BEATS else ""
        return cls._of(comparison, word, by + _figures(comparison))

    @classmethod
    def resource(cls, comparison: Comparison) -> "Verdict":
        """Say what a trial takes, in dollars, seconds or tokens, beside what it took."""
        if comparison.mean_a is None or comparison.mean_b is None:
            return cls.of(comparison)
        after, before = comparison.mean_b, comparison.mean_a
        unit = comparison.name
        why = f"{in_unit(after, unit)} a trial, {in_unit(before, unit)} before"
        if before > 0:
            why += f" ({100 * (after / before - 1):+.0f}%)"
        if comparison.low is not None and comparison.high is not None:
            ends = (signed_in_unit(end, unit) for end in (comparison.low, comparison.high))
            why += f"; 95% interval of the difference {' to '.join(ends)}"
        return cls._of(comparison, comparison.verdict, why)

    @classmethod
    def _of(cls, comparison: Comparison, word: str, why: str) -> "Verdict":
        return cls(
            word=word,
            why=why,
            before=comparison.mean_a,
            after=comparison.mean_b,
            difference=comparison.difference,
            low=comparison.low,
            high=comparison.high,
        )

    @property
    def tone(self) -> Tone:
        """How to colour it; the word is always there as well."""
        return _TONES.get(self.word, "doubtful")

    @property
    def sentence(self) -> str:
        """The verdict and why, in one."""
        if self.why.startswith(("by ", "because ", "after ")):
            return f"{self.word} {self.why}"
        return f"{self.word}: {self.why}" if self.why else self.word


@dataclass(frozen=True, kw_only=True)
class Against:
    """What one suite's run is compared with, and what came of it.

    Attributes:
        label: What it is, in words: "the baseline", "run 2026...", "the scorecard of ...".
        comparisons: Of its checks.
        resources: Of cost, latency and tokens, by the names of `evals.resources`.
        lift: Whether it is the baseline, so that a difference is the lift over it.
    """

    label: str
    comparisons: tuple[Comparison, ...] = ()
    resources: tuple[Comparison, ...] = ()
    lift: bool = False

    @property
    def heading(self) -> str:
        """What its differences are called."""
        return "lift" if self.lift else "difference"

    def verdicts(self) -> dict[str, Verdict]:
        """Return each check's verdict."""
        say = Verdict.lift if self.lift else Verdict.of
        return {one.name: say(one) for one in self.comparisons}


def number(value: float | None) -> str:
    """Return a mean with three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign and three digits, or a dash."""
    return "–" if value is None else f"{value:+.3f}"


def span(low: float | None, high: float | None) -> str:
    """Return the interval of a difference, or a dash."""
    return "–" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def dollars(value: float | None) -> str:
    """Return a cost; an unknown price is said, not guessed."""
    if value is None:
        return "unknown"
    return "$0" if value == 0 else f"${value:.4f}" if value < 1 else f"${value:,.2f}"


def seconds(value: float) -> str:
    """Return a duration in the unit in which people would say it."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes / 60:.1f} h"


def in_unit(value: float, resource: str) -> str:
    """Return a mean of a resource (see `evals.resources`) in dollars, seconds or by count."""
    if resource == COST:
        return f"${value:.2g}" if 0 < value < 0.0001 else dollars(value)
    return seconds(value) if resource == LATENCY else f"{value:,.4g}"


def signed_in_unit(value: float, resource: str) -> str:
    """Return a difference of a resource with its sign."""
    return ("-" if value < 0 else "+") + in_unit(abs(value), resource)


def _figures(comparison: Comparison) -> str:
    found = signed(comparison.difference)
    if comparison.low is None:
        return f"{found} in every case"
    return f"{found} ({span(comparison.low, comparison.high)})"


def _reason(comparison: Comparison) -> str:
    return comparison.why.removeprefix(f"{comparison.name}: ")
