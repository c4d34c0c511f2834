"""A PostgreSQL database that can be asked, and by nothing in a statement changed.

What may be read is what the login may read: rights that the server grants are the boundary, and a
login that has the right to read files, run programs or pass over rights is refused. On top of it
each statement has a connection and a transaction of its own, READ ONLY and always rolled back, is
sent by the protocol that knows no second statement, and stands where only a query can. Names that
begin with `pg_` and functions that outlast a transaction or run SQL from a text are refused, for
any login may call some of them: `pg_terminate_backend` and advisory locks reach other sessions.
"""

import asyncio
import json
import re
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ..errors import ConfigError, InputError, MissingExtra
from .queries import (
    Column,
    Limits,
    Rows,
    Scalar,
    Table,
    bound,
    collected,
    placed,
    too_large,
    too_slow,
)

if TYPE_CHECKING:
    import psycopg

__all__ = ("PostgresQueries",)

DEPTH = 100
"""Of lists and objects in one another."""

DIGITS = 300
"""Of a whole number; one with more is a text, as JSON's readers differ there."""

# Wherever they stand, in a text too: what is quoted may be a name.
_CLOSED = re.compile(
    r"""
    \b( pg_\w+ | lo_\w+ | loread | lowrite | dblink\w* | set_config | set_byte_limit
      | (query|cursor|table|schema|database)_to_xml\w* | ts_stat | ts_rewrite
      | nextval | setval | currval | lastval | txid_\w+ | binary_upgrade\w*
      | inet_(client|server)_\w+ | has_\w+_privilege )\b
    | \bu&["']
    """,
    re.VERBOSE | re.IGNORECASE,
)

_POWERS = """
SELECT rolname FROM pg_roles
WHERE (rolname = session_user AND (rolsuper OR rolreplication OR rolbypassrls))
   OR (rolname <> session_user AND pg_has_role(session_user, oid, 'MEMBER') AND (
        rolsuper OR rolname IN ('pg_read_server_files', 'pg_write_server_files',
        'pg_execute_server_program', 'pg_signal_backend', 'pg_write_all_data')))
"""

_TOUCHED = """
SELECT n.nspname, c.relname
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT (n.nspname = 'pg_catalog' AND c.relname LIKE 'pg\\_%')
"""

_COLUMNS = """
SELECT c.table_schema, c.table_name, c.column_name, c.data_type, (
    SELECT format('%s.%s', f.relname, fa.attname)
    FROM pg_constraint k
    JOIN pg_class f ON f.oid = k.confrelid
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute fa ON fa.attrelid = k.confrelid AND fa.attnum = k.confkey[1]
    WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND a.attname = c.column_name
      AND k.conrelid = format('%I.%I', c.table_schema, c.table_name)::regclass
    ORDER BY k.conname LIMIT 1
)
FROM information_schema.columns c
WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema')
  AND has_column_privilege(
    format('%I.%I', c.table_schema, c.table_name), c.column_name::text, 'SELECT')
ORDER BY c.table_schema, c.table_name, c.ordinal_position
"""

# Every value as the server writes it in JSON, one row a text, cut before it is sent.
_WRAPPED = "SELECT left(to_json(q)::text, {size}) FROM (\n{sql}\n) AS q LIMIT {rows}"


class PostgresQueries:
    """Asks PostgreSQL, with a connection of its own for every statement.

    Make it a login that may read what a model may, and no more:

    ```sql
    CREATE ROLE reader LOGIN PASSWORD '...';
    GRANT SELECT ON customers, orders TO reader;
    ```

    Args:
        url: `postgresql://reader@host/database`.
        tables: Of what the login may read, the tables and views that a statement may name, as
            `schema.table`, or `table` for those of the schema `public`; None for all. Who reads a
            view reads its tables, so name them too, or grant the view alone and give None.
        limits: How much one statement may take.

    Raises:
        ConfigError: from the methods, where the database cannot be asked, or the login may do
            more than read tables.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(
        self, url: str, *, tables: Collection[str] | None = None, limits: Limits | None = None
    ) -> None:
        self.url = url
        self.limits = limits or Limits()
        self._allowed = None if tables is None else frozenset(map(_qualified, tables))

    async def query(self, sql: str, parameters: Mapping[str, Scalar]) -> Rows:
        sql = bound(sql, parameters)
        closed = _CLOSED.search(sql)
        if closed:
            raise InputError(
                f"the statement is refused: {closed[0]!r} is closed, in a text too. Leave it out; "
                "pass such a text as a parameter"
            )
        return await asyncio.to_thread(self._query, sql, parameters)

    async def tables(self) -> list[Table]:
        return await asyncio.to_thread(self._tables)

    def _query(self, sql: str, parameters: Mapping[str, Scalar]) -> Rows:
        import psycopg

        with self._opened() as connection:
            try:
                return self._found(connection, *_numbered(sql, parameters))
            except psycopg.errors.QueryCanceled as e:
                raise too_slow(self.limits) from e
            except psycopg.Error as e:
                raise _refusal(_line(e)) from e

    def _found(self, connection: "psycopg.Connection[Any]", sql: str, values: list[Scalar]) -> Rows:
        import psycopg

        columns = _described(connection, sql)
        self._refuse_touched(connection)
        wrapped = _WRAPPED.format(sql=sql, size=self.limits.size + 1, rows=self.limits.rows + 1)
        with psycopg.RawCursor(connection) as cursor:
            cursor.execute(wrapped.encode(), values, prepare=True)
            rows = (self._row(text) for (text,) in cursor)
            return collected(columns, rows, self.limits)

    def _row(self, text: str) -> list[JsonValue]:
        if len(text) > self.limits.size:
            raise too_large(self.limits)
        try:
            pairs = json.loads(text, object_pairs_hook=_Pairs, parse_int=_whole, parse_float=_real)
            return [_plain(value) for _, value in pairs]
        except RecursionError as e:
            raise InputError(
                f"a value is nested deeper than {DEPTH}; select a part of it, or column::text"
            ) from e

    def _refuse_touched(self, connection: "psycopg.Connection[Any]") -> None:
        """Refuse a statement by the tables that the server has locked to analyse it."""
        if self._allowed is None:
            return
        touched = {f"{schema}.{table}" for schema, table in connection.execute(_TOUCHED)}
        if others := sorted(touched - self._allowed):
            raise InputError(
                f"the statement is refused: table {others[0]!r} may not be read. Write one SELECT "
                "over the tables that the description of the database lists"
            )

    @contextmanager
    def _opened(self) -> Generator["psycopg.Connection[Any]"]:
        try:
            import psycopg
        except ImportError as e:
            raise MissingExtra(
                "asking PostgreSQL needs a driver that is not installed; "
                "install it with: pip install 'assay-agents[postgres]'"
            ) from e
        ms = ceil(self.limits.seconds * 1000)
        options = (
            f"-c statement_timeout={ms} -c lock_timeout={ms} -c default_transaction_read_only=on"
        )
        try:
            connection = psycopg.connect(
                self.url, connect_timeout=max(2, ceil(self.limits.seconds)), options=options
            )
        except psycopg.Error as e:
            raise ConfigError(
                f"the database cannot be asked: {_line(e)}; check its address "
                "and the login's rights"
            ) from e
        try:
            connection.read_only = True
            self._refuse_power(connection)
            yield connection
        finally:
            connection.close()  # which rolls back

    def _refuse_power(self, connection: "psycopg.Connection[Any]") -> None:
        powers = [role for (role,) in connection.execute(_POWERS)]
        connection.rollback()
        if powers:
            raise ConfigError(
                f"the database is not asked: its login is or has {', '.join(powers)}, which may do "
                "more than read tables. Make one for this: CREATE ROLE reader LOGIN; "
                "GRANT SELECT ON ... TO reader"
            )

    def _tables(self) -> list[Table]:
        found: dict[str, list[Column]] = {}
        with self._opened() as connection:
            for schema, table, *column in connection.execute(_COLUMNS):
                if self._allowed is None or f"{schema}.{table}" in self._allowed:
                    name = table if schema == "public" else f"{schema}.{table}"
                    found.setdefault(name, []).append(Column(*column))
        return [Table(name, tuple(columns)) for name, columns in sorted(found.items())]


class _Pairs(list[Any]):
    """A JSON object in its order, with names that occur twice."""


def _plain(value: JsonValue, depth: int = DEPTH) -> JsonValue:
    """Return a JSON value in which objects are dicts again."""
    if depth == 0:
        raise RecursionError
    if isinstance(value, _Pairs):
        return {name: _plain(inner, depth - 1) for name, inner in value}
    if isinstance(value, list):
        return [_plain(inner, depth - 1) for inner in value]
    return value


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS else digits


def _real(digits: str) -> float | str:
    return number if isfinite(number := float(digits)) else digits


def _qualified(table: str) -> str:
    return table if "." in table else f"public.{table}"


def _numbered(sql: str, parameters: Mapping[str, Scalar]) -> tuple[str, list[Scalar]]:
    """Return a statement with `$1`, `$2` ... for its parameters, and their values."""
    order: dict[str, int] = {}
    text = placed(sql, lambda name: f"${order.setdefault(name, len(order) + 1)}")
    return text, [parameters[name] for name in order]


def _described(connection: "psycopg.Connection[Any]", sql: str) -> list[str]:
    """Return the columns of a statement that is one, and a query, without running it.

    It is analysed alone first, so that it cannot close the brackets that are put around it.
    """
    from psycopg.pq import ExecStatus

    connection.execute("SELECT 1")  # begins the transaction
    pg = connection.pgconn
    for result in (pg.prepare(b"", sql.encode()), pg.describe_prepared(b"")):
        if result.status != ExecStatus.COMMAND_OK:
            raise _refusal(_line(result.error_message.decode("utf-8", "replace")))
    if not result.nfields:
        raise InputError("the statement returns no rows; write one SELECT")
    return [(result.fname(i) or b"").decode() for i in range(result.nfields)]


def _line(said: object) -> str:
    return " ".join(str(said).split())[:500]


def _refusal(why: str) -> InputError:
    return InputError(f"the statement is refused: {why}. Write one SELECT in PostgreSQL's SQL")
