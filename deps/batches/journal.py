"""What was asked in batches, noted before it is: a crash makes nobody pay for the same thing twice.

A request is found again by who asked (see `asking`) and by what. Providers keep what a batch came
to for four weeks, so this does too, unless it is told to forget earlier.
"""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import ConfigError
from .protocol import Answer

__all__ = ("Intent", "Journal", "Noted")

KEPT = timedelta(days=30)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    token TEXT PRIMARY KEY, url TEXT NOT NULL, id TEXT, made TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS request (
    custom_id TEXT PRIMARY KEY, token TEXT NOT NULL REFERENCES batch ON DELETE CASCADE,
    asker TEXT NOT NULL, digest TEXT NOT NULL, status INTEGER, body BLOB);
CREATE INDEX IF NOT EXISTS request_token ON request (token);
"""

Key = tuple[str, str]
"""Who asks, and a digest of what."""


@dataclass(frozen=True)
class Intent:
    """A batch that is about to be handed in.

    Attributes:
        token: What it is marked with.
        url: Where its requests would have gone by themselves.
        made: When.
        requests: The name of each, with who asked it and a digest of what.
    """

    token: str
    url: str
    made: datetime
    requests: Mapping[str, Key]


@dataclass(frozen=True)
class Noted:
    """A batch of an earlier process. `id` is the provider's name for it; None if none was noted."""

    token: str
    id: str | None
    made: datetime
    requests: Sequence[str]


class Journal:
    """Batches and their results in a SQLite file. Each method returns when what it did is durable.

    Threads may share it. Processes may share the file, each with its own runs.

    Args:
        path: The file, made with its folder if need be; None keeps everything in memory.
        now: The time of day: what is older than four weeks is dropped.

    Raises:
        ConfigError: the file cannot be read or written. Every method may raise it.
    """

    def __init__(self, path: Path | None, now: datetime) -> None:
        self._path = path
        self._lock = Lock()
        with self._said():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=30, check_same_thread=False)
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        with self._write() as db:
            db.execute("DELETE FROM batch WHERE made < ?", [(now - KEPT).isoformat()])
        self._free = self._earlier()

    def take(self, asker: str, digest: str) -> str | None:
        """Return the name of an equal request of an earlier process, each once; None if none."""
        found = self._free.get((asker, digest))
        return found.pop(0) if found else None

    def intend(self, intent: Intent) -> None:
        """Note a batch before it is handed in."""
        rows = [(name, intent.token, *key) for name, key in intent.requests.items()]
        made = intent.made.isoformat()
        with self._write() as db:
            db.execute("INSERT INTO batch VALUES (?, ?, NULL, ?)", [intent.token, intent.url, made])
            db.executemany("INSERT INTO request VALUES (?, ?, ?, ?, NULL, NULL)", rows)

    def submitted(self, token: str, batch: str) -> None:
        """Note what the provider calls a batch that was handed in."""
        with self._write() as db:
            db.execute("UPDATE batch SET id = ? WHERE token = ?", [batch, token])

    def keep(self, answers: Mapping[str, Answer]) -> None:
        """Keep the good answers of a batch that has ended. Who asked may ask the others again."""
        good = [(one.status, one.body, name) for name, one in answers.items() if one.ok]
        bad = [(name,) for name, one in answers.items() if not one.ok]
        with self._write() as db:
            db.executemany("UPDATE request SET status = ?, body = ? WHERE custom_id = ?", good)
            db.executemany("DELETE FROM request WHERE custom_id = ?", bad)

    def answer(self, name: str) -> Answer | None:
        """Return the answer to a request; None if there is none yet."""
        row = self._one("SELECT status, body FROM request WHERE custom_id = ?", name)
        return None if row is None or row[0] is None else Answer(row[0], row[1])

    def batch_of(self, name: str) -> Noted | None:
        """Return the batch of a request; None if it was dropped meanwhile."""
        found = self._one(
            "SELECT token, id, made FROM batch JOIN request USING (token) WHERE custom_id = ?", name
        )
        if found is None:
            return None
        token, batch, made = found
        with self._said(), self._lock:
            rows = self._db.execute("SELECT custom_id FROM request WHERE token = ?", [token])
            names = [row[0] for row in rows]
        return Noted(token, batch, datetime.fromisoformat(made), names)

    def knows(self, batch: str) -> bool:
        """Tell whether the provider's name of a batch is noted here."""
        return self._one("SELECT 1 FROM batch WHERE id = ?", batch) is not None

    def drop(self, token: str) -> None:
        """Forget a batch, which never was or is no more."""
        with self._write() as db:
            db.execute("DELETE FROM batch WHERE token = ?", [token])

    def drop_answer(self, name: str) -> None:
        """Forget an answer: who asked can make nothing of it."""
        with self._write() as db:
            db.execute("DELETE FROM request WHERE custom_id = ?", [name])

    def forget(self, askers: str) -> None:
        """Forget all that was asked by those whose names begin with `askers`."""
        with self._write() as db:
            db.execute("DELETE FROM request WHERE substr(asker, 1, ?) = ?", [len(askers), askers])
            db.execute("DELETE FROM batch WHERE token NOT IN (SELECT token FROM request)")

    def close(self) -> None:
        with self._said(), self._lock:
            self._db.close()

    def _earlier(self) -> dict[Key, list[str]]:
        found: dict[Key, list[str]] = {}
        with self._said(), self._lock:
            rows = self._db.execute("SELECT asker, digest, custom_id FROM request ORDER BY rowid")
            for asker, digest, name in rows:
                found.setdefault((asker, digest), []).append(name)
        return found

    def _one(self, query: str, value: str) -> tuple[Any, ...] | None:
        with self._said(), self._lock:
            found: tuple[Any, ...] | None = self._db.execute(query, [value]).fetchone()
            return found

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection]:
        with self._said(), self._lock, self._db:
            yield self._db

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as e:
            raise ConfigError(
                f"cannot keep batches in {str(self._path)!r}: {e}; without that a crash would lose "
                "what was paid for, so free the file or its folder, or leave --batch away"
            ) from e
