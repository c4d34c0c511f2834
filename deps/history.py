"""Past messages with the labels that people gave them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ("HasHistory", "MemoryMessages", "MessageStore", "PastMessage")


@dataclass(frozen=True)
class PastMessage:
    """A message that was sorted before; `label` is None where no label fitted."""

    text: str
    label: str | None


class MessageStore(Protocol):
    """Where past messages can be looked up by likeness."""

    async def similar(self, text: str, limit: int) -> Sequence[PastMessage]:
        """Return at most `limit` past messages, most alike first, none that share nothing."""
        ...


class HasHistory(Protocol):
    """Deps with past messages."""

    @property
    def history(self) -> MessageStore: ...


@dataclass(frozen=True)
class MemoryMessages:
    """Past messages in memory; likeness is the Jaccard index of their word sets."""

    messages: Sequence[PastMessage] = ()

    async def similar(self, text: str, limit: int) -> Sequence[PastMessage]:
        words = _words(text)
        scored = [(_jaccard(words, _words(m.text)), m) for m in self.messages]
        ranked = sorted((s for s in scored if s[0] > 0), key=lambda s: -s[0])
        return [message for _, message in ranked[:limit]]


def _words(text: str) -> frozenset[str]:
    return frozenset("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / (len(a | b) or 1)
