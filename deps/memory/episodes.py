"""Memory of what happened: episodes, found again by meaning and by how recent they are.

Pydantic AI's harness has a `Memory` too (0.30 and 0.62): Markdown notes that a model keeps and
rewrites, read whole or searched for shared words. It is the right thing for a notebook. It knows no
times and no vectors, and its SQLite store neither overwrites what it deletes nor empties its log,
so it is not what episodes are kept in here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic_ai.usage import RunUsage

from ..clock import Clock
from ..documents.ranking import fused
from ..errors import InputError

__all__ = (
    "HALF_LIFE",
    "TEXT_CHARS",
    "Episode",
    "HasMemory",
    "Memory",
    "Recalled",
    "episode_text",
    "moment",
    "ranked",
)

HALF_LIFE = timedelta(days=30)
"""After so long an episode counts half as recent."""

RANK_K = 10
"""With the 60 of search, the tenth place has 0.87 of the first one's share: age would decide."""

TEXT_CHARS = 4_000


@dataclass(frozen=True, kw_only=True)
class Episode:
    """Something that happened."""

    id: str
    text: str
    at: datetime
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recalled(Episode):
    """An episode that was found; the higher `score`, the better it fits, from 0 to 1."""

    score: float


class Memory(Protocol):
    """What one person, or one session, is remembered by; whose it is was settled before."""

    async def remember(
        self,
        text: str,
        *,
        at: datetime,
        tags: Sequence[str] = (),
        usage: RunUsage | None = None,
    ) -> Episode:
        """Keep an episode; what that takes, such as an embedding, is added up in `usage`.

        Raises:
            InputError: the text is empty, too long or no text, or there is no room for more.
        """
        ...

    async def recall(
        self,
        query: str,
        k: int,
        *,
        now: datetime,
        half_life: timedelta = HALF_LIFE,
        usage: RunUsage | None = None,
    ) -> list[Recalled]:
        """Return at most `k` episodes about `query`, the best first; the latest if it is empty.

        The order is that of `ranked`.
        """
        ...

    async def get(self, ids: Sequence[str]) -> list[Episode]:
        """Return those of these episodes that there are, in the order of their times."""
        ...

    async def forget(self, ids: Sequence[str]) -> int:
        """Delete episodes for good; return how many there were."""
        ...

    async def forget_about(self, query: str) -> int:
        """Delete every episode that holds all words of `query`; return how many there were."""
        ...

    async def forget_everything(self) -> int:
        """Delete all of it for good; return how many episodes there were."""
        ...


class HasMemory(Protocol):
    """Deps with the memory of whoever the run is for, and a clock."""

    @property
    def memory(self) -> Memory: ...

    @property
    def now(self) -> Clock: ...


def ranked(
    rankings: Sequence[Sequence[int]],
    times: Mapping[int, datetime],
    *,
    now: datetime,
    half_life: timedelta,
) -> list[tuple[int, float]]:
    """Return what any ranking holds, best first, each with its score.

    An episode's score is `(relevance + recency) / 2`, as Park et al. weigh a memory stream's parts
    alike (Generative Agents, UIST 2023; their third part, importance, is a model's guess, and left
    out). Relevance is the sum of reciprocal ranks (`ranking.fused` with `RANK_K`), as a share of
    what the first in every ranking has. Recency is `2 ** (-age / half_life)`, an exponential decay
    as in theirs and in Li and Croft's time-based language models (CIKM 2003); an episode of the
    future is of now. Of equal scores the later is first, then the greater number.

    Args:
        rankings: Episodes by number, best first, each at most once.
        times: When each of them was.
        now: The present.
        half_life: How long until an episode is half as recent.

    Raises:
        InputError: the half-life is not above zero.
    """
    if half_life <= timedelta(0):
        raise InputError(f"a half-life of {half_life} is none; give one above zero")
    first = sum(map(bool, rankings)) / (RANK_K + 1)
    scores: list[tuple[int, float]] = []
    for number, score in fused(rankings, RANK_K):
        age = max(timedelta(0), now - times[number])
        recency = 2.0 ** -(age / half_life)
        scores.append((number, (min(1.0, score / first) + recency) / 2))
    return sorted(scores, key=lambda s: (s[1], times[s[0]], s[0]), reverse=True)


def episode_text(text: str) -> str:
    """Return a text that can be kept.

    Raises:
        InputError: it is empty or too long, or no text that every database can hold.
    """
    text = text.strip()
    if not text or len(text) > TEXT_CHARS:
        raise InputError(
            f"an episode of {len(text)} characters cannot be kept; give 1 to {TEXT_CHARS}, "
            "or several episodes"
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(
            f"{text[:60]!r} holds a zero character or half a surrogate pair; leave it out"
        )
    return text


def moment(at: datetime) -> str:
    """Return a moment as a text that sorts by time.

    Raises:
        InputError: it has no zone.
    """
    if at.tzinfo is None:
        raise InputError(f"the time {at} has no zone; give it one, such as UTC")
    return at.astimezone(UTC).isoformat(timespec="microseconds")
