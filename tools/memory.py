"""Remember, recall and forget what happened; what is recalled is fenced, for it is no order."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic_ai import ApprovalRequired, ModelRetry, RunContext

from ..deps.errors import InputError
from ..deps.fence import fence
from ..deps.memory import Episode, HasMemory

__all__ = ("EPISODE", "forget", "recall", "remember")

EPISODE = "episode"
"""The name of the fence around an episode."""

SHOWN = 120


async def remember(
    ctx: RunContext[HasMemory],
    text: str,
    tags: Annotated[list[str], Field(max_length=10)] | None = None,
) -> str:
    """Keep something that happened, for later conversations; return its id.

    Args:
        ctx: The run.
        text: What happened, in a sentence or two that can be understood alone.
        tags: A word or two to find it by.
    """
    try:
        kept = await ctx.deps.memory.remember(
            text, at=ctx.deps.now(), tags=tags or (), usage=ctx.usage
        )
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return kept.id


async def recall(
    ctx: RunContext[HasMemory],
    query: str,
    limit: Annotated[int, Field(ge=1, le=20)] = 5,
) -> str:
    """Return what was remembered about `query`, each with its id and time, the best first.

    Args:
        ctx: The run.
        query: What to look for; empty for the latest.
        limit: Episodes at most.
    """
    try:
        found = await ctx.deps.memory.recall(query, limit, now=ctx.deps.now(), usage=ctx.usage)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return "\n\n".join(map(_shown, found)) or f"Nothing is remembered about {query!r}."


async def forget(
    ctx: RunContext[HasMemory],
    ids: Annotated[list[str], Field(max_length=200)] | None = None,
    everything: bool = False,
) -> str:
    """Delete what was remembered, for good: some episodes, or everything.

    More than one needs a person's approval.

    Args:
        ctx: The run.
        ids: The ids of the episodes, as recall shows them.
        everything: Whether all that is remembered of this person is deleted.
    """
    if everything == bool(ids):
        raise ModelRetry("Say what to forget: either ids, from recall, or everything=true.")
    memory = ctx.deps.memory
    if everything:
        _ask(ctx, "everything that is remembered of this person or session")
        return f"Forgotten: {await memory.forget_everything()}."
    chosen = await memory.get(ids or ())
    if not chosen:
        raise ModelRetry(f"None of {ids} is remembered; use ids that recall shows.")
    if len(chosen) > 1:
        _ask(ctx, f"{len(chosen)} episodes: {_listed(chosen)}")
    return f"Forgotten: {await memory.forget([episode.id for episode in chosen])}."


def _ask(ctx: RunContext[HasMemory], what: str) -> None:
    if not ctx.tool_call_approved:
        raise ApprovalRequired(metadata={"why": f"this deletes for good {what}"})


def _listed(episodes: Sequence[Episode]) -> str:
    return "; ".join(
        f"{episode.at:%Y-%m-%d} {' '.join(episode.text.split())[:SHOWN]!r}" for episode in episodes
    )


def _shown(episode: Episode) -> str:
    tags = f"\ntags: {', '.join(episode.tags)}" if episode.tags else ""
    head = f"id: {episode.id}\nat: {episode.at:%Y-%m-%d %H:%M} UTC{tags}"
    return fence(EPISODE, f"{head}\n\n{episode.text}")
