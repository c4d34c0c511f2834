"""What a turn of a conversation is: whole, stored as text, and so many tokens long.

Stored turns are read by every Pydantic AI from 2.38 on. Later ones write what is sent back to a
model in a form that 2.38 does not know, so it is stored in the form that all of them know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_ai import ModelMessagesTypeAdapter
from pydantic_ai.messages import (
    BinaryContent,
    FileUrl,
    ModelMessage,
    ModelResponse,
    TextContent,
    ToolCallPart,
    UploadedFile,
)
from pydantic_core import to_json, to_jsonable_python

from ..errors import ConfigError, InputError

__all__ = (
    "BYTES_PER_TOKEN",
    "answers",
    "check_whole",
    "dump",
    "estimate",
    "read",
    "readable",
    "tokens",
)

BYTES_PER_TOKEN = 4
"""English prose has between four and five bytes a token; code, JSON and most scripts have fewer."""

PER_PART = 4  # tokens around a part: its role, its tool's id
PER_FILE = 1_600  # tokens of an image at its usual largest size; a long document has more


def answers(part: object) -> str | None:
    """Return whose call a part of a request answers; None if it answers none.

    A call that is to be made anew is answered by another kind of part in each version of Pydantic
    AI. What is sent back to a model that called nothing names no tool.
    """
    if getattr(part, "tool_name", None) is None:
        return None
    return getattr(part, "tool_call_id", None)


def check_whole(messages: Sequence[ModelMessage]) -> None:
    """Check that a turn stands by itself: every call in it has its result, every result its call.

    Raises:
        InputError: it does not, or it is empty.
    """
    if not messages:
        raise InputError("a turn without messages was to be kept; give it result.new_messages()")
    asked: dict[str, str] = {}
    for message in messages:
        if isinstance(message, ModelResponse):
            calls = (part for part in message.parts if isinstance(part, ToolCallPart))
            asked.update({part.tool_call_id: part.tool_name for part in calls})
            continue
        for part in message.parts:
            call = answers(part)
            if call is not None and asked.pop(call, None) is None:
                raise InputError(
                    f"a turn holds a result of {getattr(part, 'tool_name', '')!r} without its "
                    "call; keep the whole turn, from its prompt on: "
                    "result.all_messages()[len(history):]"
                )
    if asked:
        raise InputError(
            f"a turn holds calls without a result: {', '.join(map(repr, asked.values()))}; a run "
            "that was paused or cut short is no whole turn. Keep it when it has gone on to its end"
        )


def dump(messages: Sequence[ModelMessage]) -> str:
    """Return messages as JSON that every Pydantic AI from 2.38 on reads; files are kept."""
    dumped = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    for message in dumped:
        message["parts"] = [_as_all_know_it(part) for part in message["parts"]]
    return to_json(dumped).decode("utf-8")


def read(text: str) -> list[ModelMessage]:
    """Return the messages of a JSON text.

    Raises:
        ConfigError: a later Pydantic AI wrote what this one does not know.
    """
    try:
        return ModelMessagesTypeAdapter.validate_json(text)
    except ValidationError as e:
        raise ConfigError(
            f"stored messages cannot be read by this Pydantic AI: {e.errors()[0]['msg']}; "
            "they were written by a later one, which is needed to go on with them"
        ) from e


def estimate(text: str) -> int:
    """Return about how many tokens a text is, from its bytes: no tokenizer is asked."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def tokens(messages: Iterable[ModelMessage], count: Callable[[str], int] = estimate) -> int:
    """Return how many tokens messages are; instructions and tools are not in them.

    Files are counted as `PER_FILE` each: what they are is the provider's secret.

    Args:
        messages: What is counted.
        count: The tokens of a text, by the model's tokenizer where you have it.
    """
    total = 0
    for message in messages:
        for part in message.parts:
            total += PER_PART + sum(map(count, _texts(part))) + PER_FILE * _files(part)
    return total


def readable(content: object) -> Any:
    """Return a part's content as JSON data: files are named, and not spelled out."""
    if isinstance(content, BinaryContent):
        return f"[a file: {content.media_type}]"
    if isinstance(content, FileUrl):
        return f"[a file: {content.url}]"
    if isinstance(content, TextContent):
        return content.content
    if isinstance(content, Mapping):
        pairs = cast("Mapping[object, object]", content).items()
        return {str(name): readable(value) for name, value in pairs}
    if isinstance(content, list | tuple):
        return [readable(value) for value in cast("Sequence[object]", content)]
    return to_jsonable_python(content, fallback=repr)


def _as_all_know_it(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part that sends something back to the model as `retry-prompt`; others unchanged."""
    retried = part["part_kind"] == "tool-return" and part.get("outcome") == "retried"
    if not retried and part["part_kind"] != "retry-feedback":
        return part
    kept: dict[str, Any] = {
        name: part[name] for name in ("content", "timestamp", "tool_call_id") if name in part
    }
    if not isinstance(kept["content"], str | list):
        kept["content"] = to_json(kept["content"]).decode("utf-8")
    return {**kept, "tool_name": part.get("tool_name"), "part_kind": "retry-prompt"}


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, ToolCallPart):
        yield part.tool_name
        yield part.args_as_json_str()
        return
    for piece in _pieces(getattr(part, "content", None)):
        if not isinstance(piece, BinaryContent | FileUrl | UploadedFile):
            yield piece if isinstance(piece, str) else to_json(piece, fallback=repr).decode("utf-8")


def _files(part: object) -> int:
    pieces = _pieces(getattr(part, "content", None))
    return sum(isinstance(piece, BinaryContent | FileUrl | UploadedFile) for piece in pieces)


def _pieces(content: object) -> Iterator[object]:
    """Yield what a content is made of, down to texts, files and numbers."""
    if isinstance(content, TextContent):
        yield content.content
    elif isinstance(content, Mapping):
        for name, value in cast("Mapping[object, object]", content).items():
            yield str(name)
            yield from _pieces(value)
    elif isinstance(content, list | tuple):
        for value in cast("Sequence[object]", content):
            yield from _pieces(value)
    elif content is not None:
        yield content
