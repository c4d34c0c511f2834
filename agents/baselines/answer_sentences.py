"""The sentences of a document, with their places."""

import re
from collections.abc import Iterator

from ...tools.quotes import Span

__all__ = ("sentences",)

# A line that is a unit by itself: a heading, an item of a list, a row of a table.
_UNIT = re.compile(r"[ \t]*(?:#{1,6}[ \t]|[-*+•][ \t]|\d{1,3}[.)][ \t]|\|)")
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？]")
_SHORT = frozenset(
    re.findall(
        r"\w+",
        """
    mr mrs ms dr prof st jr sr vs etc no nos vol fig approx ca cf eg ie al co corp inc ltd dept gen
    col lt sgt capt rev hon gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec
    """,
    )
)


def sentences(text: str) -> Iterator[Span]:
    """Yield where each sentence stands, without the white space around it and a line's marker."""
    for start, end in _blocks(text):
        yield from _of_block(text, start, end)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield what no sentence crosses: lines that are units, and the paragraphs between them."""
    start = at = 0
    for line in text.splitlines(keepends=True):
        if not line.strip() or _UNIT.match(line):
            yield start, at
            start = at
        at += len(line)
        if line.lstrip().startswith(("#", "|")):
            yield start, at
            start = at
    yield start, at


def _of_block(text: str, start: int, end: int) -> Iterator[Span]:
    marker = _UNIT.match(text, start, end)
    at = marker.end() if marker else start
    for stop in _END.finditer(text, at, end):
        if not _goes_on(text, stop, end):
            yield from _trimmed(text, at, stop.end())
            at = stop.end()
    yield from _trimmed(text, at, end)


def _goes_on(text: str, stop: re.Match[str], end: int) -> bool:
    """Tell whether a full stop is of an abbreviation, an initial, or before a small letter."""
    rest = text[stop.end() : min(end, stop.end() + 40)].lstrip()
    if rest[:1].islower():
        return True
    before = re.search(r"[\w.]*$", text[max(0, stop.start() - 20) : stop.start()])
    word = before.group() if before else ""
    return stop.group() == "." and (
        word.casefold() in _SHORT or (len(word) == 1 and word.isupper()) or "." in word[:-1]
    )


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    piece = text[start:end]
    found = Span(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))
    if found.start < found.end and any(map(str.isalnum, piece)):
        yield found
