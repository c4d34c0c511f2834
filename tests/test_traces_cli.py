"""`assay traces`: lists, trees and pages, whatever a span says."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps.spans import note
from assay.evals.cli import main
from assay.evals.reports.trace import render_trace
from assay.evals.span_store import open_traces

from .browser import chromium
from .report_pages import BAD, HOSTILE
from .tracing import recorded

ESCAPES = "\x1b[2J\x1b]0;pwned\x07\u202egnp\u202c\r\u009b31m"


def assay(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Give a command; return its exit code and what it printed."""

    def give(*arguments: str) -> tuple[int, str, str]:
        code = assay(*arguments, monkeypatch=monkeypatch)
        said = capsys.readouterr()
        return code, said.out, said.err

    return give


def speaking(name: str, text: str, noting: str = "") -> Agent[None, str]:
    """Return an agent that calls its tool with a text, hears it, and says it."""

    def model(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("look", {"q": text})])
        return ModelResponse(parts=[TextPart(text)])

    agent = Agent(FunctionModel(model, model_name=f"m {text}"), name=name, instructions=text)

    async def look(q: str) -> str:
        """Look."""
        if noting:
            told = {noting: noting, "assay.guard.outcome": noting}
            note("guard", noting, told, error=OSError(noting))
        return q

    agent.tool_plain(look)
    return agent


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two traces where they are looked for, in which commands are given."""
    monkeypatch.chdir(tmp_path)
    with recorded(Path(".assay/traces.db")):
        for name in ("older", "newer"):
            await speaking(name, "hello").run("hi")
    return tmp_path


async def hostile(path: Path) -> None:
    with recorded(path):
        for text in (BAD, ESCAPES):
            # Half a character would not get through an agent.
            whole = text.encode("utf-8", "replace").decode()
            await speaking(whole, whole, noting=text).run(whole)


@pytest.mark.usefixtures("folder")
def test_traces_are_listed_newest_first(run: Any) -> None:
    code, table, _ = run("traces")
    assert code == 0
    assert table.index("newer") < table.index("older")
    assert "ok" in table
    _, printed, _ = run("traces", "--json", "--limit", "1")
    (one,) = json.loads(printed)
    assert (one["name"], one["outcome"], one["requests"], one["errors"]) == ("newer", "ok", 2, 0)
    assert one["tokens"][0] > 0
    assert one["models"] == ["m hello"]


@pytest.mark.usefixtures("folder")
def test_one_is_shown_as_a_tree_by_how_its_id_begins(run: Any) -> None:
    _, printed, _ = run("traces", "--json")
    newer, older = (one["id"] for one in json.loads(printed))
    code, tree, _ = run("traces", "show", older[:24])
    assert code == 0
    lines = [line for line in tree.splitlines() if "──" in line]
    kinds = [line.split("── ")[1].split()[0] for line in lines]
    assert kinds == ["model", "tool", "model"]
    assert "agent older" in tree
    assert "tokens" in lines[0]
    assert newer in run("traces", "show")[1]
    _, printed, _ = run("traces", "show", older, "--json")
    assert [span["kind"] for span in json.loads(printed)["spans"]] == [
        "agent",
        "model",
        "tool",
        "model",
    ]


@pytest.mark.usefixtures("folder")
def test_a_span_shows_what_is_below_it(run: Any) -> None:
    _, printed, _ = run("traces", "show", "--json")
    tool = next(span for span in json.loads(printed)["spans"] if span["kind"] == "tool")
    _, tree, _ = run("traces", "show", tool["id"])
    assert "tool look" in tree
    assert "──" not in tree
    assert "unfinished" not in tree


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "0123456789abcdef0123"), "no trace and no span begins with"),
        (("show", "not hex"), "is no id of a trace"),
        (("show", "--from", "nowhere.db"), "no traces at 'nowhere.db'"),
        (("prune", "--keep", "1", "--from", "spans.jsonl"), "no traces at"),
        (("--json", "show"), "give options after the command"),
    ],
)
def test_what_cannot_be_is_said(run: Any, arguments: tuple[str, ...], said: str) -> None:
    code, _, error = run("traces", *arguments)
    assert code == 2
    assert said in error


@pytest.mark.usefixtures("folder")
def test_traces_are_looked_for_where_the_setting_sends_them(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_TRACE", "other.db")
    assert "no traces at 'other.db'" in run("traces")[2]
    monkeypatch.setenv("ASSAY_TRACE", "console")
    assert "newer" in run("traces")[1]


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_no_database_is_said(run: Any) -> None:
    Path("spans.db").write_text("no database " * 100, encoding="utf-8")
    code, _, error = run("traces", "--from", "spans.db")
    assert code == 2
    assert "trace file 'spans.db' cannot be used" in error


@pytest.mark.usefixtures("folder")
def test_all_but_the_newest_are_deleted_and_their_words_are_gone(run: Any) -> None:
    path = Path(".assay/traces.db")
    assert b"older" in path.read_bytes()
    assert run("traces", "prune", "--keep", "1")[1] == "deleted 1 traces\n"
    assert [trace.summary.name for trace in open_traces(path).newest(9)] == ["newer"]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"older" not in path.read_bytes()


async def test_nothing_that_a_span_says_reaches_the_terminal_as_a_command(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "spans.db"
    await hostile(path)
    shown = run("traces", "--from", str(path))[1]
    for trace in open_traces(path).newest(9):
        shown += run("traces", "show", trace.id, "--from", str(path))[1]
    assert "\\u001b[2J" in shown
    assert not {*"\x1b\x07\u202e\u009b\r"} & {*shown}


async def test_a_page_holds_no_markup_of_a_span(run: Any, tmp_path: Path) -> None:
    path, page = tmp_path / "spans.db", tmp_path / "trace.html"
    await hostile(path)
    for trace in open_traces(path).newest(9):
        code, out, _ = run("traces", "show", trace.id, "--from", str(path), "--html", str(page))
        assert (code, out) == (0, "")
        html = page.read_text(encoding="utf-8")
        assert html.count("<script") == html.count("</script>") == 2
        assert "<img" not in html
        assert "<svg" not in html
        assert "default-src &#39;none&#39;" in html
        assert "src=" not in html.replace("img src=", "")


@pytest.mark.slow
async def test_a_browser_draws_the_timeline_and_runs_nothing_of_it(tmp_path: Path) -> None:
    await hostile(tmp_path / "spans.db")
    older = open_traces(tmp_path / "spans.db").newest(2)[1]
    page = tmp_path / "trace.html"
    html = render_trace(open_traces(tmp_path / "spans.db").find(older.id))
    page.write_text(html, encoding="utf-8")
    with chromium(tmp_path / "profile") as tab:
        tab.go(page.as_uri())
        assert tab.js("typeof window.pwned") == "undefined"
        assert tab.js("document.querySelectorAll('li.span-of').length") == 5
        assert tab.js("document.querySelectorAll('li.agent li.model').length") >= 2
        assert tab.js("document.querySelectorAll('svg.lane rect.tool').length") == 1
        tab.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert HOSTILE[0] in tab.text
        for dark in (False, True):
            tab.look(tmp_path / f"{dark}.png", 390, 844, dark=dark)
            assert tab.js("document.documentElement.scrollWidth") <= 390
        light, night = ((tmp_path / f"{dark}.png").read_bytes() for dark in (False, True))
        assert light != night
