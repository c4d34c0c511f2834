"""What every peer does alike: runs when it is told to, and says what they cost.

A line on stdin, `RUNS CONCURRENCY`, is answered by a line of JSON on stdout. The first line on
stdout tells the library's version. What is asked and what has to come out is the same for all.
"""

import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter, process_time

from pydantic import BaseModel

INSTRUCTIONS = "You tell customers where their order is. Look the order up, then answer."

MODEL = "gpt-4o"
"""A name that every library knows, so that each does what it does for it: prices, modes."""


class Status(BaseModel):
    """Where an order is."""

    order: int
    city: str
    days: int


def prompt(order: int) -> str:
    """Return what the customer asks."""
    return f"Good morning! Where is my order {order}? I had thought that it would be here by now."


async def lookup(order: int) -> str:
    """Look an order up.

    Args:
        order: Its number.
    """
    return f"order {order} has left Porto and takes 2 days"


Run = Callable[[str], Awaitable[object]]
"""One run of an agent: two requests, one tool, and an output that the library has validated."""


def take_turns(library: str, run: Run) -> None:
    """Do what stdin says until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # some libraries log to stdout
    print(json.dumps({"version": version(library)}), file=answers, flush=True)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            runs, concurrency = map(int, line.split())
            try:
                turn = runner.run(_measured(run, runs, concurrency))
            except Exception as e:
                print(json.dumps({"failed": f"{type(e).__name__}: {e}"}), file=answers, flush=True)
                raise
            print(json.dumps(turn), file=answers, flush=True)


async def _measured(run: Run, runs: int, concurrency: int) -> dict[str, float]:
    numbers = iter(range(runs))

    async def work() -> None:
        for number in numbers:
            output = await run(prompt(number))
            if output != Status(order=number, city="Porto", days=2):
                raise AssertionError(f"run {number} gave {output!r}")

    cpu, wall = process_time(), perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return {
        "cpu": process_time() - cpu,
        "wall": perf_counter() - wall,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
