"""Which English words there are, how common they are, and what a misspelt one was meant to be."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

from spellchecker import SpellChecker

__all__ = ("Lexicon", "lexicon", "word_set")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Lexicon:
    """English words in lower case.

    Args:
        words: Every word that some dictionary knows, British and American.
        counts: How often the common ones were met in a large corpus.
    """

    words: frozenset[str]
    counts: Mapping[str, int]

    def knows(self, word: str) -> bool:
        """Tell whether a word, an inflection of it or a prefixed form is in a dictionary."""
        low = word.casefold().replace("’", "'")
        return low in self.words or any(stem in self.words for stem in _stems(low))

    def meant(self, word: str, least: int) -> str | None:
        """Return the commonest word one edit away that was met `least` times; None if none was.

        An edit is a letter more, less, changed, or two neighbours swapped (Damerau 1964 found
        four out of five misspellings to be one edit away).
        """
        low = word.casefold()
        near = {edit for edit in _edits(low) if self.counts.get(edit, 0) >= least}
        return max(near, key=lambda w: (self._likeness(w, low), w), default=None)

    def _likeness(self, word: str, typed: str) -> float:
        """Rank by frequency, in favour of the same first letter and of swaps and lost letters."""
        swapped = 20 if sorted(word) == sorted(typed) else 1
        lost = 5 if len(word) > len(typed) else 1
        return self.counts[word] * swapped * lost * (10 if word[0] == typed[0] else 1)


def _edits(word: str) -> Iterator[str]:
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail
            yield head + letter + tail[1:]


# Suffix to what may have stood in its place. The dictionaries lack many regular derivations.
_SUFFIXES = {
    "'s": ("",),
    "s'": ("", "s"),
    "'": ("",),
    "s": ("",),
    "es": ("",),
    "ies": ("y",),
    "ise": ("ize",),
    "ised": ("ized", "ize"),
    "ises": ("izes", "ize"),
    "ising": ("izing", "ize"),
    "isation": ("ization",),
    "isations": ("ization",),
    "iser": ("izer",),
    "our": ("or",),
    "ours": ("ors",),
    "ness": ("",),
    "less": ("",),
    "like": ("",),
    "wise": ("",),
}
_PREFIXES = ("non", "un", "re", "pre", "anti", "multi", "micro", "bio", "over", "under", "sub")
_PREFIXES_END = 4  # letters that must follow a prefix


def _stems(low: str) -> Iterator[str]:
    for suffix, replaced in _SUFFIXES.items():
        if low.endswith(suffix) and len(low) > len(suffix) + 2:
            yield from (low[: -len(suffix)] + other for other in replaced)
    for prefix in _PREFIXES:
        if low.startswith(prefix) and len(low) >= len(prefix) + _PREFIXES_END:
            yield low[len(prefix) :]


@cache
def lexicon() -> Lexicon:
    """Load the dictionaries, once."""
    counts = dict(_frequencies())
    return Lexicon(frozenset(counts) | _listed(), counts)


def _listed() -> frozenset[str]:
    """Return the words of pyspellchecker's list: film subtitles, checked against dictionaries."""
    checker: Any = SpellChecker(language="en")
    return frozenset(cast(Iterable[str], checker.word_frequency.keys()))


def _frequencies() -> Iterator[tuple[str, int]]:
    file = files("symspellpy") / "frequency_dictionary_en_82_765.txt"
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        word, count = line.split()
        yield word, int(count)


def word_set(words: str) -> frozenset[str]:
    """Return the words of a list written as running text."""
    return frozenset(words.split())
