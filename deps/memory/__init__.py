"""Memory of what happened: episodes, found again by meaning and by how recent they are."""

from .episodes import (
    HALF_LIFE,
    TEXT_CHARS,
    Episode,
    HasMemory,
    Memory,
    Recalled,
    episode_text,
    moment,
    ranked,
)

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
