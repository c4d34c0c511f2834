"""Whether a judge may gate: what its calibration with people says, and what would change that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import TypeAdapter

from ..statistics.agreement import Agreement, labels_needed

__all__ = ("FLOOR", "Calibration", "Calibrations", "Standing", "said_of")

FLOOR = 0.6
"""The least lower end of kappa, when a suite says nothing else: "substantial" agreement begins
there (Landis and Koch, Biometrics 33, 1977)."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A judge's verdicts beside people's, for one family of rubrics.

    Attributes:
        judge: Who: `JudgeId` as text. Another model, prompt or family is another judge.
        made: When.
        agreement: How far they agree.
        people: How often people agree with one another; None where each item has one label.
        source: Where the labels came from.
    """

    judge: str
    made: datetime
    agreement: Agreement
    people: float | None = None
    source: str = ""

    def as_json(self) -> str:
        """Return everything as text."""
        return _CALIBRATION.dump_json(self).decode()

    @classmethod
    def of_json(cls, text: str) -> "Calibration":
        """Read what `as_json` wrote."""
        return _CALIBRATION.validate_json(text)


_CALIBRATION = TypeAdapter(Calibration)


class Calibrations(Protocol):
    """Where calibrations are kept: the run store."""

    def calibration(self, judge: str) -> Calibration | None:
        """Return the latest calibration of a judge."""
        ...


@dataclass(frozen=True)
class Standing:
    """Says of each judge why its checks are only advisory; nothing where they may gate.

    Args:
        kept: Where calibrations are; None where there are none.
        floor: What the lower end of kappa must reach.
    """

    kept: Calibrations | None = None
    floor: float = FLOOR
    _known: dict[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    def __call__(self, judge: str) -> str:
        """Return why a judge's checks are advisory; empty if they gate."""
        if judge not in self._known:
            found = None if self.kept is None else self.kept.calibration(judge)
            self._known[judge] = said_of(judge, found, self.floor)
        return self._known[judge]

    def of_checks(self, judges: Mapping[str, str]) -> Mapping[str, str]:
        """Return the same by check, for checks that have a judge."""
        return {check: self(judge) for check, judge in judges.items() if judge}


def said_of(judge: str, found: Calibration | None, floor: float) -> str:
    """Return why a judge may not gate, and what would let it; empty if it may."""
    family, _, rest = judge.partition("@")
    model = rest.rpartition("#")[0]
    if found is None:
        return (
            f"{model!r} was never compared with people on {family!r}: assay label RUN, then "
            "assay judge calibrate --run RUN"
        )
    kappa, items = found.agreement.kappa, found.agreement.items
    if kappa is None or kappa.low is None:
        return f"{items} labels of one kind cannot show agreement beyond chance; label others too"
    if kappa.low >= floor:
        return ""
    seen = f"its kappa with people is {kappa.value:.2f}, at least {kappa.low:.2f} ({items} labels)"
    needed = labels_needed(found.agreement, floor)
    if needed is None:
        return (
            f"{seen}, below {floor:g}; more labels would not help: a better judge or rubric would"
        )
    return f"{seen}, below {floor:g}; about {needed - items} more labels would settle it"
