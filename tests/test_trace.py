"""Traces: one tree from the run to the model call, and nothing sent without a token."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = "cases:\n- {name: only, inputs: '', expected_output: {label: null}}\n"

# In a process of its own: Logfire is configured for good, and sockets are made to fail.
SCRIPT = """
import socket, sys
from dataclasses import replace
from pathlib import Path

def refuse(*arguments, **more):
    print("CONNECT", arguments, file=sys.stderr)
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from assay.evals.suites import triage
triage.suite = replace(triage.suite, path=Path("cases.yaml"))
from assay.evals.cli import main
main()
"""


def traced(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    (folder / "cases.yaml").write_text(CASES, encoding="utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOGFIRE_", "OTEL_"))}
    command = [sys.executable, "-c", SCRIPT, "eval", "triage", "--json", "x.json"]
    return subprocess.run(
        [*command, "--trace", target],
        cwd=folder,
        env=kept | {"HOME": str(folder), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


def test_run_case_and_model_call_nest_in_one_trace(tmp_path: Path) -> None:
    done = traced(tmp_path, "spans.jsonl")
    assert "CONNECT" not in done.stderr
    lines = (tmp_path / "spans.jsonl").read_text(encoding="utf-8").splitlines()
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
    (report,) = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["suites"]
    trace_id = model["context"]["trace_id"].removeprefix("0x")
    assert report["results"][0]["trace_id"] == trace_id


@pytest.mark.parametrize("target", ["logfire", "console"])
def test_nothing_leaves_the_machine_without_a_token(target: str, tmp_path: Path) -> None:
    done = traced(tmp_path, target)
    assert "CONNECT" not in done.stderr
    assert ("case only" in done.stdout + done.stderr) == (target == "console")
