"""How a run store is reached: a file or a URL, and SQLite's transactions as we need them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from ...deps.errors import ConfigError, MissingExtra

__all__ = ("Insert", "first_wins", "open_engine", "said")

Insert = Callable[[sa.Connection, Sequence[Mapping[str, Any]]], None]

BUSY_MS = 30_000  # how long a process waits for another one's commit


def open_engine(url: str | Path) -> sa.Engine:
    """Return the engine of a file or URL.

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
            f"the run store {place.render_as_string()!r} needs a driver that is not installed; "
            "install it with: pip install 'assay-agents[postgres]'"
        ) from e


def first_wins(table: sa.Table, dialect: sa.Dialect) -> Insert:
    """Return what inserts rows, every column named, and leaves those alone which are there already.

    The statement is compiled once and given to the driver as it is: to build it for each row anew
    would cost as much as SQLite needs to write the row.
    """
    make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    compiled = make(table).on_conflict_do_nothing().compile(dialect=dialect)
    statement, order = str(compiled), compiled.positiontup

    def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if order is None:  # the driver takes parameters by name
            connection.exec_driver_sql(statement, [dict(row) for row in rows])
        else:
            connection.exec_driver_sql(
                statement, [tuple(row[name] for name in order) for row in rows]
            )

    return insert


@contextmanager
def said(url: str | Path) -> Generator[None]:
    """Turn the database's errors into one that names the store, without its password."""
    try:
        yield
    except (SQLAlchemyError, OSError) as e:
        shown = sa.make_url(str(url)).render_as_string() if "://" in str(url) else str(url)
        if isinstance(e, NoSuchModuleError):
            why = "only sqlite and postgresql are known"
        else:
            why = str(getattr(e, "orig", None) or e)
        raise ConfigError(f"the run store {shown!r} cannot be used: {why}") from e


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
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _on_begin(connection: sa.Connection) -> None:
    """Take SQLite's write lock at once: one that is asked for later is refused, not awaited."""
    how: Literal["write", "read"] | None
    how = connection.get_execution_options().get("assay_begin", "read")
    if how is not None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if how == "write" else "BEGIN")
