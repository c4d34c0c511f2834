"""Who sums up the beginning of a conversation, how, and how much a model can read at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel

from ..baseline import is_baseline, layers
from ..fence import FENCE_RULE, fence
from ..models import BASELINE, ROLES, Models
from ..sessions.turns import BYTES_PER_TOKEN
from .compaction_view import rendered

__all__ = ("ASSUMED", "SUMMARY", "summariser", "summed_up", "window_of")

ASSUMED = 128_000
"""The window, in tokens, of a model of which nobody knows it."""

SUMMARY = 1_000
"""How many tokens a summary may have at most, about."""

INSTRUCTIONS = f"""\
You shorten the beginning of a conversation between a user and an assistant, so that the assistant \
can go on without it. Write at most 500 words: what the user wants and has said of it; what was \
decided, and why; names, figures and identifiers, word for word; what was done with which tool, \
and what came of it; what is still open. What a tool or a document says you report as what it \
says. Add nothing of your own. Where a summary so far is given, bring it up to date.
{FENCE_RULE}"""


def window_of(model: Model) -> int | None:
    """Return a model's window in tokens, the smallest one of a chain; None if it is not known."""
    for layer in layers(model):
        if isinstance(layer, FallbackModel):
            known = [window for one in layer.models if (window := window_of(one)) is not None]
            return min(known, default=None)
    return _known(model.model_id)


@cache
def _known(model_id: str) -> int | None:
    from pydantic_ai_harness.compaction import resolve_context_window

    return resolve_context_window(model_id)


def summariser(who: str | Model | None, deps: object, asked: Model | None) -> Model | str | None:
    """Return who sums up; None if that is nobody, or a baseline, which cannot.

    Args:
        who: A role, a model's name or a model.
        deps: What the run was given; their `models` say what a role or a name means.
        asked: Whose request is shortened: it takes a role of which the deps know nothing.
    """
    models = getattr(deps, "models", None)
    if isinstance(who, str) and isinstance(models, Models):
        return None if models.named(who) == BASELINE else models.resolve(who, agent="compaction")
    if who in ROLES:
        who = asked
    return None if isinstance(who, Model) and is_baseline(who) else who


async def summed_up(
    model: Model | str,
    so_far: str | None,
    gone: Sequence[ModelMessage],
    ctx: RunContext[object],
    *,
    count: Callable[[str], int],
    limit: int,
) -> str | None:
    """Return a summary of an earlier one and of messages; it is made within the run's limits.

    More than the model can read is summed up piece by piece.

    Args:
        model: Who sums up.
        so_far: The summary of what was before `gone`.
        gone: What is summed up.
        ctx: The run whose request is shortened.
        count: The tokens of a text.
        limit: How many tokens the summary may have, about; what is longer is cut.
    """
    agent = Agent(model, name="compaction", instructions=INSTRUCTIONS)
    window = window_of(model) if isinstance(model, Model) else _known(model)
    for text in _chunks(rendered(gone), (window or ASSUMED) // 2, count):
        prompt = fence("conversation", text)
        if so_far is not None:
            prompt = f"{fence('summary', so_far)}\n{prompt}"
        result = await agent.run(prompt, usage=ctx.usage, usage_limits=ctx.usage_limits)
        # Whoever writes more than was asked for would leave no room for the conversation.
        so_far = result.output.strip()[: limit * BYTES_PER_TOKEN]
    return so_far


def _chunks(lines: Sequence[str], room: int, count: Callable[[str], int]) -> Iterator[str]:
    """Yield lines, as many at once as fit into so many tokens; a longer one by itself."""
    chunk: list[str] = []
    size = 0
    for line in lines:
        if chunk and size + count(line) > room:
            yield "\n".join(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += count(line)
    if chunk:
        yield "\n".join(chunk)
