"""Look up the author's own rules."""

from pydantic_ai import RunContext

from ..deps.style import HasStyle, StyleRule
from .limits import cut

__all__ = ("style_rule",)

LIMIT = 5
CHARS = 4_000  # of one rule


async def style_rule(ctx: RunContext[HasStyle], topic: str) -> list[StyleRule]:
    """Return up to five rules of the author's style guide about `topic`; none means no rule.

    Args:
        ctx: The run.
        topic: A term or a subject, e.g. "e-mail", "numbers", "serial comma".
    """
    found = await ctx.deps.style.about(topic, LIMIT)
    return [rule.model_copy(update={"text": cut(rule.text, CHARS)}) for rule in found]
