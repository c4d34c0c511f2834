"""Episodes in a database, SQLite or PostgreSQL, each in its scope.

```python
memories = SqlMemories(".assay/memory.db")  # or postgresql://user@host/database
memory = memories.of("user:42")             # all that a run for that user sees
```

Ranking reads a scope's episodes and no others, so what is in one changes nothing in another, not
even how rare a word is. The words of a scope are indexed anew for each question (FTS5's BM25, in
memory), which takes some 25 ms for 1,000 episodes and a third of a second for 10,000; on disk there
is no index that would keep words of what was forgotten.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import sqlalchemy as sa
from pydantic_ai.usage import RunUsage
from sqlalchemy import event

from ..database import SqlStore
from ..documents.indexing import Vector, vector_of, vectors_of
from ..documents.terms import matching, terms
from ..errors import ConfigError, InputError
from ..providers.embeddings import Embeds
from .episodes import HALF_LIFE, Episode, Recalled, episode_text, moment, ranked

__all__ = ("ScopedMemory", "SqlMemories")

DEPTH = 50
"""So many episodes of each ranking are fused."""

MOST = 10_000
"""So many episodes a scope may hold."""

metadata = sa.MetaData()

episodes = sa.Table(
    "episode",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("scope", sa.String(255), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),  # ISO 8601, in UTC
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),  # JSON
    sa.Column("embedder", sa.Text),
    sa.Column("vector", sa.LargeBinary),  # float32, of unit length
)
c = episodes.c


class SqlMemories(SqlStore):
    """Keeps episodes of many scopes. Open one per process, and close it at the end.

    On SQLite what is forgotten is overwritten in the file (`secure_delete`), and the log that held
    it is emptied. On PostgreSQL its row is gone for every query at once, and from the files when
    VACUUM has reused its place; the server's log and backups are the operator's.

    Args:
        url: A file, or a URL (`postgresql://user@host/database`).
        embedder: What makes vectors, such as `Models.embedder()`; None for words alone. Episodes
            without a vector of that embedder are found by their words.

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(
        self, url: str | Path = ".assay/memory.db", *, embedder: Embeds | None = None
    ) -> None:
        super().__init__(url, metadata, "the memory")
        self.embedder = embedder
        if not self._postgres:
            event.listen(self._engine, "connect", _overwriting)
            self._engine.dispose()  # what is open already does not overwrite

    def of(self, scope: str) -> "ScopedMemory":
        """Return the memory of one scope, such as a user or a session.

        Raises:
            InputError: the scope's name is empty, or no text of at most 255 characters.
        """
        if episode_text(scope) != scope or len(scope) > 255:
            raise InputError(f"scope {scope[:60]!r} is no name; give 1 to 255 characters")
        return ScopedMemory(self, scope)

    async def purge(self) -> None:
        """Empty SQLite's log of what was overwritten in the file; on PostgreSQL nothing.

        Raises:
            ConfigError: another process reads, and the log still holds what was forgotten.
        """
        if not self._postgres and await self._submit(self._checkpoint):
            raise ConfigError(
                f"what was forgotten in {str(self.url)!r} is deleted, and still in the file's log, "
                "as another process reads it; call purge() when that is done"
            )

    def _checkpoint(self) -> bool:
        """Empty the log; tell whether someone was in the way."""
        engine = self._engine.execution_options(assay_begin=None)
        with engine.connect() as connection:
            busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        return bool(busy)

    # What a scope asks of its store.

    async def insert(self, row: dict[str, Any]) -> None:
        await self._write(_insert, row)

    async def rows(self, scope: str) -> list[sa.Row[Any]]:
        return await self._read(_rows, scope)

    async def delete(self, scope: str, ids: Sequence[str] | None) -> int:
        gone = await self._write(_delete, scope, ids)
        if gone:
            await self.purge()
        return gone


@dataclass(frozen=True, eq=False)
class ScopedMemory:
    """The episodes of one scope; see `memory.Memory`. Made by `SqlMemories.of`."""

    store: SqlMemories
    scope: str

    async def remember(
        self,
        text: str,
        *,
        at: datetime,
        tags: Sequence[str] = (),
        usage: RunUsage | None = None,
    ) -> Episode:
        kept = Episode(
            id=uuid4().hex,
            text=episode_text(text),
            at=at,
            tags=tuple(dict.fromkeys(map(episode_text, tags))),
        )
        row = {
            "id": kept.id,
            "scope": self.scope,
            "at": moment(at),
            "text": kept.text,
            "tags": json.dumps(kept.tags, ensure_ascii=False),
        }
        await self.store.insert(row | await self._embedded(kept.text, usage))
        return kept

    async def recall(
        self,
        query: str,
        k: int,
        *,
        now: datetime,
        half_life: timedelta = HALF_LIFE,
        usage: RunUsage | None = None,
    ) -> list[Recalled]:
        moment(now)  # refuses one without a zone
        rows = {row.number: row for row in await self.store.rows(self.scope)}
        times = {number: datetime.fromisoformat(row.at) for number, row in rows.items()}
        rankings = [await asyncio.to_thread(_by_words, list(rows.values()), query)]
        if not query.strip():
            rankings = [sorted(times, key=lambda n: (times[n], n), reverse=True)]
        elif self.store.embedder is not None:
            name, vector = await vector_of(self.store.embedder, query, usage)
            near = asyncio.to_thread(_by_meaning, list(rows.values()), vector, name)
            rankings.append(await near)
        best = ranked(rankings, times, now=now, half_life=half_life)[: max(0, k)]
        return [Recalled(**_fields(rows[number]), score=score) for number, score in best]

    async def get(self, ids: Sequence[str]) -> list[Episode]:
        return [
            Episode(**_fields(r)) for r in await self.store.rows(self.scope) if r.id in set(ids)
        ]

    async def forget(self, ids: Sequence[str]) -> int:
        return await self.store.delete(self.scope, list(ids))

    async def forget_about(self, query: str) -> int:
        found = await self.about(query)
        return await self.forget([episode.id for episode in found])

    async def about(self, query: str) -> list[Episode]:
        """Return the episodes that hold all words of `query`, in the order of their times."""
        rows = await self.store.rows(self.scope)
        holding = set(await asyncio.to_thread(_by_words, rows, query, every=True))
        return [Episode(**_fields(row)) for row in rows if row.number in holding]

    async def forget_everything(self) -> int:
        return await self.store.delete(self.scope, None)

    async def _embedded(self, text: str, usage: RunUsage | None) -> dict[str, Any]:
        name, (vector,) = await vectors_of(self.store.embedder, [text], usage)
        return {} if vector is None else {"embedder": name, "vector": vector.tobytes()}


def _overwriting(connection: Any, _: object) -> None:
    connection.execute("PRAGMA secure_delete = ON")


def _insert(connection: sa.Connection, row: dict[str, Any]) -> None:
    count = sa.select(sa.func.count()).where(c.scope == row["scope"])
    if (connection.scalar(count) or 0) >= MOST:
        raise InputError(f"scope {row['scope']!r} holds {MOST} episodes already; forget some first")
    connection.execute(episodes.insert(), row)


def _rows(connection: sa.Connection, scope: str) -> list[sa.Row[Any]]:
    chosen = sa.select(episodes).where(c.scope == scope).order_by(c.at, c.number)
    return list(connection.execute(chosen))


def _delete(connection: sa.Connection, scope: str, ids: Sequence[str] | None) -> int:
    gone = 0
    for part in [ids] if ids is None else [[id] for id in dict.fromkeys(ids)]:
        chosen = () if part is None else (c.id.in_(part),)
        gone += connection.execute(episodes.delete().where(c.scope == scope, *chosen)).rowcount
    return gone


def _by_words(rows: Sequence[Any], query: str, *, every: bool = False) -> list[int]:
    """Return the numbers of rows by BM25, best first; with `every`, of all that hold all words.

    Rows come in the order of their times: of two alike the later is first.
    """
    asked = " AND ".join(f'"{word}"' for word in terms(query)) if every else matching(query)
    if not asked or not rows:
        return []
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(
            "CREATE VIRTUAL TABLE words USING fts5 "
            '(text, tags, tokenize = "porter unicode61 remove_diacritics 2")'
        )
        texts = (
            (place, row.text, " ".join(json.loads(row.tags))) for place, row in enumerate(rows)
        )
        db.executemany("INSERT INTO words (rowid, text, tags) VALUES (?, ?, ?)", texts)
        found = db.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words), rowid DESC LIMIT ?",
            (asked, -1 if every else DEPTH),
        )
        return [rows[place].number for (place,) in found]


def _by_meaning(rows: Sequence[Any], vector: Vector, embedder: str) -> list[int]:
    near = [
        (float(np.frombuffer(row.vector, dtype=np.float32) @ vector), place, row.number)
        for place, row in enumerate(rows)
        if row.embedder == embedder
    ]
    best = sorted((found for found in near if found[0] > 0), reverse=True)
    return [number for *_, number in best[:DEPTH]]


def _fields(row: Any) -> Mapping[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "at": datetime.fromisoformat(row.at),
        "tags": tuple(json.loads(row.tags)),
    }
