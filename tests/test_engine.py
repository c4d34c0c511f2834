"""Runs that last: kept as they go, resumed without paying twice, compared by content."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.deps import Models, ProviderError
from assay.evals import Suite, TrialResult, evaluate, plain
from assay.evals.runs import begin, marked, report_of
from assay.evals.store.database import RunStore
from assay.evals.store.rows import Run

CASES = "cases:\n" + "".join(
    f"- {{name: c{i}, inputs: '{i}', expected_output: '{i}'}}\n" for i in range(8)
)


def suite_of(folder: Path, task: Any, text: str = CASES) -> Suite[str, str]:
    path = folder / "cases.yaml"
    path.write_text(text + "evaluators: [EqualsExpected]\n")
    return Suite(name="echo", about="echo", task=plain(task), path=path, types=(str, str))


async def test_a_resumed_run_does_only_what_is_missing(tmp_path: Path) -> None:
    asked: list[str] = []

    async def echo(text: str) -> str:
        if len(asked) == 5:
            running.cancel()
            await asyncio.sleep(1)
        asked.append(text)
        return text

    store, suite = RunStore(tmp_path / "runs.db"), suite_of(tmp_path, echo)
    run = begin(store, [suite], models=Models(), trials=2)

    async def evaluation() -> None:
        with marked(store, run):
            await evaluate(suite, store=store, run=run, trials=2, max_concurrency=1)

    running = asyncio.create_task(evaluation())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert store.run(run.id).status == "interrupted"

    async def again(text: str) -> str:
        asked.append(text)
        return text

    heard: list[TrialResult] = []
    with marked(store, run):
        report = await evaluate(
            suite_of(tmp_path, again), store=store, run=run, trials=2, on_result=heard.append
        )
    assert len(asked) == 16
    assert len(heard) == 11
    assert [(r.case, r.trial) for r in report.results] == [
        (f"c{case}", trial) for case in range(8) for trial in range(2)
    ]
    assert report.checks[0].mean == 1
    assert store.run(run.id).status == "done"
    assert report_of(store, run, suite.name).checks == report.checks


async def test_what_a_provider_failed_is_run_again(tmp_path: Path) -> None:
    down = True

    async def echo(text: str) -> str:
        if down and text in "123":
            raise ProviderError("503")
        return text

    store, suite = RunStore(tmp_path / "runs.db"), suite_of(tmp_path, echo)
    run = begin(store, [suite], models=Models())
    first = await evaluate(suite, store=store, run=run)
    assert first.totals.errors == 3
    down = False
    heard: list[TrialResult] = []
    second = await evaluate(suite, store=store, run=run, on_result=heard.append)
    assert sorted(result.case for result in heard) == ["c1", "c2", "c3"]
    assert second.checks[0].mean == 1


async def test_a_changed_case_is_another_case(tmp_path: Path) -> None:
    async def echo(text: str) -> str:
        return text

    store = RunStore(tmp_path / "runs.db")
    runs: list[Run] = []
    for text in (CASES, CASES.replace("inputs: '3'", "inputs: 'x'")):
        suite = suite_of(tmp_path, echo, text)
        run = begin(store, [suite], models=Models())
        await evaluate(suite, store=store, run=run)
        runs.append(run)
    before, after = (report_of(store, run, "echo").trials()["EqualsExpected"] for run in runs)
    assert len(set(before.cases) & set(after.cases)) == 7
    datasets = [store.run(run.id).identity["datasets"]["echo"] for run in runs]
    assert datasets[0] != datasets[1]


# Imports once; what is killed are its forks.
SCRIPT = """
import asyncio, os, signal, sys, time
from pathlib import Path
sys.path.append({tests!r})
from assay.deps import Models
from assay.evals import Suite, plain
from assay.evals.store.database import RunStore
from assay.evals.engine import evaluate
from assay.evals.runs import begin

folder = Path({folder!r})

async def echo(text):
    with (folder / "asked.txt").open("a") as file:
        file.write(text + "\\n")
    await asyncio.sleep(0.002)
    return text

suite = Suite(name="echo", about="", task=plain(echo), path=folder / "cases.yaml", types=(str, str))

def evaluated(ready):
    store = RunStore(folder / "runs.db")
    found = store.list_runs(1)
    run = found[0].run if found else begin(store, [suite], models=Models(), trials=2)
    os.write(ready, b"!")
    return asyncio.run(evaluate(suite, store=store, run=run, trials=2, max_concurrency=4))

for wait in (0.05, 0.2, None):
    heard, ready = os.pipe()
    if not (pid := os.fork()):
        report = evaluated(ready)
        print(len(report.results), report.checks[0].mean, flush=True)
        os._exit(0)
    assert os.read(heard, 1) == b"!"
    if wait is not None:
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    cases = "".join(
        f"- {{name: c{i}, inputs: '{i}', expected_output: '{i}'}}\n" for i in range(100)
    )
    (tmp_path / "cases.yaml").write_text(f"cases:\n{cases}evaluators: [EqualsExpected]\n")
    code = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    killed = str(-signal.SIGKILL)
    assert done.stdout.split() == [killed, killed, "200", "1.0", "0"], done.stderr
    store = RunStore(tmp_path / "runs.db")
    run = store.run()
    pairs = [(record.result.key, record.result.trial) for record in store.results(run.id)]
    assert len(pairs) == len(set(pairs)) == 200
    asked = (tmp_path / "asked.txt").read_text().split()
    assert len(asked) <= 200 + 2 * 8  # what was in flight, and what its commit had not reached
    assert run.identity["datasets"]["echo"]
