"""What the engine costs beside the task: CPU, memory and time, next to pydantic-evals.

Run it with `python benchmarks/harness.py [CASES]` (10,000 by default). Each figure is taken in a
process of its own. It prints:

- CPU per case of a task that does nothing, with every trial in the store and statistics at the end,
  beside `Dataset.evaluate` of pydantic-evals on the same cases and check, which stores nothing;
- peak memory, and how it grows when there are five times as many cases, read from a `.jsonl` file;
- wall time of 500 cases of 1 second each at a concurrency of 100, against the ideal 5 seconds.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.evals import RunStore, Suite, evaluate, plain

Task = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Cost:
    """What one way of evaluating needed: seconds of CPU and of time, and MB at the peak."""

    cpu: float
    wall: float
    peak: float


async def nothing(text: str) -> str:
    """Do nothing, as a task."""
    return text


async def second(text: str) -> str:
    """Take a second, as a task."""
    await asyncio.sleep(1)
    return text


TASKS: dict[str, Task] = {"nothing": nothing, "second": second}


def write_cases(path: Path, count: int) -> None:
    """Write a file of cases, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            text = f"message {i}: please look into it"
            case = {"name": f"case-{i}", "inputs": text, "expected_output": text}
            file.write(json.dumps(case) + "\n")


def assay(folder: Path, task: Task, concurrency: int) -> None:
    """Evaluate with this engine, into a store."""
    suite = Suite(
        name="harness",
        task=plain(task),
        path=folder / "cases.jsonl",
        types=(str, str),
        checks=(EqualsExpected(),),
    )
    store = RunStore(folder / "runs.db")
    report = asyncio.run(evaluate(suite, store=store, max_concurrency=concurrency))
    assert report.checks[0].mean == 1


def pydantic_evals(folder: Path, task: Task, concurrency: int) -> None:
    """Evaluate with pydantic-evals."""
    with (folder / "cases.jsonl").open(encoding="utf-8") as file:
        cases = [Case[str, str, None](**json.loads(line)) for line in file]
    dataset = Dataset[str, str, None](name="harness", cases=cases, evaluators=[EqualsExpected()])
    report = asyncio.run(dataset.evaluate(task, max_concurrency=concurrency, progress=False))
    averages = report.averages()
    assert averages is not None
    assert averages.assertions == 1


WAYS = {"assay": assay, "pydantic-evals": pydantic_evals}


def measure(way: str, count: int, task: str, concurrency: int) -> Cost:
    """Measure in this process; imports come before the clock starts, as in a service."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cases(folder / "cases.jsonl", count)
        cpu, wall = process_time(), perf_counter()
        WAYS[way](folder, TASKS[task], concurrency)
        cpu, wall = process_time() - cpu, perf_counter() - wall
    return Cost(cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def apart(way: str, count: int, task: str = "nothing", concurrency: int = 10) -> Cost:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", way, str(count), task, str(concurrency)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(**json.loads(done.stdout))


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["--one"]:
        way, count, task, concurrency = sys.argv[2:]
        print(json.dumps(vars(measure(way, int(count), task, int(concurrency)))))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    ours, theirs = apart("assay", count), apart("pydantic-evals", count)
    print(f"{count:,} cases of a task that does nothing")
    for name, cost in (("assay, with store and statistics", ours), ("pydantic-evals", theirs)):
        print(f"  {name}: {1e6 * cost.cpu / count:.0f} µs CPU a case, peak {cost.peak:.0f} MB")
    print(f"  ratio of CPU: {ours.cpu / theirs.cpu:.2f}")
    more = apart("assay", 5 * count)
    growth = 100 * (more.peak / ours.peak - 1)
    print(f"{5 * count:,} cases: peak {more.peak:.0f} MB, {growth:+.0f}%")
    waiting = apart("assay", 500, "second", 100)
    print(f"500 cases of 1 s at a concurrency of 100: {waiting.wall:.2f} s, ideal 5 s")


if __name__ == "__main__":
    main()
