"""Untrusted text inside Markdown that we write."""

import re

__all__ = ("code", "escaped")

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&$@:])")


def escaped(text: str) -> str:
    """Return `text` as Markdown that shows it literally, on one line: no markup, link or HTML."""
    flat = " ".join(text.split())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", flat)


def code(text: str) -> str:
    """Return `text` as code in one table cell or line; line ends are shown as ⏎.

    An HTML element and not backticks: a pipe inside backticks still ends a table's cell.
    """
    shown = text.replace("\n", "⏎")
    safe = re.sub(r"[^\w \-,.;'’]", lambda found: f"&#{ord(found[0])};", shown)
    return f"<code>{safe}</code>".replace("_", "&#95;")
