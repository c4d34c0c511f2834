"""How a text reads once disguises are taken off, each letter with its place in the text.

Undone are: width, accents and case; invisible characters; look-alike letters inside a word of
another script; digits for letters; words spaced out; ROT13; and base64, hexadecimal, percent signs,
HTML entities and invisible tag characters, whose decoded text stands where the code does. Each is
undone by what stands around it alone, so that text further on changes nothing.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from html import unescape
from urllib.parse import unquote

__all__ = ("View", "folded", "paragraphs", "sentences", "views", "windows")

_ALIKE = str.maketrans(
    "аеорсухіјѕһԁԛԝкмтвнАЕОРСУХІЈЅКМТВНοαερικντυΟΑΕΡΙΚΝΤΥΒΗΜΖ",
    "aeopcyxijshdqwkmtbhAEOPCYXIJSKMTBHoaepikvtuOAEPIKNTYBHMZ",
)
_MIXED = re.compile(r"(?=\w*[a-zA-Z])(?=\w*[\u0370-\u052f])\w+")
_DIGITS = str.maketrans("0134578@$", "oieastbas")
_WITH_DIGITS = re.compile(r"(?=[a-z]*[0134578@$])(?=[0-9@$]*[a-z])[a-z0-9@$]{3,}")
_SPACED = re.compile(
    r"(?:(?<=\s)|^)(?:[^\W_][ .*_-]){5,}[^\W_](?=\W|$)(?:\s{2,}(?:[^\W_][ .*_-])+[^\W_](?=\W|$))*"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}){12,}(?![0-9A-Za-z])|(?:\\x[0-9A-Fa-f]{2}){12,}|"
    r"(?<![0-9A-Za-z])(?:(?:0x)?[0-9A-Fa-f]{2}[ :,]){11,}(?:0x)?[0-9A-Fa-f]{2}(?![0-9A-Za-z])"
)
_TOKEN = re.compile(r"\S+")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_END = re.compile(r"(?:[.!?][\"'»”’)\]]*\s+|[。！？]|\n+|\|)")
_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_LONGEST = 1200
"""Characters of a window at most, unless one sentence is longer."""


@dataclass(frozen=True)
class View:
    """A reading of a text: its character i stands at `starts[i]` to `ends[i]` of the source."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    disguise: str = ""

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the reading, not empty, stands in the source."""
        return self.starts[start], self.ends[end - 1]


def folded(text: str) -> View:
    """Return a text in lower case without accents, invisible characters and look-alikes."""
    same = _MIXED.sub(lambda found: found[0].translate(_ALIKE), text)
    parts = [_fold(char) for char in same]
    starts = tuple(i for i, part in enumerate(parts) for _ in part)
    return View("".join(parts), starts, tuple(i + 1 for i in starts))


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    if char.isascii():
        return char.lower()
    wide = unicodedata.normalize("NFKD", char).casefold()
    return "".join(c for c in wide if unicodedata.category(c) not in ("Cf", "Mn"))


def views(text: str) -> Iterator[View]:
    """Yield the plain reading, and each that a disguise may hide."""
    plain = folded(text)
    yield plain
    yield from _rewritten(plain, lambda t: codecs.encode(t, "rot13"), "rot13")
    yield from _rewritten(plain, _undigited, "digits for letters")
    yield from _unspaced(text)
    for start, end, hidden, disguise in _decoded(text):
        inner = folded(hidden)
        size = len(inner.text)
        yield View(inner.text, (start,) * size, (end,) * size, disguise)


def _rewritten(plain: View, rewrite: Callable[[str], str], disguise: str) -> Iterator[View]:
    new = rewrite(plain.text)
    if new != plain.text:
        yield View(new, plain.starts, plain.ends, disguise)


def _undigited(text: str) -> str:
    return _WITH_DIGITS.sub(lambda found: found[0].translate(_DIGITS), text)


def _unspaced(text: str) -> Iterator[View]:
    """Yield each run of single letters as words; two spaces or more part words."""
    for found in _SPACED.finditer(text):
        words = (re.sub(r"[ .*_-]", "", word) for word in re.split(r"\s{2,}", found[0]))
        inner = folded(" ".join(words)).text
        size = len(inner)
        yield View(inner, (found.start(),) * size, (found.end(),) * size, "spaced out")


def _decoded(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end, what is hidden there, and how."""
    for found in _BASE64.finditer(text):
        yield from _readable(found, _from_base64(found[0]), "base64")
    for found in _HEX.finditer(text):
        digits = re.sub(r"\\x|0x|[ :,]", "", found[0])
        yield from _readable(found, _utf8(partial(bytes.fromhex, digits)), "hexadecimal")
    for found in _TOKEN.finditer(text):
        if found[0].count("%") > 2:
            yield from _readable(found, unquote(found[0]), "percent signs")
        if found[0].count("&#") > 2:
            yield from _readable(found, unescape(found[0]), "HTML entities")
    for found in _TAGS.finditer(text):
        hidden = "".join(chr(ord(c) - 0xE0000) for c in found[0])
        yield from _readable(found, hidden, "invisible tag characters")


def _readable(
    found: re.Match[str], hidden: str, disguise: str
) -> Iterator[tuple[int, int, str, str]]:
    letters = sum(c.isalpha() or c.isspace() for c in hidden)
    if len(hidden) > 8 and letters > 0.75 * len(hidden):
        yield found.start(), found.end(), hidden, disguise


def _from_base64(code: str) -> str:
    code = code.rstrip("=").translate(str.maketrans("-_", "+/"))
    return _utf8(lambda: base64.b64decode(code + "=" * (-len(code) % 4)))


def _utf8(decode: Callable[[], bytes]) -> str:
    try:
        return decode().decode("utf-8")
    except (binascii.Error, ValueError):
        return ""  # it is no code: nothing is hidden there


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield where the sentences and lines of a part of a text stand; none is empty."""
    end = len(text) if end is None else end
    for found in _END.finditer(text, start, end):
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, end)


def paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the paragraphs stand."""
    start = 0
    for found in [*_BLANK.finditer(text), None]:
        end = found.start() if found else len(text)
        yield start, end
        start = found.end() if found else end


def windows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where a paragraph stands, a long one in parts of whole sentences."""
    first: int | None = None
    last = start
    for one, other in sentences(text, start, end):
        if first is not None and other - first > _LONGEST:
            yield first, last
            first = None
        first = one if first is None else first
        last = other
    if first is not None:
        yield first, last


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    stripped = part.strip(" \t\r\n|\f\v")
    if stripped:
        start += part.index(stripped)
        yield start, start + len(stripped)
