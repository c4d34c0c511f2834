"""Thousands of runs against a provider that fails at random: does the layer keep its promises?

Run it with `python benchmarks/soak.py [--runs N] [--at-once N] [--per-minute N] [--seed N]`: 2,000
runs of triage, 200 at once, half of them streamed, once with each transport. The provider, on
loopback and in a process of its own, refuses 10% of the requests (429), fails 3% (500), cuts 1%
off, answers 1% with garbage, and counts. The promises:

- every run ends, with the validated output of its own message or with a typed `ProviderError`;
- no task, no connection and no file is left open;
- the provider is never asked more at once, or in any minute, than was allowed, by its own count.

The exit code is 1 when one is broken. It takes two or three minutes for each transport, which are
real ones. On a busy machine give a lower `--per-minute`, or the limit is not reached.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from rich.console import Console
from rich.table import Table
from soak_runs import Plan, Runs, most_within, soak

from assay.deps.providers import Transport

TRANSPORTS: tuple[Transport, ...] = ("sdk", "lean")
Promises = dict[str, tuple[str, bool]]
"""What was promised, how it came out, and whether it was kept."""


class Server:
    """The provider's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{self._line()}/v1"

    def counts(self) -> dict[str, Any]:
        """Return what it has counted, once it has seen all clients leave or 5 seconds are over."""
        until = monotonic() + 5
        while (found := self._asked())["open"] and monotonic() < until:
            sleep(0.05)
        return found

    def _asked(self) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@contextmanager
def serving(seed: int) -> Generator[Server]:
    """Run the provider until the end of the block."""
    script = Path(__file__).with_name("soak_server.py")
    command = [sys.executable, str(script), json.dumps({"seed": seed})]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.communicate()


def promises(found: Runs, counts: dict[str, Any], plan: Plan) -> Promises:
    """Compare what came of the runs with what was promised."""
    ended = found.valid + found.typed.total()
    busiest, minute = counts["busiest"], most_within(60.0, counts["arrivals"])
    limits = plan.requests_at_once, plan.per_minute
    none = {
        "runs that hung": found.hung,
        "tasks left": found.tasks_left,
        "files left open": found.files_left,
        "connections left open at the server": counts["open"],
    }
    return {
        "validated, or a typed error": (f"{ended} of {plan.runs}", ended == plan.runs),
        "anything else": (told(found.wrong), not found.wrong),
        **{name: (str(count), count == 0) for name, count in none.items()},
        f"at once, {limits[0]} at most": (str(busiest), busiest <= limits[0]),
        f"in a minute, {limits[1]} at most": (str(minute), minute <= limits[1]),
    }


def facts(found: Runs, counts: dict[str, Any]) -> Promises:
    """Return what was not promised."""
    said = {
        "validated": str(found.valid),
        "typed errors": told(found.typed),
        "requests": str(len(counts["arrivals"])),
        "of them": told(Counter(counts["fates"])),
        "seconds": f"{found.seconds:.0f}",
    }
    return {name: (what, True) for name, what in said.items()}


def told(counts: Counter[str]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def table(transport: str, rows: Promises) -> Table:
    """Return how it came out, for people."""
    found = Table("", transport, "", title="soak")
    for name, (what, kept) in rows.items():
        found.add_row(name, what, "" if kept else "BROKEN")
    return found


def main() -> None:
    """Print a table for each transport."""
    parser = argparse.ArgumentParser(description="runs against a provider that fails at random")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--requests-at-once", type=int, default=10)
    parser.add_argument("--per-minute", type=int, default=2_000)
    parser.add_argument("--within", type=float, default=900.0, help="seconds; then a run has hung")
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    seed, plan, kept = given.pop("seed"), Plan(**given), True
    console = Console(width=100)
    for transport in TRANSPORTS:
        if transport == "lean" and find_spec("aiohttp") is None:
            console.print("lean is left out: it needs pip install 'assay-agents[fast]'")
            continue
        with serving(seed) as server:
            found = asyncio.run(soak(server.url, plan, transport))
            counts = server.counts()
        rows = promises(found, counts, plan)
        kept = kept and all(each for _, each in rows.values())
        console.print(table(transport, rows | facts(found, counts)))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
