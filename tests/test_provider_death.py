"""A provider that dies in the middle of an eval: its cases are errors, the rest is scored."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assay.evals.cli import main
from assay.evals.suites import triage

from .loopback import Provider

pytestmark = pytest.mark.slow

CASES = "cases:\n" + "".join(
    f"- {{name: case-{n}, inputs: message {n}, expected_output: {{label: null}}}}\n"
    for n in range(5)
)
ANSWER = {"reason": "r", "label": None, "confidence": 0.5, "urgency": 1}


def test_a_provider_dies_in_mid_eval(
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cases.yaml").write_text(CASES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(triage, "suite", replace(triage.suite, path=tmp_path / "cases.yaml"))
    monkeypatch.setenv("ASSAY_BASE_URL", provider.url)
    monkeypatch.setenv("ASSAY_MODEL", "llama")
    provider.answer = lambda request: ANSWER
    provider.dies_after = 3
    command = ["assay", "eval", "triage", "--max-concurrency", "3", "--json", "x.json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code == 3
    (report,) = json.loads(Path("x.json").read_text(encoding="utf-8"))["suites"]
    results = report["results"]
    assert [r["case"] for r in results] == [f"case-{n}" for n in range(5)]
    dead = [r for r in results if r["failure"]]
    assert [r["failure"]["kind"] for r in dead] == ["provider", "provider"]
    assert all(r["outcomes"] for r in results if not r["failure"])
    label = next(c for c in report["checks"] if c["check"] == "label_equals")
    assert (label["passed"], label["errors"], label["mean"]) == (3, 2, pytest.approx(3 / 5))
    said = capsys.readouterr()
    assert "error in case-" in said.out
    assert "model: llama; 5 cases, 5 trials" in said.out
    assert "not an LLM" not in said.out + said.err
