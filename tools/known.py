"""The identity of an issue from one run to the next."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from ..deps.issues import Issue, Known
from .prose import Lines, Position

__all__ = ("known",)

CONTEXT = 30  # characters on each side that tell one issue from another with the same text


def known(chapter: str, text: str, issues: Sequence[Issue]) -> list[Known]:
    """Key issues by what they say and what stands around them in their paragraph, not by line.

    Where all of that is the same, they are told apart by their order.
    """
    lines = Lines(text)
    seen: Counter[str] = Counter()
    found: list[Known] = []
    for issue in issues:
        start = lines.offset(Position(issue.line, issue.column))
        end = start + len(issue.text)
        before = text[max(0, start - CONTEXT) : start].rpartition("\n\n")[2]
        after = text[end : end + CONTEXT].partition("\n\n")[0]
        squeezed = (" ".join(piece.split()) for piece in (before, after))
        basis = "\0".join([chapter, issue.category, issue.text, *squeezed])
        digest = sha256(basis.encode("utf-8", "surrogatepass")).hexdigest()[:20]
        seen[digest] += 1
        found.append(Known(key=f"{digest}-{seen[digest]}", chapter=chapter, issue=issue))
    return found
