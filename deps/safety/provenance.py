"""Who wrote what a model has read, told from the messages alone.

- The user: a prompt outside of fences, and within those that hold the user's own words.
- The operator: instructions and system prompts outside of fences, and the results of tools that
  are attached with `metadata={"trusted": True}`.
- Anybody, so it is untrusted: every other tool's results and errors; what stands in fences; files
  in a prompt; what a provider's own tools and summaries brought.

Names and descriptions of tools are the operator's, unless a tool is attached as `foreign` (see
`sensitive`): no message holds them. What a model wrote itself is nobody's word: it may repeat any
of these. A person's denial of a call, and results that were kept aside, are no untrusted text.
Nothing is remembered between steps, so a run that goes on in another process is told the same.
"""

import re
from bisect import bisect
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pydantic_ai.messages import (
    CompactionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolReturnPart,
    SystemPromptPart,
    TextContent,
    UserPromptPart,
    is_multi_modal_content,
)
from pydantic_core import to_json

from ..fence import fence
from ..loop_guard import MARK as LOOP_NOTE

__all__ = (
    "FLAGGED",
    "HELD",
    "KEY",
    "Foreign",
    "Piece",
    "Provenance",
    "as_text",
    "done_to",
    "pieces",
    "told",
)

KEY = "assay"
"""Under this name the metadata of a tool's result says what was done to it."""

HELD = "held"
"""In that metadata: a result that was kept aside."""

FLAGGED = "flagged"
"""The name of the fence around a result after which sensitive calls need approval."""

_TAG = re.compile(r"<(/?)([\w.-]+-[0-9a-f]{16})>")

# So many tags that look like a fence and are none: what follows is read as if it were in one.
_FORGED = 100


class Piece(NamedTuple):
    """A stretch of a text: what stands in the fence called `name`, or, with None, outside."""

    name: str | None
    text: str


class Foreign(NamedTuple):
    """Untrusted text, and in words where it stands; the text of a file is not known."""

    source: str
    text: str


@dataclass(frozen=True)
class Provenance:
    """What a model has read, by who wrote it.

    Args:
        own: The user's words.
        vouched: What the operator says: instructions, and results of trusted tools.
        foreign: What anybody may have written.
        flagged: Whether a result is among that after which sensitive calls need approval.
    """

    own: tuple[str, ...]
    vouched: tuple[str, ...]
    foreign: tuple[Foreign, ...]
    flagged: bool

    @property
    def trusted(self) -> tuple[str, ...]:
        """All that the user and the operator say."""
        return (*self.own, *self.vouched)


def as_text(content: object) -> str:
    """Return a tool's result as a model reads it: a text as it is, another as its JSON."""
    if isinstance(content, str):
        return content
    return to_json(content, bytes_mode="base64", inf_nan_mode="constants", fallback=repr).decode()


def pieces(text: str) -> Generator[Piece]:
    """Cut a text at its outermost fences; only what `fence` wrote, digest and all, is one."""
    tags = list(_TAG.finditer(text))
    opened = [tag for tag in tags if not tag[1] and text[tag.end() : tag.end() + 1] == "\n"]
    ends: dict[str, list[int]] = {}
    for tag in tags:
        if tag[1]:
            ends.setdefault(tag[2], []).append(tag.start())
    at = forged = 0
    for tag in opened:
        if tag.start() < at or tag[2] not in ends:
            continue
        if forged == _FORGED:
            yield from _outside(text[at : tag.start()])
            yield Piece("", text[tag.start() :])
            return
        inner = _inner(text, tag, ends[tag[2]])
        if inner is None:
            forged += 1
            continue
        yield from _outside(text[at : tag.start()])
        yield Piece(tag[2].rpartition("-")[0], inner)
        at = tag.end() + 1 + len(inner) + 1 + len(tag[2]) + 3
    yield from _outside(text[at:])


def _outside(text: str) -> Generator[Piece]:
    if text:
        yield Piece(None, text)


def _inner(text: str, tag: re.Match[str], ends: Sequence[int]) -> str | None:
    """Return what stands in the fence that begins with `tag`; None if that is none."""
    at = bisect(ends, tag.end())
    if at == len(ends):
        return None
    end = ends[at]
    inner = text[tag.end() + 1 : end - 1]
    whole = text[tag.start() : end + len(tag[2]) + 3]
    return inner if fence(tag[2].rpartition("-")[0], inner) == whole else None


class _Reader:
    """Sorts the texts of messages by who wrote them."""

    def __init__(self, trusted: Collection[str], outputs: Collection[str], words: Collection[str]):
        self._trusted = trusted
        self._outputs = outputs
        self._words = words
        self.own: list[str] = []
        self.vouched: list[str] = []
        self.foreign: list[Foreign] = []
        self.flagged = False

    def request(self, message: ModelRequest) -> None:
        self._fenced(message.instructions or "", self.vouched, "instructions")
        answers = [one for one in message.parts if _answers(one) and not self._is_output(one)]
        beside = {getattr(one, "tool_name", "") for one in answers}
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                self._prompt(part, beside)
            elif isinstance(part, SystemPromptPart):
                self._fenced(part.content, self.vouched, "instructions")
            elif part in answers:
                self._result(part)

    def response(self, message: ModelResponse) -> None:
        for part in message.parts:
            if isinstance(part, NativeToolReturnPart):
                self._foreign(f"the result of the provider's {part.tool_name!r}", part.content)
            elif isinstance(part, CompactionPart):
                self._foreign("the provider's summary", part.content or "")

    def _prompt(self, part: UserPromptPart, beside: Collection[str]) -> None:
        """Read a prompt; one that stands beside results may be those tools'."""
        content = [part.content] if isinstance(part.content, str) else part.content
        for one in content:
            text = one.content if isinstance(one, TextContent) else one
            if isinstance(text, str):
                self._said(text, beside)
            elif is_multi_modal_content(one):
                self._foreign("a file in the prompt", "")

    def _said(self, text: str, beside: Collection[str]) -> None:
        if not beside:
            self._fenced(text, self.own, "prompt")
        elif all(tool in self._trusted for tool in beside):
            self._fenced(text, self.vouched, "result")
        elif not text.startswith(LOOP_NOTE):
            self._foreign("what stands beside a tool's result", text)

    def _fenced(self, text: str, outside: list[str], where: str) -> None:
        for piece in pieces(text):
            if piece.name is None:
                outside.append(piece.text)
            elif where == "prompt" and piece.name in self._words:
                self._fenced(piece.text, outside, "the user's words")
            else:
                self._foreign(f"the {piece.name!r} in the {where}", piece.text)
                self.flagged = self.flagged or piece.name == FLAGGED

    def _result(self, part: Any) -> None:
        """Read a tool's result, or its error."""
        if part.tool_name in self._trusted:
            if getattr(part, "outcome", None) == "success":
                self.vouched.append(as_text(part.content))
        elif part.content is not None and not _is_ours(part):
            self._foreign(f"the result of {part.tool_name!r}", part.content)

    def _foreign(self, source: str, content: object) -> None:
        self.foreign.append(Foreign(source, as_text(content)))
        self.flagged = self.flagged or _is_flagged(content)

    def _is_output(self, part: Any) -> bool:
        """Tell whether a part answers an output, or output without a call: our own words."""
        name = getattr(part, "tool_name", None)
        return name is None or name in self._outputs


def _is_flagged(content: object) -> bool:
    """Tell whether a text, or one among files, stands in the fence that says it is flagged."""
    items: list[object] = cast(Any, content) if isinstance(content, list) else [content]
    return any(
        piece.name == FLAGGED for one in items if isinstance(one, str) for piece in pieces(one)
    )


def _answers(part: object) -> bool:
    return getattr(part, "tool_call_id", None) is not None


def _is_ours(part: Any) -> bool:
    """Tell whether the loop, a person or a guard wrote an answer, and not the tool."""
    if getattr(part, "outcome", None) in ("denied", "interrupted"):
        return True
    retry = getattr(part, "retry", None)
    if isinstance(part.content, list) and getattr(part, "part_kind", None) == "retry-prompt":
        return True  # what is wrong with the arguments, in versions that have no `retry`
    return _is_held(part) or getattr(retry, "cause", "model_retry") != "model_retry"


def done_to(part: object) -> dict[str, Any]:
    """Return what a result's metadata says was done to it."""
    metadata: Any = getattr(part, "metadata", None)
    held: dict[str, Any] = cast(Any, metadata) if isinstance(metadata, dict) else {}
    said: Any = held.get(KEY)
    return cast(Any, said) if isinstance(said, dict) else {}


def _is_held(part: Any) -> bool:
    return HELD in done_to(part)


def told(
    messages: Iterable[ModelMessage],
    *,
    trusted: Collection[str] = (),
    outputs: Collection[str] = (),
    words: Collection[str] = (),
) -> Provenance:
    """Return who wrote what stands in `messages`.

    Args:
        messages: The messages of a run, its history included.
        trusted: Tools whose results are the operator's own words and figures.
        outputs: The agent's output tools: what answers them comes from the agent itself.
        words: Fences in a user's prompt that hold the user's own words.
    """
    reader = _Reader(trusted, outputs, words)
    for message in messages:
        if isinstance(message, ModelRequest):
            reader.request(message)
        else:
            reader.response(message)
    return Provenance(
        tuple(reader.own), tuple(reader.vouched), tuple(reader.foreign), reader.flagged
    )
