r"""Positions in a document, its parts, its names, and what of it is not prose.

Lines end at `\n` and nothing else; lines and columns count from 1, columns count Unicode
characters, ends are exclusive.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

__all__ = (
    "Lines",
    "Position",
    "Section",
    "Survey",
    "numbered",
    "prose_only",
    "split",
    "survey",
    "tokens",
    "unnumbered",
    "words",
)

CHARS_PER_TOKEN = 4
"""A rule of thumb for English; other scripts take more tokens, so leave the budget some room."""


class Position(NamedTuple):
    """A place between two characters."""

    line: int
    column: int


@dataclass(frozen=True)
class Lines:
    """A text by line and column."""

    text: str

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def __len__(self) -> int:
        return len(self._starts)

    def line(self, number: int) -> str:
        """Return a line without its end; empty when there is no such line."""
        if not 1 <= number <= len(self):
            return ""
        return self.text[self._starts[number - 1] :].partition("\n")[0]

    def position(self, offset: int) -> Position:
        """Return where the character at `offset` stands."""
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def offset(self, at: Position) -> int:
        """Return the offset of a position: the inverse of `position`."""
        return self._starts[at.line - 1] + at.column - 1

    def find(self, number: int, phrase: str, occurrence: int = 1) -> int | None:
        """Return the offset of the n-th `phrase` that begins on a line; None if it is not there.

        The phrase may run over the line's end. A phrase that stands there fewer times than
        `occurrence` is found at its last place.
        """
        if not phrase or not 1 <= number <= len(self):
            return None
        begin = self._starts[number - 1]
        end = begin + len(self.line(number))
        found: int | None = None
        for _ in range(occurrence):
            at = self.text.find(phrase, begin if found is None else found + 1)
            if at < 0 or at > end:
                break
            found = at
        return found

    def occurrence(self, offset: int, phrase: str) -> int:
        """Return which `phrase` of its line the one at `offset` is: what `find` takes."""
        begin = self.offset(Position(self.position(offset).line, 1))
        return sum(self.text.startswith(phrase, at) for at in range(begin, offset + 1))


def numbered(text: str) -> str:
    """Return the text with `1| ` before its first line, `2| ` before its second, and so on."""
    return "\n".join(f"{n}| {line}" for n, line in enumerate(text.split("\n"), start=1))


def unnumbered(text: str) -> str:
    """Return the text that `numbered` was given."""
    lines = text.split("\n")
    return "\n".join(line.removeprefix(f"{n}| ") for n, line in enumerate(lines, start=1))


class Section(NamedTuple):
    """A part of a document, and where it begins there."""

    offset: int
    text: str


_CHAPTER = re.compile(r"^(?:#{1,2}\s|(?:chapter|part)\s+(?:\d+|[ivxlc]+|[a-z]+)\b)", re.I | re.M)
_HEADING = re.compile(r"^#{3,6}\s", re.M)
_PARAGRAPH = re.compile(r"(?<=\n\n)(?=[^\n])")
_LINE = re.compile(r"(?<=\n)")
_SENTENCE = re.compile(r"(?<=[.!?]\s)(?=\S)")
_WORD_START = re.compile(r"(?<=\s)(?=\S)")
_SEAMS = (_CHAPTER, _HEADING, _PARAGRAPH, _LINE, _SENTENCE, _WORD_START)


def tokens(text: str) -> int:
    """Estimate how many tokens a text takes: one for every four characters, rounded up."""
    return -(-len(text) // CHARS_PER_TOKEN)


def split(text: str, budget: int) -> list[Section]:
    """Split a text into sections of at most `budget` tokens, in order and without loss.

    The seams are chapters; where those are too long headings, then paragraphs, lines, sentences,
    words, and for a text without any of them any place. Neighbours are joined as far as the
    budget allows, though never a chapter to the one before it.
    """
    size = max(1, budget) * CHARS_PER_TOKEN
    found: list[Section] = []
    offset = 0
    for chapter in _cut(text, _CHAPTER):
        for part in _packed(chapter, size, 1):
            found.append(Section(offset, part))
            offset += len(part)
    return found


def _packed(text: str, size: int, seam: int) -> Iterator[str]:
    """Yield parts of at most `size` characters, cut at the widest seams that allow it."""
    if len(text) <= size:
        yield text
        return
    if seam == len(_SEAMS):
        yield from (text[i : i + size] for i in range(0, len(text), size))
        return
    held = ""
    for piece in _cut(text, _SEAMS[seam]):
        if len(held) + len(piece) <= size:
            held += piece
            continue
        if held:
            yield held
        *full, held = _packed(piece, size, seam + 1)
        yield from full
    yield held


def _cut(text: str, seam: re.Pattern[str]) -> list[str]:
    """Cut a text before every match of `seam`; the parts are never empty."""
    places = [0, *(m.start() for m in seam.finditer(text) if 0 < m.start() < len(text)), len(text)]
    return [text[a:b] for a, b in pairwise(places) if a < b]


_NOT_PROSE = re.compile(
    r"""
      \A---\n.*?\n---[ \t]*(?:\n|\Z)                        # front matter
    | ^[ ]{0,3}(?P<fence>`{3,}+|~{3,}+)[^\n]*\n               # fenced code, closed or not
      (?:.*?^[ ]{0,3}(?P=fence)[`~]*[ \t]*$|.*\Z)
    | (?:(?<=\n\n)|\A)(?:(?:[ ]{4}|\t)[^\n]*(?:\n+|\Z))+      # indented code
    | (?<!`)(?P<tick>`{1,9}+)(?!`)(?:(?!\n\n).){1,2000}?(?<!`)(?P=tick)(?!`)  # inline code
    | <!--.{0,4000}?-->                                     # bounded, so that time is linear
    | </?[a-zA-Z][^<>\n]*>                                  # HTML tags, <https://...>
    | (?<=\])\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)          # link targets
    | (?<=\])\[[^\]\n]*\]                                   # link references
    | ^\[[^\]\n]+\]:[^\n]*$                                 # link definitions
    | \b(?:https?|ftp|file|mailto)://?[^\s<>)\]]+
    | \bwww\.[^\s<>)\]]+
    | \b[\w.+-]{1,64}@[\w-]+\.[\w.-]*\w                        # e-mail addresses
    | (?<!\w)[~.]{0,2}(?:/[\w.-]+){2,}/?                    # paths
    | &\#?\w+;                                              # entities
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
BLANK = "\x00"
"""What stands for a character that is not prose."""


def prose_only(text: str) -> str:
    r"""Return a text of the same length with code, addresses and front matter blanked out.

    Each character of them becomes `BLANK`, except line ends, so that positions stay.
    """
    return _NOT_PROSE.sub(lambda found: re.sub(r"[^\n]", BLANK, found[0]), text)


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"""(?:^|[.!?:…]["'”’)\]]*|["“‘(\[*_>#|•–—-])\s*$""")


def words(text: str) -> Iterator[re.Match[str]]:
    """Yield the words of a text: letters, with apostrophes inside."""
    return _WORD.finditer(text)


@dataclass(frozen=True)
class Survey:
    """What a whole document or book says how often, so that its parts can be held against it.

    Args:
        names: Capitalised words that also stand inside sentences, without a possessive ending.
        words: All words in lower case, with hyphens inside.
    """

    names: Mapping[str, int]
    words: Mapping[str, int]

    def common(self, limit: int = 200) -> str:
        """Return the most frequent names with their counts, in alphabetical order."""
        most = sorted(self.names, key=lambda name: (-self.names[name], name))[:limit]
        return ", ".join(f"{name} {self.names[name]}" for name in sorted(most))


def survey(text: str) -> Survey:
    """Count the proper names and the words of a text, code and addresses left out."""
    prose = prose_only(text)
    counted = Counter(found[0].casefold() for found in _HYPHENED.finditer(prose))
    inside: set[str] = set()
    names: Counter[str] = Counter()
    for found in words(prose):
        name = bare(found[0])
        if name[:1].isupper() and len(name) > 1 and not name.isupper():
            names[name] += 1
            if not _SENTENCE_END.search(prose, max(0, found.start() - 6), found.start()):
                inside.add(name)
    return Survey({name: n for name, n in names.items() if name in inside}, counted)


_HYPHENED = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def bare(word: str) -> str:
    """Return a word without a possessive ending."""
    return re.sub(r"['’](?:s|S)?$", "", word)
