"""Notes of acts in a database: they outlive the process, and workers share them.

```python
acts = SqlActs(".assay/acts.db")  # or postgresql://user@host/database
```
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..database import SqlStore
from .acts import Note, claimed

__all__ = ("DEFAULT", "SqlActs")

DEFAULT = ".assay/acts.db"
"""Where acts are noted when nothing else is said, from the working directory."""

metadata = sa.MetaData()

acts = sa.Table(
    "act",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("tool", sa.String(255), nullable=False),
    sa.Column("owner", sa.String(32), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("begun", sa.String(40), nullable=False),  # ISO 8601, in UTC
    sa.Column("until", sa.String(40), nullable=False),
    sa.Column("result", sa.Text),  # JSON
)
c = acts.c

_FIND = sa.select(acts).where(c.key == sa.bindparam("of")).with_for_update()
_RENEW = (
    acts.update()
    .where(c.key == sa.bindparam("of"), c.owner == sa.bindparam("by"))
    .values(until=sa.bindparam("to"))
)
_FINISH = (
    acts.update()
    .where(c.key == sa.bindparam("of"), c.result.is_(None))
    .values(result=sa.bindparam("came"))
)


class SqlActs(SqlStore):
    """Keeps notes in SQLite or PostgreSQL. Open one per process, and close it at the end.

    A note is on the disk when a method returns: a tool that acted before a power cut is not one
    that never began.

    Args:
        url: A file (`.assay/acts.db`), or a URL (`postgresql://user@host/database`).

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | Path = DEFAULT) -> None:
        super().__init__(url, metadata, "the store of acts", synchronous="FULL")
        make = postgresql.insert if self._postgres else sqlite.insert
        self._insert = make(acts).on_conflict_do_nothing(index_elements=[c.key]).returning(c.key)

    async def claim(self, wanted: Note, *, again: bool) -> Note:
        return await self._write(_claim, self._insert, wanted, again)

    async def renew(self, note: Note, until: datetime) -> None:
        await self._write(_execute, _RENEW, {"of": note.key, "by": note.owner, "to": _iso(until)})

    async def finish(self, key: str, result: str) -> str:
        return await self._write(_finish, key, result)

    async def forget(self, key: str, *, owner: str | None = None) -> bool:
        only = () if owner is None else (c.owner == owner, c.result.is_(None))
        return await self._write(_execute, acts.delete().where(c.key == key, *only), {}) > 0

    async def prune(self, before: datetime) -> int:
        """Forget what was done before then, and return how much that was.

        What is asked for with one of its keys again is done again. Acts of which nobody knows what
        came of them are kept.
        """
        old = acts.delete().where(c.result.is_not(None), c.begun < _iso(before))
        return await self._write(_execute, old, {})


def _claim(connection: sa.Connection, insert: Any, wanted: Note, again: bool) -> Note:
    while True:
        # Whoever inserts the same key meanwhile is awaited here, and found below.
        if connection.execute(insert, _row(wanted)).first() is not None:
            return wanted
        found = _note(connection.execute(_FIND, {"of": wanted.key}).one_or_none())
        if found is not None:  # else it was forgotten between the two
            break
    new = claimed(found, wanted, again=again)
    if new is None:
        return found
    connection.execute(acts.update().where(c.key == new.key), _row(new))
    return new


def _finish(connection: sa.Connection, key: str, result: str) -> str:
    connection.execute(_FINISH, {"of": key, "came": result})
    found = _note(connection.execute(_FIND, {"of": key}).one_or_none())
    # Somebody forgot it meanwhile: the result is the caller's all the same.
    return result if found is None or found.result is None else found.result


def _execute(connection: sa.Connection, statement: Any, values: dict[str, str]) -> int:
    return int(connection.execute(statement, values).rowcount)


def _iso(at: datetime) -> str:
    """Return a moment as a text that sorts by time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _row(note: Note) -> dict[str, Any]:
    return {**vars(note), "begun": _iso(note.begun), "until": _iso(note.until)}


def _note(row: Any) -> Note | None:
    if row is None:
        return None
    return Note(
        key=row.key,
        tool=row.tool,
        owner=row.owner,
        attempt=row.attempt,
        begun=datetime.fromisoformat(row.begun),
        until=datetime.fromisoformat(row.until),
        result=row.result,
    )
