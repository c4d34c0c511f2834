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

from ..errors import ConfigError

__all__ = ("Window", "estimate")

SPAN = 61.0
"""Seconds for which an arrival counts: a minute, and what clocks and queues add."""

LATEST = 5.0
"""Seconds after its start within which a request has arrived, if no answer says that it was
earlier. The first requests of a process come late: each waits for its connection."""

CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly."""

TOKENS_OF_A_FILE = 1_000
"""What an image or a document is taken for: the right number is the provider's secret."""


@dataclass(eq=False)
class Start:
    """What started, and when it had arrived at the latest.

    Attributes:
        counted: Whether it is in the window still.
    """

    at: float
    units: int
    counted: bool = True


class Window:
    """Lets no more than `most` units arrive within any minute.

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
        last = -math.inf
        for start in self._starts:
            if excess <= 0:
                break
            excess -= start.units
            last = max(last, start.at)  # they leave in the order in which they came
        return 0.0 if last == -math.inf else last + SPAN - now

    def take(self, now: float, units: int) -> Start:
        """Take note that so many units start."""
        start = Start(now + LATEST, units)
        self._starts.append(start)
        self._sum += units
        return start

    def settle(self, start: Start, now: float, units: int) -> None:
        """Correct what a start was thought to be, now that there is an answer."""
        start.at = min(start.at, now)
        if start.counted:
            self._sum += units - start.units
        start.units = units

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0].at + SPAN <= now:
            start = self._starts.popleft()
            start.counted = False
            self._sum -= start.units


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
