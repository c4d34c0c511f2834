"""Runs from the command line: kept, listed, resumed, compared, accepted and gated."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.evals.cli import main
from assay.evals.runs import note_stopped
from assay.evals.store.database import RunStore

pytestmark = pytest.mark.slow

SUITE = """
from pathlib import Path
from assay.evals import Suite, plain

wrong = set()

async def echo(text: str) -> str:
    return "?" if text in wrong else text

suite = Suite(
    name="echo",
    about="say it again",
    task=plain(echo),
    path=Path(__file__).with_name("cases.yaml"),
    types=(str, str),
    thresholds={"EqualsExpected": 0.1},
)
"""
NAME = "mine.py:suite"


def write_cases(folder: Path, numbers: range) -> None:
    cases = "".join(
        f"- {{name: c{i}, inputs: 'asked {i}', expected_output: 'asked {i}'}}\n" for i in numbers
    )
    text = f"cases:\n{cases}evaluators: [EqualsExpected]\n"
    (folder / "cases.yaml").write_text(text)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a suite of one's own in it, where the commands are given."""
    write_cases(tmp_path, range(60))
    (tmp_path / "mine.py").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("_assay_suite_")]:
        del sys.modules[name]


def break_first(folder: Path, count: int) -> None:
    """Let the agent fail the first cases from now on."""
    text = SUITE.replace("set()", f"{{f'asked {{i}}' for i in range({count})}}")
    (folder / "mine.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("_assay_suite_")]:
        del sys.modules[name]


def forget_the_suite(folder: Path) -> None:
    """Leave nothing but the store."""
    (folder / "mine.py").unlink()
    (folder / "cases.yaml").unlink()
    for name in [name for name in sys.modules if name.startswith("_assay_suite_")]:
        del sys.modules[name]


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def latest(folder: Path) -> str:
    return RunStore(folder / "runs.db").run().id


def test_a_run_is_shown_when_its_suite_is_gone(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    break_first(folder, 15)
    assert assay("eval", NAME) == 0
    assert "assay show" in capsys.readouterr().out
    forget_the_suite(folder)
    assert assay("runs", "--json") == 0
    (one,) = printed(capsys)
    assert (one["finished"], one["failed"], one["run"]["status"]) == (60, 15, "done")
    assert one["run"]["options"]["suites"]["echo"]["where"] == NAME
    assert assay("show", "--json") == 0
    (report,) = printed(capsys)["reports"]
    assert (report["suite"], report["checks"][0]["mean"]) == ("echo", 0.75)
    assert len(report["results"]) == report["totals"]["trials"] == 60
    assert assay("show") == 0
    shown = capsys.readouterr().out
    assert "c9 #0: EqualsExpected" in shown
    assert "c10 #0" not in shown
    assert "and 5 more; --json has them" in shown
    assert assay("show", "nonsense") == 2
    assert assay("prune", "--keep", "0") == 0
    assert "deleted 1 runs" in capsys.readouterr().out


def test_a_run_that_stopped_says_why(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assay("eval", NAME)
    store = RunStore(folder / "runs.db")
    note_stopped(store, store.run(), "2.00 USD were spent")
    capsys.readouterr()
    assert assay("show") == 0
    assert "stopped (2.00 USD were spent)" in capsys.readouterr().out
    assert assay("accept", "echo") == 0
    assert "is stopped (2.00 USD were spent): only what" in capsys.readouterr().err


def test_resuming_a_finished_run_asks_nothing(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assay("eval", NAME)
    break_first(folder, 60)
    capsys.readouterr()
    assert assay("eval", "--resume", "latest", "--json", "-") == 0
    (suite,) = printed(capsys)["suites"]
    assert suite["checks"][0]["mean"] == 1


def test_a_regression_is_seen_by_diff_and_gate(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert assay("eval", NAME, "--gate") == 2  # nothing accepted yet
    assert "assay accept" in capsys.readouterr().err
    assay("eval", NAME)
    assert assay("accept", "echo") == 0  # found where the run had it
    assert assay("accept", NAME) == 0
    assert assay("accept", "triage") == 2
    assert "has no trials of 'triage'" in capsys.readouterr().err
    assert assay("eval", NAME, "--gate") == 0
    first = latest(folder)
    break_first(folder, 25)
    assert assay("eval", NAME, "--gate") == 1
    forget_the_suite(folder)
    capsys.readouterr()
    assert assay("diff", first, "--json") == 0
    found = printed(capsys)["suites"]["echo"]
    (check,) = found["comparisons"]
    assert (check["verdict"], check["n_cases"]) == ("regressed", 60)
    assert "latency (s)" in [one["name"] for one in found["resources"]]
    (note,) = found["notes"]
    assert note.startswith("whether the agents are the same is not known")  # it asks no model


def test_other_cases_are_told_by_diff_and_report(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assay("eval", NAME)
    first = latest(folder)
    write_cases(folder, range(20, 63))
    assay("eval", NAME)
    forget_the_suite(folder)
    said = (
        "the datasets differ: compared on the 40 cases they have in common; "
        f"{first} has 20 more, {latest(folder)} has 3 more"
    )
    capsys.readouterr()
    assert assay("diff", first) == 0
    assert said in capsys.readouterr().out
    for name in ("r.html", "r.md"):
        assert assay("report", "--against", first, "-o", name) == 0
        assert said in capsys.readouterr().out
        assert said in (folder / name).read_text()


def test_a_run_becomes_a_page_and_a_summary_without_its_suite(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assay("eval", NAME)
    first = latest(folder)
    break_first(folder, 25)
    assay("eval", NAME)
    forget_the_suite(folder)
    for name, part in (("r.html", "regressed"), ("r.md", "regressed"), ("r.xml", "<testsuite")):
        assert assay("report", "--against", first, "-o", name) == 0
        assert part in (folder / name).read_text()
    assert assay("report", "-o", "r.pdf") == 2
    assert "should end in .html" in capsys.readouterr().err
    assert assay("report", "-o", "nowhere/r.md") == 2
    assert "cannot write" in capsys.readouterr().err


def test_runs_with_nothing_in_common_are_not_compared(
    assay: Any, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    store = RunStore(folder / "runs.db")
    other = store.create_run(model="m", suites=["another"]).id
    assay("eval", NAME)
    capsys.readouterr()
    assert assay("diff", other) == 0
    assert "no agent in common" in capsys.readouterr().out
    assert assay("report", "--against", other, "-o", "r.md") == 0
    assert f"run {other}" in (folder / "r.md").read_text()
