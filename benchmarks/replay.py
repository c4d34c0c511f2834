"""How fast recorded cases replay, and what a changed instruction costs.

Run it with `python benchmarks/replay.py [CASES]`. It prints:

- model responses replayed per second: the key, the file, the response;
- whole cases replayed per second (one agent run each), and beside it the same runs with a model
  that answers at once and no replay: the share that is Pydantic AI's own loop;
- how many calls are made when one of two agents' instructions change.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.evals.replay.recordings import Recordings
from assay.evals.replay.tape import Mode, Replay

RULES = "You sort incoming messages. " * 40  # about as long as a real agent's
asked = Counter[str]()


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer at once, and count who asked."""
    asked[(info.instructions or "")[-8:]] += 1
    return ModelResponse([TextPart("an answer of some words " * 8)])


MODEL = FunctionModel(answer, model_name="stub")
sorter = Agent(name="sorter", instructions=f"{RULES}. sorter.")
writer = Agent(name="writer", instructions=f"{RULES}. writer.")


def prompt(number: int) -> str:
    """Return a message of ordinary length."""
    return f"Message {number}: " + "I left my card in a cab and need another one. " * 5


async def timed(name: str, cases: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Do `work` on every case and print its rate."""
    cpu, wall = process_time(), perf_counter()
    for number in range(cases):
        await work(number)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    print(f"{name:<42}{cases / wall:8.0f}/s   {cpu / cases * 1e3:6.2f} ms CPU each")


async def main(cases: int) -> None:
    """Record, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        place = Recordings(Path(folder))

        async def run(number: int, mode: Mode = "only", agent: Agent[None, str] = sorter) -> None:
            tape = Replay(write=place, mode=mode).tape(f"case-{number}", 0)
            await agent.run(prompt(number), model=tape(MODEL))

        async def request(number: int) -> None:
            message = ModelRequest(
                [UserPromptPart(prompt(number))], instructions=f"{RULES}. sorter."
            )
            tape = Replay(write=place).tape(f"response-{number}", 0)
            await tape(MODEL).request([message], None, ModelRequestParameters())

        for number in range(cases):
            await request(number)
            await run(number, "auto")
            await run(number, "auto", writer)
        await timed("responses replayed", cases, request)
        await timed("cases replayed, one agent run each", cases, run)
        await timed(
            "the same runs, no replay, instant model",
            cases,
            lambda number: sorter.run(prompt(number), model=MODEL),
        )
        asked.clear()
        with writer.override(instructions=f"{RULES}. WRITER."):
            for number in range(cases):
                await run(number, "auto")
                await run(number, "auto", writer)
        print(f"calls after one of two agents changed: {dict(asked)} of {2 * cases}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
