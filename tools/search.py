"""Search the web; what it says is fenced, for it is no order."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext

from ..deps.errors import InputError
from ..deps.fence import fence
from ..deps.web.search import HasSearch, Hit

__all__ = ("HIT", "search_web")

HIT = "hit"
"""The name of the fence around what a search engine says of a page."""

LIMIT = 8


async def search_web(
    ctx: RunContext[HasSearch],
    query: str,
    limit: Annotated[int, Field(ge=1, le=20, description="pages at most")] = LIMIT,
) -> str:
    """Return pages of the web about `query`: title, address, and a few words of each.

    Args:
        ctx: The run.
        query: What to look for, as one would type it into a search engine.
        limit: Pages at most.
    """
    try:
        found = await ctx.deps.search.search(query, limit)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return _shown(found) if found else f"No page was found for {query!r}."


def _shown(hits: Sequence[Hit]) -> str:
    return "\n\n".join(fence(HIT, "\n".join((hit.title, hit.url, hit.snippet))) for hit in hits)
