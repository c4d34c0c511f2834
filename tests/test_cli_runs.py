"""Runs from the command line: kept, listed, resumed, compared, accepted and gated."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from assay.evals import Suite, plain
from assay.evals.cli import main

CASES = "cases:\n" + "".join(
    f"- {{name: c{i}, inputs: '{i}', expected_output: '{i}'}}\n" for i in range(60)
)
wrong: set[str] = set()


async def echo(text: str) -> str:
    return "?" if text in wrong else text


@pytest.fixture(autouse=True)
def echo_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `echo` be the only agent, in an empty folder."""
    wrong.clear()
    (tmp_path / "cases.yaml").write_text(CASES + "evaluators: [EqualsExpected]\n")
    suite: Suite[str, str] = Suite(
        name="echo",
        about="echo",
        task=plain(echo),
        path=tmp_path / "cases.yaml",
        types=(str, str),
        thresholds={"EqualsExpected": 0.1},
    )

    def load(name: str) -> Suite[str, str]:
        return suite

    for command in ("eval", "runs", "report"):
        module = import_module(f"assay.evals.cli.{command}")  # the command has the same name
        monkeypatch.setattr(module, "load", load)
    monkeypatch.setattr(import_module("assay.evals.cli.eval"), "NAMES", ("echo",))
    monkeypatch.chdir(tmp_path)


def assay(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_run_is_kept_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assay(monkeypatch, "eval") == 0
    assert "assay show" in capsys.readouterr().out
    assert assay(monkeypatch, "runs", "--json") == 0
    (one,) = printed(capsys)
    assert (one["finished"], one["run"]["status"]) == (60, "done")
    assert assay(monkeypatch, "show", "--json") == 0
    assert printed(capsys)["reports"][0]["checks"][0]["mean"] == 1
    assert assay(monkeypatch, "show", "nonsense") == 2
    assert assay(monkeypatch, "prune", "--keep", "0") == 0
    assert "deleted 1 runs" in capsys.readouterr().out


def test_resuming_a_finished_run_asks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assay(monkeypatch, "eval")
    wrong.update(map(str, range(60)))
    capsys.readouterr()
    assert assay(monkeypatch, "eval", "--resume", "latest", "--json", "-") == 0
    assert printed(capsys)[0]["checks"][0]["mean"] == 1
    assert assay(monkeypatch, "eval", "--resume", "latest", "--model", "test") == 2
    assert "was begun with 'baseline, not an LLM'" in capsys.readouterr().err


def test_a_regression_is_seen_by_diff_and_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assay(monkeypatch, "eval", "--gate") == 2  # nothing accepted yet
    assert "assay accept" in capsys.readouterr().err
    assay(monkeypatch, "eval")
    assert assay(monkeypatch, "accept", "echo") == 0
    assert assay(monkeypatch, "eval", "--gate") == 0
    wrong.update(map(str, range(25)))
    assert assay(monkeypatch, "eval", "--gate") == 1
    assert "gate: FAIL" in capsys.readouterr().out
    assay(monkeypatch, "runs", "--json")
    first = printed(capsys)[1]["run"]["id"]
    assert assay(monkeypatch, "diff", first, "--json") == 0
    (found,) = printed(capsys)["suites"]["echo"]
    assert (found["verdict"], found["n_cases"]) == ("regressed", 60)


def test_a_run_becomes_a_page_and_a_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assay(monkeypatch, "eval")
    wrong.update(map(str, range(25)))
    assay(monkeypatch, "eval")
    capsys.readouterr()
    assay(monkeypatch, "runs", "--json")
    first = printed(capsys)[1]["run"]["id"]
    for name, part in (("r.html", "regressed"), ("r.md", "regressed"), ("r.xml", "<testsuite")):
        assert assay(monkeypatch, "report", "--against", first, "-o", name) == 0
        assert part in (tmp_path / name).read_text()
    assert assay(monkeypatch, "report", "-o", "r.pdf") == 2
    assert "should end in .html" in capsys.readouterr().err
