"""Documents in PostgreSQL, searched by words and by meaning, for many processes at once.

Words are ranked by `ts_rank` over English word stems, which unlike BM25 does not know how rare a
word is, and finds no stop words. With an embedder, vectors are ranked by their cosine too
(pgvector) and both rankings are fused, as `document_index` does on SQLite.
"""

import re
import unicodedata
from collections.abc import Sequence

import sqlalchemy as sa
from pydantic_ai.usage import RunUsage
from sqlalchemy.dialects.postgresql import TSVECTOR, insert
from sqlalchemy.exc import DBAPIError

from ..database import SqlStore, open_engine, said, shown_place
from ..errors import ConfigError, InputError
from ..providers.embeddings import Embeds
from .chunks import SIZE, Chunk, chunks
from .indexing import DEPTH, Vector, indexed, refuse, vector_of, vectors_of
from .passages import Document, Passage
from .ranking import fused
from .terms import MOST, terms

__all__ = ("PostgresDocuments",)

WHAT = "the documents"

metadata = sa.MetaData()

documents = sa.Table(
    "document",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
pieces = sa.Table(
    "document_chunk",
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column(
        "document",
        sa.Text,
        sa.ForeignKey("document.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    sa.Column("heading", sa.Text, nullable=False),
    sa.Column("embedder", sa.Text),
    sa.Column("words", TSVECTOR, nullable=False),
    sa.Index("document_chunk_words", "words", postgresql_using="gin"),
)
p = pieces.c

# Apart from the chunks, so that the extension is needed for vectors alone. No dimension is named,
# as an embedder brings its own; the scan is exact, as on SQLite.
_VECTORS = """
CREATE TABLE IF NOT EXISTS document_vector (
    number bigint PRIMARY KEY REFERENCES document_chunk (number) ON DELETE CASCADE,
    vector vector NOT NULL
)
"""
_PUT = sa.text("INSERT INTO document_vector VALUES (:number, CAST(:vector AS vector))")
_NEAR = sa.text(
    "SELECT number FROM document_vector WHERE vector <=> CAST(:vector AS vector) < 1 "
    "ORDER BY vector <=> CAST(:vector AS vector), number LIMIT :limit"
)

# Who indexes waits for who does: a document is replaced whole. And so for the tables of vectors.
_ALONE = sa.text("SELECT pg_advisory_xact_lock(1953526893)")

# By length, so that a word in a short chunk counts for more, and by 1 + log of it.
_NORMAL = 1

_WORD = re.compile(r"[^\W_]+")


class PostgresDocuments(SqlStore):
    """Documents in a PostgreSQL database; `document_index.SqliteDocuments` is the same in a file.

    Vectors are compared one by one, which is exact.

    Args:
        url: `postgresql://user@host/database`.
        embedder: What makes vectors, such as `Models.embedder()`; None for words alone.
        size: Characters of a chunk at most.

    Raises:
        ConfigError: it cannot be opened, now, or used, later; or there is an embedder, and the
            database has no pgvector.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str, *, embedder: Embeds | None = None, size: int = SIZE) -> None:
        with said(url, WHAT):
            name = open_engine(url, WHAT).dialect.name if "://" in url else "a file"
        if name != "postgresql":
            raise ConfigError(
                f"{WHAT} {shown_place(url)[0]!r} are in {name}, not PostgreSQL; use "
                "SqliteDocuments there"
            )
        super().__init__(url, metadata, WHAT)
        self.embedder = embedder
        self.size = size
        if embedder is not None:
            try:
                self._prepare_vectors()
            except ConfigError:
                self.close()
                raise

    async def add(self, *documents: Document, usage: RunUsage | None = None) -> int:
        """Index documents, in place of those with their ids; return how many are new or changed.

        A document that is there already with the same text and title is left as it is. All of
        them are added, or none.

        Raises:
            InputError: a text holds half a surrogate pair or a zero character.
        """
        for document in documents:
            _refuse(document)
        latest = {document.id: document for document in documents}
        fresh = await self._read(_changed, list(latest.values()))
        cut = [(document, chunks(document.text, self.size)) for document in fresh]
        texts = [indexed(document, chunk) for document, found in cut for chunk in found]
        name, vectors = await vectors_of(self.embedder, texts, usage)
        await self._write(_store, cut, name, vectors)
        return len(fresh)

    async def remove(self, document: str) -> bool:
        """Forget a document; tell whether it was there."""
        return await self._write(_forget, document)

    async def ids(self) -> list[str]:
        """Return the ids of all documents, in their order as text."""
        return await self._read(lambda db: sorted(db.scalars(sa.select(documents.c.id))))

    async def get(self, document: str) -> Document | None:
        if "\0" in document:  # which PostgreSQL has in no text
            return None
        return await self._read(_get, document)

    async def search(
        self, query: str, limit: int, *, usage: RunUsage | None = None
    ) -> list[Passage]:
        """Return at most `limit` passages about `query`, the nearest first.

        Without an embedder, none that shares no word with it.

        Raises:
            ConfigError: the vectors here are another embedder's.
        """
        depth = max(limit, DEPTH)
        rankings = [await self._read(_by_words, query, depth)]
        if self.embedder is not None and query.strip():
            name, vector = await vector_of(self.embedder, query, usage)
            rankings.append(await self._read(self._by_meaning, vector, name, depth))
        return await self._read(_passages, fused(rankings)[:limit])

    def _prepare_vectors(self) -> None:
        """Make the extension and the table, once, whoever comes first."""
        try:
            with self._writer.begin() as connection:
                connection.execute(_ALONE)
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
                connection.exec_driver_sql(_VECTORS)
        except DBAPIError as e:
            raise ConfigError(
                f"{WHAT} in {shown_place(self.url)[0]!r} cannot have vectors: "
                f"{e.orig}; install pgvector on the server and run CREATE EXTENSION vector in the "
                "database as its owner, or give no embedder"
            ) from e

    def _by_meaning(
        self, connection: sa.Connection, vector: Vector, embedder: str, limit: int
    ) -> list[int]:
        names = connection.scalars(sa.select(p.embedder).distinct())
        others = sorted({name or "no embedder" for name in names} - {embedder})
        if others:
            raise ConfigError(
                f"{WHAT} in {shown_place(self.url)[0]!r} were indexed with "
                f"{', '.join(others)}, and the question with {embedder!r}; index them anew with "
                "one embedder, or give none"
            )
        return list(connection.scalars(_NEAR, {"vector": _literal(vector), "limit": limit}))


def _changed(connection: sa.Connection, given: Sequence[Document]) -> list[Document]:
    d = documents.c
    return [
        document
        for document in given
        if not connection.scalar(
            sa.select(sa.literal(1)).where(
                d.id == document.id, d.title == document.title, d.text == document.text
            )
        )
    ]


def _store(
    connection: sa.Connection,
    cut: list[tuple[Document, list[Chunk]]],
    embedder: str | None,
    vectors: list[Vector | None],
) -> None:
    connection.execute(_ALONE)
    at = iter(vectors)
    for document, found in cut:
        _forget(connection, document.id)
        row = {"id": document.id, "title": document.title, "text": document.text}
        connection.execute(insert(documents).values(row))
        for chunk in found:
            words = _plain(indexed(document, chunk))
            number = connection.scalar(
                insert(pieces)
                .values(
                    document=document.id,
                    **chunk._asdict(),
                    embedder=embedder,
                    words=sa.func.to_tsvector("english", words),
                )
                .returning(p.number)
            )
            if (vector := next(at)) is not None:
                connection.execute(_PUT, {"number": number, "vector": _literal(vector)})


def _forget(connection: sa.Connection, document: str) -> bool:
    if "\0" in document:
        return False
    return connection.execute(documents.delete().where(documents.c.id == document)).rowcount > 0


def _get(connection: sa.Connection, id: str) -> Document | None:
    row = connection.execute(sa.select(documents).where(documents.c.id == id)).one_or_none()
    return None if row is None else Document(id=row.id, title=row.title, text=row.text)


def _by_words(connection: sa.Connection, query: str, limit: int) -> list[int]:
    asked = " | ".join(f"'{word}'" for word in terms(_plain(query))[:MOST])
    if not asked:
        return []
    query_ = sa.func.to_tsquery("english", asked)
    rank = sa.func.ts_rank(p.words, query_, _NORMAL)
    found = (
        sa.select(p.number)
        .where(p.words.op("@@")(query_))
        .order_by(rank.desc(), p.number)
        .limit(limit)
    )
    return list(connection.scalars(found))


def _passages(connection: sa.Connection, best: list[tuple[int, float]]) -> list[Passage]:
    joined = sa.select(pieces, documents.c.title, documents.c.text).join(documents)
    rows = connection.execute(joined.where(p.number.in_([number for number, _ in best])))
    by_number = {row.number: row for row in rows}
    return [
        Passage(
            document=row.document,
            title=row.title,
            heading=row.heading,
            text=row.text[row.start : row.end],
            start=row.start,
            end=row.end,
            score=score,
        )
        for number, score in best
        if (row := by_number.get(number)) is not None
    ]


def _refuse(document: Document) -> None:
    refuse(document)
    for part in (document.id, document.title, document.text):
        if "\0" in part:
            raise InputError(
                f"document {document.id!r} holds a zero character at {part.index(chr(0))}, which "
                "PostgreSQL has in no text; leave it out"
            )


def _plain(text: str) -> str:
    """Return the words of a text without accents, so that PostgreSQL's parser sees words alone.

    It would take some for parts of addresses, numbers and files, and other databases' parsers
    would not.
    """
    bare = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(_WORD.findall("".join(bare).casefold()))


def _literal(vector: Vector) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(map(repr, vector.tolist()))}]"
