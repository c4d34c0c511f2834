"""Find passages in a run's document, so that a model can quote them verbatim."""

import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import RunContext

from ..deps.fence import unfence

__all__ = (
    "DOCUMENT",
    "Quote",
    "Span",
    "document",
    "find_quote",
    "locate",
    "nearest",
    "not_there",
    "verbatim",
)

DOCUMENT = "document"
"""The name of the fence around a run's document."""

LIMIT = 5
CONTEXT = 60  # characters shown on each side of a passage

# What models (and word processors) write for one another: quotation marks and dashes.
_ALIKE = ("'’‘‚‛`´", '"“”„‟', "-‐‑‒–—−")


class Quote(BaseModel):
    """A passage of the source: `text == source[start:end]`."""

    model_config = ConfigDict(frozen=True)

    text: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class Span(NamedTuple):
    """Where a passage stands: `text[start:end]`."""

    start: int
    end: int


def locate(text: str, phrase: str) -> list[Span]:
    """Return every place where `phrase` stands in `text`, overlapping ones too.

    Case, the kind and amount of white space between words, and the kind of quotation marks and
    dashes may differ.
    """
    return list(_spans(text, phrase))


def _spans(text: str, phrase: str) -> Iterator[Span]:
    words = phrase.split()
    if words:
        pattern = r"\s+".join("".join(map(_like, word)) for word in words)
        # A look-ahead consumes nothing, so the next match may overlap this one.
        for found in re.finditer(f"(?=({pattern}))", text, re.IGNORECASE):
            yield Span(*found.span(1))


def _like(char: str) -> str:
    for alike in _ALIKE:
        if char in alike:
            return f"[{re.escape(alike)}]"
    return re.escape(char)


def verbatim(text: str, phrase: str, *, after: str | None = None) -> Quote | None:
    """Return the quote that `phrase` means, as it stands in `text`; None if it does not.

    Of several places it is the first that follows the words `after`, else the first.
    """
    spans = locate(text, phrase)
    if not spans:
        return None
    ends = {place.end for place in locate(text, after or "")}
    start, end = next((s for s in spans if _end_before(text, s.start) in ends), spans[0])
    return Quote(text=text[start:end], start=start, end=end)


def _end_before(text: str, start: int) -> int:
    """Return where the words before `start` end."""
    while start and text[start - 1].isspace():
        start -= 1
    return start


def not_there(text: str, phrase: str) -> str:
    """Say that `phrase` is not in `text`, and what is."""
    near = nearest(text, phrase)
    hint = f" The nearest passage is {near!r}." if near else ""
    return f"{phrase!r} is not in the document.{hint}"


def nearest(text: str, phrase: str) -> str:
    """Return the passage of `text`, about as long as `phrase`, that shares most with it.

    Likeness is the number of character trigrams shared, so it bears typing and OCR errors, and
    takes time linear in the text. Empty when nothing is shared.
    """
    text, phrase = " ".join(text.split()), " ".join(phrase.split())
    size = max(len(phrase), 3)
    wanted = _trigrams(phrase.casefold())
    found = [text[i : i + 3].casefold() in wanted for i in range(len(text))]
    shared = list(accumulate(found, initial=0))
    starts = range(max(1, len(text) - size + 1))
    if not text or not shared[-1]:
        return ""
    best = max(starts, key=lambda i: shared[min(i + size - 2, len(text))] - shared[i])
    start = text.rfind(" ", 0, best + 1) + 1  # whole words
    end = text.find(" ", best + size - 1)
    return text[start : end if end >= 0 else len(text)]


def _trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}


def document(ctx: RunContext[object]) -> str:
    """Return the document of a run: the text in its prompt's fence."""
    return unfence(DOCUMENT, ctx.prompt if isinstance(ctx.prompt, str) else "")


async def find_quote(ctx: RunContext[object], phrase: str) -> list[str]:
    """Return up to five passages of the document that read like `phrase`, exactly as they stand.

    Each comes with some words before and after, the passage itself between [[ and ]].

    Args:
        ctx: The run.
        phrase: A few words of the passage; case and line breaks do not matter.
    """
    text = document(ctx)
    return [_show(text, span) for span in islice(_spans(text, phrase), LIMIT)]


def _show(text: str, span: Span) -> str:
    before = text[max(0, span.start - CONTEXT) : span.start]
    after = text[span.end : span.end + CONTEXT]
    return f"{before}[[{text[span.start : span.end]}]]{after}"
