"""Run a check beside the work that it is a condition of: no waiting, and no result without it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from ..deps.errors import GuardFailed, GuardHit
from ..deps.spans import guarding

__all__ = ("Failing", "Guarded", "beside")

Failing = Literal["closed", "open"]
"""What a guard's own failure means: `closed` ends the work, `open` lets it go on unguarded."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Guarded(Generic[T, R]):
    """What came of guarded work.

    Attributes:
        output: The work's result.
        ruling: What the guard said; None if it failed and was to fail open.
        failure: The guard's failure, if so: the output is unguarded then.
    """

    output: T
    ruling: R | None
    failure: Exception | None = None


async def beside(
    look: Coroutine[Any, Any, R], work: Coroutine[Any, Any, T], *, failing: Failing
) -> Guarded[T, R]:
    """Return the work's result once the check has let it pass.

    Both run at once. A hit cancels the work, waits until that has closed what it holds, and is
    raised. A result waits for the check. An error of the work is raised at once, whatever the check
    would have said, for nothing of the work comes out. What the work did before a hit stays done:
    put tools with side effects behind approval, or check first.

    Args:
        look: The check; it raises `GuardHit` for a hit.
        work: What is guarded.
        failing: Whether another error of the check ends the work, or lets it go on.

    Raises:
        GuardHit: the check hit.
        GuardFailed: the check failed, and `failing` is "closed"; its error is the cause.
    """
    looking, working = asyncio.create_task(_looked(look)), asyncio.create_task(work)
    try:
        await asyncio.wait((looking, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not looking.done():
            working.result()  # raises its error, if it is one
        ruling, failure = await _said(looking, failing)
        return Guarded(output=await working, ruling=ruling, failure=failure)
    finally:
        for task in (looking, working):
            task.cancel()
        await asyncio.gather(looking, working, return_exceptions=True)


async def _looked(look: Coroutine[Any, Any, R]) -> R:
    """Return what the check says, in a span of its own."""
    with guarding("beside") as said:
        try:
            ruling = await look
        except GuardHit:
            said("hit")
            raise
        said("passed")
        return ruling


async def _said(looking: asyncio.Task[R], failing: Failing) -> tuple[R | None, Exception | None]:
    """Return what the check said, or its failure if that may be passed over."""
    try:
        return await looking, None
    except GuardHit:
        raise
    except Exception as e:
        if failing == "open":
            return None, e
        raise GuardFailed(
            f"the guard gave no answer, so the run was cancelled: {type(e).__name__}: {e}; "
            'ask again later, or let such runs go on unguarded with failing="open"'
        ) from e
