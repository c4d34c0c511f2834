"""What a rater is shown, and in which order. Pure: nothing here reads or writes.

Random order is a shuffle by hashes: of a seed, which is the run's id unless another one is asked
for, and of what the item is. So nothing need be kept to go on where somebody stopped, all raters
have one order, and what a judge said has no say in it. Cases come in random order, one trial of
each before the second of any, all checks of an output together: of every check, the labelled cases
are a random sample, however early one stops.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal

from ..store.people import Drawn, Label, standing

__all__ = ("Entry", "Place", "Progress", "Queue", "Scale", "arranged", "doubt")

Scale = Literal["verdict", "score"]

Place = tuple[str, str, int, str]
"""What is labelled: the suite, the case's key, the trial, the check."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One check of one trial that a judge has judged.

    Attributes:
        key: The hash of the case's content.
        judge: Who judged.
        value: What the judge said; the page never shows it.
        scale: Whether it passes and fails, or gives scores.
        doubt: How far verdicts on it differ, 0 to 1; see `doubt`.
    """

    suite: str
    key: str
    case: str
    trial: int
    check: str
    judge: str
    value: float
    scale: Scale
    doubt: float = 0.0

    @property
    def place(self) -> Place:
        return self.suite, self.key, self.trial, self.check

    @cached_property
    def id(self) -> str:
        """What the page calls it."""
        return _hash(*self.place)[:16]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a rater has come.

    Attributes:
        labelled: Items with a label.
        unsaid: Items of which they could not say.
        later: Items that they put off.
        items: All there are.
    """

    labelled: int
    unsaid: int
    later: int
    items: int

    @property
    def done(self) -> bool:
        return self.labelled + self.unsaid == self.items


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One rater's work.

    Args:
        entries: All items, in order.
        history: All labels of the run, the oldest first.
        rater: Whose work it is.
        drawn: How the order was made. An item that a rater labelled because it was disputed comes
            again in random order: else the sample would lack just these.
        later: Ids of items that were put off, in that order; they come last.
    """

    entries: Sequence[Entry]
    history: Sequence[Label]
    rater: str
    drawn: Drawn = "random"
    later: Sequence[str] = ()

    @cached_property
    def said(self) -> dict[str, Label]:
        """The rater's words that stand, by the item's id, the latest last."""
        ids = {entry.place: entry.id for entry in self.entries}
        return {
            ids[place]: one
            for one in standing(self.history)
            if one.rater == self.rater and (place := (one.suite, *one.item)) in ids
            if self.drawn == "disagreement" or one.drawn == "random"
        }

    @property
    def next(self) -> Entry | None:
        """The item to label now; None where all are done."""
        undone = {entry.id: entry for entry in self.entries if entry.id not in self.said}
        later = [id for id in self.later if id in undone]
        first = next((id for id in undone if id not in later), None)
        return undone.get(first or next(iter(later), ""))

    @property
    def last(self) -> Label | None:
        """The rater's latest word, which undo takes back; None where there is none."""
        return next(reversed(self.said.values()), None)

    @property
    def progress(self) -> Progress:
        unsaid = sum(one.value is None for one in self.said.values())
        return Progress(
            labelled=len(self.said) - unsaid,
            unsaid=unsaid,
            later=len(set(self.later) - self.said.keys()),
            items=len(self.entries),
        )


def arranged(entries: Iterable[Entry], drawn: Drawn, seed: str) -> list[Entry]:
    """Return items in the order in which they are labelled.

    Args:
        entries: Items; those of one output in the order of the suite's checks.
        drawn: At random, or the most disputed first, ties at random.
        seed: Another seed is another order. Two runs of one dataset have the same cases first
            where they have one seed.
    """
    found = list(entries)
    turns = _turns(found, seed)
    shuffled = sorted(found, key=lambda one: (turns[one.place[:3]], _hash(seed, *one.place[:2])))
    if drawn == "disagreement":
        shuffled.sort(key=lambda one: -one.doubt)
    return shuffled


def doubt(
    value: float, alike: Iterable[float], trials: Iterable[float], people: Iterable[float]
) -> float:
    """Return how disputed a verdict is, from 0 to 1: the widest of what is known.

    Args:
        value: What the judge said.
        alike: What judges said of the same output, in this run and in others.
        trials: What it said of the case's other trials.
        people: What people said of it.
    """
    spread = (
        max(found) - min(found) for found in ([value, *alike], [value, *trials], [value, *people])
    )
    middle = 1 - abs(2 * value - 1)  # a score in the middle is half a verdict
    return min(1.0, max(middle, *spread))


def _turns(entries: Collection[Entry], seed: str) -> dict[tuple[str, str, int], int]:
    """Return at which turn each trial comes: one trial of every case at each."""
    trials: dict[tuple[str, str], set[int]] = {}
    for one in entries:
        trials.setdefault((one.suite, one.key), set()).add(one.trial)
    return {
        (suite, key, trial): turn
        for (suite, key), numbers in trials.items()
        for turn, trial in enumerate(
            sorted(numbers, key=lambda number: _hash(seed, suite, key, number))
        )
    }


def _hash(*parts: str | int) -> str:
    return sha256(ascii(parts).encode()).hexdigest()
