"""Look for passages in documents, fenced: what they say is no order."""

from collections.abc import Sequence

from pydantic_ai import RunContext

from ..deps.documents import HasDocuments, Passage
from ..deps.fence import fence

__all__ = ("PASSAGE", "search_documents", "shown")

PASSAGE = "passage"
"""The name of the fence around a passage."""

LIMIT = 6


async def search_documents(ctx: RunContext[HasDocuments], query: str) -> str:
    """Return up to six passages of the documents about `query`, each with its document's id.

    Args:
        ctx: The run.
        query: Words that the passage is likely to hold; try others when nothing fits.
    """
    found = await ctx.deps.documents.search(query, LIMIT, usage=ctx.usage)
    return shown(found) if found else f"No passage of the documents has a word of {query!r}."


def shown(passages: Sequence[Passage]) -> str:
    """Write passages for a model; all that comes from a document is inside a fence, names too."""
    return "\n\n".join(
        fence(PASSAGE, f"{_head(passage)}\n\n{passage.text}") for passage in passages
    )


def _head(passage: Passage) -> str:
    lines = [f"document: {passage.document}"]
    lines += [f"title: {passage.title}"] if passage.title else []
    return "\n".join(lines)
