"""`assay run copy_editor book/*.md`: a report per chapter, an index, and what changed since."""

import sys
from collections.abc import Mapping

from pydantic_core import to_json
from rich.markup import escape
from rich.table import Table

from ...agents import book
from ...deps.errors import ConfigError
from ...deps.issues import SQLiteIssues
from ...deps.models import Models
from .door import FAILED, PASS, PROVIDER, err, out, say_model, wait_for
from .runners import Options, style_guide

__all__ = ("run_book",)


def run_book(
    chapters: Mapping[str, str],
    unread: Mapping[str, str],
    models: Models,
    json: bool,
    options: Options,
) -> int:
    """Review the chapters, write the reports, and return the exit code.

    Args:
        chapters: Name to text.
        unread: Name of a file that could not be read to the reason; reported as failed.
        models: What model names mean.
        json: Print the review as JSON, not as a table.
        options: The style guide, and the folder of the reports.

    Raises:
        ConfigError: the folder cannot be written.
    """
    style = style_guide(options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"cannot write to {str(options.out)!r}: {e}") from e
    deps = book.Deps(
        models=models,
        style=style,
        issues=SQLiteIssues(options.out / "issues.db"),
    )
    say_model(models.describe())
    review = wait_for(book.run(chapters, deps), models)
    review = review.model_copy(update={"errors": {**unread, **review.errors}})
    book.write_reports(review, options.out)
    if json:
        sys.stdout.write(to_json(review, indent=2).decode() + "\n")
    else:
        out().print(_table(review))
        err().print(f"reports: {options.out / 'index.md'}", markup=False, soft_wrap=True)
    if review.provider_failed:
        return PROVIDER
    return FAILED if review.errors else PASS


def _table(review: book.BookReview) -> Table:
    table = Table(
        caption=f"{len(review.new)} new, {len(review.fixed)} fixed, "
        f"{len(review.remaining)} remaining since the last run",
        caption_justify="left",
    )
    table.add_column("chapter")
    table.add_column("issues", justify="right")
    for severity in ("critical", "high", "medium", "low"):
        table.add_column(severity, justify="right")
    for name, chapter in review.reviews.items():
        found = [issue.severity for issue in chapter.issues]
        counts = [found.count(s) for s in ("critical", "high", "medium", "low")]
        table.add_row(escape(name), str(len(found)), *map(str, counts))
    for name, error in review.errors.items():
        table.add_row(escape(f"{name}\nfailed: {error}"))
    return table
