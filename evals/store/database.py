"""Runs that last: every trial is in a database as soon as it is finished.

SQLite by default, PostgreSQL by URL, with the same code. Several processes may share a store.
Whatever `add` has returned for survives the death of the process; SQLite runs with
`synchronous=NORMAL`, so a power cut may lose the last commits but never breaks the file.

This module is synchronous, so call it from a worker thread; `writer.StoreWriter` does.
"""

import json
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ...deps.clock import utc_now
from ...deps.database import open_engine, said
from ...deps.errors import ConfigError
from . import rows
from .inserts import Insert, first_wins
from .people import People
from .rows import Content, Record, Run, RunStatus
from .schema import StoreTooNew, case_content, label, migrate, run, trial

__all__ = (
    "DEFAULT",
    "Content",
    "Record",
    "Run",
    "RunStore",
    "StoreTooNew",
    "Summary",
    "UnknownRun",
)

DEFAULT = ".assay/runs.db"
"""Where runs are kept when nothing else is said, from the working directory."""

STORE = "the run store"
"""What errors call it."""

FETCHED = 200
"""Rows that are in memory at a time while a run is read."""


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
    _add_trials: Insert = field(init=False, repr=False)
    _add_contents: Insert = field(init=False, repr=False)

    def __post_init__(self) -> None:
        with said(self.url, STORE):
            self._engine = open_engine(self.url, STORE)
            self._writer = self._engine.execution_options(assay_begin="write")  # the same pool
            self._add_trials = first_wins(trial, self._engine.dialect)
            self._add_contents = first_wins(case_content, self._engine.dialect)
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
        was: RunStatus | None = None,
    ) -> None:
        """Say how a run ended, or that it is running again; replace its identity.

        Args:
            run_id: The run.
            status: What it is now.
            identity: Its whole new identity; `merge_identity` adds to the one it has.
            was: Do nothing unless this is its status until now.
        """
        values: dict[str, Any] = {}
        if status is not None:
            values["status"] = status
            values["finished"] = None if status == "running" else self.now().isoformat()
        if identity is not None:
            values["identity"] = rows.to_text(identity)
        if not values:
            return
        change = run.update().where(run.c.id == run_id)
        if was is not None:
            change = change.where(run.c.status == was)
        with self._write() as connection:
            connection.execute(change.values(**values))

    def merge_identity(self, run_id: str, found: Mapping[str, Any]) -> None:
        """Add to what is known of a run; several processes may do so at the same moment.

        A mapping is added to the one of the same name, anything else replaces it.

        Raises:
            UnknownRun: there is no such run.
        """
        query = sa.select(run.c.identity).where(run.c.id == run_id).with_for_update()
        with self._write() as connection:
            text = connection.execute(query).scalar()
            if text is None:
                raise UnknownRun(f"no run is called {run_id!r} in {self.url!s}")
            known: dict[str, Any] = json.loads(text)
            for name, value in found.items():
                added = isinstance(value, Mapping) and isinstance(known.get(name), dict)
                known[name] = {**known[name], **value} if added else value
            changed = run.update().where(run.c.id == run_id)
            connection.execute(changed.values(identity=rows.to_text(known)))

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
        """Delete runs, their trials and what no other trial refers to; return how many runs."""
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
        found = list(records)
        self.insert(
            [rows.trial_row(run_id, record, finished) for record in found],
            [row for record in found if (row := rows.content_row(record))],
        )

    def insert(
        self, trials: Sequence[Mapping[str, Any]], contents: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Store rows that `rows.trial_row` and `rows.content_row` have made, in one commit."""
        if not trials:
            return
        with self._write() as connection:
            # In one order for all writers: each waits for equal rows of the other's transaction,
            # and two that had begun at different ends would wait for ever.
            if contents:
                self._add_contents(connection, sorted(contents, key=_content_key))
            self._add_trials(connection, sorted(trials, key=_trial_key))

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
        of_suite = (trial.c.run == run_id, trial.c.suite == suite)
        query = sa.select(trial.c.case_key, trial.c.trial, trial.c.failure).where(
            *of_suite, trial.c.failure.is_not(None)
        )
        forget = trial.delete().where(
            *of_suite,
            trial.c.case_key == sa.bindparam("failed_key"),
            trial.c.trial == sa.bindparam("failed_trial"),
        )
        with self._write() as connection:
            failed = [
                {"failed_key": row.case_key, "failed_trial": row.trial}
                for row in connection.execute(query)
                if json.loads(row.failure)["kind"] == "provider"
            ]
            if failed:
                connection.execute(forget, failed)
        return len(failed)

    def results(
        self, run_id: str, suite: str | None = None, *, outputs: bool = True
    ) -> Iterator[Record]:
        """Yield a run's trials, suite by suite in the datasets' order, a few at a time.

        Args:
            run_id: The run.
            suite: One of its suites; all by default.
            outputs: Whether to read outputs and messages too: most of what there is to read.
        """
        order = (trial.c.suite, trial.c.position, trial.c.case_key, trial.c.trial)
        columns = trial.c if outputs else _WITHOUT_OUTPUTS
        query = sa.select(*columns).where(trial.c.run == run_id).order_by(*order)
        if suite is not None:
            query = query.where(trial.c.suite == suite)
        yield from map(rows.record_of, self._stream(query))

    def contents(self, run_id: str, suite: str) -> Iterator[tuple[str, Content]]:
        """Yield the key and content of each case that a run has trials of, a few at a time.

        A case whose content was never handed in is left out.
        """
        ran = sa.select(trial.c.case_key).where(trial.c.run == run_id, trial.c.suite == suite)
        query = sa.select(case_content).where(case_content.c.key.in_(ran))
        for row in self._stream(query):
            yield row.key, rows.content_of(row)

    @property
    def people(self) -> People:
        """Labels that people gave, and the calibrations of judges."""
        return People(self._read, self._write)

    # -- connections

    @contextmanager
    def _write(self) -> Generator[sa.Connection]:
        with said(self.url, STORE), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Generator[sa.Connection]:
        with said(self.url, STORE), self._engine.connect() as connection:
            yield connection

    def _stream(self, query: sa.Select[Any]) -> Iterator[Any]:
        """Yield rows; with `yield_per` PostgreSQL keeps the rest in a cursor on its side."""
        with self._read() as connection:
            yield from connection.execution_options(yield_per=FETCHED).execute(query)


_WITHOUT_OUTPUTS = (
    *(column for column in trial.c if column.name not in ("output", "messages")),
    sa.literal("null").label("output"),
    sa.null().label("messages"),
)


def _delete(connection: sa.Connection, ids: Sequence[str]) -> int:
    if connection.dialect.name == "postgresql":
        # Wait for those who write contents now: their trials are not to be seen before that.
        connection.execute(sa.text("LOCK TABLE case_content IN SHARE ROW EXCLUSIVE MODE"))
    # Parameter by parameter: an IN list has a limit, and there may be many runs.
    count = 0
    for run_id in ids:
        connection.execute(trial.delete().where(trial.c.run == run_id))
        connection.execute(label.delete().where(label.c.run == run_id))
        count += connection.execute(run.delete().where(run.c.id == run_id)).rowcount
    orphans = sa.select(case_content.c.key).except_(sa.select(trial.c.case_key))
    connection.execute(case_content.delete().where(case_content.c.key.in_(orphans)))
    return count


def _content_key(row: Mapping[str, Any]) -> str:
    return str(row["key"])


def _trial_key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["suite"], row["case_key"], row["trial"]
