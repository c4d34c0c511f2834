"""How good the copy editor is: issues found, alarms raised in vain, places exact."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel, Field
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext, EvaluatorOutput

from ...agents import copy_editor
from ...deps.errors import BadDataset
from ...deps.issues import Category, Issue
from ...deps.style import MemoryStyle
from ...tools.prose import Lines, Position
from ..checks import Check, MaxSeconds, verdict
from ..judges.rubric import Rubric
from ..suite import DATASETS, Suite, Trial

__all__ = (
    "Expected",
    "IssuePrecision",
    "IssueRecall",
    "SpansExact",
    "Suggestions",
    "Wanted",
    "inexact",
    "pairs",
    "suite",
)

FOLDER = DATASETS / "copy_editor"
Context = EvaluatorContext[str, Any, Any]


class Wanted(BaseModel):
    """An issue that a copy editor should find; `occurrence` counts the text on its line."""

    line: int = Field(ge=1)
    text: str = Field(min_length=1)
    occurrence: int = Field(default=1, ge=1)
    category: Category
    suggestion: str | None = None


class Expected(BaseModel):
    """What there is to find in a text; nothing in a clean one."""

    issues: list[Wanted]


def pairs(text: str, wanted: Sequence[Wanted], issues: Sequence[Issue]) -> list[tuple[int, int]]:
    """Return which wanted issue (index) is met by which reported one, each at most once.

    They meet when their places overlap or touch: editors differ in how many words they mark.
    Category and severity are not compared.
    """
    lines = Lines(text)
    spans = [_span(lines, issue) for issue in issues]
    met: list[tuple[int, int]] = []
    for i, one in enumerate(wanted):
        start = lines.find(one.line, one.text, one.occurrence)
        if start is None:
            raise BadDataset(f"{one.text!r} is not on line {one.line}: {lines.line(one.line)!r}")
        end = start + len(one.text)
        taken = {j for _, j in met}
        near = (j for j, (a, b) in enumerate(spans) if j not in taken and a <= end and start <= b)
        j = next(near, None)
        if j is not None:
            met.append((i, j))
    return met


def inexact(text: str, issues: Sequence[Issue]) -> list[Issue]:
    """Return the issues whose text is not exactly what stands at their place."""
    lines = Lines(text)
    return [issue for issue in issues if text[slice(*_span(lines, issue))] != issue.text]


def _span(lines: Lines, issue: Issue) -> tuple[int, int]:
    start = lines.offset(Position(issue.line, issue.column))
    return start, lines.offset(Position(issue.end_line, issue.end_column))


def _share(part: int, whole: int, reason: str) -> EvaluatorOutput:
    return EvaluationReason(value=part / whole, reason=reason or None) if whole else {}


def _met(ctx: Context) -> tuple[list[Wanted], list[Issue], list[tuple[int, int]]]:
    expected: Expected | None = ctx.expected_output
    wanted = expected.issues if expected else []
    review: copy_editor.Review = ctx.output
    issues = review.issues
    return wanted, issues, pairs(ctx.inputs, wanted, issues)


@dataclass
class IssuePrecision(Check):
    """The share of reported issues that are expected; 1 for a clean text left alone."""

    def evaluate(self, ctx: Context) -> EvaluatorOutput:
        wanted, issues, met = _met(ctx)
        if not issues:
            return {} if wanted else EvaluationReason(value=1.0)
        vain = [i.text for j, i in enumerate(issues) if j not in {j for _, j in met}]
        return _share(len(met), len(issues), f"not expected: {vain}" if vain else "")


@dataclass
class IssueRecall(Check):
    """The share of expected issues that are reported."""

    def evaluate(self, ctx: Context) -> EvaluatorOutput:
        wanted, _, met = _met(ctx)
        missed = [one.text for i, one in enumerate(wanted) if i not in {i for i, _ in met}]
        return _share(len(met), len(wanted), f"missed: {missed}" if missed else "")


@dataclass
class Suggestions(Check):
    """The share of issues found that suggest the expected replacement, where one is expected."""

    def evaluate(self, ctx: Context) -> EvaluatorOutput:
        wanted, issues, met = _met(ctx)
        asked = [(wanted[i], issues[j]) for i, j in met if wanted[i].suggestion is not None]
        wrong = [issue.text for one, issue in asked if not _fits(one, issue)]
        return _share(len(asked) - len(wrong), len(asked), f"wrong: {wrong}" if wrong else "")


def _fits(wanted: Wanted, issue: Issue) -> bool:
    """Tell whether a suggestion comes to the same, when one text holds the other."""
    if issue.suggestion is None or wanted.suggestion is None:
        return False
    if issue.text in wanted.text:
        return wanted.text.replace(issue.text, issue.suggestion, 1) == wanted.suggestion
    return issue.text.replace(wanted.text, wanted.suggestion, 1) == issue.suggestion


@dataclass
class SpansExact(Check):
    """Every issue's text is what stands at its place."""

    def evaluate(self, ctx: Context) -> EvaluatorOutput:
        wrong = inexact(ctx.inputs, ctx.output.issues)
        return verdict(not wrong, f"not at their place: {[issue.text for issue in wrong]}")


EDITS = Rubric(
    [
        {
            "id": "fix",
            "text": "Each suggestion, put in the place of its text, removes what its explanation "
            "names and brings in no other fault.",
        },
        {"id": "meaning", "text": "No suggestion changes what its sentence says."},
    ],
    name="edits",
)
"""The suggestions fix what they name and keep the meaning."""


@cache  # one world for all trials
def world() -> copy_editor.Deps:
    """Return deps with the dataset's own style guide."""
    return copy_editor.Deps(style=MemoryStyle.from_file(FOLDER / "style.yaml"))


async def task(text: str, trial: Trial) -> copy_editor.Review:
    """Review one text."""
    return await copy_editor.run(text, replace(world(), models=trial.models, usage=trial.usage))


suite = Suite(
    name="copy_editor",
    about="mark what a copy editor would, each issue at its exact place",
    task=task,
    baseline=task,
    path=FOLDER / "cases.yaml",
    types=(str, Expected),
    checks=(IssuePrecision(), IssueRecall(), Suggestions(), SpansExact(), MaxSeconds(60), EDITS),
    hard=("spans_exact",),
    thresholds={"issue_precision": 0.9, "issue_recall": 0.78, "suggestions": 0.9},
)
