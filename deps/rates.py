"""How much may start in a minute: a sliding window over what did.

A leaky bucket lets twice its size through in the minute after a pause. A window over the starts
themselves never holds more than its size, wherever a provider's minute begins.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.messages import ModelMessage
from pydantic_ai.settings import ModelSettings

from .errors import ConfigError

__all__ = ("Window", "estimate")

SPAN = 61.0
"""Seconds for which a start counts: a minute, and what one request may take longer than another
from its start to its arrival."""

CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly."""

TOKENS_OF_A_FILE = 1_000
"""What an image or a document is taken for: the right number is the provider's secret."""


@dataclass(eq=False)
class Start:
    """What started when."""

    at: float
    units: int


class Window:
    """Lets no more than `most` units start within any minute.

    More than that at once starts alone, as it would else never start.
    """

    def __init__(self, most: int | None, what: str) -> None:
        if most is not None and most < 1:
            raise ConfigError(
                f"{most} {what} per minute would ask nothing; give 1 or more, or None"
            )
        self._most = math.inf if most is None else most
        self._starts: deque[Start] = deque()
        self._sum = 0

    def pause(self, now: float, units: int) -> float:
        """Return the seconds from `now` after which so many units may start."""
        self._forget(now)
        excess = self._sum + units - max(self._most, units)
        for start in self._starts:
            if excess <= 0:
                break
            excess -= start.units
            if excess <= 0:
                return start.at + SPAN - now
        return 0.0

    def take(self, now: float, units: int) -> Start:
        """Take note that so many units start."""
        start = Start(now, units)
        self._starts.append(start)
        self._sum += units
        return start

    def settle(self, start: Start, units: int) -> None:
        """Correct what a start was thought to be."""
        if start in self._starts:
            self._sum += units - start.units
        start.units = units

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0].at + SPAN <= now:
            self._sum -= self._starts.popleft().units


def estimate(messages: list[ModelMessage], settings: ModelSettings | None) -> int:
    """Return how many tokens a request may take: a rough guess at what is sent, and `max_tokens`.

    Without `max_tokens` the answer is not guessed at: it counts when it has come.
    """
    sent = [_size(part) for message in messages for part in message.parts]
    sent.extend(_size(getattr(message, "instructions", None)) for message in messages[-1:])
    answer = settings["max_tokens"] if settings and "max_tokens" in settings else 0
    return sum(sent) // CHARACTERS_PER_TOKEN + answer


def _size(part: object) -> int:
    """Return the characters that a part of a message is worth."""
    if part is None:
        return 0
    if isinstance(part, str):
        return len(part)
    if isinstance(part, (list, tuple)):
        items: list[object] = cast(Any, part)
        return sum(map(_size, items))
    if isinstance(getattr(part, "data", None), bytes) or hasattr(part, "url"):
        return TOKENS_OF_A_FILE * CHARACTERS_PER_TOKEN
    content: object = getattr(part, "content", None)
    if content is None:
        content = getattr(part, "args", None)
    if isinstance(content, (str, list, tuple)):
        return _size(cast(object, content))
    return len(str(content or ""))
