"""Answering without an LLM: the sentence that fits the question best, or none if it fits poorly.

Nothing is understood: a question in other words than the document's is "not in the documents",
and a near miss in the same words is taken for an answer.
"""

import re
from collections.abc import Iterator, Sequence

from ...deps.documents import Passage
from ..answer import Deps, Reply
from .answer_features import Candidate, Question, stems, weights
from .answer_sentences import sentences

__all__ = ("THRESHOLD", "solve")

THRESHOLD = 0.4
"""The support below which the documents are taken not to tell."""

# Who writes to a machine and not to a reader. It keeps such lines from being quoted, no more.
_TO_A_MACHINE = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|posts|rules|above|documents)\b"
    r"|\b(?:assistant|language models?|chatbots?|automated readers?)\b.{0,20}[:,;]"
    r"|^\W*(?:system|attention|assistant)\W*:"
    r"|\b(?:system prompt|(?:new|previous) instructions|you must (?:respond|answer|reply))\b",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)


async def solve(text: str, deps: Deps) -> Reply:
    """Answer with the best sentence of the passages that words find, and cite it."""
    question = Question(text)
    found = await deps.documents.search(text, deps.passages, usage=deps.usage)
    best = choose(question, found)
    if best is None or best[1] < THRESHOLD:
        return Reply(answer=None, citations=[])
    candidate, _ = best
    claim = {"document": candidate.document, "quote": candidate.text}
    return Reply.model_validate({"answer": " ".join(candidate.text.split()), "citations": [claim]})


def choose(question: Question, found: Sequence[Passage]) -> tuple[Candidate, float] | None:
    """Return the sentence that fits best, with its support; None if there is no sentence."""
    candidates = [c for rank, passage in enumerate(found) for c in _candidates(passage, rank)]
    weight = weights(question.stems, [c.own for c in candidates])
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.score(question, weight))
    return best, best.support(question, weight)


def _candidates(passage: Passage, rank: int) -> Iterator[Candidate]:
    texts = list(_quotable(passage.text))
    own = [stems(text) for text in texts]
    around = stems(f"{passage.title} {passage.heading}").union(*own)
    nothing = frozenset[str]()
    for at, text in enumerate(texts):
        yield Candidate(
            document=passage.document,
            text=text,
            rank=rank,
            own=own[at],
            before=own[at - 1] if at else nothing,
            after=own[at + 1] if at + 1 < len(own) else nothing,
            around=around,
        )


def _quotable(text: str) -> Iterator[str]:
    """Yield what may prove something: sentences written to people, that do not ask."""
    at, ends = 0, [found.end() for found in re.finditer(r"\n\s*\n", text)]
    for end in (*ends, len(text)):
        if not _TO_A_MACHINE.search(text, at, end):
            found = (text[at + start : at + stop] for start, stop in sentences(text[at:end]))
            yield from (sentence for sentence in found if not sentence.endswith("?"))
        at = end
