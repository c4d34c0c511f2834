"""Let no call that must not go wrong be made because an untrusted text wanted it.

```python
agent.tool(metadata={"sensitive": True})(refund)  # people must be able to stop it
agent.tool(metadata={"trusted": True})(find_card)  # the operator's own words and figures
agent = Agent(..., output_type=[Reply, DeferredToolRequests], capabilities=[*safe()])
```

Text is untrusted unless the user or the operator wrote it (see `provenance`). A tool attached with
`metadata={"foreign": True}` was described by somebody else, as those of a stranger's MCP server
are: the model has read that text from its first step on. Once a model has read untrusted text, a
sensitive call needs a person's approval:

- `strict`: every sensitive call does. No untrusted text can have a sensitive tool called, with
  whatever arguments, by a model that obeys it to the letter.
- `arguments`: a call does whose texts and numbers do not all stand, word for word, in what the user
  or the operator said; and one without any. No word and no figure of an untrusted text reaches a
  sensitive tool. Such a text may still bring about a call with words that the user used, leave an
  argument out, or choose true or false.

After a result in a fence called `flagged` (see `untrusted`) every sensitive call needs approval in
both modes; so does one that another tool makes, such as a sandbox, whose text nobody can trace.

Output functions, and tools that the provider or the caller runs, do not pass here.

A call that needs approval raises `ApprovalRequired(metadata={"why": ...})`. Where a run cannot
pause, because `DeferredToolRequests` is not among the agent's output types and no other capability
decides, it is refused: the model is told so, and the tool is not called.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from copy import copy
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin

from pydantic_ai import ApprovalRequired, DeferredToolRequests, RunContext, UserError
from pydantic_ai.capabilities import (
    AbstractCapability,
    CapabilityOrdering,
    HandleDeferredToolCalls,
)
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import DeferredToolResults, ToolDefinition, ToolDenied

from ..errors import ApprovalImpossible
from ..spans import note
from .provenance import Foreign, Provenance, as_text, told
from .tracing import Leaf, Said, decoded, leaves
from .untrusted import nested

__all__ = ("Mode", "Sensitive", "why")

Mode: TypeAlias = Literal["strict", "arguments"]

BY = "by"
"""In the metadata of a request: who asked for approval."""

_ME = "assay.sensitive"
_SHOWN = 80  # characters of an argument that are shown
_NAMED = 3  # sources that are named


@dataclass
class Sensitive(AbstractCapability[Any]):
    """Asks a person before a sensitive call that untrusted text may have brought about.

    Args:
        mode: Which calls need approval; see the module.
        words: Fences in the prompt that hold the user's own words, such as `message`.
        pauses: Whether runs can pause for an approval. None: if `DeferredToolRequests` is among
            the agent's output types; say it where `run(output_type=...)` names others.

    Raises:
        ApprovalImpossible: from the run, when it cannot pause although it was said that it can.
    """

    mode: Mode = "strict"
    words: Collection[str] = ()
    pauses: bool | None = None
    # Of one run: see `for_run`.
    _trusted: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    _outputs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    _described: dict[str, Foreign] = field(
        default_factory=dict[str, Foreign], init=False, repr=False
    )
    _asked: list[str] = field(default_factory=list[str], init=False, repr=False)

    def get_ordering(self) -> CapabilityOrdering:
        """Refuse only what nobody else decides."""
        return CapabilityOrdering(wrapped_by=[HandleDeferredToolCalls])

    async def for_run(self, ctx: RunContext[Any]) -> Sensitive:
        own = copy(self)
        own._asked = []
        own._described = {}
        return own

    async def prepare_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        trusted = (one.name for one in tool_defs if (one.metadata or {}).get("trusted"))
        self._trusted = self._trusted.union(trusted)  # one that is hidden by now stays so
        foreign = (one for one in tool_defs if (one.metadata or {}).get("foreign"))
        self._described |= {one.name: _description(one) for one in foreign}
        return tool_defs

    async def prepare_output_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        self._outputs = self._outputs.union(one.name for one in tool_defs)
        return tool_defs

    async def before_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
    ) -> dict[str, Any]:
        if not (tool_def.metadata or {}).get("sensitive") or ctx.tool_call_approved:
            return args
        if nested(ctx.messages, call):
            reason: str | None = "another tool calls it: where its words are from is not known"
        else:
            reason = why(call, tool_def, self._read(ctx), self.mode)
        if reason is None:
            return args
        self._asked.append(call.tool_name)
        note("guard", "sensitive", {"tool": call.tool_name, "mode": self.mode})
        raise ApprovalRequired(metadata={"why": reason, BY: _ME})

    def _read(self, ctx: RunContext[Any]) -> Provenance:
        """Return what the model has read, descriptions of strangers' tools included."""
        read = told(ctx.messages, trusted=self._trusted, outputs=self._outputs, words=self.words)
        return replace(read, foreign=(*self._described.values(), *read.foreign))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        if self._can_pause(ctx):
            return None
        mine = {
            call.tool_call_id: _refusal(call, requests.metadata[call.tool_call_id]["why"])
            for call in requests.approvals
            if requests.metadata.get(call.tool_call_id, {}).get(BY) == _ME
        }
        return DeferredToolResults(approvals=dict(mine)) if mine else None

    async def on_run_error(self, ctx: RunContext[Any], *, error: BaseException) -> Any:
        if self._asked and isinstance(error, UserError) and "DeferredToolRequests" in str(error):
            raise ApprovalImpossible(
                f"{', '.join(map(repr, self._asked))} needs a person's approval, and this run "
                "cannot pause for one; name DeferredToolRequests among its output types, or "
                "have such calls refused: Sensitive(pauses=False)"
            ) from error
        raise error

    def _can_pause(self, ctx: RunContext[Any]) -> bool:
        if self.pauses is not None:
            return self.pauses
        return ctx.agent is not None and _allows(ctx.agent.output_type)


def _allows(spec: object) -> bool:
    """Tell whether `DeferredToolRequests` is among output types."""
    if isinstance(spec, list | tuple):
        return any(_allows(one) for one in cast("list[object]", spec))
    if (named := getattr(spec, "__value__", None)) is not None:  # a type alias
        return _allows(named)
    if get_origin(spec) in (Union, UnionType):
        return any(_allows(one) for one in get_args(spec))
    return spec is DeferredToolRequests


def _refusal(call: ToolCallPart, reason: str) -> ToolDenied:
    return ToolDenied(
        f"{call.tool_name!r} was not called: it needs a person's approval, because {reason}; and "
        "this agent cannot ask for one. Do not call it again: do without it, and say what is left "
        "for a person to do."
    )


def why(call: ToolCallPart, tool: ToolDefinition, read: Provenance, mode: Mode) -> str | None:
    """Return why a sensitive call needs approval, for whoever is asked; None: it does not."""
    if not read.foreign:
        return None
    if read.flagged:
        return "a text was read before that was flagged as written to give orders"
    if mode == "strict":
        return f"untrusted text was read before: {_sources(read.foreign)}"
    found = list(_arguments(call, tool))
    if not found:
        return "no argument tells whether the user wants it, and untrusted text was read before"
    said = Said(read.trusted)
    lost = [leaf for leaf in found if leaf.value not in said]
    return "; ".join(_lost(leaf, read.foreign) for leaf in lost) or None


def _description(tool: ToolDefinition) -> Foreign:
    """Return what is said of a tool; the schema of its arguments holds words, too."""
    said = f"{tool.description or ''}\n{as_text(tool.parameters_json_schema)}"
    return Foreign(f"the description of {tool.name!r}", said)


def _arguments(call: ToolCallPart, tool: ToolDefinition) -> Generator[Leaf]:
    known = frozenset(_names(tool.parameters_json_schema))
    for name, value in call.args_as_dict().items():
        if name not in known:
            yield Leaf("a name", name)
        yield from leaves(value, name, known)


def _names(schema: object) -> Generator[str]:
    """Yield the names that a JSON schema gives to properties."""
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        properties: Any = found.get("properties")
        if isinstance(properties, dict):
            yield from cast("dict[str, Any]", properties)
        for inner in found.values():
            yield from _names(inner)
    elif isinstance(schema, list):
        for inner in cast("list[object]", schema):
            yield from _names(inner)


def _lost(leaf: Leaf, foreign: Collection[Foreign]) -> str:
    shown = repr(leaf.value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    source = _source(leaf, foreign)
    ending = f"it stands in {source}" if source else "nobody who may be trusted said it"
    return f"{leaf.path} is {shown}: {ending}"


def _source(leaf: Leaf, foreign: Collection[Foreign]) -> str | None:
    """Return where an argument, or what is encoded in it, stands."""
    values = list(decoded(leaf.value)) if isinstance(leaf.value, str) else [leaf.value]
    for each in foreign:
        said = Said([each.text])
        if any(value in said for value in values):
            return each.source
    return None


def _sources(foreign: Collection[Foreign]) -> str:
    names = list(dict.fromkeys(each.source for each in foreign))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
