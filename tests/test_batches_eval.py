"""Evaluations in batches, and the command that runs them: killed, they go on and pay nothing twice."""

import _thread
import asyncio
import json
import multiprocessing
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assay.deps.batches import Asker, Batches
from assay.deps.models import Models
from assay.evals.batched import as_measured
from assay.evals.checks import MaxSeconds
from assay.evals.cli import batching, main
from assay.evals.engine import evaluate
from assay.evals.outcome import Outcome, TrialResult
from assay.evals.runs import begin
from assay.evals.store.database import RunStore

from .batch_server import BatchServer, Body, chat
from .batch_suite import FAST, suite
from .batching import asked, server

__all__ = ("server",)

pytestmark = pytest.mark.slow


# -- evaluations


def test_a_trials_duration_is_without_its_waiting() -> None:
    result = TrialResult(
        case="c",
        trial=0,
        model="m",
        duration=7205.0,
        outcomes=(Outcome("max_seconds", "fail", 0.0), Outcome("other", "pass", 1.0)),
    )
    found = as_measured(result, Asker("a", requests=2, waited=7200.0), (MaxSeconds(30),))
    assert (found.duration, found.model_seconds) == (5.0, None)
    assert [outcome.status for outcome in found.outcomes] == ["unscored", "pass"]
    assert "7,200 s of waiting" in found.outcomes[0].reason
    assert as_measured(result, Asker("a"), (MaxSeconds(30),)) is result


def looks_then_echoes(body: Body) -> Body:
    """Call a tool in the first turn, and answer in the second."""
    texts_ = [m["content"] for m in body["messages"] if m["role"] == "user"]
    if body["messages"][-1]["role"] == "tool":
        return chat(body, texts_[0])
    answer = chat(body, "")
    call = {"name": "look", "arguments": json.dumps({"word": texts_[0]})}
    answer["choices"][0]["message"] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": call}],
    }
    return answer


async def test_turns_come_in_waves_and_time_is_said_to_be_unmeasured(
    server: BatchServer, tmp_path: Path
) -> None:
    server.answer = looks_then_echoes
    store = RunStore(tmp_path / "runs.db")
    async with asked(tmp_path / "batches.db") as found:
        report = await evaluate(suite(12), models=found, trials=2, max_concurrency=1, store=store)
    assert [len(batch.lines) for batch in server.batches] == [24, 24]
    checks = {check.check: check for check in report.checks}
    assert checks["EqualsExpected"].mean == 1.0
    assert checks["max_seconds"].unscored == 24
    result = next(iter(report.results))
    assert result.requests == 2
    assert result.metrics["batched"] == 2
    assert result.metrics["batch_seconds"] > 0.05  # twice until it settled
    assert result.model_seconds is None
    store.close()


CRASHING = """
import asyncio, os, runpy
from pathlib import Path
from pydantic_ai import models
from assay.deps.batches import Batches, batched
from assay.deps.models import Models
from assay.evals.engine import evaluate
from assay.evals.store.database import RunStore

os.environ.update(environment)
mine = runpy.run_path(place)

async def main():
    store = RunStore(Path(folder) / "runs.db")
    async with Batches(Path(folder) / "batches.db", pace=mine["FAST"]) as batches:
        models_ = batched(Models(default="openai-chat:gpt-5"), batches)
        await evaluate(mine["suite"](8), models=models_, store=store, run=store.run("latest"))

models.ALLOW_MODEL_REQUESTS = True
asyncio.run(main())
"""


def crash(folder: Path, server: BatchServer, waves: int) -> None:
    """Evaluate in a process that is killed while its batch number `waves` is under way."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.evals.engine", "pydantic_ai.models.openai"])
    world = {
        "environment": {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "planted"},
        "folder": str(folder),
        "place": str(Path(__file__).with_name("batch_suite.py")),
    }
    process = context.Process(target=exec, args=(CRASHING, world))
    process.start()
    try:
        while len(server.batches) < waves:
            assert process.is_alive()
            process.join(0.01)
    finally:
        process.kill()
        process.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
@pytest.mark.parametrize("waves", [1, 2])
async def test_a_run_that_was_killed_goes_on_and_pays_nothing_twice(
    server: BatchServer, tmp_path: Path, waves: int
) -> None:
    store = RunStore(tmp_path / "runs.db")
    run = begin(store, [suite(8)], models=Models(default="openai-chat:gpt-5"))

    def answer(body: Body) -> Body:
        server.held = True  # the first batch ends, if it may, and the next one does not
        return looks_then_echoes(body)

    server.answer, server.held = answer, waves == 1
    await asyncio.to_thread(crash, tmp_path, server, waves)
    assert len(server.batches) == waves
    assert len(store.done(run.id, "s")) == 0
    server.held, server.answer = False, looks_then_echoes
    async with asked(tmp_path / "batches.db") as found:
        report = await evaluate(suite(8), models=found, store=store, run=run)
    assert report.totals.trials == 8
    assert next(c for c in report.checks if c.check == "EqualsExpected").mean == 1.0
    assert [len(batch.lines) for batch in server.batches] == [8, 8]
    store.close()


# -- the command line

MINE = """
import runpy
from pathlib import Path
suite = runpy.run_path({place!r})["suite"](8)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = str(Path(__file__).with_name("batch_suite.py"))
    (tmp_path / "mine.py").write_text(MINE.format(place=place), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batching, "Batches", partial(Batches, pace=FAST))
    return tmp_path


def assay(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


EVAL = ("eval", "mine.py:suite", "--batch", "--model", "openai-chat:gpt-5")


def test_the_command_line_asks_in_batches_and_says_how_they_stand(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL, "--trials", "2") == 0
    said = capsys.readouterr()
    assert "batch 2 (batch1): 16 of 16 done" in said.err
    assert [len(batch.lines) for batch in server.batches] == [16, 16]
    with closing(sqlite3.connect(folder / "batches.db")) as journal:  # all of it is in the store
        assert journal.execute("SELECT count(*) FROM request").fetchone() == (0,)


def test_an_interrupted_run_says_that_its_batches_go_on_and_collects_them(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.held = True
    looked = server.serve

    def serve(method: str, path: str, content: bytes, kind: str) -> Any:
        if method == "GET" and not interrupted:
            interrupted.append(path)
            _thread.interrupt_main()
        return looked(method, path, content, kind)

    interrupted: list[str] = []
    monkeypatch.setattr(server, "serve", serve)
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "assay eval --resume" in said
    assert "1 batches go on at their provider" in said
    server.held = False
    assert assay(monkeypatch, "eval", "--resume", "latest") == 0
    assert [len(batch.lines) for batch in server.batches] == [8, 8]


def test_recording_is_refused_and_a_budget_told_what_it_can_hold(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert assay(monkeypatch, *EVAL, "--replay", "auto") == 2
    assert "leave one of --batch and --replay away" in " ".join(capsys.readouterr().err.split())
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL, "--max-requests", "100") == 0
    assert "is looked at when the first answers are there" in " ".join(
        capsys.readouterr().err.split()
    )
    assert assay(monkeypatch, *EVAL, "--max-concurrency", "4") == 0
    assert [len(batch.lines) for batch in server.batches[2:]] == [4, 4, 4, 4]
