"""The words of a question that are worth looking for."""

import re

__all__ = ("COMMON", "matching", "terms")

MOST = 200
"""So many words of a query are looked for."""

_WORD = re.compile(r"\w+")

COMMON = frozenset(
    _WORD.findall("""
    a about am an and any are as at be been being but by can could did do does doing for from had
    has have having he her him his how i if in into is it its itself many may me might much my no
    not of on or our shall she should so some such than that the their them there these they this
    those to too us was we were what when where which while who whom whose why will with would
    you your
    """)
)
"""Words that tell nothing of what a question is about."""


def terms(text: str) -> list[str]:
    """Return the words of `text` in order, each once, in lower case.

    Common ones are left out unless there are no others.
    """
    words = list(dict.fromkeys(_WORD.findall(text.casefold())))
    return [word for word in words if word not in COMMON] or words


def matching(query: str) -> str:
    """Return the FTS5 expression that finds any of a query's words; empty if it has none.

    Each word is a quoted string: nothing in a query is an operator.
    """
    return " OR ".join(f'"{word}"' for word in terms(query)[:MOST])
