"""Items that people have labelled, and verdicts on them that were recorded elsewhere.

A line of a file of labels (JSON Lines) is one thing that was judged:

    {"id": "7", "inputs": "...", "candidate": "...", "criteria": ["It names the order."],
     "label": "pass"}

`label` is `pass` or `fail`, a score from 1 to 5, or which of two is better: `a`, `b`, `tie`;
several people's are `labels`, by name. `other` is a second candidate, `reference` a right answer,
`sources` what claims are checked against, `note` why it was labelled so, `group` what items have in
common, and `writers` the families of models that wrote the two candidates. A line of a file of
verdicts is `{"id": "7", "verdict": "pass", "reason": "..."}`; null, or a text that is no label, is
a verdict that was not given.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ...agents.judge import Criterion
from ...deps.errors import BadDataset
from ..statistics.agreement import Label

__all__ = ("SCALES", "Item", "Scale", "Verdict", "read_items", "read_verdicts", "scale_of")

Scale = Literal["verdict", "score", "pairwise"]

SCALES: Mapping[Scale, tuple[Label, ...]] = {
    "verdict": ("fail", "pass"),
    "score": (1, 2, 3, 4, 5),
    "pairwise": ("a", "tie", "b"),
}
"""What may be said on each scale, in order."""


class Item(BaseModel):
    """One thing that people have labelled. See the module for the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    candidate: str
    criteria: tuple[str | Criterion, ...] = ("It does what the inputs ask for.",)
    inputs: str | None = None
    other: str | None = None
    reference: str | None = None
    sources: str | None = None
    label: Label | None = None
    labels: dict[str, Label] = {}
    note: str = ""
    group: str | None = None
    writers: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _labelled(self) -> "Item":
        said = {*self.labels.values(), *([] if self.label is None else [self.label])}
        if not said:
            raise ValueError("give a label, or labels by person")
        if not any(said <= set(known) for known in SCALES.values()):
            raise ValueError(f"labels {sorted(map(str, said))} are on none of {dict(SCALES)}")
        return self

    @property
    def people(self) -> Label | None:
        """What people say: the label, else what most of them say; None where none leads."""
        if self.label is not None:
            return self.label
        (first, most), *rest = Counter(self.labels.values()).most_common()
        return None if rest and rest[0][1] == most else first


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a judge said of an item; None where it gave no valid answer.

    Attributes:
        flipped: Whether the winner of two changed with their order.
    """

    label: Label | None
    reason: str = ""
    flipped: bool = False


def scale_of(items: Sequence[Item]) -> Scale:
    """Return the scale that all labels are on.

    Raises:
        BadDataset: there is none.
    """
    said = {label for item in items for label in (*item.labels.values(), item.label)} - {None}
    for scale, known in SCALES.items():
        if said and said <= set(known):
            return scale
    raise BadDataset(f"labels {sorted(map(str, said))} are not on one scale; there are {SCALES}")


def read_items(path: Path) -> list[Item]:
    """Read a file of labels.

    Raises:
        BadDataset: it cannot be read, a line is wrong, or an id stands there twice.
    """
    found: dict[str, Item] = {}
    for number, line in _lines(path):
        try:
            item = Item.model_validate(line)
        except ValidationError as e:
            raise BadDataset(f"{path.name}, line {number}: {e}") from e
        if item.id in found:
            raise BadDataset(f"{path.name}, line {number}: id {item.id!r} stands there twice")
        found[item.id] = item
    if not found:
        raise BadDataset(f"{path.name} holds no labelled item; one a line, as JSON")
    return list(found.values())


def read_verdicts(path: Path, scale: Scale) -> dict[str, Verdict]:
    """Read a file of verdicts: by id.

    Raises:
        BadDataset: it cannot be read, or a line has no id.
    """
    found: dict[str, Verdict] = {}
    for number, line in _lines(path):
        if "id" not in line or "verdict" not in line:
            raise BadDataset(f"{path.name}, line {number}: needs an id and a verdict")
        said = line["verdict"]
        if isinstance(said, str) and said.isdigit():
            said = int(said)
        known = said if said in SCALES[scale] else None
        found[str(line["id"])] = Verdict(label=known, reason=str(line.get("reason") or ""))
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise BadDataset(f"cannot read {str(path)!r}: {e}") from e
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as e:
            raise BadDataset(f"{path.name}, line {number} is no JSON: {e}") from e
        if not isinstance(found, dict):
            raise BadDataset(f"{path.name}, line {number} is no JSON object")
        yield number, found
