"""`assay score`: other harnesses' results, read strictly and scored honestly."""

import csv
import gzip
import json
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from assay.deps.errors import BadDataset, ConfigError
from assay.evals.checks import Check, MaxRequests, MaxSeconds, verdict
from assay.evals.cli.score import score_file
from assay.evals.score import Columns, read_trials, score, score_outputs
from assay.evals.suite import Suite, Trial

TAUBENCH = Path(__file__).parents[2] / "shared" / "data" / "taubench_gpt4o_airline" / "rewards.csv"

ROWS = [("a", 0, "pass"), ("a", 1, "FAIL"), ("b", 0, "1.0"), ("b", 1, "true"), ("c", 0, "")]

COLUMNS = Columns(case="case", trial="trial", value="value")


def write(path: Path, rows: Any = ROWS, header: str = "case,trial,value") -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def options(**changes: Any) -> dict[str, Any]:
    names = ("trial", "value", "group", "output", "suite", "json")
    return {"case": "case", **dict.fromkeys(names), **changes}


def test_csv_jsonl_and_gzip_say_the_same(tmp_path: Path) -> None:
    plain = write(tmp_path / "r.csv")
    lines = [
        {"case": "a", "trial": 0, "value": True},
        {"case": "a", "trial": 1, "value": False},
        {"case": "b", "trial": 0, "value": 1},
        {"case": "b", "trial": 1, "value": "passed"},
        {"case": "c", "trial": 0, "value": None},
    ]
    text = "\n\n".join(map(json.dumps, lines))
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    marked = tmp_path / "marked.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    found = [read_trials(path, COLUMNS) for path in sorted(tmp_path.iterdir())]
    assert len(found) == 5
    assert all(trials == found[0] for trials in found)
    assert found[0].values == ((1, 0), (1, 1))
    assert (found[0].unscored, found[0].unscored_cases) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "r.csv",
            "case,value\na,1\n",
            "line 2, column 'trial': there is no such column; there are",
        ),
        ("r.csv", "case,trial,value\na,0,good\n", "line 2, column 'value': 'good' is no number"),
        (
            "r.csv",
            "case,trial,value\na,0,1\na,0,1\n",
            "column 'trial': case 'a' has trial '0' on line",
        ),
        ("r.csv", "case,trial,value\na,0\n", "line 2: the row has more or fewer cells"),
        ("r.csv", 'case,trial,value\n"a\nb",0,1\nc,0,x\n', "line 4, column 'value': 'x'"),
        ("r.csv", "case,trial,value\n,0,1\n", "line 2, column 'case': '' names nothing"),
        ("r.jsonl", '{"case": "a", "trial": 0, "value": 1}\n{', "line 2: not JSON"),
        ("r.jsonl", "[1]", "line 1: not a JSON object but '[1]'"),
        ("r.jsonl", '{"case": "a", "trial": 0, "value": [1]}', "column 'value': [1] is no number"),
        ("r.jsonl", '{"case": ["a"], "trial": 0, "value": 1}', "['a'] names nothing"),
        ("r.txt", "case", "call it .csv or .jsonl"),
        ("r.csv.gz", "case", "cannot read"),
        ("r.parquet/r.csv", None, "cannot read"),
    ],
)
def test_errors_name_line_and_column(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadDataset) as caught:
        read_trials(path, COLUMNS)
    assert message in str(caught.value)


def test_a_case_in_two_groups_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", [("a", "x", 1), ("a", "y", 1)], "case,user,value")
    with pytest.raises(BadDataset, match="column 'user': case 'a' is in groups 'x' and 'y'"):
        read_trials(path, Columns(case="case", value="value", group="user"))


def test_the_json_holds_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"c{i}", t, int(i % 3 > 0 or t == 0)) for i in range(6) for t in range(3 - i % 2)]
    path = write(tmp_path / "r.csv", rows)
    score_file(path, **options(trial="trial", value="value", json=tmp_path / "out.json"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["n_cases"], found["n_trials"]) == (6, 15)
    assert found["mean"] == pytest.approx((4 + 1 / 3 + 1 / 2) / 6)
    assert found["ci"][0] < found["mean"] < found["ci"][1]
    assert found["pass_hat_k"] == pytest.approx({"1": found["mean"], "2": 4 / 6})
    assert found["pass_at_k"] == pytest.approx({"1": found["mean"], "2": (4 + 2 / 3 + 1) / 6})
    shown = capsys.readouterr().out
    assert "pass^2" in shown
    assert "2 flaky cases: c3 (0.50), c0 (0.33)" in shown
    assert "cases have 2 to 3 trials; each case weighs the same, and k ends at 2" in shown


def test_scores_and_rewards_beyond_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "r.csv", [("a", 0, 0.5), ("b", 0, 7), ("c", 0, "nan")])
    score_file(path, **options(value="value", json=Path("-")))
    printed = capsys.readouterr()
    found = json.loads(printed.out)  # the table is on stderr, or this were no JSON
    assert (found["mean"], found["pass_at_k"], found["flaky"]) == (3.75, {}, [])
    assert found["unscored"] == 1
    assert "values lie outside 0 to 1" in printed.err


def test_nothing_scored_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score_file(write(tmp_path / "r.csv", []), **options(value="value", json=tmp_path / "o.json"))
    assert json.loads((tmp_path / "o.json").read_text())["mean"] is None
    assert "no interval: nothing was scored" in capsys.readouterr().out


def test_groups_widen_the_interval(tmp_path: Path) -> None:
    rows = [(f"c{i}", i // 4, int(i // 4 % 2)) for i in range(24)]
    path = write(tmp_path / "r.csv", rows, "case,user,value")
    alone = score(read_trials(path, Columns(case="case", value="value"))).mean.ci
    grouped = score(read_trials(path, Columns(case="case", value="value", group="user"))).mean
    assert alone is not None
    assert grouped.ci is not None
    assert grouped.n_clusters == 6
    assert grouped.ci[0] < alone[0] < alone[1] < grouped.ci[1]


class Answer(BaseModel):
    text: str


@dataclass
class Equals(Check):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        return verdict(ctx.output.text == ctx.expected_output, "another")


async def task(inputs: str, trial: Trial) -> Answer:
    raise AssertionError("nothing is run anew")


@pytest.fixture
def suite(tmp_path: Path) -> Suite[str, Answer]:
    cases = [{"name": n, "inputs": "?", "expected_output": n} for n in ("one", "two")]
    path = tmp_path / "cases.yaml"
    path.write_text(json.dumps({"name": "t", "cases": cases}), encoding="utf-8")
    checks = (Equals(), MaxSeconds(1), MaxRequests(1))
    return Suite(name="t", about="t", task=task, path=path, types=(str, str), checks=checks)


async def test_recorded_outputs_are_checked(tmp_path: Path, suite: Suite[str, Answer]) -> None:
    rows = [
        {"case": "one", "out": {"text": "one"}, "user": "x"},
        {"case": "one", "out": '{"text": "other"}', "user": "x"},
        {"case": "two", "out": '{"text": "two"}', "user": "y"},
        {"case": "two", "out": "no JSON", "user": "y"},
        {"case": "two", "out": None, "user": "y"},
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = await score_outputs(path, Columns(case="case", value="out", group="user"), suite)
    assert list(found) == ["equals"]  # of time and requests nothing was recorded
    assert found["equals"].mean.mean == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found["equals"].mean.n_trials == 5


async def test_outputs_that_are_no_answers_are_all_0(
    tmp_path: Path, suite: Suite[str, Answer]
) -> None:
    path = write(tmp_path / "r.csv", [("one", 0, "?"), ("two", 0, "?")])
    found = await score_outputs(path, COLUMNS, suite)
    assert {name: s.mean.mean for name, s in found.items()} == {"completed": 0}


async def test_an_unknown_case_is_named(tmp_path: Path, suite: Suite[str, Answer]) -> None:
    path = write(tmp_path / "r.csv", [("twoo", 0, "?")])
    with pytest.raises(BadDataset, match=r"line 2, column 'case': t has no case 'twoo'; did you m"):
        await score_outputs(path, COLUMNS, suite)


def test_outputs_of_one_of_our_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from assay.evals.suites import load

    case: Any = load("triage").dataset().cases[0]
    out = {
        "label": case.expected_output.label,
        "confidence": 0.9,
        "urgency": 1,
        "reason": "it says",
    }
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"case": case.name, "out": json.dumps(out)}), encoding="utf-8")
    score_file(path, **options(output="out", suite="triage", json=tmp_path / "o.json"))
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["suite"] == "triage"
    assert found["checks"]["label_equals"]["mean"] == 1
    assert "label_equals: 1 cases, 1 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", [{}, {"output": "o"}, {"suite": "s"}, {"value": "v", "output": "o", "suite": "s"}]
)
def test_options_must_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give either"):
        score_file(Path("r.csv"), **options(**wrong))


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        score_file(
            write(tmp_path / "r.csv"), **options(value="value", trial="trial", json=tmp_path)
        )


def test_taubench_is_an_exact_hand_count(capsys: pytest.CaptureFixture[str]) -> None:
    if not TAUBENCH.exists():
        pytest.skip("the recorded tau-bench rewards are not here")
    passed: dict[str, int] = {}
    with TAUBENCH.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            passed[row["task_id"]] = passed.get(row["task_id"], 0) + int(float(row["reward"]))
    columns = Columns(case="task_id", trial="trial", value="reward")
    found = score(read_trials(TAUBENCH, columns)).pass_hat_k
    for k in range(1, 5):
        exact = sum(Fraction(comb(c, k), comb(4, k)) for c in passed.values()) / len(passed)
        assert found[k].mean == pytest.approx(float(exact), abs=1e-12)
        assert found[k].ci is not None
