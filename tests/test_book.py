"""A book: chapters side by side, what is new and what is fixed, and reports that hold."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.agents import book
from assay.deps.errors import ConfigError, InputError
from assay.deps.fence import unfence
from assay.deps.issues import Issue, Known, MemoryIssues, SQLiteIssues
from assay.tools.book_report import file_names
from assay.tools.markdown import code, escaped
from assay.tools.prose import unnumbered

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def spotter(word: str, **more: Any) -> FunctionModel:
    """Return a model that reports every line with `word`, and fails where it reads "boom"."""

    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        prompt = messages[0].parts[0]
        assert isinstance(prompt, UserPromptPart)
        assert isinstance(prompt.content, str)
        text = unnumbered(unfence("document", prompt.content))
        if "boom" in text:
            raise OSError("the line is dead")
        base = {"category": "style", "severity": "low", "explanation": "because", "text": word}
        issues = [
            {"line": n, **base, **more}
            for n, line in enumerate(text.split("\n"), 1)
            if word in line
        ]
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"issues": issues})])

    return FunctionModel(reply, model_name="spotter")


def deps(store: Any = None) -> book.Deps:
    return book.Deps(issues=store or MemoryIssues(), now=lambda: NOW, book="Skerry")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryIssues() if request.param == "memory" else SQLiteIssues(tmp_path / "book.db")


async def review(chapters: Mapping[str, str], world: book.Deps) -> tuple[list[str], ...]:
    found = await book.run(chapters, world, model=spotter("utilize"))
    return tuple(
        [f"{k.chapter}:{k.issue.line}" for k in kind]
        for kind in (found.new, found.fixed, found.remaining)
    )


async def test_a_second_run_tells_new_fixed_and_remaining(store: Any) -> None:
    world = deps(store)
    one = "We utilize rope.\n\nThey utilize oil.\n"
    assert await review({"one": one}, world) == (["one:1", "one:3"], [], [])
    moved = "A new first line.\n\nAnother.\n\nThey utilize oil.\n\nAll utilize tea.\n"
    assert await review({"one": moved}, world) == (["one:7"], ["one:1"], ["one:5"])


async def test_a_chapter_left_out_or_failed_is_not_fixed(store: Any) -> None:
    world = deps(store)
    await review({"one": "We utilize rope.", "two": "They utilize oil."}, world)
    assert await review({"one": "We utilize rope."}, world) == ([], [], ["one:1"])
    failing = {"one": "We use rope.", "two": "boom"}
    assert await review(failing, world) == ([], ["one:1"], [])
    assert await review({"two": "They utilize oil."}, world) == ([], [], ["two:1"])


async def test_equal_issues_are_told_apart_and_books_are_separate(store: Any) -> None:
    world = deps(store)
    twice = "utilize\n" * 100
    new, _, _ = await review({"one": twice}, world)
    assert len(new) == 100
    other = book.Deps(issues=store, now=lambda: NOW, book="another")
    assert len((await review({"one": twice}, other))[0]) == 100
    assert len((await review({"one": twice}, world))[2]) == 100


async def test_a_failed_chapter_leaves_the_rest_with_its_error() -> None:
    found = await book.run({"a": "boom", "b": "We utilize."}, deps(), model=spotter("utilize"))
    assert found.errors == {"a": "OSError: the line is dead"}
    assert [i.text for i in found.reviews["b"].issues] == ["utilize"]


async def test_a_name_spelt_otherwise_two_chapters_on_is_found() -> None:
    chapters = {
        "one.md": "At noon Katherine rowed out. The boat and Katherine were gone by one.",
        "two.md": "Nobody spoke of it.",
        "three.md": "In spring they found Katharine on the beach.",
    }
    found = await book.run(chapters, deps())
    assert [(k.chapter, k.issue.text, k.issue.suggestion) for k in found.new] == [
        ("three.md", "Katharine", "Katherine")
    ]


async def test_files_are_chapters_named_by_file(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.md").write_text("We utilize.", encoding="utf-8")
    (tmp_path / "two.md").write_text("They utilize.", encoding="utf-8")
    paths = [tmp_path / "a" / "one.md", tmp_path / "b" / "one.md", tmp_path / "two.md"]
    found = await book.run(paths, deps(), model=spotter("utilize"))
    assert list(found.reviews) == [paths[0].as_posix(), paths[1].as_posix(), "two.md"]
    with pytest.raises(InputError, match="cannot read chapter"):
        await book.run([tmp_path / "absent.md"], deps())


async def test_two_concurrent_writers_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    known = Known(key="k", chapter="one", issue=issue("teh"))
    stores = [SQLiteIssues(path) for _ in range(8)]
    changes = await asyncio.gather(*(s.record("b", NOW, {"one": [known]}) for s in stores))
    assert sorted(len(c.new) for c in changes) == [0] * 7 + [1]
    assert sorted(len(c.remaining) for c in changes) == [0] + [1] * 7


async def test_the_file_is_versioned_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    await SQLiteIssues(path).record("b", NOW, {})
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="schema version 99"):
        await SQLiteIssues(path).record("b", NOW, {})


def issue(text: str, **more: Any) -> Issue:
    given = {"line": 1, "column": 1, "end_line": 1, "end_column": 1 + len(text), "text": text}
    kind = {"category": "mechanical", "severity": "high", "explanation": "why"}
    return Issue.model_validate({**given, **kind, **more})


async def test_reports_have_counts_links_and_changes(tmp_path: Path) -> None:
    world = deps()
    await review({"one.md": "We utilize rope.", "two.md": "Fine."}, world)
    found = await book.run(
        {"one.md": "Clean.", "two.md": "They utilize.", "x": "boom"},
        world,
        model=spotter("utilize", suggestion="use"),
    )
    index = book.write_reports(found, tmp_path / "reports")
    text = index.read_text(encoding="utf-8")
    assert "1 new, 1 fixed, 0 remaining" in text
    assert "](one.md): 0 issues" in text
    assert "](two.md): 1 issues" in text
    assert "failed: OSError&#58; the line is dead" in text
    assert "| style | 0 | 0 | 0 | 1 | 1 |" in text
    page = (tmp_path / "reports" / "two.md").read_text(encoding="utf-8")
    assert "| 1:6–1:13 | style, low, new | <code>utilize</code> | <code>use</code> |" in page
    assert "No issues." in (tmp_path / "reports" / "one.md").read_text(encoding="utf-8")


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(markdown: str) -> _Seen:
    parser = _Seen()
    parser.feed(MarkdownIt("commonmark").enable("table").render(markdown))
    return parser


@given(st.text(st.sampled_from("`|<>&*_[]()!#-+.~\\:/@$\n\t ab1'\""), min_size=1, max_size=40))
def test_hostile_text_shows_as_it_is(text: str) -> None:
    shown = seen(f"x {escaped(text)} x")
    assert shown.tags == ["p"]
    assert shown.text.split() == ["x", *text.split(), "x"]
    table = seen(f"| a | b |\n|---|---|\n| {code(text)} | end |\n")
    assert table.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "code", "td"]
    assert table.text.split()[-1] == "end"


async def test_a_hostile_chapter_cannot_break_its_report(tmp_path: Path) -> None:
    evil = "`</code><script>x()</script> | [a](javascript:1)"
    chapters = {"../../etc/<b>|`.md": f"We {evil}.", "index": evil}
    found = await book.run(chapters, deps(), model=spotter(evil, explanation=f"{evil}\n# Owned"))
    index = book.write_reports(found, tmp_path / "out")
    pages = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert pages == ["-b---.md", "index-2.md", "index.md"]
    page = seen((tmp_path / "out" / "-b---.md").read_text(encoding="utf-8"))
    assert page.tags.count("h1") == 1
    assert page.tags.count("td") == 5
    assert "script" not in page.tags
    assert "a" not in page.tags
    assert seen(index.read_text(encoding="utf-8")).tags.count("a") == 2


def test_every_chapter_gets_a_file_of_its_own() -> None:
    names = ["a/one.md", "b/one.md", "One.md", "INDEX", "", "..", "é ü.txt"]
    files = file_names(names)
    assert len({name.casefold() for name in files.values()}) == len(names)
    assert all("/" not in name and name.endswith(".md") for name in files.values())


async def test_the_report_says_who_reviewed_and_whether_a_provider_failed(tmp_path: Path) -> None:
    review = await book.run({"one": "A clean line.\n"}, book.Deps())
    assert review.model == "baseline, not an LLM"
    assert "baseline, not an LLM" in book.write_reports(review, tmp_path).read_text()

    def dead(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelAPIError("down", "connection refused")

    failed = await book.run({"one": "A line.\n"}, book.Deps(), model=FunctionModel(dead))
    assert failed.provider_failed
    assert "connection refused" in failed.errors["one"]
