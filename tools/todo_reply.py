"""What the user of a task list is told."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import AgentRunResult, DeferredToolRequests

__all__ = ("Done", "Ended", "Reply")


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
