"""Documents, the passages found in them, and what a place that keeps them can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic_ai.usage import RunUsage

__all__ = ("Document", "Documents", "HasDocuments", "Passage")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text with a name of its own; what is quoted from it has its place in `text`."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a document: `text == document.text[start:end]`; the higher `score`, the nearer.

    Scores are of one search: those of two cannot be compared.
    """

    document: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    score: float


class Documents(Protocol):
    """Where documents are looked up."""

    async def search(
        self, query: str, limit: int, *, usage: RunUsage | None = None
    ) -> Sequence[Passage]:
        """Return at most `limit` passages about `query`, the nearest first.

        What the search takes, such as an embedding, is added up in `usage`.
        """
        ...

    async def get(self, document: str) -> Document | None:
        """Return the document of that id; None if there is none."""
        ...


class HasDocuments(Protocol):
    """Deps with documents."""

    @property
    def documents(self) -> Documents: ...
