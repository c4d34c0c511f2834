"""Let a model call tools from code that it writes: many calls, loops and sums in one step.

```python
agent = Agent(..., capabilities=[by_name(_baseline), *safe(), *code_mode()])
```

The model gets one tool, `run_code`, in which the others are functions. The code runs in Monty, an
interpreter that has no files, no network, no environment and no clock, within bounds of time and
memory. Calls from it pass through the agent's validation, guards and spans as any other; what a
detector or a fence is to see of their results, it sees of the code's. A tool that is sensitive or
asks for approval stays outside: a person decides on a call that the model makes, with arguments
that can be read.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic_ai import ModelRetry, RunContext, WrapperToolset
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.messages import ToolReturn
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool

from ..deps.errors import MissingExtra
from .limits import cut, limited

__all__ = ("RUN_CODE", "code_mode")

DepsT = TypeVar("DepsT")

RUN_CODE = "run_code"
"""The tool that runs the model's code."""


def code_mode(
    *,
    tools: Collection[str] | None = None,
    seconds: float = 10.0,
    megabytes: int = 64,
    calls: int = 50,
    output_limit: int = 20_000,
) -> list[AbstractCapability[Any]]:
    """Return the capabilities with which a model calls an agent's tools from code.

    Args:
        tools: The tools that become functions; None: every one that nobody has to agree to.
        seconds: How long a piece of code may compute; waiting for tools is not counted.
        megabytes: How much memory it may take.
        calls: How many calls of tools it may make.
        output_limit: How many characters of what it gives and prints the model is shown.

    Raises:
        MissingExtra: the sandbox is not installed, or not in a version that keeps the bounds.
    """
    try:
        from pydantic_ai_harness.code_mode import CodeMode, CodeModeResourceLimits
    except ImportError as e:
        raise MissingExtra(
            "code mode needs a sandbox that is not installed; "
            "install it with: pip install 'assay-agents[code]'"
        ) from e
    if "max_suspensions" not in CodeModeResourceLimits.__annotations__:
        raise MissingExtra(
            "this version of pydantic-ai-harness cannot bound what code takes; "
            "install a newer one: pip install --upgrade 'pydantic-ai-harness[code-mode]>=0.62'"
        )
    names = None if tools is None else frozenset(tools)

    def inside(ctx: RunContext[Any], tool: ToolDefinition) -> bool:
        return _harmless(tool) and (names is None or tool.name in names)

    sandbox = CodeMode[Any](
        tools=inside,
        max_tool_calls=calls,
        resource_limits={"max_duration_secs": seconds, "max_memory": megabytes * 1024 * 1024},
    )
    return [sandbox, _Output(chars=output_limit, around=CodeMode)]


def _harmless(tool: ToolDefinition) -> bool:
    """Tell whether nobody has to agree to a call; tools that always ask are of another kind."""
    return tool.kind == "function" and not (tool.metadata or {}).get("sensitive")


@dataclass
class _Output(AbstractCapability[Any]):
    """Limits what code gives, before anything else sees that."""

    chars: int
    around: type[AbstractCapability[Any]]

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="outermost", wraps=[self.around])

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        return _LimitedToolset(toolset, chars=self.chars)


@dataclass
class _LimitedToolset(WrapperToolset[DepsT]):
    chars: int = field(kw_only=True)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[DepsT], tool: ToolsetTool[DepsT]
    ) -> Any:
        if name != RUN_CODE:
            return await super().call_tool(name, tool_args, ctx, tool)
        try:
            result = await super().call_tool(name, tool_args, ctx, tool)
        except ModelRetry as e:  # with all that was printed before the error
            raise ModelRetry(cut(e.message, self.chars)) from e
        return _limited(result, self.chars)


def _limited(result: "Any | ToolReturn[Any]", chars: int) -> object:
    if not isinstance(result, ToolReturn):
        return limited(result, chars)
    whole: ToolReturn[Any] = result  # pyright: ignore[reportUnknownVariableType]
    return replace(whole, return_value=limited(whole.return_value, chars))
