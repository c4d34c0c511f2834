"""Read a page of the web."""

import asyncio

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext

from ..deps.errors import InputError, MissingExtra
from ..deps.web import Fetched, HasWeb
from .excerpt import Excerpt, Offset, excerpt

__all__ = ("Page", "fetch_page", "markdown_of")

HTML = ("text/html", "application/xhtml+xml")
DEPTH = 200  # of elements in one another; no page for readers nests so deep


class Page(Excerpt):
    """A part of a page."""

    url: str = Field(description="where the redirects ended")


async def fetch_page(ctx: RunContext[HasWeb], url: str, offset: Offset = 0) -> Page:
    """Return the text of a public web page, HTML as Markdown, from `offset` on.

    Args:
        ctx: The run.
        url: The page's full address, with http:// or https://.
        offset: 0, or the next_offset of the part before.
    """
    try:
        fetched = await ctx.deps.web.fetch(url)
        text = await asyncio.to_thread(markdown_of, fetched)
        part = excerpt("page", text, offset)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return Page(url=fetched.url, text=part.text, next_offset=part.next_offset)


def markdown_of(fetched: Fetched) -> str:
    """Return HTML as Markdown, without scripts, images and what a browser would not show.

    Other text is returned as it is.

    Raises:
        MissingExtra: the library that converts is not installed.
        InputError: the page cannot be converted.
    """
    if fetched.media_type not in HTML:
        return fetched.text
    try:
        from html_to_markdown import ConversionError, ConversionOptions, convert
    except ImportError as e:
        raise MissingExtra(
            "reading HTML needs a library that is not installed; "
            "install it with: pip install 'assay-agents[web]'"
        ) from e
    options = ConversionOptions(
        extract_metadata=False,
        skip_images=True,  # an image's address, once shown, is fetched: it can carry data out
        compact_tables=True,
        max_depth=DEPTH,
        base_url=fetched.url,
    )
    try:
        text = convert(fetched.text, options).content or ""
    except ConversionError as e:
        raise InputError(f"{fetched.url!r} cannot be read: {e}. Try another page") from e
    if fetched.text.strip() and not text.strip():
        raise InputError(f"{fetched.url!r} holds no text without its scripts. Try another page")
    return text
