"""A document as the copy editor's rules see it: words, sentences, paragraphs, and what to skip."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...deps.issues import Category, Severity
from ...tools.prose import BLANK, Survey, prose_only
from .copy_editor_lexicon import Lexicon, word_set

__all__ = ("Mark", "Prose", "Word", "as_in")

# The hundred or so words that make up nearly half of any English text, and of no other.
_FUNCTION_WORDS = word_set(
    """
    a about after all also an and any are as at be because been before but by can could did
    do does for from had has have he her him his how i if in into is it its just like may
    more most much my no not of on one only or other our out over said she should so some
    such than that the their them then there these they this those through to too under up
    us very was we were what when where which while who will with would you your
    """
)
_PARAGRAPH = re.compile(r"(?:[^\n]+\n?)+")
_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_OPENING = re.compile(r"[^\w\x00]*\Z")
_ABBREVIATIONS = word_set(
    """
    al approx apr aug ave ca capt cf ch co col corp dec dept dr ed eds eg est etc feb fig
    figs fl gen gov hon ie inc jan jr jul jun lt ltd mar max min mr mrs ms mt no nos nov oct
    op p pl pp prof pt rep rev sen sep sept sgt sr st univ vol vols vs
    """
)


class Mark(NamedTuple):
    """An issue by the offsets of its text."""

    start: int
    end: int
    category: Category
    severity: Severity
    explanation: str
    suggestion: str | None = None


@dataclass(frozen=True)
class Word:
    """A word, with hyphens and apostrophes inside, and where it stands.

    Attributes:
        gap: What stands between the word before it in the paragraph and this one.
        first: Whether it begins a sentence, a heading, a list item or a quotation.
        foreign: Whether its paragraph is not in English.
    """

    text: str
    start: int
    end: int
    gap: str
    first: bool
    foreign: bool

    @property
    def low(self) -> str:
        """The word in lower case, with a straight apostrophe."""
        return self.text.casefold().replace("’", "'")


@dataclass(frozen=True)
class Prose:
    """A document prepared for the rules.

    Args:
        source: The document.
        survey: Names and words of the whole that the document is a part of.
        preferred: From terms that the author bans to those to write.
    """

    source: str
    survey: Survey
    preferred: Mapping[str, str]
    lexicon: Lexicon

    @cached_property
    def text(self) -> str:
        """The document with everything that is not prose blanked out."""
        return prose_only(self.source)

    @cached_property
    def paragraphs(self) -> list[tuple[int, int]]:
        """Start and end of each run of lines without an empty one."""
        return [found.span() for found in _PARAGRAPH.finditer(self.text)]

    @cached_property
    def words(self) -> list[Word]:
        """All words in order."""
        return [word for start, end in self.paragraphs for word in self._words(start, end)]

    def english(self) -> Iterator[tuple[Word, ...]]:
        """Yield runs of words that stand in English paragraphs, one paragraph at a time."""
        run: list[Word] = []
        for word in self.words:
            if run and ("\n\n" in word.gap or not word.gap):
                yield tuple(run)
                run = []
            if not word.foreign:
                run.append(word)
        if run:
            yield tuple(run)

    def _words(self, start: int, end: int) -> list[Word]:
        tokens = list(_TOKEN.finditer(self.text, start, end))
        foreign = self._foreign([token[0] for token in tokens])
        found: list[Word] = []
        before = start
        for token in tokens:
            gap = self.text[before : token.start()]
            last = found[-1] if found else None
            first = last is None or _begins(gap, last.text)
            gap = gap if last else ""
            found.append(Word(token[0], token.start(), token.end(), gap, first, foreign))
            before = token.end()
        return found

    def _foreign(self, tokens: list[str]) -> bool:
        """Tell whether a paragraph is in another language; a short one goes with the document."""
        if len(tokens) < 8:
            return self._mostly_foreign
        return _not_english(tokens, self.lexicon)

    @cached_property
    def _mostly_foreign(self) -> bool:
        tokens = _TOKEN.findall(self.text)
        return len(tokens) >= 8 and _not_english(tokens, self.lexicon)


def _not_english(tokens: list[str], lexicon: Lexicon) -> bool:
    common = sum(token.casefold() in _FUNCTION_WORDS for token in tokens) / len(tokens)
    if common >= 0.2:
        return False
    lower = [token for token in tokens if token.isalpha() and token.islower()]
    known = sum(lexicon.knows(token) for token in lower) / max(1, len(lower))
    return known < (0.9 if common < 0.08 else 0.7)


def _begins(gap: str, last: str) -> bool:
    """Tell whether a sentence begins after `gap`, which follows the word `last`."""
    if BLANK in gap or ("\n" in gap and re.search(r"\n\s*(?:[-*+>#|]|\d+[.)])", gap)):
        return True
    if re.search(r"[!?:…|\"“”•]|\.\.", gap):
        return True
    return "." in gap and not (len(last) == 1 or last.casefold() in _ABBREVIATIONS)


def as_in(model: str, word: str) -> str:
    """Return `word` with the capitals of `model`."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
