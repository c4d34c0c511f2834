"""Documents that can be searched by words and by meaning, in memory or in one SQLite file.

Words are ranked by BM25 (SQLite's FTS5). With an embedder, vectors are ranked by their cosine too,
and both rankings are fused; without one, words alone decide. It takes no server and no key.
"""

import asyncio
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
from pydantic_ai.usage import RunUsage

from ..errors import ConfigError
from ..providers.embeddings import Embeds
from .chunks import SIZE, Chunk, chunks
from .indexing import DEPTH, Vector, indexed, refuse, vector_of, vectors_of
from .passages import Document, Passage
from .ranking import fused
from .terms import matching

__all__ = ("SqliteDocuments",)

VERSION = 1
"""Of the tables, kept in the file as `user_version`."""

SCHEMA = f"""
CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY,
    document TEXT NOT NULL REFERENCES documents (id),
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, heading TEXT NOT NULL,
    embedder TEXT, vector BLOB
);
CREATE INDEX chunks_document ON chunks (document);
CREATE VIRTUAL TABLE words USING fts5 (
    title, heading, text, tokenize = "porter unicode61 remove_diacritics 2"
);
PRAGMA user_version = {VERSION};
"""


class SqliteDocuments:
    """Documents in memory or in a file; safe between threads, and between processes in a file.

    Vectors are compared one by one, which is exact: for 10,000 chunks it takes milliseconds.

    Args:
        path: A file, made where there is none; in memory by default.
        embedder: What makes vectors, such as `Models.embedder()`; None for words alone.
        size: Characters of a chunk at most.

    Raises:
        ConfigError: the file is not one of documents, or cannot be opened.
    """

    def __init__(
        self, path: Path | str = ":memory:", *, embedder: Embeds | None = None, size: int = SIZE
    ) -> None:
        self.path = str(path)
        self.embedder = embedder
        self.size = size
        self._lock = RLock()
        self._matrix: tuple[tuple[int, int], list[int], Vector] | None = None
        with self._said():
            self._db = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
        try:
            with self._said():
                self._prepare()
        except ConfigError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was in memory is gone."""
        with self._lock:
            self._db.close()

    async def add(self, *documents: Document, usage: RunUsage | None = None) -> int:
        """Index documents, in place of those with their ids; return how many are new or changed.

        A document that is there already with the same text and title is left as it is. All of
        them are added, or none.

        Raises:
            InputError: a text holds half a surrogate pair, which no file can.
        """
        for document in documents:
            refuse(document)
        fresh = await asyncio.to_thread(self._changed, documents)
        cut = [(document, chunks(document.text, self.size)) for document in fresh]
        texts = [indexed(document, chunk) for document, found in cut for chunk in found]
        name, vectors = await vectors_of(self.embedder, texts, usage)
        await asyncio.to_thread(self._store, cut, name, vectors)
        return len(fresh)

    async def remove(self, document: str) -> bool:
        """Forget a document; tell whether it was there."""
        return await asyncio.to_thread(self._remove, document)

    async def ids(self) -> list[str]:
        """Return the ids of all documents, in their order as text."""
        rows = await asyncio.to_thread(self._rows, "SELECT id FROM documents ORDER BY id")
        return [id for (id,) in rows]

    async def get(self, document: str) -> Document | None:
        query = "SELECT id, title, text FROM documents WHERE id = ?"
        for id, title, text in await asyncio.to_thread(self._rows, query, document):
            return Document(id=id, title=title, text=text)
        return None

    async def search(
        self, query: str, limit: int, *, usage: RunUsage | None = None
    ) -> list[Passage]:
        """Return at most `limit` passages about `query`, the nearest first.

        Without an embedder, none that shares no word with it.

        Raises:
            ConfigError: the vectors here are another embedder's.
        """
        rankings = [await asyncio.to_thread(self._by_words, query, max(limit, DEPTH))]
        if self.embedder is not None and query.strip():
            name, vector = await vector_of(self.embedder, query, usage)
            near = asyncio.to_thread(self._by_meaning, vector, name, max(limit, DEPTH))
            rankings.append(await near)
        return await asyncio.to_thread(self._passages, fused(rankings)[:limit])

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as e:
            raise ConfigError(f"the documents in {self.path!r} cannot be used: {e}") from e

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """Hold the write lock; what fails inside leaves no trace."""
        with self._said():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _prepare(self) -> None:
        """Make the tables, once, whoever comes first."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            tables = self._db.execute("SELECT name FROM sqlite_master").fetchall()
            if version == 0 and not tables:
                for statement in SCHEMA.split(";\n"):
                    self._db.execute(statement)
            elif version != VERSION or ("words",) not in tables:
                raise ConfigError(
                    f"{self.path!r} holds no documents of version {VERSION}; name another file, "
                    "or delete it and add the documents again"
                )
        finally:
            self._db.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._said():
            return self._db.execute(query, values).fetchall()

    def _changed(self, documents: Sequence[Document]) -> list[Document]:
        query = "SELECT 1 FROM documents WHERE id = ? AND title = ? AND text = ?"
        latest = {document.id: document for document in documents}
        return [d for d in latest.values() if not self._rows(query, d.id, d.title, d.text)]

    def _store(
        self,
        cut: list[tuple[Document, list[Chunk]]],
        embedder: str | None,
        vectors: list[Vector | None],
    ) -> None:
        at = iter(vectors)
        with self._writing() as db:
            for document, found in cut:
                _forget(db, document.id)
                row = (document.id, document.title, document.text)
                db.execute("INSERT INTO documents VALUES (?, ?, ?)", row)
                for chunk in found:
                    vector = next(at)
                    number = db.execute(
                        "INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                        (
                            document.id,
                            *chunk,
                            embedder,
                            None if vector is None else vector.tobytes(),
                        ),
                    ).lastrowid
                    words = (document.title, chunk.heading, document.text[chunk.start : chunk.end])
                    db.execute(
                        "INSERT INTO words (rowid, title, heading, text) VALUES (?, ?, ?, ?)",
                        (number, *words),
                    )

    def _remove(self, document: str) -> bool:
        with self._writing() as db:
            return _forget(db, document)

    def _by_words(self, query: str, limit: int) -> list[int]:
        asked = matching(query)
        if not asked:
            return []
        ranked = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words), rowid LIMIT ?"
        return [number for (number,) in self._rows(ranked, asked, limit)]

    def _by_meaning(self, vector: Vector, embedder: str, limit: int) -> list[int]:
        numbers, matrix = self._vectors(embedder)
        if not numbers:
            return []
        near = matrix @ vector
        order = np.lexsort((np.asarray(numbers), -near))[:limit]
        return [numbers[i] for i in order.tolist() if near[i] > 0]

    def _vectors(self, embedder: str) -> tuple[list[int], Vector]:
        """Return the chunks' numbers and vectors, read again only after a change by anyone."""
        with self._said():
            (elsewhere,) = self._db.execute("PRAGMA data_version").fetchone()
            state = (elsewhere, self._db.total_changes)
            if self._matrix is None or self._matrix[0] != state:
                self._refuse_others(embedder)
                rows = self._rows("SELECT number, vector FROM chunks ORDER BY number")
                matrix = np.frombuffer(b"".join(v for _, v in rows), dtype=np.float32)
                shape = (len(rows), -1) if rows else (0, 0)
                self._matrix = (state, [number for number, _ in rows], matrix.reshape(shape))
            return self._matrix[1:]

    def _refuse_others(self, embedder: str) -> None:
        rows = self._rows("SELECT DISTINCT embedder FROM chunks")
        others = sorted({name or "no embedder" for (name,) in rows} - {embedder})
        if others:
            raise ConfigError(
                f"the documents in {self.path!r} were indexed with {', '.join(others)}, and the "
                f"question with {embedder!r}; index them anew with one embedder, or give none"
            )

    def _passages(self, ranked: list[tuple[int, float]]) -> list[Passage]:
        query = (
            'SELECT d.id, d.title, c.heading, d.text, c.start, c."end" '
            "FROM chunks c JOIN documents d ON d.id = c.document WHERE c.number = ?"
        )
        found: list[Passage] = []
        for number, score in ranked:
            for id, title, heading, text, start, end in self._rows(query, number):
                found.append(
                    Passage(
                        document=id,
                        title=title,
                        heading=heading,
                        text=text[start:end],
                        start=start,
                        end=end,
                        score=score,
                    )
                )
        return found


def _forget(db: sqlite3.Connection, document: str) -> bool:
    chosen = "(SELECT number FROM chunks WHERE document = ?)"
    db.execute(f"DELETE FROM words WHERE rowid IN {chosen}", (document,))  # noqa: S608
    db.execute("DELETE FROM chunks WHERE document = ?", (document,))
    return db.execute("DELETE FROM documents WHERE id = ?", (document,)).rowcount > 0
