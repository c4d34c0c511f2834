"""Where spans are kept on this machine, and in what form: for those who write them and who read."""

from pathlib import Path

__all__ = ("COLUMNS", "LOCAL", "REMOTE", "is_database")

LOCAL = Path(".assay/traces.db")
"""Where spans go that have no other place."""

COLUMNS = (
    "trace_id",
    "span_id",
    "parent_id",
    "name",
    "started",
    "ended",
    "status",
    "message",
    "attributes",
    "events",
    "content",
)
"""Of the table `spans`. `content` has the attributes that are long texts: lists do without."""

REMOTE = "assay.remote_parent"
"""An attribute that is set in local files: the span above is another service's, and not there."""

DATABASES = frozenset({".db", ".sqlite", ".sqlite3"})


def is_database(path: Path) -> bool:
    """Tell by a file's name whether its spans are in a SQLite database."""
    return path.suffix.lower() in DATABASES
