"""A SQLite file that can be asked, and by nothing in a statement changed.

Nothing of ours reads the statement; SQLite itself is asked what it will do. The file is opened with
`mode=ro` and `PRAGMA query_only`, for one statement. An authorizer, which SQLite calls while it
compiles, knows reading and little else. And the compiled program (`EXPLAIN`) may open the pages of
allowed tables alone: the authorizer is not told of tables that are read by `NATURAL JOIN` and
`USING` only, and is told the name of a WITH where it should be a view's.
"""

import asyncio
import re
import sqlite3
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from pydantic import JsonValue

from ..errors import ConfigError, InputError
from .queries import Column, Limits, Rows, Scalar, Table, bound, collected, too_slow

__all__ = ("SqliteQueries",)

# Opcodes that open a table or an index of the file, in p2 the page where it begins.
_OPEN = frozenset({"OpenRead", "OpenWrite", "ReopenIdx"})

_UNSEEN = re.compile(r"\b(natural|using)\b", re.IGNORECASE)
"""Joins that read what the authorizer is not told of."""

STEPS = 2_000
"""So many steps of SQLite's machine pass between two looks at the clock."""

PURE = frozenset({"json_each", "json_tree"})
"""Table-valued functions that read nothing but their arguments."""

# They make much out of nothing, which only the clock would bound; or they reach outside.
FUNCTIONS = frozenset({"zeroblob", "randomblob", "load_extension", "fts3_tokenizer"})

_BY_PART = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
}


class SqliteQueries:
    """Asks a SQLite file, with a connection of its own for every statement.

    Args:
        path: The file.
        tables: The tables and views that may be read; None for all. Who reads a view reads its
            tables, so name them too.
        limits: How much one statement may take.
        value_size: How large a text or blob may be that a statement touches or makes, in bytes.

    Raises:
        ConfigError: from the methods, where the file cannot be read.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        tables: Collection[str] | None = None,
        limits: Limits | None = None,
        value_size: int = 100_000,
    ) -> None:
        self.path = Path(path)
        self.limits = limits or Limits()
        self.value_size = value_size
        self._allowed = None if tables is None else frozenset(map(str.casefold, tables))

    async def query(self, sql: str, parameters: Mapping[str, Scalar]) -> Rows:
        sql = bound(sql, parameters)
        cancelled = Event()
        try:
            return await asyncio.to_thread(self._query, sql, parameters, cancelled)
        finally:
            cancelled.set()  # a thread cannot be stopped, but SQLite can

    async def tables(self) -> list[Table]:
        return await asyncio.to_thread(self._tables)

    def _query(self, sql: str, parameters: Mapping[str, Scalar], cancelled: Event) -> Rows:
        with self._opened() as db:
            readable = _Readable.of(db, self._allowed)
            until = monotonic() + self.limits.seconds
            db.set_progress_handler(lambda: cancelled.is_set() or monotonic() > until, STEPS)
            guard = _Guard(readable)
            db.set_authorizer(guard)
            try:
                _refuse_program(db.execute(f"EXPLAIN {sql}", dict(parameters)), sql, readable)
                found = db.execute(sql, dict(parameters))
                if found.description is None:
                    raise InputError("the statement returns no rows; write one SELECT")
                columns = [column[0] for column in found.description]
                return collected(columns, (map(_json, row) for row in found), self.limits)
            except (sqlite3.Error, sqlite3.Warning, OverflowError) as e:
                raise self._refusal(e, guard.refused) from e

    def _refusal(self, error: Exception, refused: str | None) -> InputError:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_INTERRUPT":
            return too_slow(self.limits)
        if name == "SQLITE_TOOBIG":
            return InputError(
                f"a text or blob has more than {self.value_size} bytes; leave its column out"
            )
        if refused is not None:
            return InputError(
                f"the statement is refused: {refused}. Write one SELECT over the tables that "
                "the description of the database lists"
            )
        return InputError(f"the statement is refused: {error}. Write one SELECT in SQLite's SQL")

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(
                    f"file:{quote(str(self.path))}?mode=ro",
                    uri=True,
                    isolation_level=None,
                    timeout=self.limits.seconds,
                    check_same_thread=False,
                    cached_statements=0,
                )
            ) as db:
                db.execute("PRAGMA query_only = ON")
                db.execute("PRAGMA trusted_schema = OFF")
                db.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the file
                db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.value_size)
                for limit, value in _BY_PART.items():
                    db.setlimit(limit, value)
                db.text_factory = _text
                yield db
        except sqlite3.Error as e:
            raise ConfigError(
                f"database {str(self.path)!r} cannot be read: {e}; name a SQLite file"
            ) from e

    def _tables(self) -> list[Table]:
        with self._opened() as db:
            readable = _Readable.of(db, self._allowed)
            return [Table(name, tuple(_columns(db, name))) for name in readable.shown]


class _Readable(NamedTuple):
    """What may be read of a file.

    Attributes:
        shown: Tables and views, as they are written.
        names: The same in lower case, and what full-text tables among them keep their words in.
        others: What else there is.
        pages: Where those tables and their indexes begin.
    """

    shown: list[str]
    names: frozenset[str]
    others: frozenset[str]
    pages: frozenset[int]

    @classmethod
    def of(cls, db: sqlite3.Connection, allowed: Collection[str] | None) -> Self:
        rows = db.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
        kinds = {name: kind for name, kind in rows if not name.casefold().startswith("sqlite_")}
        shown = sorted(
            name
            for name, kind in kinds.items()
            if kind != "shadow" and (allowed is None or name.casefold() in allowed)
        )
        owners = tuple(f"{name.casefold()}_" for name in shown if kinds[name] == "virtual")
        names = {name.casefold() for name in shown} | {
            name.casefold()
            for name, kind in kinds.items()
            if kind == "shadow" and name.casefold().startswith(owners)
        }
        pages = db.execute("SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0")
        return cls(
            shown,
            frozenset(names),
            frozenset(map(str.casefold, kinds)) - names,
            frozenset(page for name, page in pages if name.casefold() in names),
        )


class _Guard:
    """SQLite's authorizer for one statement; what it refused first is in `refused`."""

    def __init__(self, readable: _Readable) -> None:
        self.refused: str | None = None
        self._readable = readable

    def __call__(
        self, action: int, first: str | None, second: str | None, db: str | None, _: str | None
    ) -> int:
        why = self._why(action, first or "", second or "")
        if why is None:
            return sqlite3.SQLITE_OK
        self.refused = self.refused or why
        return sqlite3.SQLITE_DENY

    def _why(self, action: int, first: str, second: str) -> str | None:
        """Return why an action is refused, if it is."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return None
        if action == sqlite3.SQLITE_FUNCTION:
            return f"function {second!r} is closed" if second.casefold() in FUNCTIONS else None
        if action == sqlite3.SQLITE_READ:
            return self._why_unread(first.casefold(), second)
        # What SQLite itself does when a statement names a virtual table; neither writes.
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            return None
        if action == sqlite3.SQLITE_PRAGMA and (first, second) == ("data_version", ""):
            return None
        return "it does more than read"

    def _why_unread(self, table: str, column: str) -> str | None:
        if table in PURE or table in self._readable.names:
            return None
        if table == "sqlite_master" and column == "ROWID":  # see above
            return None
        reserved = table in self._readable.others or table.startswith(("sqlite_", "pragma_"))
        if not column and not reserved:
            return None  # the name of a WITH, of which no column is read
        return f"table {table!r} may not be read"


def _refuse_program(program: Iterable[tuple[Any, ...]], sql: str, readable: _Readable) -> None:
    """Refuse what SQLite made of a statement."""
    for _, opcode, _, p2, p3, *_ in program:
        if opcode in _OPEN and p3 == 0 and p2 not in readable.pages:
            raise InputError("the statement is refused: it reads a closed table; leave that out")
        if opcode == "Transaction" and p2:
            raise InputError("the statement is refused: it writes; write one SELECT")
        if opcode == "VOpen" and (joined := _UNSEEN.search(sql)):
            raise InputError(
                f"the statement is refused: it has {joined[0]!r} and a virtual table or a "
                "table-valued function; write JOIN ... ON"
            )


def _columns(db: sqlite3.Connection, table: str) -> Iterable[Column]:
    to = {
        row[3]: f"{row[2]}.{row[4]}" if row[4] else str(row[2])
        for row in db.execute("SELECT * FROM pragma_foreign_key_list(?)", (table,))
    }
    for _, name, kind, *_ in db.execute("SELECT * FROM pragma_table_info(?)", (table,)):
        yield Column(name, kind, to.get(name))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _json(value: str | int | float | bytes | None) -> JsonValue:
    """Return a value as JSON has it: a blob in hexadecimal, an infinite number as a text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
