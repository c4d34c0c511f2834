"""Cut a text into chunks to index: whole, in order, nothing lost.

Chunks tile their text: each is `text[start:end]`, the next begins where it ends. So what is found
in a chunk has its place in the document, and a quote can be proved against the whole.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ("SIZE", "Chunk", "chunks")

SIZE = 1600
"""Characters of a chunk at most, by default: about 400 tokens, a few paragraphs."""

_BLOCK = re.compile(r"\S.*?(?:\n[ \t]*(?:\n\s*|(?=#{1,6}[ \t]))|\Z)", re.DOTALL)
_HEADING = re.compile(r"#{1,6}[ \t][^\n]*\n?")
# Where a block that is too long is cut, best first; hard, if it has none of these.
_SEAMS = (re.compile(r"\n"), re.compile(r"(?<=[.!?;])[\"'”’)]*\s+"), re.compile(r"\s+"))


class Chunk(NamedTuple):
    """A piece of a text, `text[start:end]`, and the Markdown heading that it stands under."""

    start: int
    end: int
    heading: str


def chunks(text: str, size: int = SIZE) -> list[Chunk]:
    """Return the chunks of `text`: paragraphs of one heading, as many as fit.

    Args:
        text: Plain text or Markdown.
        size: Characters of a chunk at most; a longer paragraph is cut at a line's end, else at
            a sentence's, else between words, else anywhere.
    """
    if size < 1:
        raise ValueError(f"a chunk of {size} characters holds nothing; give 1 or more")
    found: list[Chunk] = []
    bare = False  # whether the last chunk is a heading and nothing else yet
    for start, end, heading, opens in _blocks(text):
        last = found[-1] if found else None
        if last and (bare or not opens) and end - last.start <= size:
            found[-1] = Chunk(last.start, end, heading)
        else:
            found += [Chunk(*span, heading) for span in _cut(text, start, end, size)]
        bare = opens
    return found


def _blocks(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """Yield start, end and heading of each paragraph, and whether it is a heading itself."""
    heading, at = "", 0
    for block in _BLOCK.finditer(text):
        named = _HEADING.match(text, block.start())
        if named is None:
            yield at, block.end(), heading, False
        else:
            heading, body = named.group().strip("# \t\n"), named.end()
            if text[body : block.end()].isspace():
                body = block.end()
            yield at, body, heading, True
            if body < block.end():
                yield body, block.end(), heading, False
        at = block.end()
    if at < len(text):  # nothing but white space
        yield at, len(text), heading, False


def _cut(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    while end - start > size:
        at = _seam(text, start, start + size)
        yield start, at
        start = at
    yield start, end


def _seam(text: str, start: int, most: int) -> int:
    """Return where to cut: the last seam of the best kind in the second half, else at `most`."""
    least = start + (most - start) // 2
    for seam in _SEAMS:
        ends = [found.end() for found in seam.finditer(text, least, most)]
        if ends:
            return ends[-1]
    return most
