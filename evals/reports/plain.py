"""Any value as JSON data that Python and JavaScript read alike."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeGuard

from pydantic_core import PydanticSerializationError, to_jsonable_python

__all__ = ("MAX_TEXT", "plain_data")

MAX_TEXT = 50_000
"""Characters of one text that are kept; what is cut is said in its place."""

SAFE_INTEGER = 2**53 - 1
"""Greater ones lose digits in JavaScript, so they are shown as texts."""

MAX_DEPTH = 60


def plain_data(value: object) -> Any:
    """Return any value as JSON data that Python and JavaScript read alike.

    Numbers that JavaScript would change and NaN become texts, half surrogate pairs become U+FFFD;
    texts that are longer than `MAX_TEXT` and what is nested too deeply are cut, and say so.
    """
    return _plain(_jsonable(value, ()), 0)


def _jsonable(value: object, inside: tuple[int, ...]) -> Any:
    """Return a value as JSON data; where Pydantic refuses a part, only that part is described.

    It refuses cycles, and texts with half a surrogate pair: a model can produce either.
    """
    try:
        return to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64")
    except (PydanticSerializationError, ValueError, RecursionError):
        here = (*inside, id(value))
        if isinstance(value, str):
            return value
        if id(value) in inside or len(inside) >= MAX_DEPTH:
            return ascii(value)
        if _is_dict(value):
            return {str(key): _jsonable(inner, here) for key, inner in value.items()}
        if _is_list(value):
            return [_jsonable(inner, here) for inner in value]
        return ascii(value)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if depth >= MAX_DEPTH:
        return "… nested too deeply to be shown"
    if _is_dict(value):
        return {_text(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if _is_list(value):
        return [_plain(inner, depth + 1) for inner in value]
    return _text(str(value))


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT} more characters are not shown"
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
