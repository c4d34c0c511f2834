"""Questions in SQL to a database that a model may read, and nothing else."""

from .queries import (
    Column,
    HasQueries,
    Limits,
    Queries,
    Rows,
    Scalar,
    Table,
    bound,
    collected,
    placed,
    too_large,
    too_slow,
)

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
