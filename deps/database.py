"""How a database is reached: a file or a URL, and SQLite's transactions as we need them.

SQLAlchemy is imported with this module, so import it where a database is wanted.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from .errors import ConfigError, MissingExtra

__all__ = ("open_engine", "said")

BUSY_MS = 30_000  # how long a process waits for another one's commit


def open_engine(url: str | Path, what: str) -> sa.Engine:
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
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine
    try:
        return sa.create_engine(place, pool_size=3, pool_pre_ping=True)
    except ModuleNotFoundError as e:
        raise MissingExtra(
            f"{what} {place.render_as_string()!r} needs a driver that is not installed; "
            "install it with: pip install 'assay-agents[postgres]'"
        ) from e


@contextmanager
def said(url: str | Path, what: str) -> Generator[None]:
    """Turn the database's errors into one that names the place, without its password."""
    try:
        yield
    except (SQLAlchemyError, OSError) as e:
        shown = sa.make_url(str(url)).render_as_string() if "://" in str(url) else str(url)
        if isinstance(e, NoSuchModuleError):
            why = "only sqlite and postgresql are known"
        else:
            why = str(getattr(e, "orig", None) or e)
        raise ConfigError(f"{what} {shown!r} cannot be used: {why}") from e


def _url(url: str | Path) -> sa.URL:
    """Make a URL of a file name or URL; PostgreSQL without a driver means psycopg."""
    if isinstance(url, Path) or "://" not in url:
        return sa.URL.create("sqlite", database=str(url))
    place = sa.make_url(url)
    if place.drivername in ("postgres", "postgresql"):
        return place.set(drivername="postgresql+psycopg")
    return place


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: see _on_begin
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _to_wal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")


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
