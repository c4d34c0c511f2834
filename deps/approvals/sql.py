"""Paused runs in a database: they outlive the process, and workers share them.

```python
approvals = SqlApprovals(".assay/approvals.db")  # or postgresql://user@host/database
```
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..clock import utc_now
from ..database import SqlStore
from .records import NoSuchPause, Record
from .store import Approvals, Change

__all__ = ("DEFAULT", "SqlApprovals")

DEFAULT = ".assay/approvals.db"
"""Where paused runs are kept when nothing else is said, from the working directory."""

metadata = sa.MetaData()

pauses = sa.Table(
    "approval_pause",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", sa.String(40), nullable=False, index=True),  # ISO 8601, in UTC
    sa.Column("finished", sa.Boolean, nullable=False, index=True),
    sa.Column("record", sa.Text, nullable=False),  # JSON of `Record`
)
c = pauses.c

_FIND = sa.select(c.record).where(c.id == sa.bindparam("of")).with_for_update()
_REPLACE = pauses.update().where(c.id == sa.bindparam("of"))


class SqlApprovals(SqlStore, Approvals):
    """Keeps paused runs in SQLite or PostgreSQL. Open one per process, and close it at the end.

    A decision is on the disk when a method returns, on SQLite too (`synchronous=FULL`).

    Args:
        url: A file (`.assay/approvals.db`), or a URL (`postgresql://user@host/database`).
        now: The clock, the same for all who share the store.
        lease: How long a worker is not taken for dead, after it was last heard of.
        expires: How long people have for a decision; what is undecided then counts as denied.

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(
        self,
        url: str | Path = DEFAULT,
        *,
        now: Callable[[], datetime] = utc_now,
        lease: timedelta = timedelta(seconds=60),
        expires: timedelta | None = None,
    ) -> None:
        SqlStore.__init__(self, url, metadata, "the store of approvals", synchronous="FULL")
        Approvals.__init__(self, now=now, lease=lease, expires=expires)

    async def _change(self, id: str, change: Change, then: Record | None = None) -> Record:
        return await self._write(_replace, id, change, then)

    async def _add(self, record: Record) -> None:
        await self._write(_insert, record)

    async def _found(self, begins: str, *, all: bool) -> list[Record]:
        return await self._read(_find, begins, all)

    async def _delete(self, id: str) -> bool:
        return await self._write(_remove, id)


def _replace(connection: sa.Connection, id: str, change: Change, then: Record | None) -> Record:
    found = connection.execute(_FIND, {"of": id}).scalar_one_or_none()
    if found is None:
        raise NoSuchPause(f"no paused run is kept under {id!r}")
    new = change(Record.model_validate_json(found))
    connection.execute(_REPLACE, {"of": id, **_row(new)})
    if then is not None:
        _insert(connection, then)
    return new


def _insert(connection: sa.Connection, record: Record) -> None:
    connection.execute(pauses.insert(), _row(record))


def _find(connection: sa.Connection, begins: str, all: bool) -> list[Record]:
    query = sa.select(c.record).order_by(c.at, c.id)
    if begins:
        query = query.where(c.id.startswith(begins, autoescape=True))
    if not all:
        query = query.where(c.finished.is_(False))
    return [Record.model_validate_json(text) for text in connection.execute(query).scalars()]


def _remove(connection: sa.Connection, id: str) -> bool:
    return connection.execute(pauses.delete().where(c.id == id)).rowcount > 0


def _row(record: Record) -> dict[str, Any]:
    paused = record.paused
    return {
        "id": paused.id,
        "at": paused.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "finished": paused.finished is not None,
        "record": record.model_dump_json(),
    }
