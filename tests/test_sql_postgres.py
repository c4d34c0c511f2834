"""PostgreSQL is read as far as its login may, by one query at a time, and left as it is."""

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic_ai import ModelRetry

from assay.deps.errors import ConfigError
from assay.deps.sql import Limits
from assay.deps.sql import postgres as sql_postgres
from assay.deps.sql.postgres import PostgresQueries
from assay.tools.sql import Answer, describe_database

from .stores import postgres
from .test_sql_tool import asked, context, refused

__all__ = ("postgres",)

pytestmark = pytest.mark.slow

TABLES = """
DROP SCHEMA IF EXISTS shop CASCADE;
DROP VIEW IF EXISTS words;
DROP TABLE IF EXISTS orders, customers, secret;
DROP SEQUENCE IF EXISTS numbers;
CREATE TABLE customers (id int PRIMARY KEY, name text, born date, extra jsonb);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, cents numeric);
CREATE TABLE secret (word text);
CREATE SEQUENCE numbers;
CREATE SCHEMA shop;
CREATE TABLE shop.stock (item text, secret text);
INSERT INTO customers VALUES (1, 'Ann', '2000-02-29', '{"a": [1, {"b": null}]}'), (2, 'Bo', NULL, NULL);
INSERT INTO orders VALUES (1, 1, 5.25), (2, 2, 9);
INSERT INTO secret VALUES ('swordfish');
CREATE VIEW words AS SELECT word FROM secret;
CREATE OR REPLACE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM orders; SELECT 1';
DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT SELECT ON customers, orders TO reader;
GRANT INSERT, UPDATE, DELETE ON orders TO reader;
GRANT USAGE, SELECT, UPDATE ON numbers TO reader;
GRANT USAGE ON SCHEMA shop TO reader;
GRANT SELECT (item) ON shop.stock TO reader;
GRANT EXECUTE ON FUNCTION wipe TO reader;
GRANT CREATE ON SCHEMA public TO reader;
"""

# Refused, or harmless: {file} is a path that nothing may make. The login may write, yet does not.
HOSTILE = [
    "INSERT INTO orders VALUES (9, 1, 1)",
    "INSERT INTO orders VALUES (9, 1, 1) RETURNING id",
    "UPDATE orders SET cents = 0 RETURNING id",
    "DELETE FROM orders",
    "DELETE FROM orders RETURNING id",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "SELECT * FROM (DELETE FROM orders RETURNING id) AS gone",
    "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    "TRUNCATE orders",
    "SELECT * INTO mine FROM orders",
    "SELECT * INTO TEMP mine FROM orders",
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE mine (a int)",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "CREATE ROLE mine",
    "ALTER ROLE reader SUPERUSER",
    "DROP TABLE orders",
    "GRANT ALL ON orders TO PUBLIC",
    "SELECT id FROM orders FOR UPDATE",
    "SELECT id FROM orders FOR KEY SHARE",
    "LOCK TABLE orders",
    "COPY orders TO '{file}'",
    "COPY orders TO PROGRAM 'touch {file}'",
    "COPY orders FROM PROGRAM 'touch {file}'",
    "COPY (SELECT 1) TO STDOUT",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT \"pg_read_file\"('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '{file}')",
    "SELECT lo_create(4711)",
    "SELECT lo_from_bytea(4712, 'x')",
    "SELECT dblink('dbname=postgres', 'DELETE FROM orders')",
    "SELECT set_config('transaction_read_only', 'off', true), wipe()",
    "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT pg_sleep(60)",
    "SELECT pg_sleep_for('1 minute')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_notify('mine', 'x')",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('mine')",
    "SELECT pg_logical_emit_message(false, 'mine', 'x')",
    "SELECT pg_stat_reset()",
    "SELECT pg_export_snapshot()",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 99)",
    "SELECT wipe()",
    "SELECT query_to_xml('DELETE FROM orders RETURNING id', true, true, '')",
    "SELECT query_to_xml('SELECT wipe()', true, true, '')",
    "SELECT query_to_xml('SELECT * FROM secret', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT ts_stat('SELECT to_tsvector(word) FROM secret')",
    "SELECT word FROM secret",
    "TABLE secret",
    "SELECT * FROM words",
    "SELECT secret FROM shop.stock",
    "SELECT * FROM shop.stock",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM pg_stat_activity",
    "SELECT 1 FROM (SELECT 'swordfish' AS word) AS a NATURAL JOIN secret",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1; COMMIT; DELETE FROM orders; BEGIN",
    "COMMIT",
    "ROLLBACK",
    "BEGIN READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET statement_timeout = 0",
    "SET ROLE postgres",
    "RESET ALL",
    "SET SESSION AUTHORIZATION postgres",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "CALL wipe()",
    "PREPARE mine AS DELETE FROM orders",
    "EXECUTE mine",
    "DECLARE mine CURSOR FOR SELECT 1",
    "LISTEN mine",
    "NOTIFY mine",
    "VACUUM orders",
    "ANALYZE orders",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "SHOW data_directory",
    "CHECKPOINT",
    "LOAD '{file}'",
    "SELECT 1) AS q; DELETE FROM orders; --",
    "SELECT 1) AS q, wipe() AS w; --",
    "SELECT 1) AS q UNION SELECT repeat('x', 100000000) FROM (SELECT 1",
    "SELECT repeat('x', 100000000)",
    "SELECT count(*) FROM generate_series(1, 1000000000)",
    "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
    "SELECT repeat('[', 9000)::jsonb",
    "SELECT (repeat('[', 2000) || repeat(']', 2000))::json",
    "SELECT 1/0",
    "SELECT 'x'::int",
    "SELECT $1",
    "SELECT :missing",
    "SELECT 1 /* ",
    "",
]

HARMLESS = re.compile(
    r"advisory_lock|emit_message|pg_notify|set_config|pg_stat_activity|pg_export_snapshot"
)


def execute(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result) if result.returns_rows else []
    finally:
        engine.dispose()


def made(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def state(url: str) -> list[Any]:
    tables = ("customers", "orders", "secret", "shop.stock")
    found = [execute(url, f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    found.append(execute(url, "SELECT count(*) FROM pg_largeobject_metadata"))
    found.append(execute(url, "SELECT last_value, is_called FROM numbers"))
    found.append(execute(url, "SELECT relname FROM pg_class WHERE relname !~ '^pg_' ORDER BY 1"))
    found.append(execute(url, "SELECT rolname, rolsuper FROM pg_roles ORDER BY 1"))
    return found


@pytest.fixture(scope="module")
def filled(postgres: str) -> str:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            execute(postgres, statement)
    return postgres


@pytest.fixture
def reader(filled: str) -> str:
    login = sa.make_url(filled).set(username="reader", password=None)
    return login.render_as_string(hide_password=False)


@pytest.fixture
def queries(reader: str) -> PostgresQueries:
    return PostgresQueries(reader, limits=Limits(seconds=0.3))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours reads a statement: the server alone holds the line."""
    monkeypatch.setattr(sql_postgres, "_CLOSED", re.compile(r"(?!)"))


async def test_hostile_statements_are_refused_and_change_nothing(
    queries: PostgresQueries, filled: str, tmp_path: Path
) -> None:
    before = state(filled)
    assert len(set(HOSTILE)) >= 100
    for template in HOSTILE:
        said = await refused(queries, template.replace("{file}", str(tmp_path / "made")))
        assert "swordfish" not in said, template
        assert "; " in said or ". " in said, template  # the next step
    assert state(filled) == before
    assert not made(tmp_path)


async def test_the_server_alone_lets_nothing_be_changed(
    queries: PostgresQueries, filled: str, tmp_path: Path, unread: None
) -> None:
    before = state(filled)
    for template in HOSTILE:
        sql = template.replace("{file}", str(tmp_path / "made"))
        try:
            found = str(await asked(queries, sql))
        except ModelRetry:
            continue
        # What any login may call closes again with the connection.
        assert HARMLESS.search(sql), sql
        assert "swordfish" not in found, sql
    assert state(filled) == before
    assert not made(tmp_path)


async def test_rows_come_as_json_values(queries: PostgresQueries) -> None:
    sql = (
        "SELECT c.*, cents, cents > 6 AS dear, 'NaN'::float8 AS nan, '\\xff'::bytea, c.id "
        "FROM customers c JOIN orders o ON o.customer = c.id WHERE c.id = :id AND name <> :name"
    )
    assert await asked(queries, sql, id=1, name="Bo") == Answer(
        columns=("id", "name", "born", "extra", "cents", "dear", "nan", "bytea", "id"),
        rows=((1, "Ann", "2000-02-29", {"a": [1, {"b": None}]}, 5.25, False, "NaN", "\\xff", 1),),
        truncated=False,
    )
    huge = await asked(
        queries, "SELECT 10::numeric ^ 400, 10::numeric ^ 400 + 0.5, 10::numeric ^ 20"
    )
    assert [type(value) for value in huge.rows[0]] == [str, str, int]
    assert (await asked(queries, "SELECT id FROM orders WHERE false")).columns == ("id",)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1;", ((1,),)),
        ("VALUES (1), (2)", ((1,), (2,))),
        ("WITH c AS (SELECT id FROM orders) SELECT count(*) FROM c -- all", ((2,),)),
        ("SELECT ':a %s' || :a, $$ :a $$, E'\\' :a', '12:30'::time", ((":a %sx", " :a ", "' :a", "12:30:00"),)),
        ("SELECT name FROM customers WHERE name = :a OR :a = 'x' ORDER BY id", (("Ann",), ("Bo",))),
    ],
)  # fmt: skip
async def test_honest_statements_are_answered(
    queries: PostgresQueries, sql: str, rows: tuple[Any, ...]
) -> None:
    assert (await asked(queries, sql, a="x")).rows == rows


async def test_limits_cut_rows_and_say_so(reader: str) -> None:
    numbers = "SELECT x FROM generate_series(1, 1000) AS x"
    three = PostgresQueries(reader, limits=Limits(rows=3))
    assert (await asked(three, f"{numbers} LIMIT 9")).truncated
    assert not (await asked(three, f"{numbers} LIMIT 3")).truncated
    small = PostgresQueries(reader, limits=Limits(size=100))
    found = await asked(small, "SELECT repeat('x', 40) FROM generate_series(1, 9)")
    assert (len(found.rows), found.truncated) == (2, True)
    said = await refused(small, "SELECT repeat('x', 200)")
    assert said.startswith("a row has more than 100 bytes; select fewer columns")


async def test_tables_are_chosen_among_those_that_may_be_read(reader: str, filled: str) -> None:
    queries = PostgresQueries(reader, tables=["customers", "shop.stock"])
    assert (await asked(queries, "SELECT count(*) FROM customers")).rows == ((2,),)
    for sql in (
        "SELECT cents FROM orders",
        "SELECT count(*) FROM public.orders",
        "SELECT 1 FROM customers WHERE EXISTS (SELECT 1 FROM orders)",
        "SELECT 1 FROM (SELECT 9 AS cents) AS a NATURAL JOIN orders",
        "SELECT count(*) FROM information_schema.tables",
    ):
        assert re.search(
            "table '.*' may not be read. Write one SELECT", await refused(queries, sql)
        )
    assert await describe_database(context(queries)) == (
        "customers(id integer, name text, born date, extra jsonb)\nshop.stock(item text)"
    )
    every = await describe_database(context(PostgresQueries(reader)))
    assert "orders(id integer, customer integer -> customers.id, cents numeric)" in every
    assert "secret" not in every


async def test_a_login_that_may_do_more_is_not_used(filled: str, reader: str) -> None:
    with pytest.raises(
        ConfigError, match=r"its login is or has postgres.*CREATE ROLE reader LOGIN"
    ):
        await asked(PostgresQueries(filled), "SELECT 1")
    execute(filled, "GRANT pg_read_server_files TO reader")
    try:
        with pytest.raises(ConfigError, match=r"is or has pg_read_server_files, which may do more"):
            await asked(PostgresQueries(reader), "SELECT 1")
    finally:
        execute(filled, "REVOKE pg_read_server_files FROM reader")


async def test_a_server_that_is_not_there_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the database cannot be asked: .*; check its address"):
        await asked(PostgresQueries(f"postgresql://reader:key@/x?host={tmp_path}"), "SELECT 1")
