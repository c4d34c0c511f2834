"""From what a model says of a text to issues at exact places, or to what is wrong with it."""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, Field

from ..deps.issues import Category, Issue, Severity
from .prose import Lines, Position, Section

__all__ = ("Finding", "Findings", "misplaced", "moved", "placed")


class Finding(BaseModel):
    """One issue as a model reports it; columns are computed from it."""

    line: int = Field(description="number of the line on which the text begins")
    text: str = Field(min_length=1, description="the words at fault, copied exactly, few of them")
    occurrence: int = Field(
        default=1, ge=1, description="1 for the text's first place on the line, 2 …"
    )
    category: Category
    severity: Severity
    explanation: str = Field(description="one sentence to the author: what is wrong, and why")
    suggestion: str | None = Field(
        default=None,
        description="what to put in the place of the text; null if the author must decide",
    )


class Findings(BaseModel):
    """What a copy editor would mark."""

    issues: list[Finding]


def misplaced(findings: Findings, lines: Lines) -> Iterator[str]:
    """Say of each finding that is not where it says what stands there."""
    for found in findings.issues:
        if not 1 <= found.line <= len(lines):
            yield f"There is no line {found.line}; the lines are 1 to {len(lines)}."
        elif lines.find(found.line, found.text, found.occurrence) is None:
            yield f"{found.text!r} is not on line {found.line}: {lines.line(found.line)!r}."


def placed(findings: Findings, lines: Lines) -> list[Issue]:
    """Return the issues in reading order, each once; what is misplaced is left out."""
    starts = ((lines.find(f.line, f.text, f.occurrence), f) for f in findings.issues)
    issues = {_spanning(lines, start, f): None for start, f in starts if start is not None}
    return sorted(issues, key=lambda i: (i.line, i.column, i.end_line, i.end_column))


def moved(issues: Iterable[Issue], part: Section, whole: Lines) -> Iterator[Issue]:
    """Yield issues of a section as issues of the whole document."""
    lines = Lines(part.text)
    for issue in issues:
        start = part.offset + lines.offset(Position(issue.line, issue.column))
        yield _spanning(whole, start, issue)


def _spanning(lines: Lines, start: int, found: Finding | Issue) -> Issue:
    begin, end = lines.position(start), lines.position(start + len(found.text))
    return Issue(
        line=begin.line,
        column=begin.column,
        end_line=end.line,
        end_column=end.column,
        category=found.category,
        severity=found.severity,
        text=found.text,
        explanation=found.explanation,
        suggestion=found.suggestion,
    )
