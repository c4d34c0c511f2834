"""A baseline that uses its agent's tools, written as the plain function that it is.

```python
async def solve(prompt: str, call: Calls[Deps]) -> Reply:
    card = await call(find_card, last4="4711")  # through the agent's loop, as an LLM's call
    await call(block_card, card.id)
    return Reply(...)


def _baseline(deps: Deps) -> BaselineModel:
    return ActingBaseline("support", lambda prompt, call: solve(unfence("message", prompt), call))
```

The tools are called by the loop, with its validation, guards, approvals and spans. A model is asked
anew after every call, so `solve` runs anew, too, and what was called before is answered from the
messages; a run that was paused goes on in another process. So `solve` must be deterministic: it
makes the same calls in the same order, given the same prompt and results.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_core import from_json, to_jsonable_python

from .baseline import BaselineModel, Wanted
from .errors import AssayError, InputError
from .fence import unfenced
from .loop_guard import MARK
from .safety.provenance import HELD, done_to

__all__ = ("ActingBaseline", "Calls", "ToolRefused")

P = ParamSpec("P")
T = TypeVar("T")
DepsT = TypeVar("DepsT")


class ToolRefused(AssayError):
    """A baseline has no result of a tool: it was denied, sent back, or kept aside by a guard."""


class _Stop(BaseException):
    """A tool is to be called first. Not an `Exception`: `solve` may handle those."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        super().__init__(wanted.call.tool_name)


@dataclass(frozen=True)
class _Answered:
    """A call that was made, and the part that answers it."""

    call: ToolCallPart
    part: ModelRequestPart


@dataclass
class Calls(Generic[DepsT]):
    """Calls the agent's tools, by their functions: `await call(find_card, last4="4711")`."""

    _answered: Sequence[_Answered]
    _made: int = field(default=0, init=False)

    async def __call__(
        self,
        tool: Callable[Concatenate[RunContext[DepsT], P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what the tool returned.

        Raises:
            ToolRefused: the call was denied, or sent back with what is wrong with it; or a guard
                kept aside what it returned, or took out what a result must have.
            InputError: the messages hold the call of another tool here: `solve` is not
                deterministic, or the history is another agent's.
        """
        name = tool.__name__
        if self._made == len(self._answered):
            raise _Stop(Wanted(ToolCallPart(name, _arguments(tool, args, kwargs))))
        answered = self._answered[self._made]
        self._made += 1
        if answered.call.tool_name != name:
            raise InputError(
                f"the messages hold a call of {answered.call.tool_name!r} where this baseline "
                f"calls {name!r}: go on with the history of a run of the same baseline"
            )
        result: T = _result(answered, get_type_hints(tool)["return"])
        return result


class ActingBaseline(BaselineModel):
    """Answer with what `solve` makes of the run's prompt, with the agent's tools.

    Args:
        agent: The agent's name; the model is called `baseline:<agent>`.
        solve: From the text of the turn's prompt, and the tools, to an output of the agent.
    """

    def __init__(self, agent: str, solve: Callable[[str, Calls[Any]], Awaitable[Any]]) -> None:
        self._act = solve
        super().__init__(agent, _never)

    async def _solved(self, messages: list[ModelMessage], params: ModelRequestParameters) -> object:
        outputs = {tool.name for tool in params.output_tools}
        prompt, since = _turn(messages, outputs)
        answered = [one for one in _answered(since) if one.call.tool_name not in outputs]
        try:
            return await self._act(prompt, Calls(answered))
        except _Stop as stop:
            return stop.wanted


def _never(prompt: str) -> Any:
    raise AssertionError(f"an acting baseline is solved with its tools, not by {prompt!r} alone")


def _turn(
    messages: Sequence[ModelMessage], outputs: Collection[str]
) -> tuple[str, Sequence[ModelMessage]]:
    """Return the last prompt of a user, and what was said since.

    What stands beside the results of tools is no prompt, such as a guard's note; but an output
    that was taken ends a turn, and a new prompt may stand right beside that.
    """
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if not isinstance(message, ModelRequest):
            continue
        answered = [part for part in message.parts if _call_id(part) is not None]
        if not answered or any(getattr(part, "tool_name", None) in outputs for part in answered):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart) and _is_prompt(part.content):
                    return str(part.content), messages[index + 1 :]
    raise InputError("a baseline reads the last user prompt as text, and there is none")


def _is_prompt(content: object) -> bool:
    return isinstance(content, str) and not content.startswith(MARK)


def _answered(messages: Sequence[ModelMessage]) -> Iterable[_Answered]:
    """Return the calls that were answered, in their order."""
    requests = (one for one in messages if isinstance(one, ModelRequest))
    parts = {
        call_id: part
        for request in requests
        for part in request.parts
        if (call_id := _call_id(part)) is not None
    }
    for message in messages:
        if isinstance(message, ModelResponse):
            for call in message.tool_calls:
                if call.tool_call_id in parts:
                    yield _Answered(call, parts[call.tool_call_id])


def _call_id(part: object) -> str | None:
    """Return whose call a part answers: parts of several kinds do, differing by version."""
    return getattr(part, "tool_call_id", None)


def _result(answered: _Answered, kind: Any) -> Any:
    """Return a result; what a guard fenced is the text itself, or another result as JSON."""
    part = answered.part
    if not isinstance(part, ToolReturnPart) or part.outcome != "success" or HELD in done_to(part):
        raise _refused(answered)
    adapter = TypeAdapter[Any](kind)
    inner = unfenced(part.content) if isinstance(part.content, str) else None
    if inner is None:
        return adapter.validate_python(part.content)
    try:
        return adapter.validate_python(inner if kind is str else from_json(inner))
    except ValueError as e:
        if not done_to(part):
            raise
        raise _refused(answered) from e  # what a guard took out was needed


def _refused(answered: _Answered) -> ToolRefused:
    return ToolRefused(
        f"{answered.call.tool_name!r} was refused: "
        f"{getattr(answered.part, 'content', answered.part)}. "
        "Do without it, or say what is missing"
    )


def _arguments(
    tool: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = inspect.signature(tool).bind(None, *args, **kwargs)  # None stands for the run context
    named = list(bound.arguments.items())[1:]
    plain: dict[str, Any] = to_jsonable_python(dict(named))
    return plain
