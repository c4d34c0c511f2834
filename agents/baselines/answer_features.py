"""How well a sentence may answer a question: shared words, its neighbours, the kind of answer."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from math import log

from ...deps.documents.terms import terms

__all__ = ("Candidate", "Question", "stem", "weights")

_ENDINGS = (
    "ations", "ation", "ingly", "edly", "ments", "ment", "ings", "ing", "ies", "ied", "ions",
    "ion", "ers", "er", "ed", "es", "ly", "s", "e", "y",
)  # fmt: skip

# What a question asks for, by its words; and what an answer of that kind holds.
_ASKS = {
    "number": re.compile(
        r"\bhow (?:many|much|long|far|old|large|big|tall|often|high|fast|wide|heavy)\b"
        r"|\bwhat (?:percent|number|amount|proportion|fraction)|\bhow much"
    ),
    "date": re.compile(
        r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade|time)\b|\bwann\b"
    ),
    "name": re.compile(
        r"\bwho(?:m|se)?\b|\bwhere\b|\b(?:what|which) (?:city|country|state|place|town|region)\b"
    ),
}
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand"
    r"|million|billion|half|third|quarter|once|twice|first|second)\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d|january|february|march|april|may|june|july|august|september|october"
    r"|november|december|(?:mon|tues|wednes|thurs|fri|satur|sun)day|century|years?|days?"
    r"|\d+ ?[ap]m|\d\d?:\d\d)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][a-z]+")


def stem(word: str) -> str:
    """Return a word without an English ending: enough to take two forms of it for one."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def stems(text: str) -> frozenset[str]:
    """Return the stems of all words of a text."""
    return frozenset(map(stem, re.findall(r"\w+", text.casefold())))


@dataclass(frozen=True)
class Question:
    """What is asked: the stems of its words that tell something, and the kind of the answer."""

    text: str

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(map(stem, terms(self.text)))

    @cached_property
    def kinds(self) -> frozenset[str]:
        asked = self.text.casefold()
        return frozenset(kind for kind, pattern in _ASKS.items() if pattern.search(asked))

    def suits(self, sentence: str) -> float:
        """Return 1 if a sentence holds the kind of thing that is asked for, -1 if not, else 0."""
        if not self.kinds:
            return 0.0
        return 1.0 if any(self._holds(kind, sentence) for kind in self.kinds) else -1.0

    def _holds(self, kind: str, sentence: str) -> bool:
        if kind == "name":
            found = _NAME.findall(sentence)
            return any(stem(name.casefold()) not in self.stems for name in found)
        return bool((_NUMBER if kind == "number" else _DATE).search(sentence))


@dataclass(frozen=True)
class Candidate:
    """A sentence, and the stems of what stands around it.

    Attributes:
        rank: Of its passage, from 0.
        before: Stems of the sentence before it; `after` of the one after.
        around: Stems of its whole passage, title and heading included.
    """

    document: str
    text: str
    rank: int
    own: Set[str]
    before: Set[str]
    after: Set[str]
    around: Set[str]

    def score(self, question: Question, weight: Mapping[str, float]) -> float:
        """Return how well it answers, to compare with others."""
        own, asked = share(self.own, weight), question.stems
        tells_nothing = len(self.own - asked) < 3
        return (
            own
            + 0.4 * share(self.before - self.own, weight)
            + 0.1 * share(self.after - self.own, weight)
            + 0.3 * share(self.around, weight)
            + 0.2 * question.suits(self.text)
            + 0.4 / (1 + self.rank)
            - 0.3 * tells_nothing
        )

    def support(self, question: Question, weight: Mapping[str, float]) -> float:
        """Return how much of the question it and its passage are about, from 0 to 1."""
        own, around = share(self.own, weight), share(self.around, weight)
        return (own + around) / 2


def share(found: Set[str], weight: Mapping[str, float]) -> float:
    """Return how much of a question's weight is on the stems that were found."""
    return sum(weight[w] for w in weight if w in found) / (sum(weight.values()) or 1.0)


def weights(asked: Iterable[str], sentences: Sequence[Set[str]]) -> dict[str, float]:
    """Return how much each stem of a question tells: its inverse document frequency.

    It is BM25's (Robertson and Zaragoza, 2009), with sentences as documents; what stands in none
    of them weighs most.
    """
    count = len(sentences)
    found = {word: sum(word in each for each in sentences) for word in sorted(asked)}
    return {word: log(1 + (count - n + 0.5) / (n + 0.5)) for word, n in found.items()}
