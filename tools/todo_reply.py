"""What the user of a task list is told."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import AgentRunResult, DeferredToolRequests, RunContext

from ..deps.todos import HasTodos
from .closing import alone

__all__ = ("Done", "Ended", "Reply")  # `done` is an output, and no tool to call


class Reply(BaseModel):
    """What the user is told."""

    reply: str = Field(description="one to three sentences; tasks as lines of their own")
    about: list[int] = Field(description="ids of the tasks that the reply speaks of")
    asks: bool = Field(description="whether it asks something without which nothing can be done")


class Done(Reply):
    """What the user is told, and what this turn changed, by the list's own journal."""

    model_config = ConfigDict(frozen=True)

    changed: tuple[int, ...] = ()


Ended: TypeAlias = AgentRunResult[Done | DeferredToolRequests]
"""A run that is over, or that waits."""


async def done(ctx: RunContext[HasTodos], reply: Reply) -> Done:
    """Add what the journal says; a reply beside calls goes back, as these are still to be made."""
    alone(ctx)
    changed = sorted({change.task for change in await ctx.deps.todos.made()})
    return Done(**dict(reply), changed=tuple(changed))
