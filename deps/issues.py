"""What a copy editor found, and a store that knows what was found before."""

import asyncio
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, Field

from .errors import ConfigError

__all__ = (
    "Category",
    "Changes",
    "HasIssues",
    "Issue",
    "IssueStore",
    "Known",
    "MemoryIssues",
    "SQLiteIssues",
    "Severity",
)

Category = Literal["mechanical", "grammar", "consistency", "style"]
Severity = Literal["critical", "high", "medium", "low"]


class Issue(BaseModel, frozen=True):
    r"""One thing to correct or to look at, and exactly where it stands.

    Lines and columns count from 1; a column counts Unicode characters; the end is exclusive, so
    an issue within one line covers `line_text[column - 1 : end_column - 1]`. Lines end at `\n`.
    """

    line: int = Field(ge=1)
    column: int = Field(ge=1)
    end_line: int = Field(ge=1)
    end_column: int = Field(ge=1)
    category: Category
    severity: Severity
    text: str = Field(min_length=1, description="exactly what stands there")
    explanation: str
    suggestion: str | None = Field(
        default=None, description="what to put in its place; None: only flagged"
    )


class Known(BaseModel, frozen=True):
    """An issue of one chapter under a key that stays the same when lines move."""

    key: str
    chapter: str
    issue: Issue


@dataclass(frozen=True)
class Changes:
    """What became of a book's issues since the last run that reviewed the same chapters."""

    new: tuple[Known, ...] = ()
    fixed: tuple[Known, ...] = ()
    remaining: tuple[Known, ...] = ()


class IssueStore(Protocol):
    """Where issues are kept from run to run."""

    async def record(
        self, book: str, at: datetime, found: Mapping[str, Sequence[Known]]
    ) -> Changes:
        """Keep what a run found and say what changed.

        Args:
            book: The book's name; books do not see one another's issues.
            at: When the run ended.
            found: Chapter to issues. A chapter that is not in it (it failed, or was left out)
                keeps its issues for the next comparison: absent is not fixed.
        """
        ...


class HasIssues(Protocol):
    """Deps with an issue store."""

    @property
    def issues(self) -> IssueStore: ...


def _changes(before: Sequence[Known], found: Mapping[str, Sequence[Known]]) -> Changes:
    now = [known for chapter in found.values() for known in chapter]
    old, current = {known.key for known in before}, {known.key for known in now}
    return Changes(
        new=tuple(known for known in now if known.key not in old),
        fixed=tuple(known for known in before if known.key not in current),
        remaining=tuple(known for known in now if known.key in old),
    )


@dataclass(frozen=True)
class MemoryIssues:
    """Issues in memory, gone with the process."""

    _books: dict[str, dict[str, Sequence[Known]]] = field(
        default_factory=dict[str, dict[str, Sequence[Known]]], repr=False
    )

    async def record(
        self, book: str, at: datetime, found: Mapping[str, Sequence[Known]]
    ) -> Changes:
        chapters = self._books.setdefault(book, {})
        before = [known for chapter in found for known in chapters.get(chapter, ())]
        chapters.update(found)
        return _changes(before, found)


_VERSION = 1
_SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY, book TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE reviewed (
    run INTEGER NOT NULL REFERENCES run (id), chapter TEXT NOT NULL, PRIMARY KEY (run, chapter)
);
CREATE TABLE issue (
    run INTEGER NOT NULL REFERENCES run (id), key TEXT NOT NULL, chapter TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (run, key)
);
"""
_BEFORE = """
SELECT body FROM issue WHERE chapter = :chapter AND run = (
    SELECT max(run.id) FROM run JOIN reviewed ON reviewed.run = run.id
    WHERE run.book = :book AND reviewed.chapter = :chapter
)
ORDER BY rowid
"""


@dataclass(frozen=True)
class SQLiteIssues:
    """Issues in one SQLite file, for several processes at once.

    Args:
        path: The file; it is made when absent, its folder is not.
        timeout: Seconds to wait for another writer.
    """

    path: Path
    timeout: float = 30.0

    async def record(
        self, book: str, at: datetime, found: Mapping[str, Sequence[Known]]
    ) -> Changes:
        """Keep what a run found and say what changed.

        Raises:
            ConfigError: the file is of a newer version.
            sqlite3.OperationalError: the file cannot be opened or stayed locked.
        """
        return await asyncio.to_thread(self._record, book, at, found)

    def _record(self, book: str, at: datetime, found: Mapping[str, Sequence[Known]]) -> Changes:
        with self._write() as db:
            before = [
                Known.model_validate_json(body)
                for chapter in found
                for (body,) in db.execute(_BEFORE, {"book": book, "chapter": chapter})
            ]
            run = db.execute(
                "INSERT INTO run (book, at) VALUES (?, ?)", (book, at.isoformat())
            ).lastrowid
            db.executemany("INSERT INTO reviewed VALUES (?, ?)", [(run, c) for c in found])
            db.executemany(
                "INSERT INTO issue VALUES (?, ?, ?, ?)",
                [
                    (run, known.key, chapter, known.model_dump_json())
                    for chapter, issues in found.items()
                    for known in issues
                ],
            )
        return _changes(before, found)

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection]:
        """Hold the write lock from the first read on, so that two runs follow one another."""
        opened = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None)
        with closing(opened) as db:
            # Another run may be switching it at this moment. WAL is for speed and stays on once it
            # is; what keeps runs apart is the lock below.
            with suppress(sqlite3.OperationalError):
                db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            try:
                _migrate(db, self.path)
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise ConfigError(
            f"{str(path)!r} has schema version {version}, this library knows {_VERSION}; "
            "upgrade the library or name another file"
        )
    if version == 0:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)  # executescript would commit, and let the lock go
        db.execute(f"PRAGMA user_version = {_VERSION}")
