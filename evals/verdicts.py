"""Compare what two runs of a suite came to, and let the verdicts decide."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from .statistics.comparison import Comparison, correct_for_many
from .statistics.comparison import compare as compare_values
from .statistics.trials import Trials

__all__ = ("MARGIN", "Gate", "Inconclusive", "Measured", "compare", "gate")

MARGIN = 0.05
"""How much worse a mean may be and still be no worse, when nothing else is said."""

Inconclusive = Literal["pass", "fail"]
"""What becomes of a comparison that could not tell."""


class Measured(Protocol):
    """What can be compared: a `SuiteReport`, or a `Scorecard`."""

    @property
    def suite(self) -> str: ...

    @property
    def dataset(self) -> str: ...

    @property
    def judges(self) -> Mapping[str, str]:
        """Who judged, by check; deterministic checks are not in it."""
        ...

    @property
    def advisory(self) -> Mapping[str, str]:
        """Why a check gates nothing, by check; those that do are not in it."""
        ...

    def trials(self) -> Mapping[str, Trials]:
        """Return each check's values; cases are known by their content."""
        ...


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether a run may pass, and the comparisons that say why.

    Attributes:
        failed: The checks that keep it from passing.
        missing: Checks that the reference has of cases that ran, and that the run says nothing of;
            they keep it from passing too.
        same_dataset: Whether both sides ran the same cases; if not, only common ones are compared.
    """

    suite: str
    comparisons: tuple[Comparison, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    same_dataset: bool

    @property
    def ok(self) -> bool:
        return not self.failed and not self.missing


def compare(
    reference: Measured, report: Measured, *, margin: float = MARGIN
) -> tuple[Comparison, ...]:
    """Compare the checks that both sides have, case by case, corrected together for being several.

    Args:
        reference: What the other side is judged by.
        report: What is judged.
        margin: How much worse a mean may be and still be no worse, in [0, 1].
    """
    before, after = reference.trials(), report.trials()
    common = [check for check in before if check in after]
    judges = reference.judges, report.judges
    alike = [check for check in common if judges[0].get(check, "") == judges[1].get(check, "")]
    found: dict[str, Comparison] = {}
    # What only advises is corrected apart: it must not blunt what gates.
    for advises in (False, True):
        several = correct_for_many(
            compare_values(before[check], after[check], margin=margin, name=check)
            for check in alike
            if (check in report.advisory) == advises
        )
        found |= {one.name: one for one in several}
    return tuple(found.get(check) or _judged_apart(check, margin, judges) for check in common)


def _judged_apart(
    check: str, margin: float, judges: tuple[Mapping[str, str], Mapping[str, str]]
) -> Comparison:
    before, after = (found.get(check) or "no judge" for found in judges)
    why = f"{check}: cannot say, because {before} judged it before, and {after} now"
    return Comparison(name=check, better="higher", margin=margin, why=why)


def gate(
    reference: Measured,
    report: Measured,
    *,
    margin: float = MARGIN,
    inconclusive: Inconclusive = "pass",
) -> Gate:
    """Judge a run by a reference: a regression fails, no worse passes.

    A run that is the same as its reference, trial by trial, passes however few cases it has. One
    that says nothing of a check that its reference has does not pass: accept it, if the check was
    taken away on purpose. What only advises decides nothing.

    Args:
        reference: What was accepted.
        report: What came of the run.
        margin: How much worse a mean may be and still be no worse.
        inconclusive: What becomes of a comparison that could not tell.
    """
    before, after = reference.trials(), report.trials()
    comparisons = compare(reference, report, margin=margin)
    bad = {"regressed"} if inconclusive == "pass" else {"regressed", "inconclusive"}
    failed = [
        one.name
        for one in comparisons
        if one.verdict in bad
        and one.name not in report.advisory
        and not _same(before[one.name], after[one.name])
    ]
    return Gate(
        suite=report.suite,
        comparisons=comparisons,
        failed=tuple(failed),
        missing=tuple(c for c in _missing(before, after) if c not in reference.advisory),
        same_dataset=not reference.dataset or reference.dataset == report.dataset,
    )


def _missing(before: Mapping[str, Trials], after: Mapping[str, Trials]) -> Iterator[str]:
    ran = {case for trials in after.values() for case in trials.cases}
    for check, trials in before.items():
        if check not in after and not ran.isdisjoint(trials.cases):
            yield check


def _same(a: Trials, b: Trials) -> bool:
    """Tell whether every case has the same values on both sides."""
    return dict(zip(a.cases, a.values, strict=True)) == dict(zip(b.cases, b.values, strict=True))
