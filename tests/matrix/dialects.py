"""How OpenAI's chat and responses APIs, Anthropic's and those akin say the same: as bytes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ..faulty import Answer, body, events
from .acts import Act, Call, Fail, Fault, Say

__all__ = ("Asked", "Chat", "Dialect", "Messages", "OpenRouter", "Responses", "dialect")

Json = dict[str, Any]
Named = tuple[str, Json | str]


@dataclass(frozen=True)
class Asked:
    """A request as it came in.

    Attributes:
        tools: Names of the tools that are offered.
        schema: Whether a JSON schema is to hold the answer.
        at: Seconds of a clock that never goes back.
    """

    path: str
    key: str
    body: Json
    tools: tuple[str, ...]
    schema: bool
    at: float

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))


class Dialect(ABC):
    """A protocol; `begun` is how many events a stream has sent when its first token is there."""

    begun: int
    corrupt: Json | Named | str = '{"cho'

    @abstractmethod
    def tools(self, request: Json) -> tuple[str, ...]:
        """Return the names of the tools that a request offers."""

    @abstractmethod
    def schema(self, request: Json) -> bool:
        """Tell whether a request wants JSON by a schema."""

    @abstractmethod
    def whole(self, act: Say | Call, model: str) -> Json:
        """Return an answer in one piece."""

    @abstractmethod
    def stream(self, act: Say | Call, model: str) -> Iterator[Json | Named | str]:
        """Yield the events of an answer."""

    @abstractmethod
    def nothing(self, model: str) -> Json:
        """Return an answer that holds none."""

    @abstractmethod
    def stream_of_nothing(self, model: str) -> tuple[Json | Named | str, ...]:
        """Return the events of an answer that holds none."""

    def error(self, act: Fail) -> Json:
        """Return an error's body."""
        said = {"message": act.message, "type": "api_error", "param": None, "code": act.code}
        return {"error": said}

    def answer(self, act: Act, asked: Asked) -> Answer:
        """Return the bytes with which a request is answered."""
        if isinstance(act, Fail):
            return self.failed(act)
        if isinstance(act, str):
            return self.broken(act, asked)
        if asked.streams:
            return events(*self.stream(act, asked.model))
        return body(self.whole(act, asked.model))

    def failed(self, act: Fail) -> Answer:
        headers = {} if act.retry_after is None else {"retry_after": str(act.retry_after)}
        return body(self.error(act), act.status, **headers)

    def broken(self, fault: Fault, asked: Asked) -> Answer:
        begun = tuple(self.stream(Say("All is well"), asked.model))[: self.begun]
        streams: dict[Fault, Answer] = {
            "empty": events(*self.stream_of_nothing(asked.model)),
            "corrupt": events(*begun, self.corrupt),
            "cut before": events(ends="cut"),
            "cut after": events(*begun, ends="cut"),
            "ends early": events(*begun),
        }
        if fault in streams and asked.streams:
            return streams[fault]
        bodies: dict[Fault, Answer] = {
            "malformed": body('{"id": "c1", "choi'),
            "empty": body(self.nothing(asked.model)),
            "hangs": Answer(ends="hangs"),
        }
        return bodies.get(fault, Answer(ends="cut"))


class Chat(Dialect):
    """OpenAI's chat protocol, which half of all servers speak."""

    begun = 2

    def tools(self, request: Json) -> tuple[str, ...]:
        return tuple(tool["function"]["name"] for tool in request.get("tools") or ())

    def schema(self, request: Json) -> bool:
        return _at(request, "response_format", "type") == "json_schema"

    def whole(self, act: Say | Call, model: str) -> Json:
        said = {"content": act.text} if isinstance(act, Say) else {"tool_calls": [_function(act)]}
        why = "stop" if isinstance(act, Say) else "tool_calls"
        message: Json = {"role": "assistant", "content": None, **said}
        choice = {"index": 0, "message": message, "finish_reason": why}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [self.choice(choice)],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
            **self.more(),
        }

    def stream(self, act: Say | Call, model: str) -> Iterator[Json | Named | str]:
        yield self._chunk(model, {"role": "assistant", "content": ""})
        if isinstance(act, Say):
            for piece in act.pieces:
                yield self._chunk(model, {"content": piece})
        else:
            call: Json = {"index": 0, **_function(act)}
            yield self._chunk(model, {"tool_calls": [call]})
        yield self._chunk(model, {}, "stop" if isinstance(act, Say) else "tool_calls")
        yield "[DONE]"

    def nothing(self, model: str) -> Json:
        return {**self.whole(Say(""), model), "choices": []}

    def stream_of_nothing(self, model: str) -> tuple[Json | Named | str, ...]:
        return {**self._chunk(model, {}), "choices": []}, "[DONE]"

    def _chunk(self, model: str, delta: Json, why: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": why}
        return {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": [self.choice(choice)],
            **self.more(),
        }

    def choice(self, choice: Json) -> Json:
        """Return a choice with what a server adds to it."""
        return choice

    def more(self) -> Json:
        """Return what a server adds to each answer."""
        return {}


class OpenRouter(Chat):
    """The same with OpenRouter's additions: what fails behind it is told in an answer of 200."""

    def choice(self, choice: Json) -> Json:
        return {**choice, "native_finish_reason": choice["finish_reason"]}

    def more(self) -> Json:
        return {"provider": "Somebody"}

    def error(self, act: Fail) -> Json:
        said = {"code": act.status, "message": act.message, "metadata": {"provider_name": "Some"}}
        return {"error": said, "user_id": "u"}

    def failed(self, act: Fail) -> Answer:
        behind = act.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return body(self.error(act)) if behind else super().failed(act)


class Responses(Dialect):
    """OpenAI's responses API."""

    begun = 4
    corrupt = ("response.output_text.delta", '{"typ')

    def tools(self, request: Json) -> tuple[str, ...]:
        return tuple(str(tool.get("name")) for tool in request.get("tools") or ())

    def schema(self, request: Json) -> bool:
        return _at(request, "text", "format", "type") == "json_schema"

    def whole(self, act: Say | Call, model: str) -> Json:
        return self._response(model, "completed", [self._item(act)])

    def stream(self, act: Say | Call, model: str) -> Iterator[Json | Named | str]:
        for number, event in enumerate(self._events(act, model)):
            yield event["type"], {**event, "sequence_number": number}

    def nothing(self, model: str) -> Json:
        return {**self.whole(Say(""), model), "output": []}

    def stream_of_nothing(self, model: str) -> tuple[Json | Named | str, ...]:
        opened = {"type": "response.created", "response": self._response(model, "in_progress", [])}
        ended = {"type": "response.completed", "response": self.nothing(model)}
        return (
            ("response.created", {**opened, "sequence_number": 0}),
            ("response.completed", {**ended, "sequence_number": 1}),
        )

    def _events(self, act: Say | Call, model: str) -> Iterator[Json]:
        yield {"type": "response.created", "response": self._response(model, "in_progress", [])}
        item, done = self._item(act), {"item_id": "i1", "output_index": 0}
        opened: Json = {"content": []} if isinstance(act, Say) else {"arguments": ""}
        added = {**item, **opened, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": 0, "item": added}
        if isinstance(act, Say):
            part, at = self._text(""), {"content_index": 0}
            yield {"type": "response.content_part.added", "part": part, **done, **at}
            for piece in act.pieces:
                said = {"delta": piece, "logprobs": list[Json]()}
                yield {"type": "response.output_text.delta", **said, **done, **at}
        else:
            text = item["arguments"]
            yield {"type": "response.function_call_arguments.delta", "delta": text, **done}
            ended = {"arguments": text, "name": act.tool}
            yield {"type": "response.function_call_arguments.done", **ended, **done}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield {"type": "response.completed", "response": self.whole(act, model)}

    def _item(self, act: Say | Call) -> Json:
        if isinstance(act, Call):
            call = {"name": act.tool, "arguments": json.dumps(act.arguments), "call_id": "call_1"}
            return {"id": "i1", "type": "function_call", "status": "completed", **call}
        message: Json = {"role": "assistant", "content": [self._text(act.text)]}
        return {"id": "i1", "type": "message", "status": "completed", **message}

    def _text(self, text: str) -> Json:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _response(self, model: str, status: str, output: list[Json]) -> Json:
        usage = {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 12,
        }
        return {
            "id": "r1",
            "object": "response",
            "created_at": 1,
            "model": model,
            "status": status,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage if output else None,
        }


class Messages(Dialect):
    """Anthropic's protocol."""

    begun = 3
    corrupt = ("content_block_delta", "{")  # its client reads only events whose names it knows

    def tools(self, request: Json) -> tuple[str, ...]:
        return tuple(str(tool.get("name")) for tool in request.get("tools") or ())

    def schema(self, request: Json) -> bool:
        return bool(_at(request, "output_config", "format") or request.get("output_format"))

    def error(self, act: Fail) -> Json:
        return {"type": "error", "error": {"type": act.code, "message": act.message}}

    def whole(self, act: Say | Call, model: str) -> Json:
        block = {"type": "text", "text": act.text} if isinstance(act, Say) else self._use(act)
        return self._message(model, [block], self._why(act))

    def stream(self, act: Say | Call, model: str) -> Iterator[Json | Named | str]:
        for event in self._events(act, model):
            yield event["type"], event

    def nothing(self, model: str) -> Json:
        return self._message(model, [], "end_turn")

    def stream_of_nothing(self, model: str) -> tuple[Json | Named | str, ...]:
        said = self._events(Say(""), model)
        kept = (event for event in said if not event["type"].startswith("content_block"))
        return tuple((event["type"], event) for event in kept)

    def _events(self, act: Say | Call, model: str) -> Iterator[Json]:
        yield {"type": "message_start", "message": self._message(model, [], None)}
        block: Json = {"type": "text", "text": ""}
        if isinstance(act, Say):
            deltas = [{"type": "text_delta", "text": piece} for piece in act.pieces]
        else:
            block = {**self._use(act), "input": {}}
            text = json.dumps(act.arguments)
            deltas = [{"type": "input_json_delta", "partial_json": text}]
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        why = {"stop_reason": self._why(act), "stop_sequence": None}
        yield {"type": "message_delta", "delta": why, "usage": {"output_tokens": 3}}
        yield {"type": "message_stop"}

    def _use(self, act: Call) -> Json:
        return {"type": "tool_use", "id": "toolu_1", "name": act.tool, "input": dict(act.arguments)}

    def _why(self, act: Say | Call) -> str:
        return "end_turn" if isinstance(act, Say) else "tool_use"

    def _message(self, model: str, content: list[Json], why: str | None) -> Json:
        return {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": why,
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 3},
        }


def _at(request: Json, *names: str) -> Any:
    """Return what stands in a request under one name within another; None where one is absent."""
    name, *rest = names
    found = request.get(name)
    return _at(found, *rest) if rest and found else found


def _function(act: Call) -> Json:
    function = {"name": act.tool, "arguments": json.dumps(act.arguments)}
    return {"id": "call_1", "type": "function", "function": function}


def dialect(path: str) -> Dialect:
    """Return the protocol in which a path is asked."""
    if path.startswith("/api/v1/"):
        return OpenRouter()
    path = path.partition("?")[0]
    kinds = {"/messages": Messages, "/responses": Responses, "/chat/completions": Chat}
    return next(kind() for end, kind in kinds.items() if path.endswith(end))
