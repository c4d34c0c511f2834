"""Reports of a book's review as Markdown; whatever the book says cannot break them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import get_args

from ..deps.issues import Category, Changes, Issue, Known, Severity
from .markdown import code, escaped

__all__ = ("chapter_page", "file_names", "index_page")

CATEGORIES: tuple[Category, ...] = get_args(Category)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


def file_names(chapters: Iterable[str]) -> dict[str, str]:
    """Return for each chapter a file name that is safe, telling and its own."""
    names: dict[str, str] = {}
    for chapter in chapters:
        stem = PurePosixPath(chapter.replace("\\", "/")).stem
        safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)[:80] or "chapter"
        name, n = f"{safe}.md", 1
        while name.casefold() in {"index.md", *(taken.casefold() for taken in names.values())}:
            n += 1
            name = f"{safe}-{n}.md"
        names[chapter] = name
    return names


def chapter_page(chapter: str, issues: Sequence[Issue], fresh: set[Issue]) -> str:
    """Return the report of one chapter; `fresh` are the issues that are new in this run."""
    rows = [_row(issue, issue in fresh) for issue in issues]
    table = ["| Where | Kind | Text | Instead | Why |", "|---|---|---|---|---|", *rows]
    body = table if rows else ["No issues."]
    return "\n".join([f"# {escaped(chapter)}", "", *body, ""])


def _row(issue: Issue, fresh: bool) -> str:
    where = f"{issue.line}:{issue.column}–{issue.end_line}:{issue.end_column}"
    kind = f"{issue.category}, {issue.severity}{', new' if fresh else ''}"
    instead = "" if issue.suggestion is None else code(issue.suggestion)
    return f"| {where} | {kind} | {code(issue.text)} | {instead} | {escaped(issue.explanation)} |"


def index_page(
    book: str,
    model: str,
    reviews: Mapping[str, Sequence[Issue]],
    errors: Mapping[str, str],
    changes: Changes,
    files: Mapping[str, str],
) -> str:
    """Return the report of the whole book, with links to the chapters' own."""
    news = f"{len(changes.new)} new, {len(changes.fixed)} fixed, {len(changes.remaining)} remaining"
    lines = [
        f"# {escaped(book)}",
        "",
        f"Reviewed by: {escaped(model)}",
        "",
        news,
        "",
        *_counts(reviews),
        "",
        "## Chapters",
        "",
    ]
    lines += [
        f"- [{escaped(name)}]({files[name]}): {len(issues)} issues"
        for name, issues in reviews.items()
    ]
    lines += [f"- {escaped(name)}: failed: {escaped(why)}" for name, why in errors.items()]
    if changes.fixed:
        lines += ["", "## Fixed", "", *map(_fixed, changes.fixed)]
    return "\n".join([*lines, ""])


def _counts(reviews: Mapping[str, Sequence[Issue]]) -> list[str]:
    counts = Counter((i.category, i.severity) for issues in reviews.values() for i in issues)
    lines = [f"| | {' | '.join(SEVERITIES)} | all |", "|---" * (len(SEVERITIES) + 2) + "|"]
    for category in CATEGORIES:
        cells = [counts[category, severity] for severity in SEVERITIES]
        lines.append(f"| {category} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    return lines


def _fixed(known: Known) -> str:
    return f"- {escaped(known.chapter)}: {code(known.issue.text)} ({known.issue.category})"
