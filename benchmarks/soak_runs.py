"""The runs of `soak.py`, and what is left of them afterwards."""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

from assay.agents import triage
from assay.deps.errors import ProviderError
from assay.deps.history import MemoryMessages, PastMessage
from assay.deps.providers import Transport
from assay.deps.settings import Settings
from assay.deps.taxonomy import Label, Taxonomy

__all__ = ("Plan", "Runs", "most_within", "soak")

TAXONOMY = Taxonomy(labels=(Label(name="refund"), Label(name="outage")))
HISTORY = MemoryMessages([PastMessage("I want my money back", "refund")])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done, and what the layer is allowed.

    Attributes:
        runs: How many, in all.
        at_once: How many of them at once.
        requests_at_once: How many requests the provider is asked at once, at most.
        per_minute: How many requests it is asked in a minute, at most.
        within: Seconds after which a run that has not ended counts as hung.
    """

    runs: int
    at_once: int
    requests_at_once: int
    per_minute: int
    within: float


@dataclass
class Runs:
    """How runs ended, and what was left of them."""

    valid: int = 0
    typed: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])
    hung: int = 0
    tasks_left: int = 0
    files_left: int = 0
    seconds: float = 0.0


async def soak(url: str, plan: Plan, transport: Transport) -> Runs:
    """Do all runs, close the clients, and look for what is left."""
    files, began, found = open_files(), perf_counter(), Runs()
    models = Settings(
        model="m",
        base_url=url,
        max_concurrency=plan.requests_at_once,
        requests_per_minute=plan.per_minute,
        transport=transport,
    ).models()
    deps = triage.Deps(taxonomy=TAXONOMY, history=HISTORY, models=models)
    numbers = iter(range(plan.runs))

    async def work() -> None:
        for number in numbers:
            await one(number, deps, found)

    tasks = [asyncio.create_task(work()) for _ in range(plan.at_once)]
    _, hung = await asyncio.wait(tasks, timeout=plan.within)
    found.hung = len(hung)
    for task in hung:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await models.aclose()
    found.seconds = perf_counter() - began
    # The loop's own turn: transports that were closed are gone after it.
    await asyncio.sleep(0)
    found.tasks_left = len(asyncio.all_tasks()) - 1
    found.files_left = open_files() - files
    return found


async def one(number: int, deps: triage.Deps, found: Runs) -> None:
    """Do one run, every other one streamed, and note how it ended."""
    message = f"message {number}: please send my money back"
    try:
        output = await (streamed if number % 2 else triage.run)(message, deps)
    except ProviderError as e:
        found.typed[type(e).__name__] += 1
    except Exception as e:  # what is looked for: nothing else should reach a caller
        found.wrong[f"{type(e).__name__}: {e}"[:150]] += 1
    else:
        if output.reason == f"of message {number}":
            found.valid += 1
        else:
            found.wrong["the answer to another message"] += 1


async def streamed(message: str, deps: triage.Deps) -> triage.Triage:
    """Do a run, and read all of its partial answers."""
    async with triage.stream(message, deps) as answers:
        async for _ in answers:
            pass
        return await answers.output()


def open_files() -> int:
    """Return how many files and sockets this process holds open."""
    return len(os.listdir("/dev/fd"))


def most_within(seconds: float, moments: list[float]) -> int:
    """Return how many of the moments, which are in order, lie within some stretch of seconds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
