"""What the page may ask for: the next item, and to label, undo or put off. No HTTP in here.

Everything that counts is in the store, and is read anew each time: a page that is loaded again,
another rater's, or another process goes on with what is there. Only what was put off is in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from typing import Any

from ...deps.errors import InputError
from ..reports.plain import plain_data
from ..store.database import RunStore
from ..store.people import Drawn, Label
from .files import clean
from .gather import Material
from .queue import Entry, Place, Queue
from .words import Criteria

__all__ = ("MAX_NAME", "MAX_NOTE", "SCORES", "Session")

MAX_NAME = 100
MAX_NOTE = 5_000
"""Characters."""

SCORES: Mapping[int, str] = {
    1: "not met, or absent",
    2: "a lesser part is met",
    3: "the main part is met",
    4: "met but for a trifle",
    5: "fully met",
}
"""What scores mean: the same that judges are told (`agents.judge.scores`)."""


@dataclass(eq=False)
class Session:
    """People's work on one run.

    Args:
        store: Where labels go.
        run: The run's id.
        entries: What is labelled, in order.
        material: What is shown of an item's output.
        criteria: What checks ask, where that is known.
        drawn: How the order was made.
    """

    store: RunStore
    run: str
    entries: Sequence[Entry]
    material: Callable[[Place], Material]
    criteria: Criteria = field(default_factory=dict[tuple[str, str], str])
    drawn: Drawn = "random"
    _later: dict[str, list[str]] = field(default_factory=dict[str, list[str]], repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self._by_id = {entry.id: entry for entry in self.entries}
        self._outputs: dict[tuple[str, str, int], list[Entry]] = {}
        for entry in self.entries:
            self._outputs.setdefault(entry.place[:3], []).append(entry)

    def state(self, rater: str) -> dict[str, Any]:
        """Return what the page shows a rater: the next item, and how far they have come.

        Nothing in it says what the judge or another rater said.

        Raises:
            InputError: that is no name.
        """
        queue = self._queue(_name(rater))
        entry, last = queue.next, queue.last
        undo = self._by_id_of(last) if last else None
        return {
            "rater": queue.rater,
            "progress": asdict(queue.progress),
            "item": None if entry is None else self._shown(entry),
            "undo": None if last is None or undo is None else _word(last, undo),
        }

    def label(self, rater: str, id: str, value: float | None, note: str = "") -> None:
        """Keep a rater's word; None where they cannot say.

        Raises:
            InputError: there is no such item, or nothing on its scale has this value.
        """
        entry = self._entry(id)
        allowed = (0.0, 1.0) if entry.scale == "verdict" else (0.0, 0.25, 0.5, 0.75, 1.0)
        if value is not None and value not in allowed:
            raise InputError(f"value {value!r} is none of {allowed}, nor null for cannot say")
        if len(note) > MAX_NOTE:
            raise InputError(f"the note has {len(note)} characters; {MAX_NOTE} are the most")
        self._add(entry, _name(rater), value, clean(note.strip()))

    def undo(self, rater: str) -> None:
        """Take back a rater's latest word; its item is shown again.

        Raises:
            InputError: there is none.
        """
        last = self._queue(_name(rater)).last
        if last is None:
            raise InputError("there is nothing to undo")
        self.store.people.add_labels(
            [replace(last, made=self.store.now(), value=None, note="", withdrawn=True)]
        )
        with self._lock:
            later = self._later.get(last.rater, [])
            later[:] = [id for id in later if id != self._by_id_of(last).id]

    def put_off(self, rater: str, id: str) -> None:
        """Show another item first; this one comes last.

        Raises:
            InputError: there is no such item.
        """
        entry = self._entry(id)
        with self._lock:
            later = self._later.setdefault(_name(rater), [])
            later[:] = [*(one for one in later if one != entry.id), entry.id]

    def _queue(self, rater: str) -> Queue:
        with self._lock:
            later = tuple(self._later.get(rater, ()))
        return Queue(
            entries=self.entries,
            history=tuple(self.store.people.history(self.run)),
            rater=rater,
            drawn=self.drawn,
            later=later,
        )

    def _entry(self, id: str) -> Entry:
        try:
            return self._by_id[id]
        except KeyError as e:
            raise InputError(f"no item is called {id!r}; load the page again") from e

    def _by_id_of(self, label: Label) -> Entry:
        place = (label.suite, *label.item)
        return next(entry for entry in self._outputs[place[:3]] if entry.place == place)

    def _add(self, entry: Entry, rater: str, value: float | None, note: str) -> None:
        made = Label(
            made=self.store.now(),
            run=self.run,
            suite=entry.suite,
            key=entry.key,
            trial=entry.trial,
            check=entry.check,
            rater=rater,
            value=value,
            note=note,
            drawn=self.drawn,
        )
        self.store.people.add_labels([made])

    def _shown(self, entry: Entry) -> dict[str, Any]:
        together = self._outputs[entry.place[:3]]
        material = self.material(entry.place)
        return {
            "id": entry.id,
            "suite": plain_data(entry.suite),
            "case": plain_data(entry.case),
            "trial": entry.trial,
            "check": plain_data(entry.check),
            "criterion": plain_data(self.criteria.get((entry.suite, entry.check), "")),
            "scale": entry.scale,
            "place": [together.index(entry) + 1, len(together)],
            **asdict(material),
        }


def _name(rater: str) -> str:
    """Return a rater's name as it is kept.

    Raises:
        InputError: it is empty or too long.
    """
    name = clean(" ".join(rater.split()))
    if not name or len(name) > MAX_NAME:
        raise InputError(f"a rater's name has 1 to {MAX_NAME} characters, not {len(name)}")
    return name


def _word(label: Label, entry: Entry) -> str:
    """Return what somebody said, for the button that takes it back."""
    if label.value is None:
        return "cannot say"
    if entry.scale == "verdict":
        return "pass" if label.value else "fail"
    return str(round(1 + 4 * label.value))
