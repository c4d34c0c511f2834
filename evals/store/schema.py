"""The tables of the run store, and how an older store is brought up to date.

A trial's outcomes, output and failure are JSON in the trial's own row: one insert per trial, and
`json_each` (SQLite) or `::json` (PostgreSQL) still reaches into them. What a case asks and expects
is kept once for all runs, under the hash of its content.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ...deps.errors import ConfigError

__all__ = (
    "VERSION",
    "StoreTooNew",
    "calibration",
    "case_content",
    "label",
    "migrate",
    "run",
    "trial",
)

VERSION = 6
"""The version of the tables that this code reads and writes."""

metadata = sa.MetaData()

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created", sa.String(40), nullable=False),  # ISO 8601, UTC: sorts as time does
    sa.Column("finished", sa.String(40)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("trials", sa.Integer, nullable=False),
    sa.Column("suites", sa.Text, nullable=False),  # JSON list
    sa.Column("identity", sa.Text, nullable=False),  # JSON object
    sa.Column("options", sa.Text, nullable=False),  # JSON object
    sa.Index("run_created", "created"),
)

trial = sa.Table(
    "trial",
    metadata,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("suite", sa.String(255), primary_key=True),
    sa.Column("case_key", sa.String(64), primary_key=True),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("case_name", sa.Text, nullable=False),
    sa.Column("finished", sa.String(40), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("ok", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("duration", sa.Double, nullable=False),  # seconds
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Double),  # US dollars; NULL where a price is unknown
    sa.Column("trace_id", sa.String(32)),
    sa.Column("replayed", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("tags", sa.Text, nullable=False),  # JSON list
    sa.Column("outcomes", sa.Text, nullable=False),  # JSON list of objects
    sa.Column("failure", sa.Text),  # JSON object
    sa.Column("output", sa.Text, nullable=False),  # JSON
    sa.Column("messages", sa.Text),  # JSON list; since version 2
    sa.Column("case_group", sa.Text),  # since version 3
    sa.Column(
        "position", sa.Integer, nullable=False, server_default=sa.text("0")
    ),  # since version 4
    sa.Column("metrics", sa.Text),  # JSON object; since version 4
    sa.Column(  # of input_tokens; since version 5
        "cached_tokens", sa.BigInteger, nullable=False, server_default=sa.text("0")
    ),
    sa.Column("model_seconds", sa.Float),  # since version 5
    sa.Index("trial_position", "run", "suite", "position"),  # the order in which they are read
)

case_content = sa.Table(  # since version 4
    "case_content",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),  # trial.case_key
    sa.Column("inputs", sa.Text, nullable=False),  # JSON
    sa.Column("expected", sa.Text),  # JSON; NULL where nothing is expected
)

calibration = sa.Table(  # since version 6; rows are only added
    "calibration",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("judge", sa.Text, nullable=False),  # `judges.base.JudgeId`
    sa.Column("made", sa.String(40), nullable=False),  # ISO 8601, UTC
    sa.Column("found", sa.Text, nullable=False),  # JSON object: `judges.standing.Calibration`
    sa.Index("calibration_judge", "judge"),
)

label = sa.Table(  # since version 6; rows are only added, the latest of a rater counts
    "label",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("made", sa.String(40), nullable=False),  # ISO 8601, UTC
    sa.Column("run", sa.String(64), nullable=False),
    sa.Column("suite", sa.String(255), nullable=False),
    sa.Column("case_key", sa.String(64), nullable=False),
    sa.Column("trial", sa.Integer, nullable=False),
    sa.Column("check_name", sa.Text, nullable=False),
    sa.Column("rater", sa.Text, nullable=False),
    sa.Column("value", sa.Double),  # in [0, 1]; NULL where the rater cannot say, or took it back
    sa.Column("withdrawn", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("drawn", sa.String(16), nullable=False),  # random, or by disagreement
    sa.Index("label_run", "run", "suite"),
)

schema_version = sa.Table(
    "schema_version", metadata, sa.Column("version", sa.Integer, nullable=False)
)

STEPS: Mapping[int, tuple[str | sa.Table, ...]] = {
    2: ("ALTER TABLE trial ADD COLUMN messages TEXT",),
    3: ("ALTER TABLE trial ADD COLUMN case_group TEXT",),
    4: (
        "ALTER TABLE trial ADD COLUMN position INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE trial ADD COLUMN metrics TEXT",
        "CREATE INDEX trial_position ON trial (run, suite, position)",
        "CREATE TABLE case_content (key VARCHAR(64) NOT NULL PRIMARY KEY, "
        "inputs TEXT NOT NULL, expected TEXT)",
    ),
    5: (
        "ALTER TABLE trial ADD COLUMN cached_tokens BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE trial ADD COLUMN model_seconds FLOAT",
    ),
    6: (calibration, label),
}
"""What makes a store of version n out of one of version n - 1. Add to it; never change it."""

_LOCK = 0x6173736179  # "assay": PostgreSQL's advisory lock while tables are made


class StoreTooNew(ConfigError):
    """A store that a newer version of Assay has written."""


def migrate(connection: sa.Connection) -> None:
    """Make the tables, or bring older ones up to date, in the connection's transaction.

    Raises:
        StoreTooNew: the store is newer than this code.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    found = _found(connection)
    if found == VERSION:
        return
    if found is None:
        metadata.create_all(connection)
        connection.execute(schema_version.insert(), {"version": VERSION})
        return
    if found > VERSION:
        raise StoreTooNew(
            f"the run store has version {found}, this Assay knows {VERSION}; upgrade Assay, or "
            "name another store"
        )
    for version in range(found + 1, VERSION + 1):
        for step in STEPS[version]:
            if isinstance(step, sa.Table):
                step.create(connection)
            else:
                connection.execute(sa.text(step))
    connection.execute(schema_version.update().values(version=VERSION))


def _found(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table("schema_version"):
        return None
    found: Any = connection.execute(sa.select(schema_version.c.version)).scalar()
    return None if found is None else int(found)
