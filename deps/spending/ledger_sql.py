"""A ledger in a database: processes share it, and it outlives them.

```python
ledger = SqlLedger(".assay/spend.db")  # or postgresql://user@host/database
```
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..database import SqlStore
from .caps import NOTHING, Amount, Cap, Count, Counts, Full, what_is_full
from .ledger import Entry, pieces, stale

__all__ = ("DEFAULT", "SqlLedger")

DEFAULT = ".assay/spend.db"
"""Where spending is kept when nothing else is said, from the working directory."""

metadata = sa.MetaData()

spending = sa.Table(
    "spending",
    metadata,
    sa.Column("account", sa.String(255), primary_key=True),
    sa.Column("period", sa.String(32), primary_key=True),  # Period.key
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("spent_nanos", sa.BigInteger, nullable=False),  # billionths of a dollar
    sa.Column("spent_tokens", sa.BigInteger, nullable=False),
    sa.Column("spent_requests", sa.BigInteger, nullable=False),
    sa.Column("reserved_nanos", sa.BigInteger, nullable=False),
    sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
    sa.Column("reserved_requests", sa.BigInteger, nullable=False),
)
c = spending.c
FIGURES = tuple(spending.c)[3:]

_OF_ACCOUNT = sa.select(c.period, c.number, *FIGURES).where(c.account == sa.bindparam("of"))

_OF_PIECE = (
    c.account == sa.bindparam("of"),
    c.period == sa.bindparam("in_period"),
    c.number == sa.bindparam("at_number"),
)
_SETTLE = (
    spending.update()
    .where(*_OF_PIECE)
    .values({one: one + sa.bindparam(f"more_{one.name}") for one in FIGURES})
)
_FORGET = spending.delete().where(
    c.account == sa.bindparam("of"),
    c.period == sa.bindparam("in_period"),
    c.number <= sa.bindparam("last"),
)

# PostgreSQL's advisory locks of accounts, in a room of their own.
_LOCKING = sa.text("SELECT pg_advisory_xact_lock(1953526888, hashtext(:of))")


class SqlLedger(SqlStore):
    """Keeps counts in SQLite or PostgreSQL. Open one per process, and close it at the end.

    SQLite runs with `synchronous=NORMAL`: a commit survives the death of the process; a power cut
    may lose the last ones, but never breaks the file.

    Args:
        url: A file (`.assay/spend.db`), or a URL (`postgresql://user@host/database`).

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | Path = DEFAULT) -> None:
        super().__init__(url, metadata, "the ledger")
        self._reserving = _upsert(postgres=self._postgres)

    async def reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        try:
            return await self._submit(lambda: self._reserve(entry, caps))
        except asyncio.CancelledError:
            # The worker may have reserved it, or be about to.
            await self.settle(entry, caps, NOTHING)
            raise

    async def settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        await self._submit(lambda: self._settle(entry, caps, spent))

    async def counts(self, account: str) -> Counts:
        return await self._read(_counts, account)

    # What an entry holds is told by the worker, after the commit: a caller may have left.

    def _reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        with self._writer.begin() as connection:
            full = _reserved(connection, self._reserving, entry, caps)
        entry.held = full is None
        return full

    def _settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        if entry.held:
            with self._writer.begin() as connection:
                connection.execute(_SETTLE, _changes(entry, caps, spent))
            entry.held = False


def _reserved(
    connection: sa.Connection, reserving: Any, entry: Entry, caps: Sequence[Cap]
) -> Full | None:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCKING, {"of": entry.account})
    counts = _counts(connection, entry.account)
    if full := what_is_full(caps, counts, entry.amount, entry.at):
        return full
    places = pieces(caps, entry.at)
    if not counts.keys() >= set(places):
        _forget(connection, entry, caps)
    connection.execute(reserving, [_row(entry.account, place, entry.amount) for place in places])
    return None


def _changes(entry: Entry, caps: Sequence[Cap], spent: Amount) -> list[dict[str, Any]]:
    more = _figures(spent, NOTHING - entry.amount)
    return [
        {
            "of": entry.account,
            "in_period": period,
            "at_number": number,
            **{f"more_{name}": figure for name, figure in more.items()},
        }
        for period, number in pieces(caps, entry.at)
    ]


def _upsert(*, postgres: bool) -> Any:
    """Return what adds to what is reserved in a piece, or begins one."""
    make = postgresql.insert if postgres else sqlite.insert
    new = make(spending)
    adding = [one for one in FIGURES if one.name.startswith("reserved")]
    return new.on_conflict_do_update(
        index_elements=[c.account, c.period, c.number],
        set_={one.name: one + new.excluded[one.name] for one in adding},
    )


def _counts(connection: sa.Connection, account: str) -> Counts:
    rows = connection.execute(_OF_ACCOUNT, {"of": account})
    return {
        (row.period, row.number): Count(
            Amount(row.spent_nanos, row.spent_tokens, row.spent_requests),
            Amount(row.reserved_nanos, row.reserved_tokens, row.reserved_requests),
        )
        for row in rows
    }


def _forget(connection: sa.Connection, entry: Entry, caps: Sequence[Cap]) -> None:
    """Delete what counts no longer, and was settled before."""
    periods = (cap.period for cap in caps)
    connection.execute(
        _FORGET,
        [
            {"of": entry.account, "in_period": period.key, "last": stale(period, entry.at)}
            for period in periods
        ],
    )


def _row(account: str, place: tuple[str, int], amount: Amount) -> dict[str, Any]:
    period, number = place
    return {
        "account": account,
        "period": period,
        "number": number,
        **_figures(NOTHING, amount),
    }


def _figures(spent: Amount, reserved: Amount) -> Mapping[str, int]:
    sides = (("spent", spent), ("reserved", reserved))
    return {
        f"{side}_{name}": figure
        for side, amount in sides
        for name, figure in (
            ("nanos", amount.nanos),
            ("tokens", amount.tokens),
            ("requests", amount.requests),
        )
    }
