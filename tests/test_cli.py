"""The command line: what it prints, where, and with which exit code."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assay.agents import triage
from assay.deps import Settings
from assay.evals.cli import main
from assay.evals.suites import triage as triage_suite

from .loopback import Provider

NOTE = "baseline, not an LLM"
SECRET = "sk-planted"
CASES = """\
name: triage
cases:
- {name: empty, inputs: "", expected_output: {label: null}}
- {name: card, inputs: "I lost my card [/b] [bold]", expected_output: {label: nonsense}}
"""


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str


Assay = Callable[..., Said]


@pytest.fixture
def assay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Assay:
    """Run a command line in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as e:
            main()
        said = capsys.readouterr()
        return Said(int(e.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def two_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cases.yaml").write_text(CASES, encoding="utf-8")
    short = replace(triage_suite.suite, path=tmp_path / "cases.yaml")
    monkeypatch.setattr(triage_suite, "suite", short)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['assay', '--help']\n"
        "from assay.evals.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'pydantic_ai', 'pydantic', 'sklearn', 'rich.table', 'yaml'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: assay" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run nobody hello", "no agent is called 'nobody'; there are triage"),
        ("eval nobody", "no agent is called 'nobody'"),
        ("run judge hello", "does not take a bare text"),
        ("run triage missing.txt", "cannot read 'missing.txt'"),
        ("run triage missing.txt gone.txt", "; cannot read 'gone.txt'"),
        ("run triage -f latin.txt", "cannot read 'latin.txt': 'utf-8' codec"),
        ("run triage -f .", "Is a directory"),
        ("run triage hi --labels half.yaml", "'half.yaml' is not a taxonomy"),
        ("run triage hi --labels latin.txt", "'latin.txt' is not a taxonomy"),
        ("run triage hi --labels no.yaml", "'no.yaml' is not a taxonomy"),
        ("run copy_editor hi --guide no.yaml", "'no.yaml' is not a style guide"),
        ("run copy_editor hi --out latin.txt/x", "cannot write to 'latin.txt/x'"),
        ("run extract hi --target nothing", "use invoice, booking, contact_change or package"),
        ("run extract hi --target nowhere:M", "No module named 'nowhere'"),
        ("run extract hi --target :M", "cannot import the target ':M'"),
        ("run extract hi --target ..up:M", "cannot import the target '..up:M'"),
        ("run extract hi --target os:path", "the target 'os:path' is no Pydantic model"),
        ("run extract hi --target os:nope", "has no attribute 'nope'"),
        ("run extract hi --target halfpy:M", "SyntaxError"),
        ("run triage hi -m gpt-77", "unknown model 'gpt-77'"),
        ("run triage hi -m groq:x", "needs a library that is not installed"),
        ("run triage hi -m openai:gpt-5", "'openai:gpt-5' has no key: Set the `OPENAI_API_KEY`"),
        ("eval triage -m openai:gpt-5", "'openai:gpt-5' has no key"),
        ("run triage hi --trace no/spans", "cannot write traces to 'no/spans'"),
        ("eval triage --json no/x.json", "cannot write 'no/x.json'"),
        ("eval triage --json .", "cannot write '.'"),
        ("eval triage --trials 0", "--trials"),
        ("eval triage --max-concurrency 0", "--max-concurrency"),
        ("run", "Missing argument"),
        ("nothing", "No such command 'nothing'"),
        ("new Summary", "'Summary' is no lower-case Python identifier"),
    ],
)
def test_misuse_is_told_in_one_message(
    line: str, message: str, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "half.yaml").write_text("labels: [")
    (tmp_path / "halfpy.py").write_text("x = (")
    said = assay(*line.split())
    assert said.code == 2
    assert said.out == ""
    assert message in said.err
    lines = said.err.casefold().splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "Traceback" not in said.err
    if not line.startswith("new"):
        assert list(tmp_path.glob("review")) == []


def test_no_text_is_told(assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    said = assay("run", "triage")
    assert said.code == 2
    assert "no text: give it as an argument" in said.err


@pytest.mark.parametrize("line", ["--debug run nobody x", "run nobody x --debug"])
def test_debug_shows_the_traceback(line: str, assay: Assay) -> None:
    said = assay(*line.split())
    assert said.code == 2
    assert said.err.startswith("Traceback")
    assert "error: no agent is called 'nobody'" in said.err
    assert "--debug shows" in assay("run", "nobody", "x").err


def test_json_is_the_output_model(assay: Assay) -> None:
    said = assay("run", "triage", "I lost my card", "--json")
    assert said.code == 0
    assert triage.Triage.model_validate_json(said.out).confidence > 0
    assert said.err.count(NOTE) == 1


def test_standard_input(assay: Assay) -> None:
    said = assay("run", "triage", "--json", stdin="\ufeffKarte verloren, größer".encode())
    assert said.code == 0
    assert triage.Triage.model_validate_json(said.out)
    said = assay("run", "triage", stdin=b"caf\xe9")
    assert said.code == 2
    assert "standard input is not UTF-8" in said.err


def test_of_several_files_the_good_ones_are_answered(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("I lost my card")
    (tmp_path / "c.txt").write_text("Where is my refund?")
    said = assay("run", "triage", "--json", "a.txt", "b[/b].txt", "c.txt")
    assert said.code == 1
    answers: dict[str, Any] = json.loads(said.out)
    assert "label" in answers["a.txt"]
    assert "label" in answers["c.txt"]
    assert answers["b[/b].txt"]["error"].startswith("cannot read 'b[/b].txt'")
    assert "error: b[/b].txt: cannot read" in said.err
    only = assay("run", "triage", "--json", "a.txt", "b.txt")
    assert (only.code, list(json.loads(only.out))) == (1, ["b.txt", "a.txt"])


def test_an_unanswerable_text_leaves_the_others_alone(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing to see")
    (tmp_path / "b.txt").write_text("Table for four on 3 March 2026 at 19:30, please. Jo Wood")
    said = assay("run", "extract", "--target", "booking", "a.txt", "b.txt", "--json")
    assert said.code == 1
    assert "error: a.txt: required fields" in said.err
    answers = json.loads(said.out)
    assert answers["a.txt"]["error"].startswith("NotFound")
    assert "error" not in answers["b.txt"]
    assert assay("run", "extract", "--target", "booking", "a.txt").code == 1


def test_a_target_in_the_current_folder(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = "from pydantic import BaseModel\nclass Contact(BaseModel):\n    email: str\n"
    (tmp_path / "cli_targets.py").write_text(text)
    said = assay("run", "extract", "--target", "cli_targets:Contact", "Write to jo@wood.example")
    sys.modules.pop("cli_targets", None)
    assert said.code == 0, said.err
    assert "jo@wood.example" in said.out


def test_a_book_is_followed_from_run_to_run(assay: Assay, tmp_path: Path) -> None:
    chapter = tmp_path / "one[b].md"
    chapter.write_text("We saw teh harbour.\n\nIt was was late.\n", encoding="utf-8")
    (tmp_path / "two.md").write_bytes(b"caf\xe9")
    first = assay("run", "copy_editor", "one[b].md", "two.md")
    assert first.code == 1
    assert "0 fixed, 0 remaining since the last run" in first.out
    assert "one[b].md" in first.out
    assert "error: two.md: cannot read" in first.err
    assert first.err.count(NOTE) == 1
    index = (tmp_path / "review" / "index.md").read_text(encoding="utf-8")
    assert "failed: cannot read" in index
    chapter.write_text("We saw the harbour.\n\nIt was was late.\n", encoding="utf-8")
    second = assay("run", "copy_editor", "one[b].md")
    assert second.code == 0
    assert "0 new, 1 fixed, 1 remaining since the last run" in second.out


def test_what_looks_like_markup_is_printed_as_it_is(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "[b]:smile:[b].txt").write_text("no booking")
    said = assay("run", "extract", "[b]:smile:[b].txt", "no[/x].txt")
    assert "[b]:smile:[b].txt" in said.out
    assert "error: no[/x].txt: cannot read" in said.err
    said = assay("run", "[bold]smile[/x]", "x")
    assert "no agent is called '[bold]smile[/x]'" in said.err
    said = assay("run", "triage", "x", "-m", "[/b]")
    assert "model: [/b]\n" in said.err
    assert "unknown model '[/b]'" in said.err


def test_a_long_word_is_no_file(assay: Assay) -> None:
    assert assay("run", "triage", "我丢了我的卡" * 25).code == 0


@pytest.mark.usefixtures("two_cases")
def test_eval_prints_tables_and_its_exit_code_is_the_verdict(assay: Assay) -> None:
    said = assay("eval", "triage")
    assert said.code == 1  # no label is called nonsense
    assert "label_equals" in said.out
    assert f"model: {NOTE}; 2 cases, 2 trials" in said.out
    assert said.err.count(NOTE) == 1


@pytest.mark.usefixtures("two_cases")
def test_eval_json_on_stdout_is_only_json(assay: Assay, tmp_path: Path) -> None:
    said = assay("eval", "triage", "--json", "-", "--trials", "2")
    (report,) = json.loads(said.out)["suites"]
    assert report["model"] == NOTE
    assert len(report["results"]) == 4
    assert "label_equals" in said.err
    to_file = assay("eval", "triage", "--json", "x.json")
    assert "label_equals" in to_file.out
    assert json.loads((tmp_path / "x.json").read_text())["suites"][0]["suite"] == "triage"


def test_dotenv_is_for_the_command_line_only(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ASSAY_MODEL=gpt-77\nOTHER=1\n")
    assert "unknown model 'gpt-77'" in assay("run", "triage", "hi").err
    assert Settings().model == "baseline"
    assert assay("run", "triage", "hi", "-m", "baseline").code == 0
    (tmp_path / ".env").write_bytes(b"ASSAY_MODEL=caf\xe9\n")
    said = assay("run", "triage", "hi")
    assert (said.code, "file .env is wrong" in said.err) == (2, True)


def test_agents_without_a_score(assay: Assay) -> None:
    said = assay("agents", "--no-score")
    assert said.code == 0
    assert "copy_editor" in said.out
    assert "not run" in said.out
    rows = json.loads(assay("agents", "--no-score", "--json").out)
    assert rows[0]["agent"] == "triage"
    assert all(row["cases"] > 0 for row in rows)


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_a_failing_provider_is_exit_3_and_no_key_is_shown(
    debug: tuple[str, ...], assay: Assay, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.dies_after = 0
    monkeypatch.setenv("ASSAY_BASE_URL", provider.url)
    monkeypatch.setenv("ASSAY_API_KEY", SECRET)
    said = assay("run", "triage", "hi", "-m", "llama", "--trace", "spans", *debug)
    assert said.code == 3
    assert provider.keys[0] == f"Bearer {SECRET}"
    assert SECRET not in said.out + said.err + Path("spans").read_text(encoding="utf-8")


def test_help_names_every_setting_and_cuts_no_command_short(
    assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = assay("--help").out
    for name in Settings.model_fields:
        assert f"ASSAY_{name.upper()}" in said.replace("\n", " "), name
    for group in ((), ("approvals",), ("judge",), ("traces",)):
        assert "...\n" not in assay(*group, "--help").out.partition("\n")[2]
