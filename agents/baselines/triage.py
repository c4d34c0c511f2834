"""Triage without an LLM: a classifier fitted on the taxonomy, and a word list for urgency."""

from ..triage import Deps, Triage
from .triage_classifier import Guess, fit
from .triage_urgency import urgency

__all__ = ("solve",)

WORDS = 3
"""So many words of the message are named as the reason."""


async def solve(message: str, deps: Deps) -> Triage:
    """Sort `message` by the label whose examples it is most like, if it is enough like them.

    The classifier is fitted once per taxonomy and kept in `deps.memo`.
    """
    if not message.strip():
        return Triage(reason="The message is empty.", label=None, confidence=1.0, urgency=1)
    taxonomy = deps.taxonomy
    classifier = await deps.memo.get(f"triage:{taxonomy.digest}", lambda: fit(taxonomy))
    guess = classifier.guess(message)
    name = taxonomy.labels[guess.label].name
    return Triage(
        reason=_reason(guess, name),
        label=name if guess.answers else None,
        confidence=guess.confidence,
        urgency=urgency(message),
    )


def _reason(guess: Guess, name: str) -> str:
    words = ", ".join(repr(word) for word in guess.words[:WORDS])
    if guess.answers:
        return f"{words or 'The spelling of its words'} speaks for {name!r}."
    if words:
        return f"Nearest is {name!r}, for {words}, but too little else in the message fits it."
    return "None of its words speaks for any label."
