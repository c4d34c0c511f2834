"""What can be counted of a candidate beside what it was asked, told or should have said.

No feature reads meaning. Length is among them for fitting alone: see `judge`.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import lru_cache
from math import log1p

__all__ = ("CONTROLS", "NAMES", "Texts", "content", "features", "negated", "numbers", "sentences")

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?![\s\n]|$)[^.!?\n]*)*[.!?]*")
_QUOTED = re.compile(r"[\"“”'‘’`«»]([^\"“”'‘’`«»]{2,60})[\"“”'‘’`«»]")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) sorry|i (?:can(?:not|'t)|am unable|am not able)|as an ai\b|"
    r"unable to (?:help|provide|answer)|"
    r"(?:please|could you) (?:provide|clarify|give) (?:more|the|me))",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not?|never|none|without|neither|nor|\w+n['’]t)\b", re.IGNORECASE)
_MANY = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_ASKED = re.compile(
    rf"\b(\d{{1,3}}|{'|'.join(_MANY)})\s+(?:(?!an?\b|per\b)\w+\s+)?"
    r"(words?|sentences?|bullets?|bullet points?|items?|points?|lines?|examples?|ways|reasons|"
    r"tips|ideas|titles|names)\b",
    re.IGNORECASE,
)
_STOP = frozenset(
    _WORD.findall("""
    a an the and or but if then of in on at to for from by with as is are was were be been being it
    its this that these those i you he she we they me him her us them my your his our their do does
    did have has had will would can could should may might must not no so than too very just about
    into over under out up down which who whom what when where why how all any each some there here
    also only own same such give write make please following given using use
    """)
)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What a judge is shown.

    Attributes:
        wanted: The task and the criteria.
        known: Inputs and sources; what a candidate may take its words from.
        reference: An answer known to be right.
    """

    candidate: str
    wanted: str = ""
    known: str = ""
    reference: str = ""


NAMES = (
    "covers_the_task",
    "stays_with_the_task",
    "stays_with_the_known",
    "numbers_known",
    "quoted_terms",
    "counts_as_asked",
    "like_the_reference",
    "holds_the_reference",
    "reference_numbers",
    "refuses",
    "empty",
    "repeats",
    "copies_the_task",
    "log_words",
    "longer_than_reference",
)
CONTROLS = frozenset({"log_words", "longer_than_reference"})
"""Length, and length alone: weighed in fitting, so that nothing else stands for it, and left out
of every verdict, so that padding buys nothing."""


def features(texts: Texts) -> tuple[float, ...]:
    """Return the features in the order of `NAMES`; one that does not apply is 0."""
    candidate, wanted = texts.candidate, texts.wanted
    own, task = content(candidate), content(wanted)
    known, right = content(texts.known), content(texts.reference)
    words = len(_WORD.findall(candidate))
    return (
        _share(task, own),
        _share(own, task),
        _share(own, known | task) if known else 0.0,
        _agree(numbers(candidate), numbers(texts.known) | numbers(wanted)),
        _quoted(wanted, candidate),
        _as_many(wanted, candidate),
        _f1(own, right),
        _share(right, own),
        _agree(numbers(texts.reference), numbers(candidate)),
        float(bool(_REFUSAL.search(candidate))),
        float(words == 0 and not numbers(candidate)),
        _repetition(candidate),
        float(bool(wanted.strip()) and candidate.strip() in wanted),
        log1p(words),
        log1p(words) - log1p(len(_WORD.findall(texts.reference))) if right else 0.0,
    )


@lru_cache(maxsize=4096)
def content(text: str) -> frozenset[str]:
    """Return the words that carry meaning, without their endings."""
    words = (word.casefold() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in words if word not in _STOP)


def numbers(text: str) -> Set[str]:
    """Return the numbers that stand in a text, thousands and decimals told apart by nobody."""
    return {re.sub(r"[.,:]", "", found) for found in _NUMBER.findall(text)}


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text as they stand in it."""
    for found in _SENTENCE.finditer(text):
        if sentence := found[0].strip(" \t-*•"):
            yield sentence


def negated(text: str) -> bool:
    """Tell whether a sentence denies something."""
    return len(_NEGATION.findall(text)) % 2 == 1


def _stem(word: str) -> str:
    """Return a word without its commonest English endings: enough to count two forms as one."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "ed", "es", "ly", "s", "'s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _share(part: Set[str], whole: Set[str]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _f1(a: Set[str], b: Set[str]) -> float:
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def _agree(found: Set[str], known: Set[str]) -> float:
    """Return 1 where all numbers are known, -1 where none is, 0 where there are none."""
    return 2 * _share(found, known) - 1 if found and known else 0.0


def _quoted(wanted: str, candidate: str) -> float:
    """Return how many of the terms that a task puts in quotation marks the candidate holds."""
    terms = _QUOTED.findall(wanted)
    held = sum(term.casefold() in candidate.casefold() for term in terms)
    return 2 * held / len(terms) - 1 if terms else 0.0


def _as_many(wanted: str, candidate: str) -> float:
    """Return 1 where there are as many words, sentences or items as asked, -1 where not."""
    asked = _ASKED.search(wanted)
    if asked is None:
        return 0.0
    many = _MANY.get(asked[1].casefold()) or int(asked[1])
    kind = asked[2].casefold()
    if kind.startswith("word"):
        found = len(candidate.split())
    elif kind.startswith("sentence"):
        found = sum(1 for _ in sentences(candidate))
    else:
        found = len(_LIST_ITEM.findall(candidate)) or len(
            [*filter(str.strip, candidate.splitlines())]
        )
    return 1.0 if found == many else -1.0


def _repetition(candidate: str) -> float:
    """Return the share of sentences that have stood there before."""
    said = [sentence.casefold() for sentence in sentences(candidate)]
    return 1 - len(set(said)) / len(said) if said else 0.0
