"""Inserts that are compiled once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ("Insert", "first_wins")

Insert = Callable[[sa.Connection, Sequence[Mapping[str, Any]]], None]


def first_wins(table: sa.Table, dialect: sa.Dialect) -> Insert:
    """Return what inserts rows, every column named, and leaves those alone which are there already.

    The statement is compiled once and given to the driver as it is: to build it for each row anew
    would cost as much as SQLite needs to write the row.
    """
    make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    compiled = make(table).on_conflict_do_nothing().compile(dialect=dialect)
    statement, order = str(compiled), compiled.positiontup

    def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if order is None:  # the driver takes parameters by name
            connection.exec_driver_sql(statement, [dict(row) for row in rows])
        else:
            connection.exec_driver_sql(
                statement, [tuple(row[name] for name in order) for row in rows]
            )

    return insert
