"""Ask a provider for no more than it takes: at once, and in a minute.

The limit of a provider rises by one after a limit's worth of successes and halves when the
provider refuses (additive increase, multiplicative decrease: Chiu and Jain, Computer Networks and
ISDN Systems 17, 1989). Refused are HTTP 429 (too many requests) and 529 (overloaded); any other
error passes untouched and moves nothing. Requests and tokens of a minute are counted beside it.

```python
limiter = Limiter(most=20, per_minute=500)  # one for all agents and judges of a run
models = dataclasses.replace(models, wrap=(limiter, *models.wrap))
```
"""

import asyncio
import math
import random
from bisect import insort
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from time import monotonic, time_ns

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, StreamedResponse

from ..baseline import is_baseline, layers
from ..clock import utc_now
from ..errors import CircuitOpen, ConfigError, ProviderBusy
from ..layer import AnswerT, Asked, Layer, Opening, response_of
from ..spans import Attributes, note
from .causes import fault
from .rates import Start, Window, estimate

__all__ = ("Limiter", "Load")

FIRST_PAUSE = 1.0
"""Seconds that a first refusal without Retry-After pauses at most; doubled by each in a row."""

LONGEST_PAUSE = 32.0

NOTED = 0.01
"""Seconds of waiting from which a trace tells of it."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How a provider is being asked.

    Attributes:
        provider: Its name and, where known, its address.
        limit: Requests it may be asked at once, now.
        under_way: Requests that it is being asked.
        halvings: How often it refused, requests that were under way together counted once.
        waited: Seconds that requests waited for their start, added up over the requests.
    """

    provider: str
    limit: int
    under_way: int
    halvings: int
    waited: float


class Limiter:
    """Limits how much a provider is asked, at once and in a minute. Calling it wraps a model.

    Models of one provider (its name and address) share one limit, whoever asks. Requests start
    in the order in which they came, and a refused one keeps its place. A stream holds its slot
    while it is open, so do not await another request of the same provider inside one. One event
    loop at a time may use it.

    After a refusal nothing starts before the moment that Retry-After names; without one, before
    the end of an exponential back-off with full jitter. The refused request is then made again.

    In no minute start more than `per_minute` requests; what is made again counts again. Tokens are
    estimated before a request (see `rates.estimate`) and counted when its answer tells them: give
    `max_tokens` in the settings, or a minute of long answers holds more than it should. Waiting for
    a minute to pass has no end but the caller's own.

    The SDKs of OpenAI and Anthropic make a refused request twice more before anything is seen
    here, and wait in between; give `max_retries=0` to the client to leave it all to the limiter.
    A `FallbackModel` is asked as a whole, and its group of errors is not read: wrap its members.

    Args:
        most: The limit to start with and to rise to.
        per_minute: Requests of a minute; None does not count them.
        tokens_per_minute: Input and output tokens of a minute; None does not count them.
        patience: Seconds that refusals may hold a request back, all in all; if more are asked
            for, the error goes to the caller at once.
        clock: Seconds that never go back.
        sleep: Waits for so many seconds of `clock`.
        now: The time of day, for a Retry-After that is a date, in an answer without one.
        chance: Where jitter comes from.

    Raises:
        ConfigError: a limit is less than 1, or `patience` is not a number of 0 or more.
    """

    def __init__(
        self,
        most: int = 10,
        *,
        per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        patience: float = 60.0,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], datetime] = utc_now,
        chance: random.Random | None = None,
    ) -> None:
        if most < 1:
            raise ConfigError(f"at most {most} requests at once would ask nothing; give 1 or more")
        if not 0 <= patience < math.inf:
            raise ConfigError(f"a patience of {patience} seconds ends nowhere; give 0 or more")
        self.most = most
        self.per_minute = per_minute
        self.tokens_per_minute = tokens_per_minute
        self.patience = patience
        self.clock = clock
        self.sleep = sleep
        self.now = now
        self.chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._lanes: dict[tuple[str, str | None], _Lane] = {}
        _Lane(self)  # says what is wrong with the limits before anything is asked

    def __call__(self, model: Model) -> Model:
        """Return `model`, limited; a baseline, or one limited by this already, as it is."""
        # Within itself it would wait for the slot that it holds.
        limited = (layer for layer in layers(model) if isinstance(layer, _LimitedModel))
        if is_baseline(model) or any(layer.limiter is self for layer in limited):
            return model
        key = (model.system, model.base_url)
        return _LimitedModel(model, self, self._lanes.setdefault(key, _Lane(self)))

    def snapshot(self) -> tuple[Load, ...]:
        """Return how each provider is being asked at this moment, sorted by name."""
        found = [
            Load(
                provider=" ".join(filter(None, key)),
                limit=lane.limit,
                under_way=lane.under_way,
                halvings=lane.halvings,
                waited=lane.waited,
            )
            for key, lane in self._lanes.items()
        ]
        return tuple(sorted(found, key=lambda load: load.provider))


@dataclass(eq=False)
class _Turn:
    """One request's place in the queue.

    Attributes:
        number: The order of arrival.
        tokens: What it may take, by an estimate.
        round: How often its provider had refused when it last started.
        deadline: Until when refusals may hold it back; None if none has yet.
        starts: How it counts in its minute, as a request and as tokens; None before it started.
    """

    number: int
    tokens: int = 0
    round: int = 0
    deadline: float | None = None
    starts: tuple[Start, Start] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class _Lane:
    """What is known of one provider, and the queue before it.

    Only the first in the queue watches the clock; all others sleep until they are woken. Whatever
    lets the first one start, or makes another one first, therefore ends in `_nudge`.
    """

    def __init__(self, limiter: Limiter) -> None:
        self.limit = limiter.most
        self.under_way = 0
        self.halvings = 0
        self.waited = 0.0
        self._limiter = limiter
        self._numbers = count()
        self._queue: list[_Turn] = []
        self._successes = 0  # since the limit last changed
        self._in_a_row = 0  # halvings since the last success
        self._opens = -math.inf
        self._refusal: ProviderBusy | None = None
        self._requests = Window(limiter.per_minute, "requests")
        self._tokens = Window(limiter.tokens_per_minute, "tokens")

    @asynccontextmanager
    async def ask(
        self, name: str, opening: Opening[AnswerT], tokens: int
    ) -> AsyncGenerator[AnswerT]:
        """Open what `opening` makes when there is a slot, and again when it is refused."""
        turn = _Turn(next(self._numbers), tokens)
        while True:
            async with self._slot(turn, name), AsyncExitStack() as stack:
                try:
                    opened = await stack.enter_async_context(opening())
                except CircuitOpen:
                    self._settle(turn, 0, 0)  # it was not asked
                    raise
                except ModelAPIError as e:
                    self._settle(turn, 1, None)
                    if self._refused(turn, e, name):
                        continue
                    raise
                try:
                    yield opened
                except ModelAPIError as e:
                    # Too late to ask again: part of the answer is with the caller. It may also be
                    # the error of another request that the caller made meanwhile.
                    if e.model_name == name:
                        self._refused(turn, e, name)
                    raise
                finally:
                    self._settle(turn, 1, _tokens(opened))
                self._succeeded(turn)
                return

    @asynccontextmanager
    async def _slot(self, turn: _Turn, name: str) -> AsyncGenerator[None]:
        await self._start(turn, name)
        try:
            yield
        finally:
            self.under_way -= 1
            self._nudge()

    async def _start(self, turn: _Turn, name: str) -> None:
        asked, since = self._limiter.clock(), time_ns()
        insort(self._queue, turn, key=lambda one: one.number)
        try:
            while (pause := self._pause(turn)) != 0:
                if pause is None:
                    turn.wake.clear()
                    await turn.wake.wait()
                else:
                    self._bear(turn, name)
                    await self._sleep(turn, pause)
            self.under_way += 1
            turn.round = self.halvings
            now = self._limiter.clock()
            turn.starts = self._requests.take(now, 1), self._tokens.take(now, turn.tokens)
        finally:
            self._queue.remove(turn)
            waited = self._limiter.clock() - asked
            self.waited += waited
            if waited >= NOTED:
                told: Attributes = {"gen_ai.request.model": name, "assay.wait_seconds": waited}
                note("wait", "wait for the limiter", told, since=since)
            self._nudge()

    def _pause(self, turn: _Turn) -> float | None:
        """Return seconds until `turn` may start; None if others have to make room first."""
        if self._queue[0] is not turn or self.under_way >= self.limit:
            return None
        now = self._limiter.clock()
        minute = max(self._requests.pause(now, 1), self._tokens.pause(now, turn.tokens))
        return max(0.0, self._opens - now, minute)

    async def _sleep(self, turn: _Turn, seconds: float) -> None:
        """Sleep; shorter if meanwhile an answer tells that a request came earlier, or took less."""
        turn.wake.clear()
        async with asyncio.TaskGroup() as tasks:
            sleeping = tasks.create_task(self._asleep(seconds))
            waking = tasks.create_task(turn.wake.wait())
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            waking.cancel()

    async def _asleep(self, seconds: float) -> None:
        await self._limiter.sleep(seconds)

    def _settle(self, turn: _Turn, requests: int, tokens: int | None) -> None:
        """Correct how a request counts in its minute; None leaves its tokens as estimated."""
        assert turn.starts is not None
        as_request, as_tokens = turn.starts
        now = self._limiter.clock()
        self._requests.settle(as_request, now, requests)
        self._tokens.settle(as_tokens, now, as_tokens.units if tokens is None else tokens)

    def _bear(self, turn: _Turn, name: str) -> None:
        """Take note that a refusal holds `turn` back; raise one of its own if that is too long."""
        refusal, left = self._refusal, self._opens - self._limiter.clock()
        if refusal is None or left <= 0 or self._in_time(turn):
            return
        raise ProviderBusy(
            f"model {name!r} was not asked: its provider wants nothing for another {left:.0f} s, "
            f"longer than the patience of {self._limiter.patience:g} s; {refusal}",
            model_name=name,
            status=refusal.status,
            retry_after=left,
        ) from refusal

    def _in_time(self, turn: _Turn) -> bool:
        """Tell whether the lane opens within the patience of `turn`, which begins now at latest."""
        if turn.deadline is None:
            turn.deadline = self._limiter.clock() + self._limiter.patience
        return self._opens <= turn.deadline

    def _refused(self, turn: _Turn, error: ModelAPIError, name: str) -> bool:
        """Slow down if `error` is a refusal; tell whether to ask again."""
        busy = fault(error, name, now=self._limiter.now)
        if not isinstance(busy, ProviderBusy):
            return False
        if turn.round == self.halvings:  # else it started before the limit was halved
            self.limit = max(1, self.limit // 2)
            self.halvings += 1
            self._in_a_row += 1
            self._successes = 0
        pause = self._back_off() if busy.retry_after is None else busy.retry_after
        now = self._limiter.clock()
        if now + pause > self._opens:
            self._opens, self._refusal = now + pause, busy
        return self._in_time(turn)

    def _back_off(self) -> float:
        # 2 to the power of all refusals of a night would not be a float.
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._in_a_row - 1, 60))
        return self._limiter.chance.uniform(0.0, longest)

    def _succeeded(self, turn: _Turn) -> None:
        if turn.round != self.halvings:
            return  # says nothing of the present limit: it started under another one
        self._in_a_row = 0
        self._successes += 1
        if self._successes >= self.limit:
            self.limit = min(self._limiter.most, self.limit + 1)
            self._successes = 0

    def _nudge(self) -> None:
        if self._queue:
            self._queue[0].wake.set()


class _LimitedModel(Layer):
    """Asks its model when the lane has a slot."""

    def __init__(self, wrapped: Model, limiter: Limiter, lane: _Lane) -> None:
        super().__init__(wrapped)
        self.limiter = limiter
        self._lane = lane

    def around(
        self, asked: Asked, opening: Opening[AnswerT]
    ) -> AbstractAsyncContextManager[AnswerT]:
        counted = self.limiter.tokens_per_minute is not None
        tokens = estimate(asked.messages, asked.settings) if counted else 0
        return self._lane.ask(self.model_name, opening, tokens)


def _tokens(answer: ModelResponse | StreamedResponse) -> int | None:
    """Return the tokens that an answer took; None if it does not tell."""
    return response_of(answer).usage.total_tokens or None
