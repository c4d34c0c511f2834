"""Look up how messages like this one were sorted before."""

from pydantic_ai import RunContext

from ..deps.history import HasHistory, PastMessage
from .limits import cut

__all__ = ("similar_messages",)

LIMIT = 5
CHARS = 4_000  # of one message


async def similar_messages(ctx: RunContext[HasHistory], text: str) -> list[PastMessage]:
    """Return up to five past messages most like `text`, with the labels people gave them.

    Args:
        ctx: The run.
        text: The message, or the words in it that matter.
    """
    found = await ctx.deps.history.similar(text, LIMIT)
    return [PastMessage(text=cut(one.text, CHARS), label=one.label) for one in found]
