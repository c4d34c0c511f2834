"""Spans in local files: a SQLite database, or a line of JSON each.

Several processes may write to one file.
"""

import json
import logging
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from .form import COLUMNS, REMOTE

__all__ = ("Batches", "JsonLines", "Sink", "SqliteSpans")

_log = logging.getLogger("assay.traces")

SIZE = 512
"""Spans at which a batch is written without waiting longer."""

ROOM = 8192
"""Spans that may wait. Who ends one more writes the batch itself: a bound, and nothing is lost."""

SECONDS = 1.0
"""How long a span waits at most: what `kill -9` may cost."""

LONG = 256
"""Characters from which a text is content, which lists of traces do not read."""

_OF_LOGFIRE = frozenset({"logfire.json_schema", "logfire.metrics"})  # of use to its pages alone

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS spans (trace_id TEXT NOT NULL, span_id TEXT NOT NULL, "
    "parent_id TEXT, name TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, "
    "status TEXT NOT NULL, message TEXT, attributes TEXT NOT NULL, events TEXT NOT NULL, "
    "content TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS spans_of_trace ON spans (trace_id, started)",
)
_INSERT = f"INSERT INTO spans VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - no data


class Sink(Protocol):
    """Where batches go."""

    def write(self, spans: Sequence[ReadableSpan]) -> None:
        """Write them all, or raise and have written none."""
        ...

    def forked(self) -> None:
        """Be told that this is another process now, which must not use the old one's handles."""
        ...

    def close(self) -> None: ...


class JsonLines:
    """Writes each span as a line of JSON, in OpenTelemetry's own form.

    Args:
        path: The file; it is appended to.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        # Content of conversations is nobody else's business.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, spans: Sequence[ReadableSpan]) -> None:
        data = "".join(f"{span.to_json(indent=None)}\n" for span in spans).encode()
        while data:  # one call, and so one place in the file, unless the disk is full
            data = data[os.write(self._file, data) :]

    def forked(self) -> None:
        """A descriptor that appends may be shared."""

    def close(self) -> None:
        os.close(self._file)


class SqliteSpans:
    """Writes spans to the table `spans` of a SQLite file, a batch in a transaction.

    Args:
        path: The file; it is made if need be.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        from ..database import open_engine, said

        with said(path, "trace file"):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            engine = open_engine(path, "the trace file")
            self._engine = engine.execution_options(assay_begin="write")
            with self._engine.begin() as connection:
                for statement in _SCHEMA:
                    connection.exec_driver_sql(statement)
        self._engine.dispose()  # its connection belongs to this thread

    def write(self, spans: Sequence[ReadableSpan]) -> None:
        rows = [_row(span) for span in spans]
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_INSERT, rows)

    def forked(self) -> None:
        self._engine.dispose(close=False)

    def close(self) -> None:
        self._engine.dispose()


def _row(span: ReadableSpan) -> tuple[Any, ...]:
    context, status = span.get_span_context(), span.status
    assert context is not None
    long: dict[str, Any] = {}
    short: dict[str, Any] = {}
    for name, value in (span.attributes or {}).items():
        if name not in _OF_LOGFIRE:
            (long if isinstance(value, str) and len(value) >= LONG else short)[name] = value
    if span.parent is not None and span.parent.is_remote:
        short[REMOTE] = True
    events = [
        {"name": one.name, "at": one.timestamp, "attributes": dict(one.attributes or {})}
        for one in span.events
    ]
    return (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        f"{span.parent.span_id:016x}" if span.parent else None,
        _stored(span.name),
        span.start_time or 0,
        span.end_time or span.start_time or 0,
        "" if status.status_code is StatusCode.UNSET else status.status_code.name.lower(),
        _stored(status.description) if status.description else None,
        json.dumps(short),
        json.dumps(events),
        json.dumps(long),
    )


def _stored(text: str) -> str:
    """Return a text without halves of surrogate pairs, which SQLite cannot hold."""
    return text.encode("utf-8", "replace").decode()


class Batches(SpanProcessor):
    """Gathers spans and writes them in batches, from a thread of its own.

    On a normal end, by exception and Ctrl-C too, all that have ended are written; a process that is
    killed loses those of the last second. If they cannot be written, as the disk is full, it says
    so in the log `assay.traces` and tries again; beyond `room` the oldest are given up, and
    counted there.

    Args:
        sink: Where they go.
        size: Spans of a batch.
        room: Spans that may wait.
        seconds: How long they wait at most.
    """

    def __init__(
        self, sink: Sink, *, size: int = SIZE, room: int = ROOM, seconds: float = SECONDS
    ) -> None:
        self._sink = sink
        self._size, self._room, self._seconds = size, room, seconds
        self._closed = False
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_after_fork, weakref.ref(self)))

    def _begin(self) -> None:
        self._waiting: list[ReadableSpan] = []
        self._lock, self._writing, self._wake = Lock(), Lock(), Event()
        self._thread: Thread | None = None

    def forked(self) -> None:
        """Start anew in a process that was forked."""
        self._begin()  # what waits is the parent's, which writes it
        self._sink.forked()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is written before a span has ended."""

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if self._closed or context is None or not context.trace_flags.sampled:
            return
        with self._lock:
            self._waiting.append(span)
            count = len(self._waiting)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="assay-traces", daemon=True)
                self._thread.start()
        if count >= self._room:
            self._write()
        elif count == self._size:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write all that have ended; tell whether that went well."""
        return self._write()

    def shutdown(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if not self._write():
            _log.error("%d spans were never written", len(self._waiting))
        self._sink.close()

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait(self._seconds)
            self._wake.clear()
            self._write()

    def _write(self) -> bool:
        with self._writing:
            with self._lock:
                batch, self._waiting = self._waiting, []
            try:
                if batch:
                    self._sink.write(batch)
            except Exception as e:  # of whatever kind: it must not end the work that is traced
                self._keep(batch, e)
                return False
            return True

    def _keep(self, batch: Iterable[ReadableSpan], error: Exception) -> None:
        with self._lock:
            self._waiting = [*batch, *self._waiting]
            lost = max(0, len(self._waiting) - self._room)
            del self._waiting[:lost]
        _log.warning("spans cannot be written (%s); %d are given up", error, lost)


def _after_fork(found: "Callable[[], Batches | None]") -> None:
    if (batches := found()) is not None:
        batches.forked()
