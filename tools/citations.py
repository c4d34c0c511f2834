"""Check what a model cites: each quote against its document."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry

from ..deps.documents import Documents
from .quotes import not_there, verbatim

__all__ = ("Citation", "Claim", "cited")


class Claim(BaseModel):
    """A quote as a model gives it."""

    document: str = Field(description="the document's id, exactly as at the passage's head")
    quote: str = Field(description="the passage that says it, copied exactly")


class Citation(BaseModel):
    """A quote that stands in its document: `quote == text[start:end]`."""

    model_config = ConfigDict(frozen=True)

    document: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    quote: str = Field(min_length=1)


async def cited(documents: Documents, claims: Sequence[Claim]) -> tuple[Citation, ...]:
    """Find every quote in the document that it is said to be of, each once.

    Raises:
        ModelRetry: there is no such document, or a quote is not in it.
    """
    found: dict[Citation, None] = {}
    wrong: list[str] = []
    for claim in claims:
        document = await documents.get(claim.document)
        quote = None if document is None else verbatim(document.text, claim.quote)
        if document is None:
            wrong.append(f"There is no document {claim.document!r}.")
        elif quote is None:
            wrong.append(f"{claim.document}: {not_there(document.text, claim.quote)}")
        else:
            place = {"start": quote.start, "end": quote.end}
            found[Citation(document=document.id, quote=quote.text, **place)] = None
    if wrong:
        raise ModelRetry("\n".join([*wrong, "Correct this, or answer null without quotes."]))
    return tuple(found)
