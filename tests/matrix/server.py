"""What every server of the matrix has in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from .acts import Script
from .dialects import Asked

__all__ = ("Checked", "Server")

Checked = Literal["key", "model"]


@dataclass
class Server(ABC):
    """Somebody who answers.

    Attributes:
        url: Where it is, without a path.
        key: The key that it takes.
        slack: How many times longer than our own server it may take.
        exact: Whether it says what it is told; an engine says what it likes.
        checks: What it looks at by itself.
    """

    url: str
    key: str
    slack: float = 1.0
    exact: bool = True
    checks: tuple[Checked, ...] = ("key", "model")

    @property
    def anthropic(self) -> str:
        """Where it speaks Anthropic's protocol."""
        return self.url

    @abstractmethod
    async def will(self, script: Script) -> None:
        """Do what `script` says from the next request on.

        Raises:
            Unable: it cannot do that.
        """

    def seen(self) -> list[Asked] | None:
        """Return the requests since then; None where that is not known."""
        return None
