"""Say why a request has no recording: what in it differs from the nearest one."""

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import unified_diff
from itertools import islice, takewhile
from typing import Any

from ..errors import ConfigError
from .recordings import Key, Recording

__all__ = ("ReplayMiss", "miss")

LINES = 24  # of a diff: enough to see what changed, not a second copy of the prompt
WIDTH = 160


class ReplayMiss(ConfigError):
    """A response was to be replayed only, and it has never been recorded.

    Attributes:
        key: What was looked for; `key.case` is the case.
        changed: The parts of the request that differ from the nearest recording; empty if the
            same was asked, but in another trial or less often.
        diff: These differences, shortened. Empty where the case has no recording at all.
    """

    def __init__(
        self, key: Key, message: str, changed: tuple[str, ...] = (), diff: str = ""
    ) -> None:
        self.key = key
        self.changed = changed
        self.diff = diff
        super().__init__(message)


def miss(key: Key, request: str, recorded: Iterable[Recording]) -> ReplayMiss:
    """Return the error for a request that is not among a case's recordings.

    Args:
        key: The request's key.
        request: The request's document, as canonical JSON.
        recorded: All recordings of the case.
    """
    asked: dict[str, Any] = json.loads(request)
    head = f"no recorded response for case {key.case!r}, trial {key.trial}"
    tail = "record it with --replay auto"
    nearest = max(recorded, key=lambda one: _nearness(asked, one.request), default=None)
    if nearest is None:
        return ReplayMiss(key, f"{head}: nothing is recorded for this case; {tail}")
    changed = tuple(name for name in asked if asked[name] != nearest.request.get(name))
    if not changed:
        found = nearest.key
        return ReplayMiss(
            key,
            f"{head}, occurrence {key.occurrence}: the same request is recorded only for trial "
            f"{found.trial}, occurrence {found.occurrence}; {tail}",
        )
    diff = "\n".join(_diff(nearest.request, asked, changed))
    return ReplayMiss(
        key,
        f"{head}: {', '.join(changed)} changed since it was recorded; {tail}\n{diff}",
        changed,
        diff,
    )


def _nearness(asked: Mapping[str, Any], recorded: Mapping[str, Any]) -> tuple[bool, int, int]:
    """Say how near a recorded request comes: the same turn, equal parts, equal first messages."""
    mine, theirs = asked["messages"], recorded.get("messages", [])
    equal = sum(asked[name] == recorded.get(name) for name in asked)
    together = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(mine, theirs, strict=False))
    )
    return len(mine) == len(theirs), equal, together


def _diff(
    recorded: Mapping[str, Any], asked: Mapping[str, Any], changed: tuple[str, ...]
) -> Iterator[str]:
    """Yield the lines that differ, at most `LINES` of them."""
    lines = (
        line
        for name in changed
        for line in unified_diff(
            _lines(recorded.get(name)),
            _lines(asked[name]),
            f"{name} (recorded)",
            f"{name} (now)",
            n=1,
            lineterm="",
        )
    )
    yield from (line if len(line) <= WIDTH else f"{line[:WIDTH]}…" for line in islice(lines, LINES))
    if next(lines, None) is not None:
        yield "… and more"


def _lines(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
    return text.replace("\\n", "\n").splitlines()
