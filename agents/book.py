"""Copy-edit a whole book: every chapter at once, one list of names, and what changed since."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel
from pydantic_ai.models import Model

from ..deps.errors import ConfigError, InputError, provider_fault
from ..deps.issues import Changes, IssueStore, Known, MemoryIssues
from ..deps.models import model_name
from ..tools.book_report import chapter_page, file_names, index_page
from ..tools.known import known
from ..tools.prose import survey
from ..tools.together import together
from . import copy_editor
from .copy_editor import Review

__all__ = ("BookReview", "Deps", "read_chapters", "run", "write_reports")


@dataclass(frozen=True, kw_only=True)
class Deps(copy_editor.Deps):
    """What a copy editor needs, and where a book's issues are kept from run to run.

    Args:
        book: The book's name: under it the issues are kept.
        issues: Where they are kept.
    """

    book: str = "book"
    issues: IssueStore = field(default_factory=MemoryIssues)


class BookReview(BaseModel):
    """What became of each chapter, and of the book's issues since its last run.

    A chapter is in `reviews` or, if its review failed, in `errors` with the reason.
    `model` says in words what answered; a baseline is said not to be an LLM.
    """

    book: str
    model: str
    at: datetime
    reviews: dict[str, Review]
    errors: dict[str, str]
    provider_failed: bool = False
    new: list[Known]
    fixed: list[Known]
    remaining: list[Known]


async def run(
    chapters: Mapping[str, str] | Sequence[Path], deps: Deps, *, model: Model | str | None = None
) -> BookReview:
    """Review the chapters side by side and keep the issues found.

    A chapter that fails leaves the others alone. Requests are bounded over the whole book.

    Args:
        chapters: Name to text, in order; or the files, which are then called as `read_chapters`
            does.
        deps: The style guide, the issue store and the world.
        model: A model or its name, instead of the one `deps` stands for.

    Raises:
        InputError: a file cannot be read.
    """
    if not isinstance(chapters, Mapping):
        chapters = await asyncio.to_thread(read_chapters, chapters)
    whole = await asyncio.to_thread(survey, "\n\n".join(chapters.values()))
    slots = deps.slots or asyncio.Semaphore(deps.max_concurrency)
    part = replace(deps, survey=whole, slots=slots)
    done = await together(_review(text, part, model) for text in chapters.values())
    reviews = {name: r for name, r in zip(chapters, done, strict=True) if isinstance(r, Review)}
    errors = {name: e for name, e in zip(chapters, done, strict=True) if isinstance(e, Exception)}
    found = {name: known(name, chapters[name], r.issues) for name, r in reviews.items()}
    at = deps.now()
    changes = await deps.issues.record(deps.book, at, found)
    return BookReview(
        book=deps.book,
        model=deps.models.describe() if model is None else model_name(model),
        at=at,
        reviews=reviews,
        errors={name: f"{type(e).__name__}: {e}" for name, e in errors.items()},
        provider_failed=any(map(provider_fault, errors.values())),
        new=list(changes.new),
        fixed=list(changes.fixed),
        remaining=list(changes.remaining),
    )


async def _review(text: str, deps: Deps, model: Model | str | None) -> Review | Exception:
    try:
        return await copy_editor.run(text, deps, model=model)
    except ConfigError:
        raise  # the other chapters would fail alike: say it once
    except Exception as e:  # whatever it is, it is this chapter's, and is reported with it
        return e


def read_chapters(paths: Sequence[Path]) -> dict[str, str]:
    """Read files as UTF-8 and name them: by their file name, or by their path where two agree.

    Raises:
        InputError: a file is absent or is not UTF-8 text.
    """
    counts = Counter(path.name for path in paths)
    return {path.name if counts[path.name] == 1 else path.as_posix(): _read(path) for path in paths}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"cannot read chapter {str(path)!r}: {e}; give UTF-8 text files") from e


def write_reports(review: BookReview, folder: Path) -> Path:
    """Write one Markdown page per chapter and an `index.md`; return the index's path.

    The folder is made when absent; pages of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reviews = {name: one.issues for name, one in review.reviews.items()}
    files = file_names(reviews)
    for name, issues in reviews.items():
        fresh = {known.issue for known in review.new if known.chapter == name}
        (folder / files[name]).write_text(chapter_page(name, issues, fresh), encoding="utf-8")
    changes = Changes(tuple(review.new), tuple(review.fixed), tuple(review.remaining))
    index = folder / "index.md"
    index.write_text(
        index_page(review.book, review.model, reviews, review.errors, changes, files),
        encoding="utf-8",
    )
    return index
