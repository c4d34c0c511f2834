"""Take keys out of texts that leave the process: recordings, messages of errors, spans."""

import json
import re
from collections.abc import Iterable
from typing import Any, cast

__all__ = ("HIDDEN", "scrub", "scrub_error")

HIDDEN = "[secret]"

SHORTEST = 8
"""A configured secret of fewer characters, like "none", is a word."""

# What keys look like, each after a text that it contains: that is looked for first, and quickly.
_SECRET_TEXT = {
    "sk-": re.compile(r"\bsk-(?=[\w-]*\d)[\w-]{20,}"),  # OpenAI, Anthropic, OpenRouter
    "AKIA": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),  # AWS
    "ASIA": re.compile(r"\bASIA[0-9A-Z]{16}\b"),
    "AIza": re.compile(r"\bAIza[\w-]{35}"),  # Google
    **{  # GitHub; "gh" alone is in every other English text
        f"gh{kind}_": re.compile(rf"\bgh{kind}_[A-Za-z0-9]{{30,}}") for kind in "pousr"
    },
    "github_pat_": re.compile(r"\bgithub_pat_\w{30,}"),
    "xox": re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),  # Slack
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{24,}"),  # Hugging Face
    "gsk_": re.compile(r"\bgsk_[A-Za-z0-9]{24,}"),  # Groq
    "pylf_": re.compile(r"\bpylf_v\d_\w{24,}"),  # Logfire
    "eyJ": re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),  # JSON web tokens
    "Bearer ": re.compile(r"(?<=Bearer )[\w.~+/-]{16,}=*"),
}


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without `secrets` and without what looks like a key of a known provider.

    In a JSON text, secrets are found as they are escaped there.

    A guard against mistakes, not a proof: a secret of no known form that nobody names stays.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
            text = text.replace(secret, HIDDEN)
    for mark, pattern in _SECRET_TEXT.items():
        if mark in text:
            text = pattern.sub(HIDDEN, text)
    return text


def scrub_error(error: BaseException, secrets: Iterable[str] = ()) -> bool:
    """Take keys out of the messages of an error and of all that hangs on it, in place.

    Returns:
        Whether that was possible: if not, the error should not be shown to anybody.
    """
    secrets = tuple(secrets)
    found = tuple(related(error))
    for one in found:
        one.args = tuple(_without(arg, secrets) for arg in one.args)
        for name in ("message", "body", "__notes__"):  # of Pydantic AI, of the SDKs, of Python
            if name in vars(one):
                setattr(one, name, _without(vars(one)[name], secrets))
    return all(scrub(text := str(one), secrets) == text for one in found)


def related(error: BaseException) -> Iterable[BaseException]:
    """Yield an error, what it was raised from, and the members of groups, each once."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        one = queue.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            queue.extend(cast(BaseExceptionGroup[BaseException], one).exceptions)
        queue.extend(e for e in (one.__cause__, one.__context__) if e is not None)


def _without(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return a value, with the texts in it scrubbed."""
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, dict):
        found: dict[Any, Any] = cast(Any, value)
        return {key: _without(inner, secrets) for key, inner in found.items()}
    if isinstance(value, (list, tuple)):
        found_items: list[Any] = cast(Any, value)
        items = [_without(inner, secrets) for inner in found_items]
        return items if isinstance(value, list) else tuple(items)
    return value
