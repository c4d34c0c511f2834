"""Notice a model that calls the same tools again and again: tell it so, then stop the run.

```python
agent = Agent(..., capabilities=[LoopGuard(polling={"job_status"})])
```

| pattern | is | told at | stopped at |
|---|---|---|---|
| repeated | the same calls with the same results, step after step | 3 times | 5 times |
| alternating | two such steps in turn: A B A B | 2 pairs | 4 pairs |
| no progress | no call and no result that the turn has not seen | 10 steps | 20 steps |

A **step** is what one answer of the model calls, in whatever order: parallel calls are one step.
Results count as much as calls: a tool that is asked again and says something new is progress, so
honest polling is left alone. Where a tool may long say the same and that is no loop, declare it,
by name or with the tool: `agent.tool(status, metadata={"polling": True})`. Its calls are then
passed over, so declare with it what waits between two polls.

What the model is told stands beside the tools' results, not within them, where what stands in
fences is not to be obeyed. The run is stopped after the last of so many equal steps was answered,
before the model is asked once more; an answer of the model that ends the run is never stopped.

Each turn counts by itself: a run with a new prompt starts anew, whatever its history holds. A run
without one, which goes on after an approval or a crash, goes on counting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import SecretStr
from pydantic_ai import CallToolsNode, ModelRequestNode, RunContext
from pydantic_ai.capabilities import AbstractCapability, AgentNode, NodeResult
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_jsonable_python

from .errors import Called, ConfigError, LoopDetected
from .models import Models
from .replay.requests import canonical
from .secrets import scrub
from .spans import Attributes, note

__all__ = ("Count", "LoopGuard", "Pattern", "Step", "longest", "steps_of")

Pattern: TypeAlias = Literal["repeated", "alternating", "no progress"]

SHOWN = 200  # characters of a call's arguments that are shown
TRAIL = 24  # calls that are shown
DIGITS = 16
MARK = "[loop guard] "
"""How what the model is told begins: in a history it is known by that."""


@dataclass(frozen=True)
class Count:
    """How often a pattern may be seen.

    Args:
        warn: The model is told from this time on.
        stop: The run is stopped at this time.

    Raises:
        ConfigError: they do not leave the model a chance.
    """

    warn: int
    stop: int

    def __post_init__(self) -> None:
        if not 2 <= self.warn < self.stop:
            raise ConfigError(
                f"a loop guard cannot warn at {self.warn} and stop at {self.stop}: it takes 2 to "
                "repeat, and the model is warned before it is stopped; set 2 <= warn < stop"
            )


class Made(NamedTuple):
    """A call that was answered."""

    tool: str
    arguments: str
    result: str

    def shown(self, secrets: Iterable[str]) -> Called:
        arguments = scrub(self.arguments, secrets)
        if len(arguments) > SHOWN:
            arguments = f"{arguments[:SHOWN]}… ({len(arguments)} characters)"
        return Called(self.tool, arguments, self.result)


Step: TypeAlias = tuple[Made, ...]
"""What one answer of the model called, in its order."""


class Seen(NamedTuple):
    """A pattern, how often it is there now, and the number of steps in which it is."""

    pattern: Pattern
    times: int
    steps: int


def longest(steps: Sequence[Step]) -> tuple[Seen, ...]:
    """Return how often each pattern is there at the end of `steps`; 0 or 1 is no pattern.

    Order and number of calls within a step do not matter.
    """
    keys = [frozenset(step) for step in steps]
    same = 1 + _tail(keys, 1) if keys else 0
    pairs = (2 + _tail(keys, 2)) // 2 if same == 1 and len(keys) > 1 else 0
    idle = _idle(keys)
    return (
        Seen("repeated", same, same),
        Seen("alternating", pairs, 2 * pairs),
        Seen("no progress", idle, idle),
    )


def _tail(keys: Sequence[frozenset[Made]], period: int) -> int:
    """Return how many of the last steps are each equal to the one a period before it."""
    count = 0
    while count + period < len(keys) and keys[-1 - count] == keys[-1 - count - period]:
        count += 1
    return count


def _idle(keys: Sequence[frozenset[Made]]) -> int:
    """Return how many of the last steps brought nothing that was not there before."""
    seen: set[Made] = set()
    idle = 0
    for key in keys:
        idle = idle + 1 if key <= seen else 0
        seen |= key
    return idle


@dataclass
class LoopGuard(AbstractCapability[Any]):
    """Tells a model that it goes round in circles, and stops the run if that does not help.

    Args:
        repeated: The same step, so many times in a row.
        alternating: Two steps in turn, so many times in a row.
        no_progress: So many steps in a row that brought nothing new.
        polling: Tools that may be asked the same for as long as they like.

    Raises:
        LoopDetected: from the run, when a pattern is seen as often as its `stop` says.
    """

    repeated: Count = Count(3, 5)
    alternating: Count = Count(2, 4)
    no_progress: Count = Count(10, 20)
    polling: Collection[str] = ()
    # Of one run: see `for_run`.
    _steps: list[Step] = field(default_factory=list[Step], init=False, repr=False)
    _declared: frozenset[str] = field(default=frozenset(), init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> LoopGuard:
        own = copy(self)
        own._steps = [] if ctx.prompt is not None else steps_of(ctx.messages)
        own._declared = frozenset(self.polling)
        return own

    async def prepare_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        declared = (one.name for one in tool_defs if (one.metadata or {}).get("polling"))
        self._declared = self._declared.union(declared)
        return tool_defs

    async def after_node_run(
        self, ctx: RunContext[Any], *, node: AgentNode[Any], result: NodeResult[Any]
    ) -> NodeResult[Any]:
        if isinstance(node, CallToolsNode) and isinstance(result, ModelRequestNode):
            self._steps.append(_step(node.model_response, [result.request]))
            if said := self._judge(_secrets(ctx.deps)):
                note = UserPromptPart(said)
                result.request = replace(result.request, parts=[*result.request.parts, note])
        return result

    def _judge(self, secrets: Iterable[str]) -> str | None:
        """Return what the model is told of the last step; None if there is nothing to tell.

        Raises:
            LoopDetected: it was told, and went on.
        """
        counted = [kept for step in self._steps if (kept := self._counted(step))]
        if not self._steps or not self._counted(self._steps[-1]):
            return None
        counts = (self.repeated, self.alternating, self.no_progress)
        found = list(zip(longest(counted), counts, strict=True))
        for seen, count in found:
            if seen.times >= count.stop:
                _note(seen, "stopped")
                raise _stopped(seen, counted, secrets)
        for seen, count in found:
            if seen.times >= count.warn:
                _note(seen, "warned")
                return _told(seen, counted)
        return None

    def _counted(self, step: Step) -> Step:
        return tuple(made for made in step if made.tool not in self._declared)


def steps_of(messages: Sequence[ModelMessage]) -> list[Step]:
    """Return the answered steps of the last turn in a history."""
    begin = max((i + 1 for i, one in enumerate(messages) if _begins_turn(one)), default=0)
    turn = messages[begin:]
    bounds = [i for i, one in enumerate(turn) if isinstance(one, ModelResponse)]
    found: list[Step] = []
    for here, after in pairwise([*bounds, len(turn)]):
        response, requests = turn[here], turn[here + 1 : after]
        if isinstance(response, ModelResponse) and requests:
            found.append(_step(response, requests))
    return [step for step in found if step]


def _begins_turn(message: ModelMessage) -> bool:
    """Tell whether a user speaks here, and not we beside the results of tools."""
    if not isinstance(message, ModelRequest):
        return False
    answers = any(getattr(part, "tool_call_id", None) is not None for part in message.parts)
    return not answers and any(isinstance(part, UserPromptPart) for part in message.parts)


def _step(response: ModelResponse, requests: Sequence[ModelMessage]) -> Step:
    """Return the calls of an answer that these requests answer.

    What a tool returns beside its result, such as an image, counts with every result of its step.
    """
    parts = [p for request in requests if isinstance(request, ModelRequest) for p in request.parts]
    # A call that is to be made anew is answered by another kind of part in each version of
    # Pydantic AI, so a part is known by whose call it answers.
    results: dict[str, Any] = {
        call_id: getattr(part, "content", None)
        for part in parts
        if (call_id := getattr(part, "tool_call_id", None)) is not None
    }
    prompts = [part.content for part in parts if isinstance(part, UserPromptPart)]
    beside = [one for one in prompts if not (isinstance(one, str) and one.startswith(MARK))]
    return tuple(
        Made(call.tool_name, _arguments(call), _digest([results[call.tool_call_id], beside]))
        for call in response.parts
        if isinstance(call, ToolCallPart) and call.tool_call_id in results
    )


def _arguments(call: ToolCallPart) -> str:
    return canonical(to_jsonable_python(call.args_as_dict(), fallback=repr))


def _digest(content: object) -> str:
    plain = to_jsonable_python(content, fallback=repr, bytes_mode="base64")
    return sha256(canonical(plain).encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _secrets(deps: object) -> list[str]:
    """Return the keys that deps with models know."""
    models = getattr(deps, "models", None)
    keys: tuple[SecretStr, ...] = models.secrets if isinstance(models, Models) else ()
    return [key.get_secret_value() for key in keys]


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(dict.fromkeys(repr(made.tool) for step in steps for made in step))


_WORDS: dict[Pattern, str] = {
    "repeated": "the same call, with the same arguments and the same result, {} times in a row",
    "alternating": "the same two calls in turn, with the same results, {} times in a row",
    "no progress": "calls that brought nothing new, {} steps in a row",
}


def _note(seen: Seen, outcome: str) -> None:
    told: Attributes = {
        "assay.guard": "loop",
        "assay.guard.outcome": outcome,
        "assay.loop.pattern": seen.pattern,
        "assay.loop.count": seen.times,
    }
    note("guard", "guard loop", told)


def _told(seen: Seen, steps: Sequence[Step]) -> str:
    made = _WORDS[seen.pattern].format(seen.times)
    return (
        f"{MARK}You have made {made} ({_names(steps[-seen.steps :])}). Asking again will not "
        "change the answer: use what you have, try something else, or say what is missing. "
        "If you go on like this the run is stopped."
    )


def _stopped(seen: Seen, steps: Sequence[Step], secrets: Iterable[str]) -> LoopDetected:
    secrets = tuple(secrets)
    calls = [made for step in steps[-seen.steps :] for made in step][-TRAIL:]
    trail = [made.shown(secrets) for made in calls]
    last = trail[-1]
    return LoopDetected(
        f"the model made {_WORDS[seen.pattern].format(seen.times)}, although it was told so; the "
        f"last was {last.tool}({last.arguments}). Ask another model, say in the instructions when "
        "to stop, or, where the tool may be asked so often, declare it: LoopGuard(polling={"
        f"{last.tool!r}}})",
        pattern=seen.pattern,
        count=seen.times,
        trail=trail,
    )
