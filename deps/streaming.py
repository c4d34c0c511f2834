"""An agent's output while it is being written: partial outputs, then the whole one, validated."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.agent import AgentRunEvents
from pydantic_ai.messages import (
    AgentStreamEvent,
    FinalResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model
from pydantic_core import from_json

from .base import BaseDeps
from .drafts import blank, filled

__all__ = ("OnEvent", "Stream", "filling", "streamed", "valid")

DepsT = TypeVar("DepsT", bound=BaseDeps)
OutputT = TypeVar("OutputT")
PartialT = TypeVar("PartialT")

Read = Callable[[Mapping[str, Any]], PartialT | None]
"""Makes a partial output of the fields that are complete; None if there is nothing to show."""

OnEvent = Callable[[AgentStreamEvent], None]
"""Is told of everything that happens in the run: tool calls, their results, deltas."""


class Stream(AsyncIterator[PartialT], Generic[PartialT, OutputT]):
    """What a run has written so far, each time there is more of it.

    A partial output is a snapshot that replaces the one before. It may lack what that one had: an
    output that is not valid is sent back and written anew. Where a model breaks off and another
    one stands in for it, that one's output is given whole, at the end.

    An end before the output is whole and valid is the run's error, raised here and by `output`.
    """

    def __init__(
        self,
        events: AgentRunEvents[OutputT],
        read: Read[PartialT],
        on_event: OnEvent | None,
    ) -> None:
        self._events = events
        self._read = read
        self._on_event = on_event
        self._written = _Written()
        self._shown: PartialT | None = None
        self._result: AgentRunResultEvent[OutputT] | None = None

    async def __anext__(self) -> PartialT:
        async for event in self._events:
            if isinstance(event, AgentRunResultEvent):
                self._result = event
                continue
            if self._on_event is not None:
                self._on_event(event)
            if self._written.grew(event) and (partial := self._partial()) is not None:
                return partial
        raise StopAsyncIteration

    async def output(self) -> OutputT:
        """Return the whole output, validated, once the run has ended."""
        async for _ in self:
            pass
        assert self._result is not None  # else the run's own error was raised
        return self._result.result.output

    def _partial(self) -> PartialT | None:
        fields = self._written.fields()
        partial = self._read(fields) if fields else None
        if partial is None or partial == self._shown:
            return None
        self._shown = partial
        return partial


@asynccontextmanager
async def streamed(
    agent: Agent[DepsT, OutputT],
    prompt: str,
    deps: DepsT,
    read: Read[PartialT],
    *,
    model: Model | str | None = None,
    on_event: OnEvent | None = None,
) -> AsyncGenerator[Stream[PartialT, OutputT]]:
    """Run an agent and give its output as it is written; leaving the context ends the run.

    Args:
        agent: The agent; its output is an object.
        prompt: What it is asked.
        deps: Its world; `usage` and `limits` hold for the run.
        read: Makes a partial output of the fields that are complete.
        model: A model or its name, instead of the agent's.
        on_event: Is told of each event of the run, for a UI.
    """
    async with agent.run_stream_events(
        prompt, deps=deps, model=model, usage=deps.usage, usage_limits=deps.limits
    ) as events:
        yield Stream(events, read, on_event)


def valid(kind: TypeAdapter[PartialT], fits: Callable[[PartialT], bool]) -> Read[PartialT]:
    """Return a reader of partial outputs of a kind, such as a `TypedDict` whose keys may be absent.

    What is not valid, or does not fit, is not shown: it will be sent back.
    """

    def read(fields: Mapping[str, Any]) -> PartialT | None:
        try:
            found = kind.validate_python(fields)
        except ValidationError:
            return None
        return found if fits(found) else None

    return read


def filling(target: type[BaseModel]) -> Read[Mapping[str, object]]:
    """Return a reader of drafts of `target`: dotted path to value, of the fields filled so far."""
    form = blank(target)

    def read(fields: Mapping[str, Any]) -> Mapping[str, object] | None:
        try:
            return dict(filled(form.model_validate(fields.get("value")))) or None
        except ValidationError:  # not begun, or it will be sent back
            return None

    return read


class _Written:
    """The output that a response is writing: a call of the output tool, or text."""

    def __init__(self) -> None:
        self._parts: dict[int, ToolCallPart | TextPart] = {}
        self._at: int | None = None  # the part that is the output, once it is known
        self._latest = 0

    def grew(self, event: AgentStreamEvent) -> bool:
        """Take an event in; tell whether it is of the output."""
        if isinstance(event, PartStartEvent):
            if event.index == 0:
                self._at = None  # a new response
            self._latest = event.index
            if isinstance(event.part, (ToolCallPart, TextPart)):
                self._parts[event.index] = event.part
        elif isinstance(event, PartDeltaEvent):
            self._add(event)
            return event.index == self._at
        elif isinstance(event, FinalResultEvent):
            self._at = self._latest
            return True
        return False

    def fields(self) -> Mapping[str, Any]:
        """Return the output's fields that are complete."""
        part = None if self._at is None else self._parts.get(self._at)
        written = part.args if isinstance(part, ToolCallPart) else part and part.content
        return written if isinstance(written, dict) else _complete(written or "")

    def _add(self, event: PartDeltaEvent) -> None:
        part, delta = self._parts.get(event.index), event.delta
        if isinstance(delta, ToolCallPartDelta) and isinstance(part, ToolCallPart):
            more = delta.apply(part)
            assert isinstance(more, ToolCallPart)
            self._parts[event.index] = more
        if isinstance(delta, TextPartDelta) and isinstance(part, TextPart):
            self._parts[event.index] = delta.apply(part)


# A number at the very end may go on: 0.9 may become 0.95.
_MAY_GO_ON = re.compile(r"[-+.\deE]+\Z")


def _complete(json: str) -> Mapping[str, Any]:
    """Return what is complete of an object that is being written; strings come whole or not."""
    try:
        found: object = from_json(_MAY_GO_ON.sub("", json), allow_partial=True)
    except ValueError:  # no JSON yet, or none at all: the run's own validation says so
        return {}
    return cast(Mapping[str, Any], found) if isinstance(found, dict) else {}
