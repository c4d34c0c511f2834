"""How long a run may take, and a tool in it: what takes longer is cancelled, its sockets closed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

# Not exported, but what Pydantic AI puts around its own timeouts: a plain function runs in a thread
# that nobody can stop, and would be waited for.
from pydantic_ai._utils import abandon_threads_on_cancel
from pydantic_ai.exceptions import ModelRetry

from .errors import RunTimeout, ToolTimeout

__all__ = ("late_run", "late_tool", "within")


@asynccontextmanager
async def within(seconds: float | None, late: Callable[[], Exception]) -> AsyncGenerator[None]:
    """Cancel the block when it takes longer, and raise what `late` returns in place of that.

    A cancellation from elsewhere stays one, as does a timeout of the block's own. A thread that the
    block waits for is left to itself.

    Args:
        seconds: What the block may take; not more than 0 ends it at once, None is no bound.
        late: Makes the error.
    """
    if seconds is None:
        yield
        return
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            with abandon_threads_on_cancel():
                yield
    except TimeoutError as e:
        if not limit.expired():
            raise
        raise late() from e


def late_run(agent: str | None, seconds: float) -> RunTimeout:
    """Return the error of a run that took longer than so many seconds."""
    return RunTimeout(
        f"agent {agent!r} did not end within {seconds:g} s; give its runs more time "
        "(ASSAY_RUN_TIMEOUT), or name a faster model"
    )


def late_tool(tool: str, seconds: float, *, last: bool) -> ModelRetry | ToolTimeout:
    """Return what a model is told of a tool that took too long; the run's error the last time."""
    said = f"tool {tool!r} took longer than {seconds:g} s"
    if last:
        return ToolTimeout(
            f"{said} and its retries are used up; make it faster, or give it more time "
            "(ASSAY_TOOL_TIMEOUT)"
        )
    return ModelRetry(f"{said}; ask it for less, or go on without it")
