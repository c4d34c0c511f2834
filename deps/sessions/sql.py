"""Conversations in a database: they outlive the process, and workers share them.

```python
sessions = SqlSessions(".assay/sessions.db")  # or postgresql://user@host/database
```
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic_ai.messages import ModelMessage
from sqlalchemy.dialects import postgresql, sqlite

from ..clock import utc_now
from ..database import BUSY_MS, SqlStore
from ..errors import SessionMoved
from .records import Kept, Session, Summary, Turn, no_turn, session_of, taken
from .turns import check_whole

__all__ = ("DEFAULT", "SqlSessions")

DEFAULT = ".assay/sessions.db"
"""Where conversations are kept when nothing else is said, from the working directory."""

metadata = sa.MetaData()

sessions = sa.Table(
    "session",
    metadata,
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("begun", sa.String(40), nullable=False),  # ISO 8601, in UTC
    sa.Column("changed", sa.String(40), nullable=False),
    sa.Column("used", sa.Integer, nullable=False),  # the highest number that was ever given
    sa.Column("origin", sa.String(255), index=True),
)
turns = sa.Table(
    "session_turn",
    metadata,
    sa.Column("session", sa.String(255), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("messages", sa.Text, nullable=False),  # JSON
)
# Apart from the session: a lease is held before the first turn is made.
leases = sa.Table(
    "session_lease",
    metadata,
    sa.Column("session", sa.String(255), primary_key=True),
    sa.Column("owner", sa.String(32), nullable=False),
    sa.Column("until", sa.String(40), nullable=False),
)
s, t, e = sessions.c, turns.c, leases.c


class SqlSessions(SqlStore):
    """Keeps conversations in SQLite or PostgreSQL. Open one per process, and close it at the end.

    A turn survives the death of the process. A power cut may take the last ones from SQLite, but
    never breaks its file.

    What is deleted is gone from SQLite's files when the method returns (`secure_delete`, and the
    log is emptied, unless another reads it just then). PostgreSQL frees it at its next vacuum.
    Copies that you made, such as backups, are yours to delete.

    Args:
        url: A file (`.assay/sessions.db`), or a URL (`postgresql://user@host/database`).
        now: The clock, the same for all who share the database: leases are told by it.

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | Path = DEFAULT, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(url, metadata, "the store of sessions")
        self.now = now

    async def load(self, id: str, *, within: int | None = None) -> Session:
        return await self._read(_load, id, within)

    async def append(
        self, id: str, messages: Sequence[ModelMessage], *, after: int | None = None
    ) -> Turn:
        check_whole(messages)
        kept = await self._write(_append, id, Kept.of(0, messages, self.now()), after)
        return kept.turn()

    async def fork(self, id: str, at: int, to: str | None = None) -> str:
        to = uuid4().hex if to is None else to
        await self._write(_fork, id, at, to, _iso(self.now()))
        return to

    async def rewind(self, id: str, to: int) -> None:
        await self._write(_rewind, id, to, _iso(self.now()))
        await self._submit(self._empty_log)

    async def forget(self, id: str, *, forks: bool = False) -> int:
        gone = await self._write(_forget, id, forks)
        await self._submit(self._empty_log)
        return gone

    async def find(self, prefix: str = "", *, limit: int = 100) -> tuple[Summary, ...]:
        return await self._read(_find, prefix, limit)

    async def hold(self, id: str, owner: str, lease: timedelta) -> bool:
        now = self.now()
        return await self._write(_hold, id, owner, _iso(now), _iso(now + lease))

    async def release(self, id: str, owner: str) -> None:
        await self._write(_release, id, owner)

    def _empty_log(self) -> None:
        """Empty SQLite's write-ahead log, which else holds what was deleted."""
        if self._postgres:
            return
        with self._engine.connect().execution_options(assay_begin=None) as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=0")  # a reader is not waited for
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
            connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")


def _load(connection: sa.Connection, id: str, within: int | None) -> Session:
    """Load a session; where not all of it is wanted, no more than that is read."""
    of_it = sa.select(turns).where(t.session == id).order_by(t.number)
    if within is None:
        return session_of(id, _kept(connection.execute(of_it)))
    rows = connection.execute(_last_of(id, within)).all()
    wanted = [row for row in rows if row.later <= within or row.position == row.of]
    left = wanted[0].position - 1 if wanted else 0
    opening = _kept(rows[:1])[0] if left else None
    return session_of(id, _kept(wanted), left_out=left, opening=opening)


def _last_of(id: str, within: int) -> sa.Select[Any]:
    """Ask for the last turns of so many tokens, the last one anyhow, and the first: in one go."""
    sizes = (
        sa.select(
            t.number,
            sa.func.sum(t.tokens).over(order_by=t.number.desc()).label("later"),
            sa.func.row_number().over(order_by=t.number).label("position"),
            sa.func.count().over().label("count"),
        )
        .where(t.session == id)
        .subquery()
    )
    z = sizes.c
    return (
        sa.select(turns, z.later, z.position, z["count"].label("of"))
        .join(sizes, t.number == z.number)
        .where(t.session == id)
        .where(sa.or_(z.later <= within, z.position == z["count"], z.position == 1))
        .order_by(t.number)
    )


def _append(connection: sa.Connection, id: str, new: Kept, after: int | None) -> Kept:
    used = _lock(connection, id, _iso(new.at))
    last = connection.scalar(sa.select(sa.func.max(t.number)).where(t.session == id)) or 0
    if after is not None and after != last:
        raise SessionMoved(id, expected=after, found=last)  # undoes the transaction
    kept = Kept(number=used + 1, at=new.at, tokens=new.tokens, messages=new.messages)
    connection.execute(turns.insert(), {"session": id, **_row(kept)})
    changes = sessions.update().where(s.id == id).values(used=used + 1, changed=_iso(new.at))
    connection.execute(changes)
    return kept


def _lock(connection: sa.Connection, id: str, now: str) -> int:
    """Make a session if it is not there, keep others from it, and return its highest number."""
    # Who makes the same one at this moment is awaited here.
    made = _insert(connection)(sessions).values(id=id, begun=now, changed=now, used=0)
    connection.execute(made.on_conflict_do_nothing(index_elements=[s.id]))
    locked = sa.select(s.used).where(s.id == id).with_for_update()
    found = connection.scalar(locked)
    return _lock(connection, id, now) if found is None else found  # it was forgotten between


def _fork(connection: sa.Connection, id: str, at: int, to: str, now: str) -> None:
    connection.execute(sa.select(s.id).where(s.id == id).with_for_update())
    _must_have(connection, id, at)
    new = _insert(connection)(sessions).values(id=to, begun=now, changed=now, used=at, origin=id)
    made = new.on_conflict_do_nothing(index_elements=[s.id]).returning(s.id)
    if connection.execute(made).first() is None:
        raise taken(to)
    columns = [t.number, t.at, t.tokens, t.messages]
    copied = sa.select(sa.literal(to), *columns).where(t.session == id, t.number <= at)
    connection.execute(turns.insert().from_select([t.session, *columns], copied))


def _rewind(connection: sa.Connection, id: str, to: int, now: str) -> None:
    connection.execute(sa.select(s.id).where(s.id == id).with_for_update())
    if to:
        _must_have(connection, id, to)
    _delete_for_good(connection)
    connection.execute(turns.delete().where(t.session == id, t.number > to))
    connection.execute(sessions.update().where(s.id == id).values(changed=now))


def _must_have(connection: sa.Connection, id: str, number: int) -> None:
    of_it = sa.select(t.number).where(t.session == id).order_by(t.number)
    there = list(connection.scalars(of_it))
    if number not in there:
        raise no_turn(id, number, there)


def _forget(connection: sa.Connection, id: str, forks: bool) -> int:
    _delete_for_good(connection)
    gone = list(connection.scalars(sa.select(s.id).where(s.id == id).with_for_update()))
    for one in gone if forks else ():  # which grows meanwhile
        gone += connection.scalars(sa.select(s.id).where(s.origin == one).with_for_update())
    for one in gone:
        connection.execute(turns.delete().where(t.session == one))
        connection.execute(sessions.delete().where(s.id == one))
    return len(gone)


def _delete_for_good(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _find(connection: sa.Connection, prefix: str, limit: int) -> tuple[Summary, ...]:
    count = sa.select(sa.func.count()).where(t.session == s.id).scalar_subquery()
    # Not LIKE: on SQLite that takes upper case for lower.
    begins = sa.func.substr(s.id, 1, len(prefix)) == prefix
    found = (
        sa.select(sessions, count.label("turns"))
        .where(begins)
        .order_by(s.changed.desc(), s.id)
        .limit(limit)
    )
    return tuple(
        Summary(
            id=row.id,
            turns=row.turns,
            begun=datetime.fromisoformat(row.begun),
            changed=datetime.fromisoformat(row.changed),
            origin=row.origin,
        )
        for row in connection.execute(found)
    )


def _hold(connection: sa.Connection, id: str, owner: str, now: str, until: str) -> bool:
    wanted = _insert(connection)(leases).values(session=id, owner=owner, until=until)
    # One statement, so whoever holds it at this moment is awaited, and then seen.
    free = sa.or_(e.owner == owner, e.until <= now)
    held = wanted.on_conflict_do_update(
        index_elements=[e.session], set_={"owner": owner, "until": until}, where=free
    )
    return connection.execute(held.returning(e.session)).first() is not None


def _release(connection: sa.Connection, id: str, owner: str) -> None:
    connection.execute(leases.delete().where(e.session == id, e.owner == owner))


def _insert(connection: sa.Connection) -> Any:
    """Return the `insert` of the dialect, which knows what to do on a conflict."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _iso(at: datetime) -> str:
    """Return a moment as a text that sorts by time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _row(kept: Kept) -> dict[str, Any]:
    return {**vars(kept), "at": _iso(kept.at)}


def _kept(rows: Iterable[Any]) -> list[Kept]:
    return [
        Kept(
            number=row.number,
            at=datetime.fromisoformat(row.at),
            tokens=row.tokens,
            messages=row.messages,
        )
        for row in rows
    ]
