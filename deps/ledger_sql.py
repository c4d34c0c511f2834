"""A ledger in a database: processes share it, and it outlives them.

```python
ledger = SqlLedger(".assay/spend.db")  # or postgresql://user@host/database
```
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .caps import NOTHING, Amount, Cap, Count, Counts, Full, what_is_full
from .database import open_engine, said
from .ledger import Entry, pieces, stale

__all__ = ("DEFAULT", "SqlLedger")

DEFAULT = ".assay/spend.db"
"""Where spending is kept when nothing else is said, from the working directory."""

WHAT = "the ledger"

P = ParamSpec("P")
T = TypeVar("T")

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

# PostgreSQL's advisory locks: while the table is made, and, in a room of their own, of accounts.
_MAKING = sa.text("SELECT pg_advisory_xact_lock(1953526887)")
_LOCKING = sa.text("SELECT pg_advisory_xact_lock(1953526888, hashtext(:of))")


@dataclass(eq=False)
class SqlLedger:
    """Keeps counts in SQLite or PostgreSQL. Open one per process, and close it at the end.

    One worker thread writes, so the event loop is never blocked and nothing overtakes. SQLite runs
    with `synchronous=NORMAL`: a commit survives the death of the process; a power cut may lose the
    last ones, but never breaks the file.

    Args:
        url: A file (`.assay/spend.db`), or a URL (`postgresql://user@host/database`).

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    url: str | Path = DEFAULT
    _engine: sa.Engine = field(init=False, repr=False)
    _writer: sa.Engine = field(init=False, repr=False)
    _reserving: Any = field(init=False, repr=False)
    _worker: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        with said(self.url, WHAT):
            self._engine = open_engine(self.url, WHAT)
            self._writer = self._engine.execution_options(assay_begin="write")  # the same pool
            with self._writer.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(_MAKING)
                metadata.create_all(connection)
        self._reserving = _upsert(self._engine.dialect)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="assay-ledger")

    def close(self) -> None:
        """Finish what is being written, and close the database for good."""
        self._worker.shutdown()
        self._engine.dispose()

    async def reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        try:
            return await self._do(self._reserve, entry, caps)
        except asyncio.CancelledError:
            # The worker may have reserved it, or be about to.
            await self._do(self._settle, entry, caps, NOTHING)
            raise

    async def settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        await self._do(self._settle, entry, caps, spent)

    async def counts(self, account: str) -> Counts:
        return await self._do(self._counts, account)

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Let the worker do it. Who is cancelled meanwhile does not undo it."""

        def saying() -> T:
            with said(self.url, WHAT):
                return work(*args, **kwargs)

        return await asyncio.shield(asyncio.wrap_future(self._worker.submit(saying)))

    def _reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_LOCKING, {"of": entry.account})
            counts = _read(connection, entry.account)
            if full := what_is_full(caps, counts, entry.amount, entry.at):
                return full
            places = pieces(caps, entry.at)
            if not counts.keys() >= set(places):
                _forget(connection, entry, caps)
            rows = [_row(entry.account, place, entry.amount) for place in places]
            connection.execute(self._reserving, rows)
        entry.held = True
        return None

    def _settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        if not entry.held:
            return
        more = _figures(spent, NOTHING - entry.amount)
        changes = [
            {
                "of": entry.account,
                "in_period": period,
                "at_number": number,
                **{f"more_{name}": figure for name, figure in more.items()},
            }
            for period, number in pieces(caps, entry.at)
        ]
        with self._writer.begin() as connection:
            connection.execute(_SETTLE, changes)
        entry.held = False

    def _counts(self, account: str) -> Counts:
        with self._engine.connect() as connection:
            return _read(connection, account)


def _upsert(dialect: sa.Dialect) -> Any:
    """Return what adds to what is reserved in a piece, or begins one."""
    make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    new = make(spending)
    adding = [one for one in FIGURES if one.name.startswith("reserved")]
    return new.on_conflict_do_update(
        index_elements=[c.account, c.period, c.number],
        set_={one.name: one + new.excluded[one.name] for one in adding},
    )


def _read(connection: sa.Connection, account: str) -> Counts:
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
