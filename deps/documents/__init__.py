"""Documents, the passages found in them, and what a place that keeps them can do."""

from .passages import (
    Document,
    Documents,
    HasDocuments,
    Passage,
)

__all__ = (
    "Document",
    "Documents",
    "HasDocuments",
    "Passage",
)
