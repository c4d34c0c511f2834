"""What a guard says of a text: checked, and with each quote at its place."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from ..deps.errors import GuardHit
from ..deps.safety.untrusted import Finding
from .quotes import Quote, not_there, verbatim

__all__ = ("Category", "Opinion", "Ruling", "faults", "finding", "hit", "ruled")

Category = Literal["instruction", "leak", "out_of_scope"]


class Opinion(BaseModel):
    """What is wrong with a text, if anything."""

    reason: str = Field(
        description="one sentence: what the text wants of the agent, or that it is fine"
    )
    verdict: Literal["pass", "flag"]
    category: Category | None = Field(description="what it is flagged for; null for a pass")
    quotes: tuple[str, ...] = Field(
        description="the words that do it, copied exactly; none for a pass"
    )
    confidence: float = Field(ge=0, le=1, description="probability that the verdict is right")


class Ruling(BaseModel):
    """Whether a text may reach an agent; each span is as it stands, `text[start:end]`."""

    verdict: Literal["pass", "flag"]
    category: Category | None
    spans: tuple[Quote, ...]
    reason: str
    confidence: float

    @property
    def flagged(self) -> bool:
        """Whether it may not."""
        return self.verdict == "flag"


def faults(opinion: Opinion, text: str, *, scoped: bool) -> Iterator[str]:
    """Yield what is wrong with an opinion, in words for the model that gave it.

    Args:
        opinion: What the model said.
        text: Of which text.
        scoped: Whether it was given a scope, without which nothing is out of it.
    """
    for quote in opinion.quotes:
        if verbatim(text, quote) is None:
            yield not_there(text, quote)
    flagged = opinion.verdict == "flag"
    if flagged == (opinion.category is None) or (opinion.quotes and not flagged):
        yield "A flag needs a category; a pass has neither category nor quotes."
    if opinion.category in ("instruction", "leak") and not opinion.quotes:
        yield f"Quote the words that make it {opinion.category!r}."
    if opinion.category == "out_of_scope" and not scoped:
        yield "No scope is given, so nothing is out of scope."


def ruled(opinion: Opinion, text: str) -> Ruling:
    """Return an opinion without faults with each quote where it first stands in the text."""
    found = (verbatim(text, quote) for quote in opinion.quotes)
    spans = tuple(dict.fromkeys(span for span in found if span is not None))
    return Ruling(
        verdict=opinion.verdict,
        category=opinion.category,
        spans=spans,
        reason=opinion.reason,
        confidence=opinion.confidence,
    )


def finding(ruling: Ruling) -> Finding | None:
    """Return what a ruling says of a tool's result; None for a pass."""
    if not ruling.flagged:
        return None
    spans = tuple((span.start, span.end) for span in ruling.spans)
    return Finding(category=ruling.category or "", reason=ruling.reason, spans=spans)


def hit(ruling: Ruling, what: str) -> GuardHit:
    """Return the error that ends a run which was given `what`, a text that is flagged."""
    return GuardHit(
        f"the {what} was flagged as {ruling.category!r}, so the run was cancelled: "
        f"{ruling.reason} Show it to a person, or leave it out",
        category=ruling.category or "",
        spans=tuple((span.start, span.end, span.text) for span in ruling.spans),
        reason=ruling.reason,
        confidence=ruling.confidence,
    )
