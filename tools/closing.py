"""An output says what was done, so it comes when all that is to be done is done."""

from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.messages import ModelResponse

__all__ = ("alone",)


def alone(ctx: RunContext[object]) -> None:
    """Send back an output that a model gave beside calls of tools; for output functions.

    Those calls are made after the output was taken: it would tell nothing of what they did.
    """
    last = ctx.messages[-1]
    calls = last.tool_calls if isinstance(last, ModelResponse) else ()
    beside = [call.tool_name for call in calls if call.tool_call_id != ctx.tool_call_id]
    if beside:
        raise ModelRetry(
            f"This stood beside a call of {beside[0]!r}: see what the tools answer, then say it."
        )
