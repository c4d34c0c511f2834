"""How far a judge agrees with people, and on what it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...deps.errors import InputError
from ..statistics.agreement import (
    Agreement,
    Interval,
    Label,
    Level,
    agreement,
    alpha,
    between,
)
from .items import SCALES, Item, Scale, Verdict
from .standing import Calibration

__all__ = ("Calibrated", "Disagreement", "calibrate")


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """An item on which judge and people differ, with the reasons of both."""

    id: str
    judge: Label
    people: Label
    distance: int
    reason: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A judge beside people, and all there is to show of it.

    Attributes:
        calibration: What is kept, and may let the judge gate.
        alpha: Krippendorff's alpha of the people among themselves; None for one label an item.
        flipped: Items of two whose winner changed with their order.
        split: Items on which people have no majority; left out.
        worst: Where they differ, the widest first.
    """

    calibration: Calibration
    alpha: Interval | None
    flipped: int
    split: int
    worst: tuple[Disagreement, ...]

    @property
    def agreement(self) -> Agreement:
        return self.calibration.agreement


_LEVELS: Mapping[Scale, Level] = {"verdict": "nominal", "score": "ordinal", "pairwise": "ordinal"}


def calibrate(
    items: Sequence[Item],
    verdicts: Mapping[str, Verdict],
    scale: Scale,
    *,
    judge: str,
    made: datetime,
    source: str = "",
) -> Calibrated:
    """Compare verdicts with people's labels.

    Scores are compared by quadratic weights, so that a judge off by one is off by little; the
    winner of two, and pass or fail, by plain kappa.

    Args:
        items: What people have labelled.
        verdicts: What the judge said, by the item's id; one that is missing was not given.
        scale: What the labels are.
        judge: Who judged.
        made: When.
        source: Where the labels came from.

    Raises:
        InputError: people agree on no item, or the judge answered none.
    """
    settled = [(item, label) for item in items if (label := item.people) is not None]
    if not settled:
        raise InputError("people agree on none of the items; one more label each would tell")
    silent = Verdict(label=None)
    said = [verdicts.get(item.id, silent) for item, _ in settled]
    grouped = any(item.group for item, _ in settled)
    found = agreement(
        [one.label for one in said],
        [label for _, label in settled],
        labels=SCALES[scale],
        weights="quadratic" if scale == "score" else "nominal",
        positive="pass" if scale == "verdict" else None,
        groups=[item.group or item.id for item, _ in settled] if grouped else None,
    )
    raters = _raters(items)
    calibration = Calibration(
        judge=judge, made=made, agreement=found, people=between(raters), source=source
    )
    places = {label: place for place, label in enumerate(SCALES[scale])}
    return Calibrated(
        calibration=calibration,
        alpha=alpha(
            [[None if v is None else places[v] for v in row] for row in raters], _LEVELS[scale]
        )
        if len(raters) > 1
        else None,
        flipped=sum(one.flipped for one in said),
        split=len(items) - len(settled),
        worst=_worst(settled, said, places),
    )


def _raters(items: Sequence[Item]) -> list[list[Label | None]]:
    """Return a row for every person, with their label of each item."""
    names = sorted({name for item in items for name in item.labels})
    return [[item.labels.get(name) for item in items] for name in names]


def _worst(
    settled: Sequence[tuple[Item, Label]], said: Sequence[Verdict], places: Mapping[Label, int]
) -> tuple[Disagreement, ...]:
    found = [
        Disagreement(
            id=item.id,
            judge=one.label,
            people=label,
            distance=abs(places[one.label] - places[label]),
            reason=one.reason,
            note=item.note,
        )
        for (item, label), one in zip(settled, said, strict=True)
        if one.label is not None and one.label != label
    ]
    return tuple(sorted(found, key=lambda one: -one.distance))
