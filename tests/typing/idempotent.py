"""A tool that was made idempotent keeps its types. Checked by pyright and mypy, never run."""

from dataclasses import dataclass, field
from typing import assert_type

from pydantic import BaseModel
from pydantic_ai import Agent, RunContext

from assay.deps.idempotency import Act, HasIdempotency, Idempotency
from assay.deps.loop_guard import LoopGuard
from assay.tools.idempotent import idempotent


class Receipt(BaseModel):
    """What a tool returns."""

    cents: int


@dataclass
class Deps:
    """What an agent is given."""

    idempotency: Idempotency = field(default_factory=Idempotency)


@idempotent("at_most_once", undone=(LookupError,))
async def refund(ctx: RunContext[HasIdempotency], act: Act, order: str, cents: int = 5) -> Receipt:
    return Receipt(cents=cents)


agent: Agent[Deps, str] = Agent("test", deps_type=Deps, capabilities=[LoopGuard()])
agent.tool(refund)


async def calls(ctx: RunContext[Deps]) -> None:
    assert_type(await refund(ctx, "7731"), Receipt)
    assert_type(await refund(ctx, order="7731", cents=7), Receipt)
    await refund(ctx, 7731)  # type: ignore[arg-type]
    await refund(ctx)  # type: ignore[call-arg]
