"""Whatever statement a model writes, a database is read as far as it may be, and left as it is."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from assay.deps.errors import ConfigError, InputError
from assay.deps.sql import Limits, Queries, Scalar, placed
from assay.deps.sql.queries import SQL_CHARS
from assay.deps.sql.sqlite import SqliteQueries
from assay.tools.sql import Answer, describe_database, query_database

TABLES = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), cents INT);
CREATE TABLE secret (word TEXT);
INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com'), (2, 'Bo', 'bo@example.com');
INSERT INTO orders VALUES (1, 1, 500), (2, 1, 250), (3, 2, 900);
INSERT INTO secret VALUES ('swordfish');
CREATE VIEW words AS SELECT word FROM secret;
CREATE VIRTUAL TABLE notes USING fts5 (a);
INSERT INTO notes VALUES ('a red door');
"""

# Refused, or harmless: {file} is a path that nothing may make, {db} the database's own.
HOSTILE = [
    "INSERT INTO customers VALUES (3, 'Eve', '')",
    "UPDATE customers SET name = 'Eve'",
    "DELETE FROM customers",
    "REPLACE INTO customers VALUES (1, 'Eve', '')",
    "INSERT INTO customers SELECT * FROM customers RETURNING *",
    "DELETE FROM customers RETURNING *",
    "WITH c AS (SELECT 1) DELETE FROM customers RETURNING *",
    "DROP TABLE customers",
    "ALTER TABLE customers RENAME TO gone",
    "ALTER TABLE customers ADD COLUMN extra",
    "CREATE TABLE mine (a)",
    "CREATE TABLE mine AS SELECT * FROM secret",
    "CREATE TEMP TABLE mine (a)",
    "CREATE TEMP VIEW mine AS SELECT * FROM secret",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE INDEX mine ON customers (name)",
    "CREATE TRIGGER mine AFTER INSERT ON customers BEGIN DELETE FROM orders; END",
    "CREATE VIRTUAL TABLE mine USING fts5 (a)",
    "CREATE VIRTUAL TABLE temp.mine USING dbstat",
    "ATTACH '{file}' AS mine",
    "ATTACH ':memory:' AS mine",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '{file}'",
    "ANALYZE",
    "REINDEX",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT mine",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 7",
    "PRAGMA temp_store_directory = '/'",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA table_info(secret)",
    "PRAGMA data_version(1)",
    "SELECT * FROM pragma_table_info('secret')",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT * FROM pragma_journal_mode('delete')",
    "UPDATE sqlite_master SET sql = ''",
    "DELETE FROM sqlite_master",
    "SELECT sql FROM sqlite_master",
    "SELECT sql FROM main.sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT count(*) FROM sqlite_master",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT load_extension('{file}')",
    "SELECT writefile('{file}', 'x')",
    "SELECT readfile('{db}')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT 1; DELETE FROM customers",
    "SELECT 1;; ATTACH '{file}' AS mine",
    "SELECT 1 -- \n; DROP TABLE customers",
    "EXPLAIN DELETE FROM customers",
    "EXPLAIN SELECT * FROM secret",
    ".shell touch {file}",
    "SELECT word FROM secret",
    "SELECT word FROM main.secret",
    'SELECT word FROM "SECRET"',
    "SELECT count(*) FROM secret",
    "SELECT (SELECT word FROM secret)",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM secret WHERE word LIKE 's%')",
    "SELECT 1 FROM customers ORDER BY (SELECT word FROM secret)",
    "WITH customers AS (SELECT * FROM secret) SELECT * FROM customers",
    "WITH words AS (SELECT * FROM secret) SELECT * FROM words",
    "SELECT * FROM words",
    "SELECT 1 FROM (SELECT 'swordfish' AS word) JOIN secret USING (word)",
    "SELECT 1 FROM (SELECT 'swordfish' AS word) NATURAL JOIN secret",
    "SELECT 1 FROM secret NATURAL JOIN secret AS other",
    "SELECT 1 FROM (SELECT 'secret' AS name) JOIN sqlite_master USING (name)",
    "SELECT 1 FROM (SELECT 'secret' AS name) NATURAL JOIN dbstat",
    "SELECT 1 FROM (SELECT 'word' AS name) NATURAL JOIN pragma_table_info('secret')",
    "SELECT 1 FROM (SELECT 'a red door' AS a) NATURAL JOIN notes",
    "SELECT count(*) FROM notes",
    "SELECT 1 FROM notes_content NATURAL JOIN (SELECT 1 AS id)",
    "SELECT zeroblob(1000000000)",
    "SELECT randomblob(1000000000)",
    "SELECT hex(replace(printf('%090000d', 1), '0', 'aaaaaaaaaa'))",
    "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
    "SELECT count(*) FROM json_each('[' || printf('%.*c', 99990, '[')) AS a",
    "SELECT " + "(" * 900 + "1" + ")" * 900,
    "SELECT 1" + " UNION SELECT 1" * 300,
    "SELECT ?",
    "SELECT ?1",
    "SELECT :missing",
    "SELECT \x00 1",
    "SELECT '\ud800'",
    "",
    ";",
    "-- nothing",
    "SELECT " + "1, " * SQL_CHARS + "1",
]


@dataclass
class Deps:
    queries: Queries


def context(queries: Queries) -> RunContext[Deps]:
    return RunContext(deps=Deps(queries), model=TestModel(), usage=RunUsage())


async def asked(queries: Queries, sql: str, **parameters: Scalar) -> Answer:
    return await query_database(context(queries), sql, parameters)


async def refused(queries: Queries, sql: str, **parameters: Scalar) -> str:
    with pytest.raises(ModelRetry) as e:
        await asked(queries, sql, **parameters)
    return str(e.value)


@pytest.fixture(scope="module")
def template() -> bytes:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(TABLES)
        return db.serialize()


@pytest.fixture
def path(template: bytes, tmp_path: Path) -> Path:
    place = tmp_path / "bank ?#%41.db"
    place.write_bytes(template)
    return place


@pytest.fixture
def some(path: Path) -> SqliteQueries:
    """Two tables, and a view of one that is closed."""
    return SqliteQueries(path, tables=["Customers", "orders", "words"], limits=Limits(seconds=0.2))


@pytest.fixture
def every(path: Path) -> SqliteQueries:
    return SqliteQueries(path, limits=Limits(seconds=0.2))


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_hostile_statement_is_refused_and_changes_nothing(
    hostile: str, some: SqliteQueries, path: Path, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    sql = hostile.replace("{file}", str(tmp_path / "made")).replace("{db}", str(path))
    said = await refused(some, sql)
    assert "swordfish" not in said
    assert "; " in said or ". " in said  # the next step
    assert everything(tmp_path) == before


def test_the_table_of_hostile_statements_is_long() -> None:
    assert len(set(HOSTILE)) >= 80


@pytest.mark.parametrize("hostile", [h for h in HOSTILE if not h.startswith(("SELECT", "WITH"))])
async def test_what_writes_is_refused_where_every_table_may_be_read(
    hostile: str, every: SqliteQueries, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    sql = hostile.replace("{file}", str(tmp_path / "made"))
    await refused(every, sql)
    assert everything(tmp_path) == before


async def test_rows_come_typed_with_their_columns(some: SqliteQueries) -> None:
    sql = (
        "SELECT name, sum(cents) / 100.0 AS total, count(*), NULL, x'00ff', 9e999 "
        "FROM customers c JOIN orders o ON o.customer = c.id WHERE name <> :not GROUP BY c.id"
    )
    assert await asked(some, sql, **{"not": "Bo", "unused": 1}) == Answer(
        columns=("name", "total", "count(*)", "NULL", "x'00ff'", "9e999"),
        rows=(("Ann", 7.5, 2, None, "00ff", "inf"),),
        truncated=False,
    )


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1;  ", ((1,),)),
        ("VALUES (1), (2)", ((1,), (2,))),
        ("WITH c AS (SELECT id FROM orders) SELECT count(*) FROM c", ((3,),)),
        ("SELECT value FROM json_each('[4, 5]')", ((4,), (5,))),
        ("SELECT count(*) FROM orders JOIN customers USING (id)", ((2,),)),
        ("SELECT ':no' || :a -- :no", ((":nox",),)),
        ("SELECT '12:30', 'it''s :no', \"name\" FROM customers LIMIT 1 /* :no */", None),
    ],
)
async def test_honest_statements_are_answered(
    some: SqliteQueries, sql: str, rows: tuple[Any, ...] | None
) -> None:
    found = await asked(some, sql, a="x")
    assert found.rows == (rows or (("12:30", "it's :no", "Ann"),))


async def test_a_value_is_no_statement(some: SqliteQueries) -> None:
    sql = "SELECT count(*) FROM customers WHERE name = :name"
    assert (await asked(some, sql, name="' OR 1=1 --")).rows == ((0,),)


async def test_limits_cut_rows_and_say_so(path: Path) -> None:
    numbers = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    three = SqliteQueries(path, limits=Limits(rows=3))
    assert await asked(three, numbers) == Answer(
        columns=("x",), rows=((1,), (2,), (3,)), truncated=True
    )
    assert not (await asked(three, f"{numbers} LIMIT 3")).truncated
    small = SqliteQueries(path, limits=Limits(size=100))
    found = await asked(small, f"SELECT printf('%040d', x) FROM ({numbers})")
    assert (len(found.rows), found.truncated) == (2, True)
    said = await refused(small, "SELECT printf('%0200d', 1)")
    assert said.startswith("a row has more than 100 bytes; select fewer columns")


async def test_time_is_bounded_and_a_cancelled_statement_stops(path: Path) -> None:
    endless = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT 1 FROM c) SELECT max(x) FROM c"
    said = await refused(SqliteQueries(path, limits=Limits(seconds=0.05)), endless)
    assert said == (
        "the statement took longer than 0.05 s; narrow it with WHERE, or join fewer tables"
    )
    slow = SqliteQueries(path, limits=Limits(seconds=600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asked(slow, endless)  # the thread ends, or the test's loop would wait for it


async def test_a_full_text_table_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE VIRTUAL TABLE notes USING fts5 (a); CREATE TABLE notes2 (b);")
        db.execute("INSERT INTO notes VALUES ('a red door')")
        db.commit()
    queries = SqliteQueries(path, tables=["notes"])
    sql = "SELECT a, bm25(notes) < 0 FROM notes WHERE notes MATCH :q"
    assert (await asked(queries, sql, q="door")).rows == (("a red door", 1),)
    assert "'notes2' may not be read" in await refused(queries, "SELECT * FROM notes2")
    assert [t.name for t in await queries.tables()] == ["notes"]


async def test_the_description_names_what_may_be_read(
    some: SqliteQueries, every: SqliteQueries
) -> None:
    assert await describe_database(context(some)) == (
        "customers(id INTEGER, name TEXT, email TEXT)\n"
        "orders(id INTEGER, customer INTEGER -> customers.id, cents INT)\n"
        "words(word TEXT)"
    )
    assert "secret(word TEXT)" in await describe_database(context(every))
    assert (await asked(every, "SELECT * FROM words")).rows == (("swordfish",),)


async def test_a_file_in_use_is_read_as_it_is(path: Path, every: SqliteQueries) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM orders")
        assert (await asked(every, "SELECT count(*) FROM orders")).rows == ((3,),)
        db.execute("COMMIT")
        assert (await asked(every, "SELECT count(*) FROM orders")).rows == ((0,),)


async def test_what_is_no_database_is_the_operators_to_mend(tmp_path: Path) -> None:
    missing, text = tmp_path / "missing.db", tmp_path / "text.db"
    write(text, "no database, though long enough to be taken for one " * 20)
    for path in (missing, text):
        with pytest.raises(ConfigError, match=r"cannot be read: .*; name a SQLite file"):
            await asked(SqliteQueries(path), "SELECT 1")
    assert list(everything(tmp_path)) == [str(text)]


WORDS = st.sampled_from([
    "SELECT", "FROM", "customers", "secret", "words", "*", "(", ")", ",", ";", "WITH", "AS", "JOIN",
    "DELETE", "INSERT INTO", "VALUES", "ATTACH", "PRAGMA", "email", "word", "name", ":a", "'", '"',
    "--", "/*", "*/", "UNION", "1", "WHERE", "=", "RETURNING", "sqlite_master", "count(*)", "x",
])  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sql=st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40),
    parameters=st.dictionaries(
        st.sampled_from("ab"),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    ),
)
async def test_any_statement_is_answered_or_refused(
    sql: str, parameters: dict[str, Scalar], some: SqliteQueries, path: Path
) -> None:
    before = everything(path.parent)
    try:
        found = await asked(some, sql, **parameters)
    except ModelRetry:
        pass
    else:
        assert "swordfish" not in found.model_dump_json()
    assert everything(path.parent) == before


@given(st.text(alphabet="'\"$a:-/*e\\ \n", max_size=40))
def test_placing_parameters_changes_nothing_else(sql: str) -> None:
    assert placed(sql, lambda name: f":{name}") == sql


def test_hostile_statements_are_split_in_linear_time() -> None:
    for piece in ("/* ", "$a$b", "'\" ", "e'\\", "-- ", ": "):
        assert placed(piece * 200_000, lambda name: name)
    with pytest.raises(InputError, match=r"has 29999 characters; write one SELECT of 1 to"):
        asyncio.run(SqliteQueries("none.db").query("/* " * 10_000 + "   ", {}))
