"""Misspelt words: unknown to every dictionary, and one edit away from a word that is common."""

import re
from collections.abc import Iterator

from .copy_editor_text import Mark, Prose, Word, as_in

__all__ = ("misspelt",)

# How often a word must have been met to be what was meant. Units, symbols and particles are short;
# unknown capitalised words are mostly rare names; the frequency list's tail holds misspellings.
_LEAST = 200_000
_LEAST_SHORT = 1_500_000_000
_LEAST_NAME = 8_000_000
_SURE_NAME = 60_000_000
_SURE = 300_000_000
_NEVER = 10**18
_KNOWN = {
    "alot": "a lot",
    "irregardless": "regardless",
    "definately": "definitely",
    "seperate": "separate",
    "supposably": "supposedly",
    "tommorow": "tomorrow",
    "maintainance": "maintenance",
    "pronounciation": "pronunciation",
}
_PLAIN = re.compile(r"[a-zA-Z]+(?:['’][a-zA-Z]+)?")


def misspelt(prose: Prose) -> Iterator[Mark]:
    """Yield words that no dictionary has, with the word that was meant."""
    for run in prose.english():
        for i, word in enumerate(run):
            for part in _parts(word):
                meant = _meant(part, prose)
                if meant and not _doubtful(meant, part, run, i, prose):
                    yield Mark(
                        part.start,
                        part.end,
                        "mechanical",
                        "high",
                        f"{part.text!r} is in no dictionary; {meant!r} is near.",
                        as_in(part.text, meant),
                    )


def _parts(word: Word) -> Iterator[Word]:
    """Yield a hyphenated word's parts, else the word."""
    at = word.start
    for i, text in enumerate(word.text.split("-")):
        yield Word(text, at, at + len(text), word.gap, word.first and i == 0, word.foreign)
        at += len(text) + 1


def _meant(word: Word, prose: Prose) -> str | None:
    if word.low in _KNOWN:
        return _KNOWN[word.low]
    if not _PLAIN.fullmatch(word.text) or prose.lexicon.knows(word.text) or _is_usual(word, prose):
        return None
    if re.fullmatch("[a-z][A-Z][a-z]+", word.text):
        swapped = word.text[1] + word.text[0].lower() + word.text[2:]
        return swapped if prose.lexicon.knows(swapped) else None
    if word.text[1:] != word.text[1:].lower():  # ALLCAPS, camelCase, McName
        return None
    stem, possessive = re.subn(r"'s?\Z", "", word.low)
    meant = prose.lexicon.meant(stem, _least(word, stem))
    if meant is None or (meant[0] != stem[0] and (_is_name(word) or len(stem) == 3)):
        return None
    return meant + word.low[len(stem) :] if possessive else meant


def _least(word: Word, stem: str) -> int:
    """Return how common the word must be that an unknown one is taken for."""
    if _is_name(word):
        return _LEAST_NAME if len(stem) > 5 else _NEVER
    return _LEAST if len(stem) > 3 else _LEAST_SHORT if len(stem) == 3 else _NEVER


def _is_name(word: Word) -> bool:
    return word.text[0].isupper() and not word.first


def _doubtful(meant: str, word: Word, run: tuple[Word, ...], i: int, prose: Prose) -> bool:
    """Tell whether an unknown word is rather a part of a longer name or a foreign phrase."""
    if _is_name(word):
        beside = [w for w in run[max(0, i - 1) : i + 2] if w is not run[i]]
        named = any(w.text[0].isupper() and not (w.first and len(w.text) < 4) for w in beside)
        if named and prose.lexicon.counts.get(meant, 0) < _SURE_NAME:
            return True
    return prose.lexicon.counts.get(meant, 0) < _SURE and _among_foreign(run, i, prose)


def _is_usual(word: Word, prose: Prose) -> bool:
    """Tell whether the author uses the word again and again: then it is a term or a name."""
    low = word.text.casefold()
    stem = re.sub(r"['’]s?\Z", "", low)
    counts = prose.survey.words
    variants = {low, stem, stem + "s", stem.removesuffix("s"), f"{stem}'s", f"{stem}’s"}
    return sum(counts.get(variant, 0) for variant in variants) > 1


def _among_foreign(run: tuple[Word, ...], i: int, prose: Prose) -> bool:
    """Tell whether a neighbour is as unknown and no slip of an English word: a foreign phrase."""
    near = [w for w in run[max(0, i - 3) : i + 4] if w is not run[i] and len(w.text) > 2]
    return any(
        w.text.isalpha()
        and w.text.islower()
        and not prose.lexicon.knows(w.text)
        and prose.lexicon.meant(w.text, _LEAST) is None
        for w in near
    )
