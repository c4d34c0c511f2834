"""Documents in PostgreSQL behave as those in SQLite do, case by case."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from pydantic_ai import Embedder
from pydantic_ai.usage import RunUsage

from assay.deps.documents.index import SqliteDocuments
from assay.deps.documents.postgres import PostgresDocuments
from assay.deps.documents.ranking import fused
from assay.deps.errors import ConfigError, InputError
from assay.deps.providers.embeddings import BaselineEmbedding

from .stores import postgres
from .test_documents import (
    Colours,
    doc,
    test_a_document_added_again_takes_its_place,
    test_a_passage_stands_where_it_says,
    test_all_documents_are_added_or_none,
    test_operators_are_words,
)

# The cases of SQLite's, which ask the fixture `index` below.
__all__ = (
    "postgres",
    "test_a_document_added_again_takes_its_place",
    "test_a_passage_stands_where_it_says",
    "test_all_documents_are_added_or_none",
    "test_operators_are_words",
)

pytestmark = pytest.mark.slow


def execute(url: str, *statements: str) -> None:
    place = sa.make_url(url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(place, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture
def url(postgres: str) -> str:
    tables = "document_vector, document_chunk, document"
    execute(postgres, f"DROP TABLE IF EXISTS {tables}", "DROP EXTENSION IF EXISTS vector")
    return postgres


@pytest.fixture
def index(url: str) -> Iterator[PostgresDocuments]:
    with PostgresDocuments(url, size=60) as documents:
        yield documents


async def ids(documents: PostgresDocuments | SqliteDocuments, query: str, k: int = 5) -> list[str]:
    return [p.document for p in await documents.search(query, k)]


async def test_meaning_finds_what_words_do_not(url: str) -> None:
    model, usage = Colours(), RunUsage()
    with PostgresDocuments(url, embedder=Embedder(model)) as documents:
        await documents.add(doc("r", "A red door."), doc("b", "A blue one."), usage=usage)
        found = await documents.search("Was ist blau?", 5, usage=usage)
        assert [p.document for p in found] == ["b"]
        assert (usage.input_tokens, model.asked) == (3, [2, 1])
        await documents.add(doc("b", "A green one."))
        assert await ids(documents, "Was ist blau?") == []


async def test_both_rankings_are_fused(url: str) -> None:
    with PostgresDocuments(url, embedder=Embedder(Colours())) as documents:
        await documents.add(doc("a", "door, rot"), doc("b", "red, red, red door"), doc("c", "door"))
        scores = {p.document: p.score for p in await documents.search("red door", 5)}
    by_words, by_meaning = ["b", "c", "a"], ["a", "b"]
    numbers = [[ord(name) for name in ranking] for ranking in (by_words, by_meaning)]
    assert scores == {chr(n): pytest.approx(score) for n, score in fused(numbers)}


async def test_vectors_are_compared_as_sqlite_does(url: str) -> None:
    texts = ["harbours of Genoa", "harbour tax", "a bore", "Genoese bankers", "tax on banks"]
    with (
        SqliteDocuments(embedder=Embedder(BaselineEmbedding())) as file,
        PostgresDocuments(url, embedder=Embedder(BaselineEmbedding())) as server,
    ):
        vector = np.asarray((await file.embedder.embed_query("bank tax")).embeddings[0])  # type: ignore[union-attr]
        for documents in (file, server):
            await documents.add(*(doc(str(n), text) for n, text in enumerate(texts)))
        exact = file._by_meaning(vector, "baseline:embed", 9)  # pyright: ignore[reportPrivateUsage]
        near: Any = server._by_meaning  # pyright: ignore[reportPrivateUsage]
        same = await server._read(near, vector, "baseline:embed", 9)  # pyright: ignore[reportPrivateUsage]
        assert exact == same


async def test_vectors_of_another_embedder_are_refused(url: str) -> None:
    with PostgresDocuments(url) as documents:
        await documents.add(doc("a", "A red door."))
    with (
        PostgresDocuments(url, embedder=Embedder(Colours())) as documents,
        pytest.raises(ConfigError, match="indexed with no embedder, and the question with 'col"),
    ):
        await documents.search("red", 1)
    with PostgresDocuments(url) as documents:
        assert await ids(documents, "red") == ["a"]


async def test_two_processes_see_each_others_changes(url: str) -> None:
    embedder = Embedder(BaselineEmbedding())
    with (
        PostgresDocuments(url, embedder=embedder) as one,
        PostgresDocuments(url, embedder=embedder) as other,
    ):
        await one.add(doc("a", "The harbour is deep."))
        assert await ids(other, "harbours") == ["a"]
        await other.add(doc("b", "Two harbours more."))
        assert set(await ids(one, "harbours")) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Ein Café in Zürich.", "cafe zurich"),
        ("A cafe in Zurich.", "Café, Zürich"),
        ("see snake_case here", "snake"),
        ("version 1.2-beta", "beta 2"),
        ("mail to ann@example.com", "example"),
        ("漢字 is written", "漢字"),
        ("it's O'Neil's", "o'neil"),
        ("100% -5 items", "5"),
    ],
)
async def test_words_are_words_in_both(index: PostgresDocuments, text: str, query: str) -> None:
    await index.add(doc("a", text))
    assert await ids(index, query) == ["a"]
    with SqliteDocuments() as file:
        await file.add(doc("a", text))
        assert await ids(file, query) == ["a"]


@pytest.mark.parametrize("query", ["", " ", "' | '", "a'b", "\\", "\0", "the of", "\ud800", "²"])
async def test_no_query_is_an_expression(index: PostgresDocuments, query: str) -> None:
    await index.add(doc("a", "Some words."))
    assert await ids(index, query) == []


async def test_a_zero_character_is_refused(index: PostgresDocuments) -> None:
    with pytest.raises(InputError, match="'a' holds a zero character at 1, which PostgreSQL has"):
        await index.add(doc("a", "x\0"))
    assert (await index.get("\0"), await index.remove("\0")) == (None, False)


def test_a_missing_extension_is_said_with_the_next_step(url: str) -> None:
    execute(
        url,
        "DROP DATABASE IF EXISTS plain",
        "DROP ROLE IF EXISTS modest",
        "CREATE ROLE modest LOGIN",
        "CREATE DATABASE plain",
    )
    modest = sa.make_url(url).set(username="modest", password=None, database="plain")
    plain = sa.make_url(url).set(database="plain").render_as_string(hide_password=False)
    execute(plain, "GRANT ALL ON SCHEMA public TO modest")
    text = modest.render_as_string(hide_password=False)
    why = "cannot have vectors: permission denied.*; install pgvector on the server and run CREATE"
    with pytest.raises(ConfigError, match=f"(?s){why}"):
        PostgresDocuments(text, embedder=Embedder(Colours()))
    PostgresDocuments(text).close()  # words need no extension


def test_a_file_is_not_a_postgresql() -> None:
    for url, what in (("documents.db", "a file"), ("sqlite:///documents.db", "sqlite")):
        with pytest.raises(ConfigError, match=f"are in {what}, not PostgreSQL; use SqliteDoc"):
            PostgresDocuments(url)
