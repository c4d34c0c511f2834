"""Questions in SQL to a database that a model may read, and nothing else.

The model writes the statement, and what it has read may have told it which. So the database itself
holds the line: see `sql_sqlite` and `sql_postgres` for how each of them does.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from pydantic import JsonValue

from ..errors import InputError

__all__ = (
    "Column",
    "HasQueries",
    "Limits",
    "Queries",
    "Rows",
    "Scalar",
    "Table",
    "bound",
    "collected",
    "placed",
    "too_large",
    "too_slow",
)

Scalar: TypeAlias = str | int | float | bool | None
"""What a parameter's value may be."""

SQL_CHARS = 10_000

# What a colon is not a parameter in, then the parameter. Only where values go depends on this.
_PIECES = re.compile(
    r"""
      (?<!\w)[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z)
    | --[^\n]* | /\*.*?(?:\*/|\Z) | (\$\w*\$).*?(?:\1|\Z) | ::
    | :(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


class Column(NamedTuple):
    """A column; `references` is the `table.column` that it points to, if it does."""

    name: str
    type: str
    references: str | None = None


class Table(NamedTuple):
    """A table or a view, by the name under which it is asked."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Rows:
    """What a statement found; `complete` is False where a limit ended it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one statement may take.

    Args:
        rows: How many rows are returned.
        size: How many bytes they have as JSON; a row above that is refused.
        seconds: How long the database works.
    """

    rows: int = 100
    size: int = 50_000
    seconds: float = 5.0


class Queries(Protocol):
    """A database that can be asked."""

    async def query(self, sql: str, parameters: Mapping[str, Scalar]) -> Rows:
        """Return what one statement finds; `:name` in it stands for that parameter's value.

        Raises:
            InputError: the statement is refused or wrong, or takes too much.
            ConfigError: the database cannot be asked.
        """
        ...

    async def tables(self) -> list[Table]:
        """Return what may be read, by name.

        Raises:
            ConfigError: the database cannot be asked.
        """
        ...


class HasQueries(Protocol):
    """Deps with a database that can be asked."""

    @property
    def queries(self) -> Queries: ...


def bound(sql: str, parameters: Mapping[str, Scalar]) -> str:
    """Return a statement that may be sent, without the semicolon at its end.

    Raises:
        InputError: it is empty or too long, cannot be written as UTF-8 without zero characters, or
            names a parameter that is not given.
    """
    for text in (sql, *(value for value in parameters.values() if isinstance(value, str))):
        _refuse_odd(text)
    sql = sql.strip().rstrip(";").rstrip()
    if not sql or len(sql) > SQL_CHARS:
        raise InputError(
            f"the statement has {len(sql)} characters; write one SELECT of 1 to {SQL_CHARS}"
        )
    missing = sorted({name for name in _names(sql) if name not in parameters})
    if missing:
        raise InputError(
            f"the statement names {', '.join(f':{name}' for name in missing)}, which is not among "
            f"the parameters {sorted(parameters)}; give each a value"
        )
    return sql


def placed(sql: str, place: Callable[[str], str]) -> str:
    """Return a statement with each `:name` as `place` writes it, but not in a text or comment."""

    def written(found: re.Match[str]) -> str:
        return place(found["name"]) if found["name"] else found[0]

    return _PIECES.sub(written, sql)


def collected(columns: Iterable[str], rows: Iterable[Iterable[JsonValue]], limits: Limits) -> Rows:
    """Return rows as far as the limits go, and read none after that.

    Raises:
        InputError: the first row is too large by itself.
    """
    kept, size = list[tuple[JsonValue, ...]](), 0
    for row in rows:
        values = tuple(row)
        size += len(json.dumps(values, ensure_ascii=False).encode())
        if len(kept) == limits.rows or (size > limits.size and kept):
            return Rows(tuple(columns), tuple(kept), complete=False)
        if size > limits.size:
            raise too_large(limits)
        kept.append(values)
    return Rows(tuple(columns), tuple(kept), complete=True)


def too_large(limits: Limits) -> InputError:
    """Return the refusal of a row."""
    return InputError(
        f"a row has more than {limits.size} bytes; select fewer columns, or a part of a text with "
        "substr(column, 1, 1000)"
    )


def too_slow(limits: Limits) -> InputError:
    """Return the refusal of a statement that works too long."""
    return InputError(
        f"the statement took longer than {limits.seconds:g} s; narrow it with WHERE, "
        "or join fewer tables"
    )


def _names(sql: str) -> list[str]:
    return [found["name"] for found in _PIECES.finditer(sql) if found["name"]]


def _refuse_odd(text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(
            f"{text[:60]!r} holds a zero character or half a surrogate pair, which is no text to "
            "a database; leave it out"
        )
