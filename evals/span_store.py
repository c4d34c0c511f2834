"""Read the files that spans are written to."""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from ..deps.database import open_engine, said
from ..deps.errors import ConfigError
from ..deps.traces.form import COLUMNS, is_database
from .spans import Happened, Span, Trace

__all__ = ("Traces", "open_traces")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = frozenset("0123456789abcdef")
_LIGHT = COLUMNS[:-1]  # without long texts, which lists do not need


class Traces(Protocol):
    """The traces of a file."""

    def newest(self, limit: int) -> list[Trace]:
        """Return so many, the newest first. Long texts may be missing from their attributes."""
        ...

    def find(self, id: str) -> Trace:
        """Return the trace, or the part of one below a span, whose id begins so.

        Raises:
            ConfigError: there is none, or more than one.
        """
        ...

    def prune(self, keep: int) -> int:
        """Delete all but so many, the newest; return how many that were.

        Raises:
            ConfigError: the file cannot be pruned.
        """
        ...


def open_traces(path: Path) -> Traces:
    """Return what reads a file of spans.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"no traces at {str(path)!r}; write some: assay run ... --trace {path}")
    return _Database(path) if is_database(path) else _Lines(path)


class _Database:
    """A SQLite database that `SqliteSpans` writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = open_engine(path, "the trace file")

    def newest(self, limit: int) -> list[Trace]:
        with self._reading() as connection:
            found = connection.execute(
                sa.text(
                    "SELECT trace_id FROM spans GROUP BY trace_id "
                    "ORDER BY max(started) DESC, trace_id LIMIT :limit"
                ),
                {"limit": limit},
            )
            ids = [str(one) for one in found.scalars()]
            return [self._trace(connection, one, _LIGHT) for one in ids]

    def find(self, id: str) -> Trace:
        with self._reading() as connection:
            for column in ("trace_id", "span_id"):
                query = f"SELECT DISTINCT trace_id, {column} FROM spans WHERE {column} GLOB :like"  # noqa: S608 - our own words
                like = {"like": f"{_prefix(id)}*"}
                found = [(str(a), str(b)) for a, b in connection.execute(sa.text(query), like)]
                if one := _only(found, id):
                    trace = self._trace(connection, one[0], COLUMNS)
                    return trace if column == "trace_id" else trace.below(one[1])
        raise _unknown(id)

    def prune(self, keep: int) -> int:
        with said(self._path, "trace file"):
            engine = self._engine.execution_options(assay_begin="write")
            with engine.begin() as connection:
                old = (
                    "SELECT trace_id FROM spans GROUP BY trace_id "
                    "ORDER BY max(started) DESC, trace_id LIMIT -1 OFFSET :keep"
                )
                count = sa.text(f"SELECT count(*) FROM ({old})")  # noqa: S608 - our own words
                gone = connection.execute(count, {"keep": keep}).scalar_one()
                delete = sa.text(f"DELETE FROM spans WHERE trace_id IN ({old})")  # noqa: S608
                connection.execute(delete, {"keep": keep})
            with self._engine.execution_options(assay_begin=None).connect() as connection:
                connection.exec_driver_sql("VACUUM")  # what was said is not to stay in free pages
            return int(gone)

    @contextmanager
    def _reading(self) -> Generator[sa.Connection]:
        with said(self._path, "trace file"), self._engine.connect() as connection:
            yield connection

    def _trace(self, connection: sa.Connection, id: str, columns: Iterable[str]) -> Trace:
        names = tuple(columns)
        query = sa.text(f"SELECT {', '.join(names)} FROM spans WHERE trace_id = :id")  # noqa: S608
        rows = connection.execute(query, {"id": id})
        return Trace(_of_row(dict(zip(names, row, strict=True))) for row in rows)


class _Lines:
    """A file with a line of JSON per span.

    A line that is none, as a process that was killed may leave it, is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._traces: dict[str, list[Span]] = {}
        with path.open(encoding="utf-8", errors="replace") as file:
            for span in filter(None, map(_of_line, file)):
                self._traces.setdefault(span.trace, []).append(span)

    def newest(self, limit: int) -> list[Trace]:
        found = sorted(map(Trace, self._traces.values()), key=lambda one: one.id)
        found.sort(key=lambda one: one.spans[-1].started, reverse=True)
        return found[:limit]

    def find(self, id: str) -> Trace:
        like = _prefix(id)
        if one := _only([(id, id) for id in self._traces if id.startswith(like)], id):
            return Trace(self._traces[one[0]])
        spans = (span for spans in self._traces.values() for span in spans)
        if one := _only([(s.trace, s.id) for s in spans if s.id.startswith(like)], id):
            return Trace(self._traces[one[0]]).below(one[1])
        raise _unknown(id)

    def prune(self, keep: int) -> int:
        raise ConfigError(
            f"{str(self._path)!r} is no database, so it cannot be pruned; delete it, or write "
            "traces to a database: --trace traces.db"
        )


def _prefix(id: str) -> str:
    like = id.lower().removeprefix("0x")
    if not like or not _DIGITS.issuperset(like):
        raise ConfigError(f"{id!r} is no id of a trace; `assay traces` lists them")
    return like


def _only(found: list[tuple[str, str]], id: str) -> tuple[str, str] | None:
    if len(found) > 1:
        names = ", ".join(sorted(own[:12] for _, own in found)[:3])
        raise ConfigError(
            f"{len(found)} traces begin with {id!r}, such as {names}; give more of it"
        )
    return found[0] if found else None


def _unknown(id: str) -> ConfigError:
    return ConfigError(f"no trace and no span begins with {id!r}; `assay traces` lists the traces")


def _of_row(row: Mapping[str, Any]) -> Span:
    events = json.loads(row["events"])
    return Span(
        trace=row["trace_id"],
        id=row["span_id"],
        parent=row["parent_id"],
        name=row["name"],
        started=row["started"],
        ended=row["ended"],
        status=row["status"],
        message=row["message"] or "",
        attributes=json.loads(row["attributes"]) | json.loads(row.get("content", "{}")),
        events=tuple(Happened(one["name"], one["at"], one["attributes"]) for one in events),
    )


def _of_line(line: str) -> Span | None:
    try:
        found = json.loads(line)
        status = found["status"]
        return Span(
            trace=_hex(found["context"]["trace_id"]),
            id=_hex(found["context"]["span_id"]),
            parent=_hex(found["parent_id"]) if found["parent_id"] else None,
            name=found["name"],
            started=_nanoseconds(found["start_time"]),
            ended=_nanoseconds(found["end_time"]),
            status="error" if status["status_code"] == "ERROR" else "",
            message=status.get("description") or "",
            attributes=found["attributes"],
            events=tuple(
                Happened(one["name"], _nanoseconds(one["timestamp"]), one["attributes"])
                for one in found["events"]
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _hex(id: str) -> str:
    return id.removeprefix("0x")


def _nanoseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1) * 1000
