"""Instructions that depend on a run's deps and then stand still, so that a provider caches them."""

from collections.abc import Callable
from copy import copy
from typing import Generic, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability

__all__ = ("instructed_by",)

DepsT = TypeVar("DepsT")


def instructed_by(text: Callable[[DepsT], str]) -> AbstractCapability[DepsT]:
    """Return a capability that adds what `text` makes of the deps, once a run.

    What a function under `@agent.instructions` says may change with every request. Pydantic AI
    takes it for that, and sets Anthropic's cache point before it.
    """
    return _Instructed(text)


class _Instructed(AbstractCapability[DepsT], Generic[DepsT]):
    """Says the same in every request of a run."""

    def __init__(self, text: Callable[[DepsT], str]) -> None:
        self._text = text
        self._said: str | None = None

    async def for_run(self, ctx: RunContext[DepsT]) -> AbstractCapability[DepsT]:
        own = copy(self)
        own._said = self._text(ctx.deps)
        return own

    def get_instructions(self) -> str | None:
        return self._said
