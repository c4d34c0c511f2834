"""Traces: one tree from the run to the model call, and nothing sent without a token."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CASES = "cases:\n- {name: only, inputs: '', expected_output: {label: null}}\n"

# In processes of their own: Logfire is configured for good, and sockets are made to fail. They are
# forks of one that has imported what takes most of the time.
SCRIPT = """
import os, socket, sys
from dataclasses import replace
from pathlib import Path

def refuse(*arguments, **more):
    print("CONNECT", arguments, file=sys.stderr)
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from assay.evals.suites import triage
triage.suite = replace(triage.suite, path=Path("cases.yaml"))
from assay.agents.baselines import triage as _
import pydantic_evals, scipy.stats
from assay.evals import cli, engine, experiment
from assay.evals.cli import eval

for target in ("logfire", "console", "spans.jsonl"):
    if not os.fork():
        os.chdir(target.partition(".")[0])
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["assay", "eval", "triage", "--json", "x.json", "--trace", target]
        cli.main()
    assert os.wait()[1] == 0, target
"""


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate with each target of traces, in a folder of its name."""
    folder = tmp_path_factory.mktemp("traced")
    for target in ("logfire", "console", "spans"):
        (folder / target).mkdir()
        (folder / target / "cases.yaml").write_text(CASES, encoding="utf-8")
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("LOGFIRE_", "OTEL_", "ASSAY_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=kept | {"HOME": str(folder), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def said(folder: Path) -> str:
    """Return what was written to standard output and standard error."""
    return (folder / "said.txt").read_text(encoding="utf-8")


def test_run_case_and_model_call_nest_in_one_trace(traced: Path) -> None:
    folder = traced / "spans"
    assert "CONNECT" not in said(folder)
    lines = (folder / "spans.jsonl").read_text(encoding="utf-8").splitlines()
    spans: dict[str, Any] = {span["context"]["span_id"]: span for span in map(json.loads, lines)}
    model = next(s for s in spans.values() if "baseline:triage" in s["name"])
    names: list[str] = []
    span: dict[str, Any] | None = model
    while span is not None:
        names.append(span["name"])
        span = spans.get(span["parent_id"] or "")
    assert names[0].startswith("chat")
    assert "case only" in names[1:-1]
    assert names[-1].startswith("eval")
    assert len({span["context"]["trace_id"] for span in spans.values()}) == 1
    (report,) = json.loads((folder / "x.json").read_text(encoding="utf-8"))["suites"]
    trace_id = model["context"]["trace_id"].removeprefix("0x")
    assert report["results"][0]["trace_id"] == trace_id


@pytest.mark.parametrize("target", ["logfire", "console"])
def test_nothing_leaves_the_machine_without_a_token(target: str, traced: Path) -> None:
    text = said(traced / target)
    assert "CONNECT" not in text
    assert ("case only" in text) == (target == "console")
