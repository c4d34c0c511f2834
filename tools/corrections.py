"""Put a copy editor's suggestions into the text that it reviewed."""

from collections.abc import Sequence

from ..deps.issues import Issue
from .prose import Lines, Position

__all__ = ("corrected",)


def corrected(text: str, issues: Sequence[Issue]) -> str:
    """Return `text` with each issue's suggestion in its place.

    Issues without a suggestion change nothing; of two that overlap the one further on is applied.
    """
    lines, end = Lines(text), len(text)
    offsets = [lines.offset(Position(issue.line, issue.column)) for issue in issues]
    # From the last to the first, so that the places before stay true.
    for start, issue in sorted(zip(offsets, issues, strict=True), key=lambda found: -found[0]):
        stop = start + len(issue.text)
        if issue.suggestion is not None and stop <= end:
            text, end = text[:start] + issue.suggestion + text[stop:], start
    return text
