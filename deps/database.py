"""How a database is reached: a file or a URL, and SQLite's transactions as we need them.

A store is an `SqlStore` with its tables:

```python
class SqlActs(SqlStore):
    def __init__(self, url: str | Path = ".assay/acts.db") -> None:
        super().__init__(url, metadata, "the store of acts")

    async def forget(self, key: str) -> bool:
        return await self._write(_forget, key)


def _forget(connection: sa.Connection, key: str) -> bool:
    return connection.execute(acts.delete().where(acts.c.key == key)).rowcount > 0
```

SQLAlchemy is imported with this module, so import it where a database is wanted.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeAlias, TypeVar
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from .errors import ConfigError, MissingExtra
from .secrets import scrub_error

__all__ = ("SqlStore", "open_engine", "said", "shown_place")

P = ParamSpec("P")
T = TypeVar("T")

Synchronous: TypeAlias = Literal["NORMAL", "FULL"]

BUSY_MS = 30_000  # how long a process waits for another one's commit


# PostgreSQL's advisory lock while tables are made.
_MAKING = sa.text("SELECT pg_advisory_xact_lock(1953526887)")


class SqlStore:
    """Tables in SQLite or PostgreSQL. Open one per process, and close it at the end.

    One worker thread works, so the event loop is never blocked and nothing overtakes.

    Args:
        url: A file (`.assay/acts.db`), or a URL (`postgresql://user@host/database`).
        metadata: The tables; those that are missing are made.
        what: What the store is called in errors.
        synchronous: SQLite's; with NORMAL a commit survives the death of the process, and a power
            cut may lose the last ones but never breaks the file; with FULL it loses none. On
            PostgreSQL that is `synchronous_commit`.

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(
        self,
        url: str | Path,
        metadata: sa.MetaData,
        what: str,
        *,
        synchronous: Synchronous = "NORMAL",
    ) -> None:
        self.url = url
        self._what = what
        with said(url, what):
            self._engine = open_engine(url, what, synchronous=synchronous)
            self._writer = self._engine.execution_options(assay_begin="write")  # the same pool
            with self._writer.begin() as connection:
                if self._postgres:
                    connection.execute(_MAKING)
                metadata.create_all(connection)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="assay-store")

    def close(self) -> None:
        """Finish what is being written, and close the database for good."""
        self._worker.shutdown()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    async def _write(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Let the worker do it in a transaction that may write, from its beginning.

        Who is cancelled meanwhile does not undo it.
        """
        return await self._submit(lambda: _done(self._writer, work, *args, **kwargs))

    async def _read(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Let the worker do it in a transaction that only reads."""
        return await self._submit(lambda: _done(self._engine, work, *args, **kwargs))

    async def _submit(self, work: Callable[[], T]) -> T:
        def saying() -> T:
            with said(self.url, self._what):
                return work()

        return await asyncio.shield(asyncio.wrap_future(self._worker.submit(saying)))


def _done(
    engine: sa.Engine,
    work: Callable[Concatenate[sa.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    with engine.begin() as connection:
        return work(connection, *args, **kwargs)


def open_engine(url: str | Path, what: str, *, synchronous: Synchronous = "NORMAL") -> sa.Engine:
    """Return the engine of a file or URL; `what` it is for is said in errors.

    With the execution option `assay_begin="write"` a transaction on SQLite takes the write lock.

    Raises:
        MissingExtra: the URL's driver is not installed.
    """
    place = _url(url)
    if place.get_backend_name() == "sqlite":
        if place.database:
            Path(place.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(place, connect_args={"timeout": BUSY_MS / 1000})
        event.listen(engine, "connect", _configuring(synchronous))
        event.listen(engine, "begin", _on_begin)
        return engine
    try:
        return sa.create_engine(place, pool_size=3, pool_pre_ping=True)
    except ModuleNotFoundError as e:
        raise MissingExtra(
            f"{what} {shown_place(url)[0]!r} needs a driver that is not installed; "
            "install it with: pip install 'assay-agents[postgres]'"
        ) from e


@contextmanager
def said(url: str | Path, what: str) -> Generator[None]:
    """Turn the database's errors into one that names the place, without its password."""
    try:
        yield
    except (SQLAlchemyError, OSError) as e:
        shown, secrets = shown_place(url)
        if isinstance(e, NoSuchModuleError):
            why = "only sqlite and postgresql are known"
        else:
            why = str(getattr(e, "orig", None) or e)
        for secret in secrets:
            why = why.replace(secret, "***")
        cause = e if scrub_error(e, secrets) else None
        raise ConfigError(f"{what} {shown!r} cannot be used: {why}") from cause


def shown_place(url: str | Path) -> tuple[str, tuple[str, ...]]:
    """Return a file or URL as it may be shown, and what was left out of it.

    A URL is taken apart by hand: one that is malformed may hold a password, too.
    """
    scheme, mark, rest = str(url).partition("//")
    if not mark or ("@" not in rest and "?" not in rest):
        return str(url), ()
    place, _, query = rest.partition("?")
    who, at, where = place.rpartition("@")
    user, colon, password = who.partition(":")
    secrets = (password, unquote(password), *(pair.partition("=")[2] for pair in query.split("&")))
    hidden = "***" if colon else ""
    return f"{scheme}//{user}{colon}{hidden}{at}{where}", tuple(filter(None, secrets))


def _url(url: str | Path) -> sa.URL:
    """Make a URL of a file name or URL; PostgreSQL without a driver means psycopg."""
    if isinstance(url, Path) or "://" not in url:
        return sa.URL.create("sqlite", database=str(url))
    try:
        place = sa.make_url(url)
    except ValueError as e:  # of a port that is no number
        raise ArgumentError(f"it is no URL of a database: {e}") from e
    if place.drivername in ("postgres", "postgresql"):
        return place.set(drivername="postgresql+psycopg")
    return place


def _configuring(synchronous: Synchronous) -> Callable[[Any, object], None]:
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves: see _on_begin
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        _to_wal(connection)
        connection.execute(f"PRAGMA synchronous={synchronous}")

    return configure


def _to_wal(connection: Any) -> None:
    """Switch to WAL; where two processes do so at once, SQLite refuses one and does not wait."""
    deadline = monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(0.005)
        else:
            return


def _on_begin(connection: sa.Connection) -> None:
    """Take SQLite's write lock at once: one that is asked for later is refused, not awaited."""
    how: Literal["write", "read"] | None
    how = connection.get_execution_options().get("assay_begin", "read")
    if how is not None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if how == "write" else "BEGIN")
