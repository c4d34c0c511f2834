"""Talk with a model that knows only text and JSON: tools become one schema, history becomes chat.

For models without tool calls of their own: a local one under constrained generation, an endpoint
asked in a JSON mode. A run offers such a model a `Reply`: one JSON schema of everything it may
answer. Its text is read back into the parts that Pydantic AI expects.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from ..errors import InputError

__all__ = ("Reply", "Turn", "chat", "reply")

Schema = dict[str, Any]
Turn = dict[str, str]
"""A message of a chat: its `role` (system, user or assistant) and its `content`."""


@dataclass(frozen=True)
class Reply:
    """What a model may answer.

    Attributes:
        name: What the answer is called: that of the tool, where there is but one.
        description: What it is for.
        schema: JSON schema that the answer follows; its root is an object.
        tools: The tools that it can call. One alone is called with the whole answer; of several,
            or where plain text is allowed too, the answer names its choice.
        text: Whether it may be plain text.
    """

    name: str
    description: str
    schema: Schema
    tools: tuple[ToolDefinition, ...] = ()
    text: bool = False

    @property
    def only(self) -> ToolDefinition | None:
        """The tool that every answer calls; None if the answer chooses."""
        return self.tools[0] if len(self.tools) == 1 and not self.text else None

    def read(self, text: str) -> ToolCallPart | TextPart:
        """Return what an answer says. The agent loop checks it, and sends back what is wrong."""
        if not self.tools:
            return TextPart(text)
        if self.only:
            return ToolCallPart(self.only.name, text)
        chosen = _choice(text)
        if self.text and isinstance(chosen.get("text"), str):
            return TextPart(chosen["text"])
        if isinstance(chosen.get("tool"), str):
            return ToolCallPart(chosen["tool"], chosen.get("arguments"))
        return ToolCallPart(self.tools[-1].name, text)  # no choice: the loop says what is wrong

    def said(self, call: ToolCallPart) -> str:
        """Return the answer that makes this call."""
        if self.only and self.only.name == call.tool_name:
            return call.args_as_json_str()
        arguments = json.loads(call.args_as_json_str())
        return _json({"answer": {"tool": call.tool_name, "arguments": arguments}})


def reply(params: ModelRequestParameters) -> Reply | None:
    """Return what may be answered to a request, as `Model.prepare_request` returns its parameters.

    None if any text will do.
    """
    if params.output_object is not None:
        output = params.output_object
        name, description = output.name or "answer", output.description or ""
        return Reply(name, description, output.json_schema)
    tools = (*params.function_tools, *params.output_tools)
    if not tools:
        return None
    if len(tools) == 1 and not params.allow_text_output:
        (tool,) = tools
        return Reply(tool.name, tool.description or "", tool.parameters_json_schema, tools)
    schema = _choices(tools, text=params.allow_text_output)
    return Reply("answer", "the next step", schema, tools, params.allow_text_output)


def chat(
    messages: Sequence[ModelMessage], params: ModelRequestParameters, form: Reply | None
) -> list[Turn]:
    """Return a conversation as a chat: instructions first, then turns that alternate.

    Raises:
        InputError: a message holds something else than text.
    """
    system = _instructions(messages, params)
    turns = [("system", system)] if system else []
    for message in messages:
        turns += _answered(message, form) if isinstance(message, ModelResponse) else _told(message)
    merged: list[Turn] = []
    for role, content in turns:
        if merged and merged[-1]["role"] == role:  # many chat templates refuse two in a row
            merged[-1]["content"] += f"\n\n{content}"
        else:
            merged.append({"role": role, "content": content})
    return merged


def _instructions(messages: Sequence[ModelMessage], params: ModelRequestParameters) -> str:
    if params.instruction_parts:
        return "\n\n".join(part.content for part in params.instruction_parts)
    given = (m.instructions for m in reversed(messages) if isinstance(m, ModelRequest))
    return next((text for text in given if text), "")


def _told(message: ModelRequest) -> Iterator[tuple[str, str]]:
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            yield "system", part.content
        elif isinstance(part, UserPromptPart):
            yield "user", _text(part)
        elif isinstance(part, ToolReturnPart):
            said = part.model_response_str()
            done = part.outcome == "success"  # else it says itself what is wrong
            yield "user", f"{part.tool_name} returned: {said}" if done else said
        elif part.part_kind == "retry-prompt":  # how Pydantic AI before 2.62 sends a correction
            yield "user", part.model_response()


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    if other := next(
        (type(item).__name__ for item in part.content if not isinstance(item, str)), None
    ):
        raise InputError(f"this model reads text alone, and the prompt holds {other}; describe it")
    return "\n\n".join(cast(Sequence[str], part.content))


def _answered(message: ModelResponse, form: Reply | None) -> Iterator[tuple[str, str]]:
    for part in message.parts:
        if isinstance(part, TextPart) and part.content:
            yield "assistant", part.content
        elif isinstance(part, ToolCallPart):
            yield "assistant", form.said(part) if form else part.args_as_json_str()


def _choices(tools: Sequence[ToolDefinition], *, text: bool) -> Schema:
    """Return the schema of an object with one of several answers in it.

    The choice is inside of an object, since a schema with alternatives at its root is refused as
    a tool's parameters and by native output.
    """
    options = [_option(tool) for tool in tools]
    if text:
        options.append(_object({"text": {"type": "string"}}, "Say this, without a tool."))
    definitions: Schema = {}
    for tool in tools:
        inner = cast(Schema, tool.parameters_json_schema.get("$defs", {}))
        definitions |= {f"{tool.name}.{k}": _moved(v, tool.name) for k, v in inner.items()}
    schema = _object({"answer": {"anyOf": options}})
    return schema | {"$defs": definitions} if definitions else schema


def _option(tool: ToolDefinition) -> Schema:
    plain = {k: v for k, v in tool.parameters_json_schema.items() if k != "$defs"}
    fields: Schema = {"tool": {"const": tool.name}, "arguments": _moved(plain, tool.name)}
    return _object(fields, tool.description)


def _object(fields: Schema, description: str | None = None) -> Schema:
    said = {"description": description} if description else {}
    required = list(fields)
    return {
        **said,
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


def _moved(schema: Any, tool: str) -> Any:
    """Return a part of a tool's schema that points to the tool's own definitions."""
    if isinstance(schema, list):
        items: list[Any] = cast(Any, schema)
        return [_moved(item, tool) for item in items]
    if not isinstance(schema, dict):
        return schema
    found = {k: _moved(v, tool) for k, v in cast(Schema, schema).items()}
    at = found.get("$ref")
    if isinstance(at, str):
        found["$ref"] = at.replace("#/$defs/", f"#/$defs/{tool}.", 1)
    return found


def _choice(text: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    inner = cast(Schema, answer).get("answer") if isinstance(answer, dict) else None
    return cast(Schema, inner) if isinstance(inner, dict) else {}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
