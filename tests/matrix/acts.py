"""What a provider does with a request, whatever protocol it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ("Act", "Call", "Fail", "Fault", "Say", "Script", "Unable")


@dataclass(frozen=True)
class Say:
    """Answers with a text."""

    text: str

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text as it is streamed."""
        first, *rest = self.text.split(" ")
        return (first, *(f" {word}" for word in rest))


@dataclass(frozen=True)
class Call:
    """Calls a tool."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Fail:
    """Answers with an error."""

    status: int
    message: str
    code: str = ""
    retry_after: int | None = None


Fault = Literal["malformed", "empty", "corrupt", "cut before", "cut after", "ends early", "hangs"]
"""No answer: a body that is no JSON; an answer without one; a stream with an event that is no JSON,
cut before its first event or after its first token, or at its end without a reason to end; silence.
"""

Act: TypeAlias = Say | Call | Fail | Fault

Script: TypeAlias = tuple[Act, ...]
"""What is done with one request after another; the last with all that follow."""


class Unable(Exception):
    """A server cannot do this: the reason why a cell is skipped."""
