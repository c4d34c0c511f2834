"""Keep a conversation within the model's window: old results of tools go first, then old turns.

```python
agent = Agent(..., capabilities=[Compaction()])
```

Only what is sent is shortened. The record stays whole: `all_messages()`, sessions, judges and
guards see everything that was said. When the messages take more than `trigger` of the window, until
they take no more than `goal` of it,

1. results of tools in earlier turns are cleared, the oldest first;
2. the oldest turns are left out, and what the model of a role wrote of them stands in their place;
   where that is a baseline, nobody can write it, and the model is told that they are left out;
3. results in this turn are cleared, but those of its last step; no baseline's, which reads them.

A call and its result are never parted, and a turn is left out whole. What was decided is noted in
the metadata of the request, so the next one is sent the same beginning, which prompt caches like,
and the next turn, in whatever process, goes on from the same summary. After a fork or a rewind the
note of another beginning is not used.

A summary is made of untrusted text, so it is fenced, as is what it is made of.

**Figures.** The window is the one that genai-prices knows for the model; of a chain, the smallest.
Of a model that it does not know, such as a local one, `ASSUMED` is assumed: say `window=`. Tokens
are estimated from bytes (see `turns`), and corrected by what the provider counted in the latest
request of any size. With `count=`, a tokenizer of yours counts them. No tokenizer is loaded by
itself: those that there are fetch their vocabulary from the network.

Of the harness, `ClearToolResults` clears, a beginning of the messages at a time, as it goes by ids
of calls, which some servers use anew. `SummarizingCompaction` is not used: in 0.30 its summary is a
system prompt, so what a tool returned speaks as the operator, and calls to be made anew are parted
from their answers; in every version what it reads is unfenced, and it rewrites the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapModelRequestHandler
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_core import to_json
from typing_extensions import TypedDict

from ..baseline import is_baseline
from ..errors import ConfigError, ContextTooLong
from ..sessions.turns import estimate, tokens
from ..spans import note as span
from .compaction_summary import ASSUMED, SUMMARY, summariser, summed_up, window_of
from .compaction_view import Shorter, answered, cut, digest, result_steps, turn_starts

__all__ = ("ASSUMED", "KEY", "Compaction", "summaries", "window_of")

KEY = "assay.compaction"
"""Under this name a request's metadata says what it was sent without."""

CLEARED = "[This result was cleared, as it no longer fits.]"
LARGE = 1_000  # tokens of a request from which on the provider's count corrects ours
CORRECTION = 4.0  # at most: who counts more than that counts something else


class _LeftOut(TypedDict):
    """What a request was sent without, and which beginning that is of."""

    steps: int
    turns: int
    summary: str | None
    digest: str


class _Note(TypedDict):
    """What is noted of a request.

    Attributes:
        estimate: Of how many tokens we took it.
        left_out: What was decided for it; None if what was decided before still held.
    """

    estimate: int
    left_out: _LeftOut | None


_NOTES = TypeAdapter(_Note)


@dataclass(frozen=True, kw_only=True)
class _Room:
    """How much there is room for, in tokens.

    Attributes:
        window: The model's.
        known: Whether that is known, and not assumed.
        fixed: What instructions and tools take.
        scale: By how much the provider counts more than we do.
        reserved: What the answer may take.
        summary: What a summary may take.
    """

    window: int
    known: bool
    fixed: int
    scale: float
    reserved: int

    @property
    def summary(self) -> int:
        return min(SUMMARY, self.window // 8)

    def taken(self, messages: int) -> int:
        """Return what a request takes with messages of so many tokens, as we count them."""
        return int((messages + self.fixed) * self.scale)


@dataclass
class Compaction(AbstractCapability[Any]):
    """Shortens what is sent to a model, when it would not fit its window.

    A baseline has no window: what is sent to it is shortened only where one is given.

    Args:
        window: The model's window in tokens; None asks genai-prices, see above.
        trigger: What share of the window the request may take before it is shortened.
        goal: What share it is to take then: what lies between is how often that happens.
        summarise: Who writes the summaries: a role, a model's name or a model; None: nobody.
        count: The tokens of a text, by the model's tokenizer; None estimates them.

    Raises:
        ContextTooLong: from the run, if the last turn alone does not fit a window that is known.
        ConfigError: the figures make no sense.
    """

    window: int | None = None
    trigger: float = 0.8
    goal: float = 0.5
    summarise: str | Model | None = "small"
    count: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.goal <= self.trigger <= 1:
            raise ConfigError(
                f"a request cannot be shortened to {self.goal:g} of the window once it takes "
                f"{self.trigger:g} of it; set 0 < goal <= trigger <= 1"
            )
        if self.window is not None and self.window < 1:
            raise ConfigError(f"a window of {self.window} tokens holds nothing; set one above 0")

    async def wrap_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        handler: WrapModelRequestHandler,
    ) -> ModelResponse:
        asked, messages = request_context.model, request_context.messages
        # A response at the end is one that the provider is to go on with: nothing may change.
        ends_asking = bool(messages) and isinstance(messages[-1], ModelRequest)
        if not ends_asking or (self.window is None and is_baseline(asked)):
            return await handler(request_context)
        shortening = _Shortening(self, ctx, request_context)
        return await handler(replace(request_context, messages=await shortening.fitted()))

    def tokens(self, messages: Sequence[ModelMessage]) -> int:
        """Return how many tokens messages are, as they are counted here."""
        return tokens(messages, self.count or estimate)


def summaries(messages: Sequence[ModelMessage]) -> list[str]:
    """Return the summaries that models were sent in these conversations: untrusted text."""
    found = (one["left_out"] for one in _notes(messages))
    summed_up = (one["summary"] for one in found if one is not None)
    return list(dict.fromkeys(one for one in summed_up if one is not None))


def _notes(messages: Sequence[ModelMessage]) -> Iterator[_Note]:
    """Yield what is noted of requests, the latest first."""
    for message in reversed(messages):
        noted = (message.metadata or {}).get(KEY) if isinstance(message, ModelRequest) else None
        if noted is not None:
            try:
                yield _NOTES.validate_python(noted)
            except ValidationError:
                continue  # another version's: as if nothing had been decided


class _Shortening:
    """Shortens one request."""

    def __init__(self, by: Compaction, ctx: RunContext[Any], asked: ModelRequestContext) -> None:
        self._by = by
        self._ctx = ctx
        self._asked = asked
        self._messages = asked.messages
        outputs = {tool.name for tool in asked.model_request_parameters.output_tools}
        self._starts = turn_starts(self._messages, outputs)
        self._steps = result_steps(self._messages)
        self._room = self._room_for(asked)

    async def fitted(self) -> list[ModelMessage]:
        """Return what is sent.

        Raises:
            ContextTooLong: it cannot be made to fit.
        """
        shorter = before = self._noted()
        sent = await self._view(shorter)
        size = whole = self._room.taken(self._by.tokens(sent))
        if whole > self._by.trigger * self._room.window:
            shorter = await self._shortened(shorter)
            sent = await self._view(shorter)
            size = self._room.taken(self._by.tokens(sent))
        if self._room.known and size > self._room.window - self._room.reserved:
            raise self._too_long(size)
        if shorter != before:
            self._note(size, shorter)
            self._tell(shorter, whole, size)
        elif size > LARGE:
            self._note(size)
        return self._messages if shorter == Shorter() else sent

    # -- how much room there is

    def _room_for(self, asked: ModelRequestContext) -> _Room:
        window = self._by.window or window_of(asked.model)
        reserved = (asked.model_settings or {}).get("max_tokens") or 0
        count = self._by.count or estimate
        parameters = asked.model_request_parameters
        texts = [part.content for part in parameters.instruction_parts or ()]
        for tool in (*parameters.function_tools, *parameters.output_tools):
            schema = to_json(tool.parameters_json_schema).decode("utf-8")
            texts += [tool.name, tool.description or "", schema]
        return _Room(
            window=window or ASSUMED,
            known=window is not None,
            fixed=sum(map(count, texts)),
            scale=self._scale(),
            reserved=reserved,
        )

    def _scale(self) -> float:
        """Return by how much the provider counted more than we did, in its latest answer."""
        messages = self._ctx.messages
        for asked, answer in zip(reversed(messages[:-1]), reversed(messages[1:]), strict=True):
            if isinstance(answer, ModelResponse) and answer.usage.input_tokens:
                noted = next(_notes([asked]), None)
                if noted is None or noted["estimate"] < LARGE:
                    return 1.0
                return min(max(answer.usage.input_tokens / noted["estimate"], 1.0), CORRECTION)
        return 1.0

    # -- what is left out

    def _noted(self) -> Shorter:
        """Return what was left out of the latest request that began as this one does."""
        digests: dict[int, str] = {}
        for noted in _notes(self._ctx.messages):
            found = noted["left_out"]
            if found is None or not self._can_leave_out(found):
                continue
            shorter = Shorter(steps=found["steps"], turns=found["turns"], summary=found["summary"])
            end = self._end(shorter)
            digests[end] = digests.get(end) or digest(self._messages[:end])
            if digests[end] == found["digest"]:
                return shorter
        return Shorter()

    def _can_leave_out(self, found: _LeftOut) -> bool:
        return found["turns"] < len(self._starts) and found["steps"] <= len(self._steps)

    def _end(self, shorter: Shorter) -> int:
        """Return how many messages that is about: the beginning that a note is of."""
        cleared = self._steps[shorter.steps - 1] + 1 if shorter.steps else 0
        return max(self._starts[shorter.turns], cleared)

    def _note(self, size: int, shorter: Shorter | None = None) -> None:
        last = self._ctx.messages[-1]
        if isinstance(last, ModelRequest):
            left_out = None if shorter is None else self._left_out(shorter)
            noted = _Note(estimate=int(size / self._room.scale), left_out=left_out)
            last.metadata = {**(last.metadata or {}), KEY: noted}

    def _left_out(self, shorter: Shorter) -> _LeftOut:
        return _LeftOut(
            steps=shorter.steps,
            turns=shorter.turns,
            summary=shorter.summary,
            digest=digest(self._messages[: self._end(shorter)]),
        )

    async def _view(self, shorter: Shorter) -> list[ModelMessage]:
        """Return the messages without what is left out."""
        cleared = await self._cleared(shorter.steps)
        first = shorter.summary is None and self._first_is_small()
        return cut(cleared, self._starts, shorter, first=first)

    def _first_is_small(self) -> bool:
        """Tell whether the first prompt is kept where nobody sums up what followed it."""
        return self._by.tokens(self._messages[:1]) <= self._room.window // 16

    async def _cleared(self, steps: int) -> list[ModelMessage]:
        """Return the messages, with the results of the first steps cleared."""
        if not steps:
            return self._messages
        from pydantic_ai_harness.compaction import ClearToolResults

        # By ids of calls, so no more than the steps are shown to it: later ones may have the same.
        until = self._steps[steps - 1] + 1
        clear = ClearToolResults[Any](max_tokens=1, keep_pairs=0, placeholder=CLEARED)
        return [
            *await clear.compact(self._messages[:until], self._ctx),
            *self._messages[until:],
        ]

    async def _shortened(self, shorter: Shorter) -> Shorter:
        """Return what to leave out so that the rest takes no more than the goal, if it can."""
        goal = self._by.goal * self._room.window
        shorter = await self._without_results(shorter, goal)
        if await self._size(shorter) > goal:
            shorter = await self._without_turns(shorter, goal)
        if await self._size(shorter) > goal and not is_baseline(self._asked.model):
            shorter = replace(shorter, steps=max(shorter.steps, self._before_the_last()))
        return shorter

    def _before_the_last(self) -> int:
        """Return how many steps with results there are before the one that was answered last."""
        last = max(answered(self._messages), default=0)
        return sum(step < last for step in self._steps)

    async def _size(self, shorter: Shorter) -> int:
        return self._room.taken(self._by.tokens(await self._view(shorter)))

    async def _without_results(self, shorter: Shorter, goal: float) -> Shorter:
        """Clear results of as many earlier turns as it takes, or of all."""
        ends = [sum(step < start for step in self._steps) for start in self._starts[1:]]
        ends = [end for end in ends if end > shorter.steps]
        if not ends:
            return shorter
        cleared = await self._cleared(ends[-1])
        saved = [
            self._by.tokens([old]) - self._by.tokens([new])
            for old, new in zip(self._messages, cleared, strict=True)
        ]
        until = [0, *accumulate(saved)]
        already = until[self._steps[shorter.steps - 1] + 1] if shorter.steps else 0
        size = await self._size(shorter)
        saves = ((end, until[self._steps[end - 1] + 1] - already) for end in ends)
        fits = (end for end, less in saves if size - less * self._room.scale <= goal)
        return replace(shorter, steps=next(fits, ends[-1]))

    async def _without_turns(self, shorter: Shorter, goal: float) -> Shorter:
        """Leave out as many turns as it takes, or all but the last one."""
        cleared = await self._cleared(shorter.steps)
        left = self._by.tokens(cleared[self._starts[shorter.turns] :])
        bounds = self._starts[shorter.turns :]
        turns = shorter.turns
        for begin, end in pairwise(bounds):
            if self._room.taken(left + self._room.summary) <= goal and turns > shorter.turns:
                break
            left -= self._by.tokens(cleared[begin:end])
            turns += 1
        if turns == shorter.turns:
            return shorter
        so_far = shorter.summary
        gone = self._messages[self._starts[shorter.turns if so_far else 0] : self._starts[turns]]
        model = summariser(self._by.summarise, self._ctx.deps, self._asked.model)
        if model is not None:
            count, limit = self._by.count or estimate, self._room.summary
            so_far = await summed_up(model, so_far, gone, self._ctx, count=count, limit=limit)
        return replace(shorter, turns=turns, summary=so_far)

    # -- what is said of it

    def _tell(self, shorter: Shorter, before: int, after: int) -> None:
        attributes = {
            "assay.tokens.before": before,
            "assay.tokens.after": after,
            "assay.tokens.estimated": self._by.count is None,
            "assay.window": self._room.window,
            "assay.window.known": self._room.known,
            "assay.turns.left_out": shorter.turns,
            "assay.turns.summed_up": shorter.summary is not None,
            "assay.steps.cleared": shorter.steps,
        }
        span("guard", "compaction", attributes)

    def _too_long(self, size: int) -> ContextTooLong:
        name = self._asked.model.model_name
        counted = "an estimated " if self._by.count is None else ""
        return ContextTooLong(
            f"{name!r} reads {self._room.window} tokens, of which {self._room.reserved} are for "
            f"its answer, and the last turn, instructions and tools alone take {counted}{size}: "
            "shorten the prompt, limit what tools return, or ask a model with a larger window "
            "(if this one has: Compaction(window=...))",
            model_name=name,
        )
