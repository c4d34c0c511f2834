"""Tell whether an argument of a call is something that was said, word for word.

Compared are texts without what only looks different: letter case, compatibility forms, invisible
characters and white space. A text counts where it stands whole, between other words; a number where
it is written as one, with a point or a comma.
"""

import re
import unicodedata
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Generator, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

__all__ = ("ENCODED", "Leaf", "Said", "decoded", "leaves", "plain", "unbased")

_NUMBER = re.compile(r"(?:(?<!\S)-)?\d+(?:[.,'\u2019\u00a0]\d+)*")
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
"""What may be base64."""


class Leaf(NamedTuple):
    """A text or number among arguments, and where: `lines[0].account`."""

    path: str
    value: str | int | float


def leaves(value: Any, path: str, known: frozenset[str] = frozenset()) -> Generator[Leaf]:
    """Yield what in an argument carries words or figures.

    True, False, null, and empty texts, lists and objects carry none. Names in an object do, unless
    the tool's own schema names them, as `known` says.
    """
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            if key not in known:
                yield Leaf(f"{path}, a name in it", key)
            yield from leaves(inner, f"{path}.{key}", known)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items: Sequence[Any] = cast(Any, value)
        for index, inner in enumerate(items):
            yield from leaves(inner, f"{path}[{index}]", known)
    elif not isinstance(value, bool) and (
        isinstance(value, int | float) or (isinstance(value, str) and plain(value))
    ):
        yield Leaf(path, value)


def plain(text: str) -> str:
    """Return a text without letter case, compatibility forms and what cannot be seen."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return " ".join(seen.split())


class Said:
    """Texts, to be looked in."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(plain(text) for text in texts)

    @cached_property
    def _numbers(self) -> frozenset[Decimal]:
        found = (match[0] for text in self._texts for match in _NUMBER.finditer(text))
        return frozenset(number for written in found for number in _read(written))

    def __contains__(self, value: str | int | float) -> bool:
        """Tell whether a text stands there whole, or a number is written there."""
        if isinstance(value, str):
            return self._stands(plain(value)) or _as_number(value) in self._numbers
        return Decimal(repr(value)) in self._numbers

    def _stands(self, text: str) -> bool:
        if not text:
            return False
        whole = re.compile(rf"(?<![\w.+@/-]){re.escape(text)}(?![\w@/-]|[.+]\w)")
        return any(text in each and whole.search(each) for each in self._texts)


def _read(written: str) -> Generator[Decimal]:
    """Yield what a written number may mean: 1,234.50 and 1.234,50 and 1'234.50 are the same."""
    sign = "-" if written.startswith("-") else ""
    *groups, last = re.split(r"[^\d]", written.removeprefix("-"))
    whole = "".join(groups)
    yield Decimal(sign + whole + last)
    if groups:
        yield Decimal(f"{sign}{whole}.{last}")


def _as_number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None
    except InvalidOperation:
        return None


def decoded(text: str) -> Generator[str]:
    """Yield what a text says, and what it says where it, or a word of it, is encoded."""
    yield text
    if "%" in text:
        yield unquote(text)
    for match in ENCODED.finditer(text):
        if found := unbased(match[0]):
            yield found


def unbased(word: str) -> str | None:
    """Return what a word of base64 says; None if that is no text."""
    body = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = b64decode(body + "=" * (-len(body) % 4), validate=True).decode()
    except (NotBase64, UnicodeDecodeError):
        return None
    return found if all(c.isprintable() or c.isspace() for c in found) else None
