"""The baseline guard: stated patterns, and weights learnt from public attacks. Not an LLM.

Patterns are looked for in the text and in what disguises hide (`guard_text`, `guard_rules`). An
input is weighed paragraph by paragraph by its word and letter groups, a document sentence by
sentence by a few signs that somebody asks for something; `benchmarks/baselines_guard.py` fits,
cross-validates and writes the weights. The worst part decides, so what is harmless elsewhere
excuses nothing. What is out of scope is told by shared words alone.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...tools.rulings import Opinion
from .guard_features import hashed, is_prose, shape, signs
from .guard_rules import RULES, Rule, matches
from .guard_text import folded, paragraphs, sentences, views, windows

__all__ = (
    "WEIGHTS",
    "Finding",
    "Weights",
    "document_row",
    "findings",
    "input_row",
    "judge",
    "solve",
    "weights",
)

WEIGHTS = Path(__file__).with_name("guard_weights.json")

MOST = 8
"""Quotes of one ruling at most: more tell a reader nothing."""

UNSHARED = 0.55
"""Confidence that a text is out of scope which shares no word with it: there is no data on that."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_COMMON = frozenset(
    _WORD.findall("""
    about also could does from have into many much questions should some that their there these
    they this what when where which with would your fragen habe kann oder sind uber welche wenn
    werden unser unsere unserer eine einen einer mein meine meinen
    """)
)


@dataclass(frozen=True)
class Finding:
    """A rule that a part of a text meets: `text[start:end]`, and the disguise it was under."""

    rule: Rule
    start: int
    end: int
    disguise: str


@dataclass(frozen=True)
class Weights:
    """A logistic regression, and what it takes to be flagged."""

    weights: NDArray[np.float64]
    intercept: float
    threshold: float
    precision: float

    def chance(self, row: NDArray[np.float64]) -> float:
        """Return the probability that a part with these features is an attack."""
        logit = float(self.weights @ row) + self.intercept
        return 1 / (1 + exp(-max(-50.0, min(50.0, logit))))


@cache
def weights(source: str) -> Weights:
    """Read the weights for an `input` or a `document`."""
    found = json.loads(WEIGHTS.read_text(encoding="utf-8"))[source]
    return Weights(
        np.array(found["weights"]), found["intercept"], found["threshold"], found["rule_precision"]
    )


def solve(text: str, source: str, scope: str | None) -> Opinion:
    """Return what the patterns and the weights make of a text."""
    return judge(text, source, scope, weights(source))


def judge(text: str, source: str, scope: str | None, model: Weights) -> Opinion:
    """Do as `solve` does, by given weights."""
    found = findings(text, source)
    chance, worst = _worst(text, source, found, model)
    if found:
        return _by_rules(text, found, max(chance, model.precision))
    if chance >= model.threshold:
        reason = f"Baseline guard, by counting: these words are like attacks ({chance:.2f})."
        return _flag("instruction", [text[slice(*worst)]], reason, max(chance, 0.5))
    if scope and source == "input" and not _shares(text, scope):
        reason = "Baseline guard, by counting: it shares no word with the scope."
        return _flag("out_of_scope", [], reason, UNSHARED)
    reason = "Baseline guard, by counting: no pattern of an attack, and few words of one."
    return Opinion(
        reason=reason, verdict="pass", category=None, quotes=(), confidence=max(0.5, 1 - chance)
    )


def findings(text: str, source: str) -> list[Finding]:
    """Return every rule that the text meets, disguised or not, in reading order."""
    found = set[Finding]()
    for view in views(text):
        for rule, start, end in matches(view.text, source == "document"):
            found.add(Finding(rule, *view.place(start, end), view.disguise))
    return sorted(found, key=lambda f: (f.start, f.end, f.rule.name, f.disguise))


def input_row(part: str, met: Sequence[Finding]) -> NDArray[np.float64]:
    """Return the features of a paragraph of an input, in which these rules are met."""
    names = {finding.rule.name for finding in met}
    rules = [float(rule.name in names) for rule in RULES if not rule.document_only]
    return np.concatenate([hashed(folded(part).text), shape(part), rules])


def document_row(part: str) -> NDArray[np.float64]:
    """Return the features of a sentence of a document."""
    return np.array(signs(folded(part).text))


def _worst(
    text: str, source: str, found: Sequence[Finding], model: Weights
) -> tuple[float, tuple[int, int]]:
    """Return the greatest chance of a part to be an attack, and where that part stands."""
    if source == "document":
        parts = list(sentences(text))
    else:
        # The end of a long paragraph is short, and no prompt for that.
        asking = (span for span in paragraphs(text) if not is_prose(text[slice(*span)]))
        parts = [
            w for span in asking for w in windows(text, *span) if not is_prose(text[slice(*w)])
        ]
    scored = [(model.chance(_row(text, span, source, found)), span) for span in parts]
    return max(scored, key=lambda one: one[0], default=(0.0, (0, 0)))


def _row(
    text: str, span: tuple[int, int], source: str, found: Sequence[Finding]
) -> NDArray[np.float64]:
    start, end = span
    if source == "document":
        return document_row(text[start:end])
    return input_row(text[start:end], [f for f in found if start <= f.start < end])


def _by_rules(text: str, found: Sequence[Finding], confidence: float) -> Opinion:
    leaks = [finding for finding in found if finding.rule.category == "leak"]
    names = dict.fromkeys(_told(finding) for finding in found)
    reason = f"Baseline guard, by patterns: it {', '.join(names)}."
    quotes = [text[f.start : f.end] for f in leaks + [f for f in found if f not in leaks]]
    return _flag("leak" if leaks else "instruction", quotes, reason, confidence)


def _told(finding: Finding) -> str:
    hidden = f" ({finding.disguise})" if finding.disguise else ""
    return f"{finding.rule.name}{hidden}"


def _flag(category: str, quotes: Sequence[str], reason: str, confidence: float) -> Opinion:
    return Opinion.model_validate(
        {
            "reason": reason,
            "verdict": "flag",
            "category": category,
            "quotes": tuple(dict.fromkeys(quotes))[:MOST],
            "confidence": round(confidence, 4),
        }
    )


def _shares(text: str, scope: str) -> bool:
    """Tell whether a text has a word whose first four letters a word of the scope has too.

    A text of fewer than two words is too short to say.
    """
    words = set(_stems(text))
    return len(words) < 2 or bool(words & set(_stems(scope)))


def _stems(text: str) -> Iterator[str]:
    for word in _WORD.findall(folded(text).text):
        if word not in _COMMON:
            yield word[:4]
