"""An agent whose refunds wait for people. As a program it pauses, or resumes, in its own process."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, ApprovalRequired, DeferredToolRequests, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps.approvals import Approvals, Approve, Paused, outcome
from assay.deps.approvals.sql import SqlApprovals
from assay.deps.idempotency import Act, Idempotency
from assay.deps.idempotency.sql import SqlActs
from assay.tools.idempotent import idempotent

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def nothing(_: str) -> None:
    pass


@dataclass
class Deps:
    """What the agent needs: `paid` is told of each act, `moment` of each moment of a run."""

    approvals: Approvals
    idempotency: Idempotency = field(default_factory=Idempotency)
    paid: Callable[[str], None] = nothing
    moment: Callable[[str], None] = nothing


@idempotent("at_most_once")
async def refund(ctx: RunContext[Deps], act: Act, order: str, cents: int) -> str:
    """Pay an order back."""
    if not ctx.tool_call_approved:
        raise ApprovalRequired(metadata={"why": f"{cents} cents are many"})
    ctx.deps.moment("before the act")
    ctx.deps.paid(f"{order} {cents}")
    ctx.deps.moment("after the act")
    return f"paid {order} {cents}"


async def look(ctx: RunContext[Deps]) -> str:
    """Look."""
    ctx.deps.moment("looked")
    return "seen"


def asks(
    *calls: ToolCallPart,
) -> Callable[[list[ModelMessage], AgentInfo], Awaitable[ModelResponse]]:
    """Return a model that makes these calls, and then says what came of them."""

    async def model(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=list(calls))
        parts = [part for message in messages for part in message.parts]
        said = [f"{part.content}" for part in parts if isinstance(part, ToolReturnPart)]
        return ModelResponse(parts=[TextPart("; ".join(sorted(said)))])

    return model


def call(order: str, cents: int = 500, id: str | None = None) -> ToolCallPart:
    arguments = {"order": order, "cents": cents}
    return ToolCallPart("refund", arguments, tool_call_id=id or f"call-{order}")


TWO = FunctionModel(asks(call("a"), ToolCallPart("look", {}), call("b", 900)), model_name="two")

agent = Agent(TWO, name="desk", deps_type=Deps, output_type=[str, DeferredToolRequests])
agent.tool(refund)
agent.tool(look)


async def run(deps: Deps, model: Any = None, context: Any = None) -> str | Paused:
    result = await agent.run("refund both", deps=deps, model=model)
    return await outcome(result, "desk", deps, context=context)


async def resume(id: str, deps: Deps, model: Any = None) -> str | Paused:
    async with deps.approvals.resuming(id, "desk") as paused:
        acting = Deps(deps.approvals, deps.idempotency.of(id), deps.paid, deps.moment)
        result = await agent.run(
            message_history=paused.messages,
            deferred_tool_results=paused.decisions,
            capabilities=paused.capabilities,
            usage=paused.usage,
            deps=acting,
            model=model,
        )
        deps.moment("before it is noted")
        return await outcome(result, "desk", deps, resumed=paused)


async def paused_run(deps: Deps, model: Any = None) -> Paused:
    paused = await run(deps, model)
    assert isinstance(paused, Paused)
    return paused


async def approve_all(approvals: Approvals, paused: Paused) -> None:
    for request in paused.requests:
        await approvals.decide(paused.id, request.call_id, Approve(by="ann"))


def in_folder(folder: Path, approvals: Approvals, acts: SqlActs, die_at: str = "") -> Deps:
    """Return deps whose acts are lines of a file, and whose process dies at a moment."""
    file = os.open(str(folder / "effects"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def paid(what: str) -> None:
        os.write(file, f"{what}\n".encode())
        os.fsync(file)

    def moment(name: str) -> None:
        if name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    lease = timedelta(seconds=30)
    return Deps(approvals, Idempotency(acts, lease=lease, now=approvals.now), paid, moment)


def main(what: str, folder: str, id: str = "", die_at: str = "") -> None:
    place = Path(folder)
    with SqlApprovals(place / "approvals.db") as store, SqlActs(place / "acts.db") as acts:
        deps = in_folder(place, store, acts, die_at)
        came = asyncio.run(run(deps) if what == "pause" else resume(id, deps))
    sys.stdout.write(came.id if isinstance(came, Paused) else came)


if __name__ == "__main__":
    main(*sys.argv[1:])
