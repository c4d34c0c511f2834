"""How fast recorded cases replay, what of that is ours, and what a changed instruction costs.

Run it with `python benchmarks/replay.py [CASES]`. It prints, of one process on one core:

- model responses replayed without an agent: the key, the file, the response. This is all that
  replay adds to a run;
- whole runs of a small agent (one request, structured output, no tools) and of triage, with a model
  that answers at once and with replay. The first is the floor: Pydantic AI's own loop;
- what a transcript of triage costs;
- how many calls are made when one of two agents' instructions change.

The kinds of run take turns, so that a busy machine is as slow for one as for the other.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.agents import triage
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Mode, Replay
from assay.deps.taxonomy import Taxonomy
from assay.evals.suite import DATASETS
from assay.evals.transcript import Transcript

ROUNDS = 10
RULES = "You sort incoming messages. " * 40  # about as long as a real agent's


class Sorted(BaseModel):
    """What the small agent answers."""

    label: str | None
    confidence: float


asked = Counter[str]()
sorter = Agent(name="sorter", instructions=f"{RULES}. sorter.", output_type=Sorted)
writer = Agent(name="writer", instructions=f"{RULES}. writer.", output_type=Sorted)
deps = triage.Deps(taxonomy=Taxonomy.from_file(DATASETS / "triage" / "taxonomy.yaml"))


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer at once, and count who asked."""
    asked[(info.instructions or "")[-8:]] += 1
    if not info.output_tools:
        return ModelResponse([TextPart("an answer of some words " * 8)])
    (tool,) = info.output_tools
    found = {"label": None, "confidence": 0.5, "reason": "so it says", "urgency": 2}
    return ModelResponse([ToolCallPart(tool.name, found)])


MODEL = FunctionModel(answer, model_name="stub")
Run = Callable[[int, Model], Awaitable[object]]
Step = Callable[[int], Awaitable[object]]


def prompt(number: int) -> str:
    """Return a message of ordinary length."""
    return f"Message {number}: " + "I left my card in a cab and need another one. " * 5


async def small(number: int, model: Model, agent: Agent[None, Sorted] = sorter) -> None:
    """Run the small agent."""
    await agent.run(prompt(number), model=model)


async def sort(number: int, model: Model) -> None:
    """Run triage."""
    await triage.run(prompt(number), deps, model=model)


async def transcribed(number: int, model: Model) -> None:
    """Run triage, and write down what was said."""
    transcript = Transcript()
    await triage.run(prompt(number), deps, model=transcript(model))
    if transcript.messages is None:
        raise AssertionError("nothing was said")


async def bare(number: int, model: Model) -> None:
    """Ask for a response without an agent."""
    message = ModelRequest([UserPromptPart(prompt(number))], instructions=f"{RULES}. sorter.")
    await model.request([message], None, ModelRequestParameters())


def taped(place: Path, run: Run, mode: Mode = "only") -> Step:
    """Return a step that does `run` by recordings."""
    replay = Replay(write=Recordings(place / run.__name__), mode=mode)

    async def step(number: int) -> None:
        await run(number, replay.tape(f"case-{number}", 0)(MODEL))

    return step


def live(run: Run) -> Step:
    """Return a step that does `run` with a model that answers at once."""
    return lambda number: run(number, MODEL)


async def timed(steps: dict[str, Step], cases: int) -> None:
    """Do every step on every case, taking turns, and print their rates."""
    cpu, wall = dict.fromkeys(steps, 0.0), dict.fromkeys(steps, 0.0)
    for number in range(ROUNDS):
        part = range(number * cases // ROUNDS, (number + 1) * cases // ROUNDS)
        for name, step in steps.items():
            cpu_before, before = process_time(), perf_counter()
            for case in part:
                await step(case)
            cpu[name] += process_time() - cpu_before
            wall[name] += perf_counter() - before
    for name in steps:
        each = cpu[name] / cases * 1e3
        print(f"{name:<36}{cases / wall[name]:8.0f}/s   {each:6.2f} ms CPU each")


async def changed(place: Path, cases: int) -> None:
    """Print how many calls are made after the instructions of one of two agents have changed."""
    replay = Replay(write=Recordings(place))

    async def both() -> None:
        asked.clear()
        for number in range(cases):
            tape = replay.tape(f"case-{number}", 0)
            await small(number, tape(MODEL))
            await small(number, tape(MODEL), writer)

    await both()
    with writer.override(instructions=f"{RULES}. WRITER."):
        await both()
    print(f"calls after one of two agents changed: {dict(asked)} of {2 * cases}")


async def main(cases: int) -> None:
    """Record, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for run in (bare, small, sort):
            record = taped(place, run, "auto")
            for number in range(cases):
                await record(number)
        steps = {
            "response replayed, no agent": taped(place, bare),
            "small agent, instant model": live(small),
            "small agent, replayed": taped(place, small),
            "triage, instant model": live(sort),
            "triage, replayed": taped(place, sort),
            "triage, instant model, transcript": live(transcribed),
        }
        await timed(steps, cases)
        await changed(place / "two", cases)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
