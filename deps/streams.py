"""Stand between a model's stream and whoever reads it."""

from collections.abc import AsyncIterator, Callable
from typing import Self

from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse

__all__ = ("peek", "relay")

Events = AsyncIterator[ModelResponseStreamEvent]


def relay(stream: StreamedResponse, through: Callable[[Events], Events]) -> None:
    """Let the events of a stream pass through another iterator, in place.

    A wrapper around the stream would have to forward all that Pydantic AI writes to it and reads
    from it; its own `FallbackModel` does as is done here.
    """
    events = aiter(stream)
    stream._event_iterator = through(events)  # pyright: ignore[reportPrivateUsage]


async def peek(stream: StreamedResponse) -> None:
    """Wait for the first event of a stream, which its reader then gets as if nothing had been."""
    first = await anext(aiter(stream), None)
    relay(stream, lambda events: _Again(first, events))


class _Again:
    """Yields an event that was taken before, and then the others."""

    def __init__(self, first: ModelResponseStreamEvent | None, events: Events) -> None:
        self._first = first
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelResponseStreamEvent:
        if (first := self._first) is not None:
            self._first = None
            return first
        return await anext(self._events)
