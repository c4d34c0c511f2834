"""What every index does before it stores: refuse what no text is, and make vectors."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from pydantic_ai.usage import RunUsage

from ..errors import InputError
from ..providers.embeddings import Embeds
from .chunks import Chunk
from .passages import Document

__all__ = ("DEPTH", "Vector", "indexed", "refuse", "vector_of", "vectors_of")

DEPTH = 50
"""So many chunks of each ranking are fused."""

BATCH = 64
"""So many texts are embedded in one request."""

Vector: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
"""Of unit length, where it comes from here."""


def refuse(document: Document) -> None:
    """Refuse a document that no file can hold.

    Raises:
        InputError: a text of it holds half a surrogate pair.
    """
    for part in (document.id, document.title, document.text):
        try:
            part.encode("utf-8")
        except UnicodeEncodeError as e:
            raise InputError(
                f"document {document.id!r} cannot be written as UTF-8: {e.reason} at {e.start}; "
                "read it anew with its right encoding"
            ) from e


def indexed(document: Document, chunk: Chunk) -> str:
    """Return what a chunk is found by: it means more under its title and heading."""
    text = document.text[chunk.start : chunk.end]
    return "\n".join(filter(None, (document.title, chunk.heading, text)))


async def vectors_of(
    embedder: Embeds | None, texts: Sequence[str], usage: RunUsage | None
) -> tuple[str | None, list[Vector | None]]:
    """Return the embedder's name and a vector for each text; None for all without one."""
    if embedder is None or not texts:
        return None, [None] * len(texts)
    name, vectors = "", list[Vector | None]()
    for at in range(0, len(texts), BATCH):
        found = await embedder.embed_documents(list(texts[at : at + BATCH]))
        name = found.model_name
        vectors += map(_unit, found.embeddings)
        if usage is not None:
            usage.incr(found.usage)
    return name, vectors


async def vector_of(embedder: Embeds, query: str, usage: RunUsage | None) -> tuple[str, Vector]:
    """Return the embedder's name and the vector of a question."""
    found = await embedder.embed_query(query)
    if usage is not None:
        usage.incr(found.usage)
    return found.model_name, _unit(found.embeddings[0])


def _unit(vector: Sequence[float]) -> Vector:
    array: Vector = np.asarray(vector, dtype=np.float32)
    return array / (float(np.linalg.norm(array)) or 1.0)
