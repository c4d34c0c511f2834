"""Kill a run again and again, and count what is lost and what is paid for twice.

Run it with `python benchmarks/crashes.py [CASES]` (500 by default, 2 trials each). A server on
loopback answers like OpenAI's and counts every call. The run is killed (SIGKILL) at five random
moments and resumed each time. It prints, and fails unless:

- every trial is in the store exactly once;
- no call of a finished trial was made again (those in flight at a kill may be);
- the totals equal those of a run that nobody interrupted.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from pydantic_ai import Agent
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import Endpoint, Models
from assay.evals import RunStore, Suite, SuiteReport, evaluate, task_of
from assay.evals.runs import begin, marked, report_of

TRIALS = 2
KILLS = 5


class Counting(ThreadingHTTPServer):
    """Answers with the prompt's number, right or wrong, and counts who was asked how often."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.calls = Counter[str]()
        self.lock = Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave it: who was killed in mid-request cannot be answered."""


class Answering(BaseHTTPRequestHandler):
    """One call."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer after some milliseconds."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = str(request["messages"][-1]["content"])
        assert isinstance(self.server, Counting)
        with self.server.lock:
            self.server.calls[prompt] += 1
        time.sleep(0.01)
        number = int(prompt.split()[-1])
        said = str(number if number % 7 else -number)
        usage = {"prompt_tokens": 10, "completion_tokens": number % 5, "total_tokens": 10}
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "counting"}
        body = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Generator[Counting]:
    """Serve on loopback."""
    with Counting() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def suite_in(folder: Path) -> Suite[str, str]:
    """Return the suite whose cases are in a folder."""
    return Suite(
        name="crashes",
        task=task_of(Agent(name="counting"), None),
        path=folder / "cases.jsonl",
        types=(str, str),
        checks=(EqualsExpected(),),
    )


def models_at(url: str) -> Models:
    """Return the models of a server."""
    return Models(default="counting", endpoint=Endpoint(url))


async def go_on(folder: Path, url: str) -> None:
    """Begin the run of a folder, or go on with it."""
    store, suite, models = RunStore(folder / "runs.db"), suite_in(folder), models_at(url)
    found = store.list_runs(1)
    run = found[0].run if found else begin(store, [suite], models=models, trials=TRIALS)
    print("ready", flush=True)
    with marked(store, run):
        await evaluate(suite, models=models, trials=TRIALS, store=store, run=run)
    await models.aclose()


def stored(folder: Path) -> Counter[str]:
    """Count the trials in the store by prompt."""
    store = RunStore(folder / "runs.db")
    found = Counter(f"case {r.result.case}" for r in store.results(store.run().id))
    store.close()
    return found


def leg(folder: Path, url: str, seconds: float | None) -> bool:
    """Run until the end, or for some seconds until it is killed; tell whether it came to an end."""
    command = [sys.executable, __file__, "--go-on", str(folder), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            return False


def write_cases(folder: Path, count: int) -> None:
    """Write a file of cases."""
    rows = [
        {"name": str(i), "inputs": f"case {i}", "expected_output": str(i)} for i in range(count)
    ]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def summed(folder: Path) -> SuiteReport:
    """Return what a folder's run came to."""
    store = RunStore(folder / "runs.db")
    return report_of(store, store.run(), "crashes")


def killed(folder: Path, server: Counting, url: str, whole: float) -> tuple[int, int]:
    """Kill and resume; return the calls made, and how many were for trials already finished."""
    chance, again = random.Random(), 0
    for kill in range(KILLS + 1):
        before = stored(folder) if kill else Counter[str]()
        calls = Counter(server.calls)
        last = kill == KILLS
        ended = leg(folder, url, None if last else chance.uniform(0.02, whole / KILLS))
        made = Counter(server.calls) - calls
        again += sum(max(0, n - (TRIALS - before[prompt])) for prompt, n in made.items())
        print(f"  leg {kill + 1}: {made.total()} calls, {stored(folder).total()} trials stored")
        assert ended == last, "the run ended before it was killed; ask for more cases"
    return server.calls.total(), again


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["--go-on"]:
        asyncio.run(go_on(Path(sys.argv[2]), sys.argv[3]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name, serving() as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        whole, broken = Path(name, "whole"), Path(name, "broken")
        for folder in (whole, broken):
            folder.mkdir()
            write_cases(folder, count)
        started = time.perf_counter()
        assert leg(whole, url, None)
        seconds = time.perf_counter() - started
        print(f"{count} cases x {TRIALS} trials, uninterrupted: {server.calls.total()} calls")
        server.calls.clear()
        calls, again = killed(broken, server, url, seconds)
        trials = stored(broken)
        once = len(trials) == count and set(trials.values()) == {TRIALS}
        equal = [summed(f).checks == summed(whole).checks for f in (broken,)]
        totals = summed(broken).totals == summed(whole).totals
        print(f"killed {KILLS} times: {calls} calls, {calls - TRIALS * count} of them in flight")
        print(f"every trial stored once: {once}; calls of finished trials made again: {again}")
        print(f"same totals as uninterrupted: {all(equal) and totals}")
        assert once
        assert not again
        assert all(equal)
        assert totals


if __name__ == "__main__":
    main()
