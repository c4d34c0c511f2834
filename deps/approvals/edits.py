"""Arguments that a person edited, checked where their tool's are."""

from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_ai import ModelRetry
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import RunContext, ToolDefinition

from .records import BadEdit

__all__ = ("CheckedEdits",)


@dataclass
class CheckedEdits(AbstractCapability[Any]):
    """Stops a run whose tools do not take arguments that a person edited.

    Without it the model is told, as of its own mistakes, and may try something else. Pydantic AI
    validates every call of a step before it makes the first one, so nothing was done.
    """

    edited: frozenset[str]

    async def on_tool_validate_error(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: str | dict[str, Any],
        error: ValidationError | ModelRetry,
    ) -> NoReturn:
        if call.tool_call_id not in self.edited:
            raise error
        raise BadEdit(
            f"the edited arguments of call {call.tool_call_id!r} are none that {tool_def.name!r} "
            f"takes: {_wrong(error)}. Nothing was done; edit them anew, approve, or deny the call",
            call_id=call.tool_call_id,
        ) from error


def _wrong(error: ValidationError | ModelRetry) -> str:
    """Say what is wrong with arguments; not what they are, which may be long or secret."""
    if isinstance(error, ModelRetry):
        return error.message
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
