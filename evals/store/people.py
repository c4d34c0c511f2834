"""What people said of outputs, and what became of it: labels and calibrations in the run store.

Both are only ever added. Of a rater's labels of one item the latest counts, and one that is
`withdrawn` takes the earlier ones back.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from ..judges.standing import Calibration
from .rows import moment
from .schema import calibration, label

__all__ = ("Drawn", "Label", "People", "standing")

Drawn = Literal["random", "disagreement"]
"""How an item came to be labelled. Only what chance has drawn stands for the rest."""

Connect = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, kw_only=True)
class Label:
    """One person's word on one check of one trial.

    Attributes:
        made: When.
        key: The hash of the case's content.
        check: The check's name.
        rater: Who.
        value: 1 for a pass, 0 for a fail, a score in [0, 1]; None where they cannot say, or take
            back what they said.
        note: What they noted.
        drawn: How the item was chosen.
        withdrawn: Whether they take back what they said, so that the item is unlabelled again.
    """

    made: datetime
    run: str
    suite: str
    key: str
    trial: int
    check: str
    rater: str
    value: float | None
    note: str = ""
    drawn: Drawn = "random"
    withdrawn: bool = False

    @property
    def item(self) -> tuple[str, int, str]:
        """What was labelled: the case's key, the trial, the check."""
        return self.key, self.trial, self.check


def standing(history: Iterable[Label]) -> list[Label]:
    """Return what stands of all that was ever said: of each rater and item the latest word.

    "Cannot say" is a word too; what was withdrawn is none.

    Args:
        history: Labels of one run, the oldest first.
    """
    latest: dict[tuple[str, tuple[str, int, str], str], Label] = {}
    for one in history:
        place = (one.suite, one.item, one.rater)
        latest.pop(place, None)  # so that the latest word stands last
        if not one.withdrawn:
            latest[place] = one
    return list(latest.values())


class People:
    """Labels and calibrations of a run store; get it from `RunStore.people`.

    Args:
        read: Opens a connection to read with.
        write: Opens one to write with, in a transaction.
    """

    def __init__(self, read: Connect, write: Connect) -> None:
        self._read = read
        self._write = write

    def add_calibration(self, found: Calibration) -> None:
        """Keep a calibration; from now on it is its judge's."""
        row = {"judge": found.judge, "made": moment(found.made), "found": found.as_json()}
        with self._write() as connection:
            connection.execute(calibration.insert(), row)

    def calibration(self, judge: str) -> Calibration | None:
        """Return the latest calibration of a judge."""
        query = (
            sa.select(calibration.c.found)
            .where(calibration.c.judge == judge)
            .order_by(calibration.c.id.desc())
            .limit(1)
        )
        with self._read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else Calibration.of_json(str(found))

    def calibrations(self) -> list[Calibration]:
        """Return the latest calibration of every judge, the newest first."""
        latest = sa.select(sa.func.max(calibration.c.id)).group_by(calibration.c.judge)
        query = (
            sa.select(calibration.c.found)
            .where(calibration.c.id.in_(latest))
            .order_by(calibration.c.id.desc())
        )
        with self._read() as connection:
            return [Calibration.of_json(str(row.found)) for row in connection.execute(query)]

    def add_labels(self, labels: Iterable[Label]) -> None:
        """Keep labels, all or none."""
        rows = [
            {
                "made": moment(one.made),
                "run": one.run,
                "suite": one.suite,
                "case_key": one.key,
                "trial": one.trial,
                "check_name": one.check,
                "rater": one.rater,
                "value": one.value,
                "note": one.note,
                "drawn": one.drawn,
                "withdrawn": one.withdrawn,
            }
            for one in labels
        ]
        if rows:
            with self._write() as connection:
                connection.execute(label.insert(), rows)

    def labels(self, run: str, suite: str | None = None) -> list[Label]:
        """Return the labels of a run that count, in the order in which they were made."""
        return [one for one in standing(self.history(run, suite)) if one.value is not None]

    def history(self, run: str, suite: str | None = None) -> Iterator[Label]:
        """Yield every label that was ever given to a run's outputs, the oldest first.

        By when they were made: labels of another store are added later than they were given.
        """
        query = sa.select(label).where(label.c.run == run).order_by(label.c.made, label.c.id)
        if suite is not None:
            query = query.where(label.c.suite == suite)
        with self._read() as connection:
            for row in connection.execute(query):
                yield Label(
                    made=datetime.fromisoformat(row.made),
                    run=row.run,
                    suite=row.suite,
                    key=row.case_key,
                    trial=row.trial,
                    check=row.check_name,
                    rater=row.rater,
                    value=row.value,
                    note=row.note,
                    drawn=row.drawn,
                    withdrawn=bool(row.withdrawn),
                )
