"""Look up how messages like this one were sorted before."""

from pydantic_ai import RunContext

from ..deps.history import HasHistory, PastMessage

__all__ = ("similar_messages",)

LIMIT = 5


async def similar_messages(ctx: RunContext[HasHistory], text: str) -> list[PastMessage]:
    """Return up to five past messages most like `text`, with the labels people gave them.

    Args:
        ctx: The run.
        text: The message, or the words in it that matter.
    """
    return list(await ctx.deps.history.similar(text, LIMIT))
