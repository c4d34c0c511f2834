"""`assay run copy_editor book/*.md`: a report per chapter, an index, and what changed since."""

import sys
from collections.abc import Mapping

from pydantic_core import to_json
from rich.table import Table

from ...agents import book
from ...deps.errors import ConfigError
from ...deps.issues import SQLiteIssues
from ...deps.models import Models
from .door import FAILED, PASS, err, out, say_model, wait_for
from .runners import Options, style_guide

__all__ = ("run_book",)


def run_book(chapters: Mapping[str, str], models: Models, json: bool, options: Options) -> int:
    """Review the chapters, write the reports, and return the exit code.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"cannot write to {str(options.out)!r}: {e}") from e
    deps = book.Deps(
        models=models,
        style=style_guide(options),
        issues=SQLiteIssues(options.out / "issues.db"),
    )
    say_model(models)
    review = wait_for(book.run(chapters, deps), models)
    book.write_reports(review, options.out)
    if json:
        sys.stdout.write(to_json(review, indent=2).decode() + "\n")
    else:
        out().print(_table(review))
        err().print(f"reports: {options.out / 'index.md'}", markup=False)
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
        table.add_row(name, str(len(found)), *map(str, counts))
    for name, error in review.errors.items():
        table.add_row(name, f"failed: {error}")
    return table
