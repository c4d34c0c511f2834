"""`assay eval` with a reference, a budget, sequential verdicts and the self-check; exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from assay.evals.cli import main
from assay.evals.store.database import RunStore

pytestmark = pytest.mark.slow

SUITE = """
from pathlib import Path
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from assay.evals import Suite, task_of
from pydantic_evals.evaluators import EqualsExpected

HERE = Path(__file__).parent

async def floor(text, trial):
    return "right" if int(text) % 3 else "wrong"

def answer(messages, info):
    text = messages[-1].parts[-1].content
    return ModelResponse([TextPart("right" if int(text) % 10 else "wrong")])

agent = Agent(FunctionModel(answer), name="mine")
suite = Suite(
    name="mine", task=task_of(agent, None), path=HERE / "cases.jsonl", types=(str, str),
    checks=(EqualsExpected(),), thresholds={"EqualsExpected": 0.5}, baseline=floor,
)
"""
NAME = "mine.py:suite"


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    (tmp_path / "mine.py").write_text(SUITE)
    rows = [{"name": f"c{i}", "inputs": str(i), "expected_output": "right"} for i in range(120)]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["assay", *arguments, "--store", "runs.db"])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


Said = pytest.CaptureFixture[str]


def test_a_models_lift_is_shown_unasked(assay: Any, capsys: Said) -> None:
    assert assay("eval", NAME) == 0
    said = capsys.readouterr()
    assert "model: function:answer:" in said.err
    assert "EqualsExpected beats the baseline by +0.233" in " ".join(said.out.split())
    assert "lift" in said.out
    assert assay("show") == 0
    assert "beats the baseline" in capsys.readouterr().out
    assert assay("report", "latest", "-o", "-") == 0
    assert "Compared with the baseline" in capsys.readouterr().out


def test_a_spent_budget_ends_with_4_and_says_what_is_open(assay: Any, capsys: Said) -> None:
    assert assay("eval", NAME, "--max-requests", "30", "--max-concurrency", "2") == 4
    said = capsys.readouterr().err
    assert "stopped: the budget of 30 requests is spent" in said
    assert re.search(r"undecided: mine, (89|90) trials not run", said)
    assert "assay eval --resume" in said
    run = RunStore("runs.db").run()
    assert (run.status, "30 requests" in run.identity["stopped"]) == ("stopped", True)
    assert assay("eval", "--resume", "latest") == 0
    assert RunStore("runs.db").run().status == "done"


def test_it_stops_when_decided_and_the_gate_follows(assay: Any, capsys: Said) -> None:
    flags = ("--until-decided", "--against", "baseline", "--gate")
    assert assay("eval", NAME, *flags, "--json", "found.json") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "were saved" in said
    assert "gate against the baseline: pass" in said
    (found,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["suites"]
    assert found["totals"]["trials"] < 120
    assert found["decisions"]["EqualsExpected"]["verdict"] in ("improved", "no worse")
    assert found["gate"] is True


def test_the_gates_false_alarms_are_measured(assay: Any, capsys: Said) -> None:
    assert assay("eval", NAME, "--aa") == 0
    assert "A/A: the gate never failed" in capsys.readouterr().out
    (report,) = [RunStore("runs.db").run()]
    assert report.trials == 2


def test_what_is_compared_with_must_be_there(assay: Any, capsys: Said) -> None:
    assert assay("eval", NAME, "--against", "nonsense") == 2
    assert "no run's id begins with 'nonsense'" in capsys.readouterr().err
    assert assay("eval", NAME, "--until-decided") == 2
    assert "assay accept" in capsys.readouterr().err
    assert assay("eval", NAME, "--max-usd", "0") == 2
    assert "a budget of 0.0 usd" in capsys.readouterr().err
