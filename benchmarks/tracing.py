"""What a trace costs a run: CPU around a model that answers at once, by where spans go.

Run it with `python benchmarks/tracing.py [--rounds N] [--runs N]`. A run is two requests, one tool
and a text. All ways take turns in one process and one event loop, so that a busy machine is slow
for all alike, and writing to the file is part of each turn. Figures are medians of the rounds;
the ratio is the median of each round's ratio to bare Pydantic AI without tracing.

`this layer` is an agent whose model comes in through deps, with the loop guard; spans pass through
Logfire's pipeline and the scrubbing of keys, as after `deps.traces.configure`.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import logfire
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from rich.console import Console
from rich.table import Table

from assay.deps import BaseDeps, Models, by_name
from assay.deps.loop_guard import LoopGuard
from assay.deps.traces import Scrubbing, sink_of
from assay.deps.traces.files import Batches

PAGE = "The customer writes that the parcel came late and one of the three items was broken. " * 12
KEY = SecretStr("configured-key-of-this-benchmark")


def model(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Call the tool, then answer."""
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart("look", {"order": "7731"})])
    return ModelResponse(parts=[TextPart("The parcel is on its way, and the refund was paid.")])


async def look(order: str) -> str:
    """Look an order up."""
    return f"{order}: {PAGE}"


def bare() -> Callable[[], Awaitable[Any]]:
    """Return a run of Pydantic AI alone."""
    agent = Agent(FunctionModel(model), name="bare", instructions="Be brief.")
    agent.tool_plain(look)
    return lambda: agent.run(PAGE)


class Named(Models):
    """Models of which every name is the scripted one."""

    def resolve(self, name: str, *_: object, **__: object) -> FunctionModel:
        return FunctionModel(model)


def layered() -> Callable[[], Awaitable[Any]]:
    """Return a run of an agent of this library's kind."""
    agent = Agent(
        "default",
        name="layered",
        deps_type=BaseDeps,
        instructions="Be brief.",
        capabilities=[by_name(), LoopGuard()],
    )
    agent.tool_plain(look)
    deps = BaseDeps(models=Named())
    return lambda: agent.run(PAGE, deps=deps)


@dataclass
class Way:
    """A way to run, and what its turns took."""

    name: str
    run: Callable[[], Awaitable[Any]]
    settings: InstrumentationSettings | None = None
    flush: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list[float])

    async def turn(self, runs: int) -> None:
        """Run so often, and write what was recorded."""
        Agent.instrument_all(self.settings or False)
        began = process_time()
        for _ in range(runs):
            await self.run()
        self.flush()
        self.seconds.append((process_time() - began) / runs)


def traced(name: str, processor: SpanProcessor, *, content: bool) -> Way:
    """Return a way whose spans go to a processor."""
    instance = logfire.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        additional_span_processors=[Scrubbing([KEY], content=content), processor],
    )
    settings = InstrumentationSettings(
        tracer_provider=instance.config.get_tracer_provider(),
        include_content=content,
        include_binary_content=False,
    )
    said = "with content" if content else "without"
    return Way(f"{name}, {said}", layered(), settings, processor.force_flush)


class Memory(SimpleSpanProcessor):
    """Spans in memory, forgotten after each turn."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        super().__init__(self.exporter)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.exporter.clear()
        return True


def ways(folder: Path) -> list[Way]:
    """Return all ways, bare Pydantic AI first."""
    found = [Way("Pydantic AI alone, off", bare()), Way("this layer, off", layered())]
    for content in (False, True):
        found.append(traced("in memory", Memory(), content=content))
        for name, file in (("SQLite", f"{content}.db"), ("JSON lines", f"{content}.jsonl")):
            sink = sink_of(folder / file)
            assert sink is not None
            found.append(traced(name, Batches(sink), content=content))
    return found


async def measure(among: list[Way], rounds: int, runs: int) -> None:
    """Let all have their turns, from the first to the last and back; the first round warms up."""
    for number in range(rounds + 1):
        for way in among[:: -1 if number % 2 else 1]:
            await way.turn(runs)
    for way in among:
        del way.seconds[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each way")
    parser.add_argument("--runs", type=int, default=40, help="runs of a turn")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        among = ways(Path(name))
        asyncio.run(measure(among, given.rounds, given.runs))
    first, off = among[0], among[1]
    table = Table(title=f"two requests, one tool; medians of {given.rounds} rounds of {given.runs}")
    table.add_column("")
    for heading in ("CPU ms a run", "more than off", "to Pydantic AI alone, off"):
        table.add_column(heading, justify="right")
    for way in among:
        pairs = zip(way.seconds, off.seconds, strict=True)
        more = median(mine - other for mine, other in pairs)
        ratio = median(a / b for a, b in zip(way.seconds, first.seconds, strict=True))
        cpu = median(way.seconds)
        table.add_row(way.name, f"{1e3 * cpu:.2f}", f"{1e3 * more:+.2f}", f"{ratio:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
