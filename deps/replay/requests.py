"""What is asked of a model, without what differs between two equal requests.

Replay finds its recordings by this, and an agent's identity is made of it, so it must not change
with the clock, with random ids or with whose key pays. Left out, renumbered or shortened:

- of a message, everything but its kind and parts: timestamps, run and conversation ids, usage,
  the provider's details, metadata. None of it is sent.
- of a part: `timestamp`, `id`, `signature`, `metadata` and the provider's fields;
  `tool_call_id` is renumbered in the order of first mention; binary data become their hash.
- of settings: timeouts, retries and headers; values whose name says that they are secret.
- of tools: what only the agent loop reads (`toolset_id`, `metadata`, `timeout`).

Arguments and contents are left as they are: an `id` in a tool's result is part of the question.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_ai import ModelMessagesTypeAdapter
from pydantic_ai.messages import ModelMessage, ModelRequest
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_jsonable_python

from ..secrets import HIDDEN, scrub

__all__ = ("canonical", "digest", "request_document", "scrub", "without_binary")

PART_NOISE = frozenset(
    (
        "timestamp",
        "id",
        "signature",
        "metadata",
        "provider_name",
        "provider_url",
        "provider_details",
    )
)
TOOL_NOISE = frozenset(("toolset_id", "metadata", "timeout"))
SETTINGS_NOISE = frozenset(("timeout", "request_timeout", "max_retries", "extra_headers"))

_SECRET_NAME = re.compile(
    r"api[-_]?key|authori[sz]ation|secret|password|passwd|credential|access[-_]?token|^token$", re.I
)


def canonical(value: object) -> str:
    """Return the one JSON text of a JSON value: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    """Return the hash of a text, short enough for a file's name."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def request_document(
    model_id: str,
    messages: list[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
) -> dict[str, Any]:
    """Return a request as JSON data that is equal for equal requests.

    For a replay key, settings and parameters have been through `Model.prepare_request`; for an
    agent's identity they have not.
    """
    offered = _parameters_adapter().dump_python(parameters, mode="json", exclude_defaults=True)
    return {
        "model": model_id,
        "instructions": _instructions(messages, offered),
        "messages": _messages(messages),
        "settings": _settings(settings),
        "tools": [_tool(tool) for tool in offered.pop("function_tools", ())],
        "output": _output(offered),
        "other": _other(offered),
    }


@cache
def _parameters_adapter() -> TypeAdapter[ModelRequestParameters]:
    return TypeAdapter(ModelRequestParameters)


def _instructions(messages: list[ModelMessage], offered: Mapping[str, Any]) -> str | None:
    parts = offered.get("instruction_parts")
    if parts:
        return "\n\n".join(part["content"] for part in parts)
    for message in reversed(messages):
        if isinstance(message, ModelRequest) and message.instructions:
            return message.instructions
    return None


def _messages(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    ids: dict[str, str] = {}
    dumped = ModelMessagesTypeAdapter.dump_python(messages, mode="json", exclude_none=True)
    return [
        {"kind": message["kind"], "parts": [_part(part, ids) for part in message["parts"]]}
        for message in dumped
    ]


def _part(part: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    kept = {name: value for name, value in part.items() if name not in PART_NOISE}
    if "tool_call_id" in kept:
        kept["tool_call_id"] = ids.setdefault(kept["tool_call_id"], f"call-{len(ids)}")
    if "content" in kept:
        kept["content"] = without_binary(kept["content"])
    return kept


def without_binary(content: Any) -> Any:
    """Put a hash in the place of binary data."""
    if isinstance(content, list):
        items: list[Any] = cast(Any, content)
        return [without_binary(item) for item in items]
    if isinstance(content, dict):
        found: dict[str, Any] = cast(Any, content)
        if found.get("kind") == "binary" and isinstance(found.get("data"), str):
            return found | {"data": f"sha256:{digest(found['data'])}"}
        return found
    return content


def _settings(settings: ModelSettings | None) -> dict[str, Any]:
    sent = {name: value for name, value in (settings or {}).items() if name not in SETTINGS_NOISE}
    hidden: dict[str, Any] = _hide(to_jsonable_python(sent, serialize_unknown=True))
    return hidden


def _hide(value: Any) -> Any:
    """Replace the values whose names say that they are secret."""
    if isinstance(value, dict):
        found: dict[str, Any] = cast(Any, value)
        return {
            name: HIDDEN if _SECRET_NAME.search(name) and inner else _hide(inner)
            for name, inner in found.items()
        }
    if isinstance(value, list):
        items: list[Any] = cast(Any, value)
        return [_hide(item) for item in items]
    return value


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tool.items() if name not in TOOL_NOISE}


def _output(offered: dict[str, Any]) -> dict[str, Any]:
    """Take out what says how the answer must look."""
    names = [n for n in offered if n.startswith(("output_", "allow_", "prompted_output"))]
    output = {name: offered.pop(name) for name in names}
    if "output_tools" in output:
        output["output_tools"] = [_tool(tool) for tool in output["output_tools"]]
    return output


def _other(offered: Mapping[str, Any]) -> dict[str, Any]:
    """Keep whatever else there is: a needless miss is better than a wrong hit."""
    other = {n: v for n, v in offered.items() if not n.startswith(("instruction_", "tool_vis"))}
    visibility: dict[str, str] = offered.get("tool_visibility") or {}
    hidden = {tool: how for tool, how in visibility.items() if how != "visible"}
    if hidden:
        other["hidden_tools"] = hidden
    for name, value in other.items():
        if name.endswith(("_names", "_ids")):
            other[name] = sorted(value)  # sets: they have no order
    return other
