"""Results of tools, no longer than a model should read at once."""

from typing import Any

from pydantic_core import to_json

__all__ = ("cut", "limited")


def cut(text: str, chars: int) -> str:
    """Return the first `chars` characters of a text, and a note if that is not all of it."""
    if len(text) <= chars:
        return text
    return f"{text[:chars]}\n[cut: the first {chars} of {len(text)} characters; ask for less]"


def limited(value: Any, chars: int) -> Any:
    """Return a value that JSON can hold; as the beginning of its JSON, if that is too long."""
    if isinstance(value, str):
        return cut(value, chars)
    text = to_json(value, inf_nan_mode="null", fallback=str).decode()
    return value if len(text) <= chars else cut(text, chars)
