"""The baseline judge: what can be counted, weighed as labelled data has it. Not an LLM.

It reads no meaning, and says so in every reason. Its weights are those of logistic regressions on
public labels (`benchmarks/baselines_judge.py` fits, cross-validates and writes them): one for a
candidate beside its task, one beside sources, one beside a reference. Length is weighed in fitting
and held at its mean in judging, so that a longer text is not a better one.
"""

import json
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path
from typing import Literal

import numpy as np

from ..judge.frame import Criterion, criteria_of, texts_of
from ..judge.grounded import Claim, Grounding
from ..judge.pairwise import Preference
from ..judge.rubric import Judgement, Mark
from ..judge.scores import BEST, WORST, Grade, Grades
from .judge_features import (
    CONTROLS,
    NAMES,
    Texts,
    content,
    features,
    negated,
    numbers,
    sentences,
)

__all__ = ("WEIGHTS", "Beside", "grounding", "logit", "preference", "scores", "verdicts")

Beside = Literal["task", "sources", "reference"]
"""What a candidate is held against."""

WEIGHTS = Path(__file__).with_name("judge_weights.json")

EMPTY = -4.0
"""Log-odds of a candidate without a word. Of such there are no labels, so this is a rule."""

CLOSE = 0.1
"""Log-odds between two candidates within which neither is better."""


async def verdicts(prompt: str) -> Judgement:
    """Mark each criterion of a framed prompt."""
    return Judgement(marks=tuple(_mark(c, prompt) for c in criteria_of(prompt)))


async def scores(prompt: str) -> Grades:
    """Score each criterion of a framed prompt: the odds of a pass, on the scale from 1 to 5."""
    grades: list[Grade] = []
    for criterion in criteria_of(prompt):
        texts, beside = _texts(criterion, prompt, "candidate")
        chance = _chance(logit(texts, beside))
        score = WORST + round(chance * (BEST - WORST))
        grades.append(Grade(id=criterion.id, reason=_why(texts, beside), score=score))
    return Grades(grades=tuple(grades))


async def preference(prompt: str) -> Preference:
    """Choose between the two candidates of a framed prompt, by all criteria together."""
    every = Criterion(id="all", text="\n".join(c.text for c in criteria_of(prompt)))
    first, beside = _texts(every, prompt, "first")
    second, _ = _texts(every, prompt, "second")
    gap = logit(first, beside) - logit(second, beside)
    better: Literal["first", "second", "tie"] = "first" if gap > 0 else "second"
    reason = f"first: {_why(first, beside)} Second: {_why(second, beside)}"
    return Preference(reason=reason, better="tie" if abs(gap) < CLOSE else better)


async def grounding(prompt: str) -> Grounding:
    """Take each sentence of the candidate for a claim, and look for it in the sources."""
    texts = texts_of(prompt)
    said = [one for one in sentences(texts["candidate"]) if not one.endswith("?")]
    return Grounding(claims=tuple(_claim(sentence, texts["sources"]) for sentence in said))


def logit(texts: Texts, beside: Beside) -> float:
    """Return the log-odds that people would have passed a candidate, its length left aside."""
    model, found = _model(beside), features(texts)
    if found[NAMES.index("empty")]:
        return EMPTY
    return model.intercept + float(np.dot(model.weights, found))


@dataclass(frozen=True)
class _Model:
    weights: tuple[float, ...]
    intercept: float


@cache
def _model(beside: Beside) -> _Model:
    """Read a model; the controls' share, at their mean, is in its intercept."""
    found = json.loads(WEIGHTS.read_text(encoding="utf-8"))[beside]
    weights, means = found["weights"], found["means"]
    held = sum(weights[name] * means[name] for name in CONTROLS)
    own = tuple(0.0 if name in CONTROLS else weights[name] for name in NAMES)
    return _Model(own, found["intercept"] + held)


def _texts(criterion: Criterion, prompt: str, candidate: str) -> tuple[Texts, Beside]:
    shown = texts_of(prompt)
    inputs, reference = shown.get("inputs", ""), shown.get("reference", "")
    texts = Texts(
        candidate=shown[candidate],
        wanted="\n".join(filter(None, (criterion.text, inputs))),
        known=inputs,
        reference=reference,
    )
    return texts, "reference" if reference else "task"


def _mark(criterion: Criterion, prompt: str) -> Mark:
    texts, beside = _texts(criterion, prompt, "candidate")
    reason = _why(texts, beside)
    if not texts.known and not texts.reference and not _countable(texts):
        reason = (
            "Counting cannot tell: there are neither inputs nor a reference to hold it against."
        )
        return Mark(id=criterion.id, reason=reason, verdict="cannot_say")
    passed = logit(texts, beside) > 0
    return Mark(id=criterion.id, reason=reason, verdict="pass" if passed else "fail")


def _countable(texts: Texts) -> bool:
    """Tell whether the criterion itself says something that can be counted."""
    found = dict(zip(NAMES, features(texts), strict=True))
    told = ("quoted_terms", "counts_as_asked", "numbers_known", "refuses", "empty")
    return any(found[name] for name in told)


def _why(texts: Texts, beside: Beside) -> str:
    """Say which features weighed most, and which way."""
    model, found = _model(beside), features(texts)
    if found[NAMES.index("empty")]:
        return "Baseline judge, by counting: the candidate is empty."
    parts = zip(NAMES, np.multiply(model.weights, found).tolist(), strict=True)
    most = sorted(parts, key=lambda part: -abs(part[1]))[:3]
    told = ", ".join(f"{name.replace('_', ' ')} {part:+.1f}" for name, part in most if part)
    return f"Baseline judge, by counting: {told or 'nothing to count'}."


def _claim(sentence: str, sources: str) -> Claim:
    nearest = _nearest(sentence, sources)
    against = numbers(sentence) - numbers(sources) if numbers(sentence) else set[str]()
    chance = _chance(logit(Texts(candidate=sentence, known=sources), "sources"))
    if nearest is None or (chance < 0.5 and not against):
        return Claim(
            text=sentence,
            evidence=None,
            reason="Baseline judge, by counting: the sources hold too few of its words.",
            verdict="not_found",
        )
    denied = negated(sentence) != negated(nearest)
    wrong = bool(against) or denied
    what = f"numbers {sorted(against)} differ" if against else "one denies what the other says"
    return Claim(
        text=sentence,
        evidence=nearest,
        reason=f"Baseline judge, by counting: {what if wrong else 'its words and numbers agree'}.",
        verdict="contradicted" if wrong else "supported",
    )


def _nearest(sentence: str, sources: str) -> str | None:
    """Return the sentence of the sources that shares most words with a claim."""
    words = content(sentence) | numbers(sentence)
    found = [(len(words & (content(one) | numbers(one))), one) for one in sentences(sources)]
    shared, nearest = max(found, key=lambda pair: pair[0], default=(0, ""))
    return nearest if shared else None


def _chance(logit: float) -> float:
    return 1 / (1 + exp(-max(-50.0, min(50.0, logit))))
