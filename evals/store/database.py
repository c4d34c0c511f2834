"""Runs that last: every trial is in a database as soon as it is finished.

SQLite by default, PostgreSQL by URL, with the same code. Several processes may share a store.
Whatever `add` has returned for survives the death of the process; SQLite runs with
`synchronous=NORMAL`, so a power cut may lose the last commits but never breaks the file.

This module is synchronous, so call it from a worker thread; `writer.StoreWriter` does.
"""

import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from ...deps.base import utc_now
from ...deps.errors import ConfigError, MissingExtra
from . import rows
from .rows import Record, Run, RunStatus
from .schema import StoreTooNew, migrate, run, trial

__all__ = ("DEFAULT", "Record", "Run", "RunStore", "StoreTooNew", "Summary", "UnknownRun")

DEFAULT = ".assay/runs.db"
"""Where runs are kept when nothing else is said, from the working directory."""

BUSY_MS = 30_000  # how long a process waits for another one's commit


class UnknownRun(ConfigError):
    """No run has this id, or several begin with it."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run, and how far it has come.

    Attributes:
        finished: Trials in the store.
        failed: Of these, those that crashed or failed a check.
        cost: US dollars of the trials whose price is known; None if there is none.
    """

    run: Run
    finished: int
    failed: int
    cost: float | None


@dataclass(eq=False)
class RunStore:
    """A database of runs. Open one per process: connections do not survive a fork.

    Args:
        url: A file (`.assay/runs.db`), or a URL (`postgresql://user@host/database`,
            `sqlite:///file.db`).
        now: The clock.

    Raises:
        ConfigError: the store cannot be opened.
        MissingExtra: PostgreSQL's driver is not installed.
        StoreTooNew: a newer Assay has written it.
    """

    url: str | Path = DEFAULT
    now: Callable[[], datetime] = utc_now
    _engine: sa.Engine = field(init=False, repr=False)
    _writer: sa.Engine = field(init=False, repr=False)
    _insert: sa.Insert = field(init=False, repr=False)

    def __post_init__(self) -> None:
        with _said(self.url):
            self._engine = _engine(self.url)
            self._writer = self._engine.execution_options(assay_begin="write")  # the same pool
            self._insert = _insert(self._engine.dialect.name)
            with self._writer.begin() as connection:
                migrate(connection)

    def close(self) -> None:
        """Close all connections; the store opens them again when it is used."""
        self._engine.dispose()

    # -- runs

    def create_run(
        self,
        *,
        model: str,
        suites: Sequence[str],
        trials: int = 1,
        identity: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Run:
        """Begin a run and return it with a new id, which sorts by time."""
        created = self.now()
        new = Run(
            id=f"{created:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            created=created,
            model=model,
            suites=tuple(suites),
            trials=trials,
            identity=identity or {},
            options=options or {},
        )
        with self._write() as connection:
            connection.execute(run.insert(), rows.run_row(new))
        return new

    def update_run(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that a run is done, interrupted or running again; replace its identity."""
        values: dict[str, Any] = {}
        if status is not None:
            values["status"] = status
            values["finished"] = None if status == "running" else self.now().isoformat()
        if identity is not None:
            values["identity"] = rows.to_text(identity)
        if values:
            with self._write() as connection:
                connection.execute(run.update().where(run.c.id == run_id).values(**values))

    def run(self, name: str = "latest") -> Run:
        """Return the run whose id is or begins with `name`; `latest` is the newest.

        Raises:
            UnknownRun: there is none, or more than one.
        """
        query = sa.select(run).order_by(run.c.created.desc(), run.c.id.desc()).limit(2)
        if name != "latest":
            query = query.where(run.c.id.startswith(name, autoescape=True))
        with self._read() as connection:
            found = [rows.run_of(row) for row in connection.execute(query)]
        if name == "latest":
            found = found[:1]
        exact = [one for one in found if one.id == name] or found
        if len(exact) == 1:
            return exact[0]
        why = "several runs begin" if exact else "no run's id begins"
        raise UnknownRun(f"{why} with {name!r} in {self.url!s}; `assay runs` lists them")

    def list_runs(self, limit: int = 50, suite: str | None = None) -> list[Summary]:
        """Return the newest runs first; with `suite`, those that have trials of it."""
        counts = sa.select(
            trial.c.run,
            sa.func.count().label("finished_trials"),
            sa.func.sum(sa.case((trial.c.ok, 0), else_=1)).label("failed_trials"),
            sa.func.sum(trial.c.cost).label("cost"),
        ).group_by(trial.c.run)
        if suite is not None:
            counts = counts.where(trial.c.suite == suite)
        done = counts.subquery()
        query = (
            sa.select(run, done.c.finished_trials, done.c.failed_trials, done.c.cost)
            .join(done, done.c.run == run.c.id, isouter=suite is None)
            .order_by(run.c.created.desc(), run.c.id.desc())
            .limit(limit)
        )
        with self._read() as connection:
            return [
                Summary(
                    run=rows.run_of(row),
                    finished=row.finished_trials or 0,
                    failed=row.failed_trials or 0,
                    cost=row.cost,
                )
                for row in connection.execute(query)
            ]

    def delete_runs(self, ids: Iterable[str]) -> int:
        """Delete runs and their trials; return how many runs there were."""
        with self._write() as connection:
            return _delete(connection, list(ids))

    def prune(self, *, keep: int | None = None, before: datetime | None = None) -> list[str]:
        """Delete all but the newest `keep` runs, or those begun before a moment; return their ids.

        Given both, a run goes only if both say so.
        """
        if keep is None and before is None:
            raise ConfigError("prune needs keep or before: without either it would delete all runs")
        query = sa.select(run.c.id).order_by(run.c.created.desc(), run.c.id.desc())
        if before is not None:
            query = query.where(run.c.created < rows.moment(before))
        with self._write() as connection:
            kept: set[str] = set()
            if keep is not None:
                newest = sa.select(run.c.id).order_by(run.c.created.desc(), run.c.id.desc())
                kept = set(connection.execute(newest.limit(keep)).scalars())
            gone = [found for found in connection.execute(query).scalars() if found not in kept]
            _delete(connection, gone)
        return gone

    def compact(self) -> None:
        """Give the room of deleted runs back to the disk (SQLite; PostgreSQL does so itself)."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect().execution_options(assay_begin=None) as connection:
                connection.execute(sa.text("VACUUM"))

    # -- trials

    def add(self, run_id: str, records: Iterable[Record]) -> None:
        """Store finished trials in one commit; they are durable when this returns.

        The first writer wins: a trial that the store already has is left as it is.
        """
        finished = self.now().isoformat()
        self.insert([rows.trial_row(run_id, record, finished) for record in records])

    def insert(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Store rows that `rows.trial_row` has made, in one commit."""
        if not trials:
            return
        with self._write() as connection:
            connection.execute(self._insert, trials)

    def done(self, run_id: str, suite: str) -> set[tuple[str, int]]:
        """Return the (case key, trial) pairs of which the store has the result."""
        query = sa.select(trial.c.case_key, trial.c.trial).where(
            trial.c.run == run_id, trial.c.suite == suite
        )
        with self._read() as connection:
            return {(row.case_key, row.trial) for row in connection.execute(query)}

    def forget_provider_failures(self, run_id: str, suite: str) -> int:
        """Delete the trials that a provider failed, so that they are run again; return how many.

        They were never answered, so nothing that was paid for goes.
        """
        failed = [
            (record.case_key, record.result.trial)
            for record in self.results(run_id, suite)
            if record.result.failure and record.result.failure.kind == "provider"
        ]
        with self._write() as connection:
            for case_key, number in failed:
                connection.execute(
                    trial.delete().where(
                        trial.c.run == run_id,
                        trial.c.suite == suite,
                        trial.c.case_key == case_key,
                        trial.c.trial == number,
                    )
                )
        return len(failed)

    def results(self, run_id: str, suite: str | None = None) -> Iterator[Record]:
        """Yield a run's trials, ordered by suite, case key and trial, a few at a time."""
        query = (
            sa.select(trial)
            .where(trial.c.run == run_id)
            .order_by(trial.c.suite, trial.c.case_key, trial.c.trial)
        )
        if suite is not None:
            query = query.where(trial.c.suite == suite)
        with self._read() as connection:
            streamed = connection.execution_options(yield_per=200).execute(query)
            for row in streamed:
                yield rows.record_of(row)

    # -- connections

    @contextmanager
    def _write(self) -> Generator[sa.Connection]:
        with _said(self.url), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Generator[sa.Connection]:
        with _said(self.url), self._engine.connect() as connection:
            yield connection


def _engine(url: str | Path) -> sa.Engine:
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


def _insert(dialect: str) -> sa.Insert:
    if dialect == "sqlite":
        return sqlite.insert(trial).on_conflict_do_nothing()
    return postgresql.insert(trial).on_conflict_do_nothing()


def _delete(connection: sa.Connection, ids: Sequence[str]) -> int:
    # Parameter by parameter: an IN list has a limit, and there may be many runs.
    count = 0
    for run_id in ids:
        connection.execute(trial.delete().where(trial.c.run == run_id))
        count += connection.execute(run.delete().where(run.c.id == run_id)).rowcount
    return count


@contextmanager
def _said(url: str | Path) -> Generator[None]:
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
