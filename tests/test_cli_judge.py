"""`assay judge`: what it prints, what it keeps, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.evals.cli import app

pytestmark = pytest.mark.slow

RUNNER = CliRunner()

SOURCES = "The bridge was built in 1931 by Ada Stone. It is 420 metres long and made of steel."
TRUE = ["The bridge was built in 1931.", "Ada Stone built the bridge.", "It is made of steel."]
FALSE = ["The bridge was built in 1953.", "Nobody swims there on Sundays.", "Trams cost 3 euros."]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{label}-{n}", "candidate": text, "sources": SOURCES, "label": label}
        for label, texts in (("pass", TRUE), ("fail", FALSE))
        for n, text in enumerate(texts * 6)
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: object, code: int = 0) -> str:
    found = RUNNER.invoke(app, [str(argument) for argument in arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == code, found.output
    return found.stdout


def as_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code))


def test_the_baseline_judge_is_calibrated_and_listed_under_its_own_name(labels: Path) -> None:
    printed = run(
        "judge", "calibrate", "--judge", "baseline", "--labels", labels, "--family", "facts"
    )
    assert "facts@baseline judge#" in printed
    assert "sensitivity" in printed
    assert "judge (rows) and" in printed
    assert "gates: yes" in printed
    (kept,) = as_json("judge", "list")
    assert kept["judge"].startswith("facts@baseline judge#")
    assert kept["agreement"]["accuracy"]["value"] == 1


def test_recorded_verdicts_are_compared_without_a_model(labels: Path, tmp_path: Path) -> None:
    ids = [json.loads(line)["id"] for line in labels.read_text(encoding="utf-8").splitlines()]
    verdicts = tmp_path / "verdicts.jsonl"
    rows = [{"id": id, "verdict": "pass" if n else None, "reason": "r"} for n, id in enumerate(ids)]
    verdicts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = as_json(
        "judge", "calibrate", "--judge", "openai:gpt-5", "--labels", labels, "--verdicts", verdicts
    )
    assert found["calibration"]["judge"].startswith("rubric@openai:gpt-5#")
    assert found["calibration"]["agreement"]["unscored"] == 1
    assert found["gates"] is False
    assert len(found["worst"]) == len(FALSE) * 6


def test_biases_are_told_with_their_limits(labels: Path) -> None:
    found = as_json("judge", "bias", "--judge", "baseline", "--labels", labels, "--limit", "0.3")
    names = [one["name"] for one in found["biases"]]
    assert names == [
        "order",
        "same twice",
        "padding",
        "confidence",
        "markdown",
        "authority",
        "planted",
    ]
    assert found["broken"] == []
    printed = run("judge", "bias", "--judge", "baseline", "--labels", labels)
    assert "the items are" in printed


def test_a_limit_that_is_broken_beyond_doubt_ends_with_exit_code_1(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.evals.judges import bias

    def righted(text: str) -> str:
        return TRUE[0]

    monkeypatch.setattr(bias, "CHANGES", {**bias.CHANGES, "planted": righted})
    found = as_json(
        "judge", "bias", "--judge", "baseline", "--labels", labels, "--limit", "planted=0.2", code=1
    )
    assert found["broken"] == ["planted"]


@pytest.mark.parametrize(
    ("limit", "message"), [("a lot", "is no number"), ("colour=0.1", "there is no 'colour'")]
)
def test_a_limit_that_makes_no_sense_is_refused(labels: Path, limit: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        run("judge", "bias", "--judge", "baseline", "--labels", labels, "--limit", limit)


def test_nobody_calibrated_yet_is_said(tmp_path: Path) -> None:
    assert "no judge was calibrated yet" in run("judge", "list")
