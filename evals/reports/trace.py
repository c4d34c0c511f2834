"""A trace as one HTML page: the same timeline as the report's, with time, tokens and cost."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, cast

from ..spans import Span, Trace
from .html import drawn
from .plain import plain_data

__all__ = ("render_trace",)

SCRIPTS = ("report_text.js", "report_timeline.js", "trace.js")

MAX_SPANS = 5_000
"""Spans on a page: a browser has to draw them all at once."""

_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_ALL = "pydantic_ai.all_messages"
_INSTRUCTIONS = "gen_ai.system_instructions"
_ARGUMENTS, _RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
_FINAL = "final_result"

# Said in words elsewhere on the page, or of use to other viewers alone.
_NOT_SHOWN = frozenset(
    {
        _INPUT,
        _OUTPUT,
        _ALL,
        _INSTRUCTIONS,
        _ARGUMENTS,
        _RESULT,
        _FINAL,
        "agent_name",
        "assay.kind",
        "gen_ai.operation.name",
        "gen_ai.system",
        "logfire.json_schema",
        "logfire.level_num",
        "logfire.metrics",
        "logfire.msg",
        "logfire.span_type",
        "model_name",
    }
)
_ROLES = {"text": "model", "thinking": "model", "tool_call": "tool", "tool_call_response": "tool"}


def render_trace(trace: Trace) -> str:
    """Return a trace as an HTML document that opens from disk and asks the network for nothing."""
    walk = [(depth, node.span) for root in trace.roots for depth, node in root.walk()]
    summary = trace.summary
    spans = [_shown(span, depth, trace.begun) for depth, span in islice(walk, MAX_SPANS)]
    data = {"seconds": summary.seconds, "spans": spans}
    left_out = len(walk) - len(spans)
    return drawn("trace.html.j2", SCRIPTS, plain_data(data), it=summary, left_out=left_out)


def _shown(span: Span, depth: int, begun: int) -> dict[str, Any]:
    rest = {k: v for k, v in span.attributes.items() if k not in _NOT_SHOWN}
    return {
        "depth": depth,
        "kind": span.kind,
        "title": span.title.removeprefix(f"{span.kind} "),
        "start": (span.started - begun) / 1e9,
        "seconds": span.seconds,
        "tokens": span.tokens,
        "cost": span.cost,
        "error": span.error,
        "message": span.message or span.text("error.message"),
        "steps": [_step(*one) for one in _steps(span)],
        "attributes": {"span": span.id, **rest},
    }


def _step(role: str, kind: str, content: Any) -> dict[str, Any]:
    return {"role": role, "kind": kind, "content": content}


def _steps(span: Span) -> Iterator[tuple[str, str, Any]]:
    """Yield role, kind and content of what was said in a span; of a model call, the answer."""
    named = span.attributes
    if span.kind == "agent":
        for part in _list(named.get(_INSTRUCTIONS)):
            yield "instructions", "", part.get("content", part)
        yield from _messages(named.get(_ALL), until="assistant")
        if _FINAL in named:
            yield "output", "model", named[_FINAL]
    elif span.kind == "model":
        yield from _messages(named.get(_OUTPUT))
    if _ARGUMENTS in named:
        yield "arguments", "tool", named[_ARGUMENTS]
    if _RESULT in named:
        yield "tool answer", "retry" if span.failed else "tool", named[_RESULT]
    for event in span.events:
        raised = event.attributes.get("exception.stacktrace")
        kind = "retry" if event.name == "exception" else ""
        yield event.name, kind, raised or dict(event.attributes)


def _messages(said: Any, until: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the parts of messages, up to the first one of a role."""
    for message in _list(said):
        role = str(message.get("role", "message"))
        if role == until:
            return
        for part in _list(message.get("parts")):
            kind = str(part.get("type", "part"))
            words = kind.replace("_", " ") if kind in ("tool_call", "thinking") else role
            name = f": {part['name']}" if "name" in part else ""
            found = next(
                (part[key] for key in ("content", "arguments", "result") if key in part), part
            )
            yield words + name, _ROLES.get(kind, "") if role == "assistant" else "", found


def _list(value: Any) -> list[Mapping[str, Any]]:
    """Return a list of objects; what a foreign span has instead is left out."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    found: list[Any] = cast(Any, value) if isinstance(value, list) else []
    return [cast(Mapping[str, Any], one) for one in found if isinstance(one, dict)]
