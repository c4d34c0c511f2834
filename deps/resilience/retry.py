"""Ask a provider again when what went wrong may pass.

```python
retry = Retry(attempts=4, within=30)
models = dataclasses.replace(models, wrap=(Faults(), circuit, limiter, retry))
```

It stands outside of the limiter, so that every attempt is counted there and no slot is held while
it waits. What the limiter waits for, 429 and 529, is not asked again here.
"""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic, time_ns
from typing import TYPE_CHECKING, TypeVar

from pydantic_ai.models import Model, StreamedResponse

from ..baseline import is_baseline, layers
from ..errors import CircuitOpen, ConfigError, ProviderDown, ProviderError, ProviderGarbled
from ..layer import AnswerT, Asked, Layer, Opening
from ..spans import note
from ..streams import peek

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ("Retry",)

T = TypeVar("T")


class Retry:
    """Asks again after a fault that may pass. Calling it wraps a model; baselines do not fail so.

    That is `ProviderDown` (no connection, 408, 5xx, a timeout) and `ProviderGarbled`, of a model
    whose faults are typed (see `Faults`); not an open circuit, and never a refusal. The wait is
    what Retry-After asks for, else an exponential back-off with full jitter. A stream is opened
    again only while none of its events has reached its reader.

    The SDKs of OpenAI and Anthropic ask again on their own; give `max_retries=0` to the client to
    leave it all to this.

    Args:
        attempts: How often a request is made at most.
        within: Seconds after the first fault in which another attempt may start. Waiting for a
            limiter's slot before it does not count; how long an attempt takes is `Faults(within=)`.
        first: Seconds that the first wait is at most; doubled by each attempt.
        longest: Seconds that a wait is at most, unless Retry-After asks for more.
        clock: Seconds that never go back.
        sleep: Waits for so many seconds of `clock`.
        chance: Where jitter comes from.

    Raises:
        ConfigError: a number makes no sense.
    """

    def __init__(
        self,
        attempts: int = 4,
        within: float = 60.0,
        *,
        first: float = 0.5,
        longest: float = 20.0,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
    ) -> None:
        if attempts < 1:
            raise ConfigError(f"{attempts} attempts would ask nothing; give 1 or more")
        for name, seconds in (("within", within), ("first", first), ("longest", longest)):
            if not 0 <= seconds < math.inf:
                raise ConfigError(f"{name} {seconds} seconds ends nowhere; give 0 or more")
        self.attempts = attempts
        self.within = within
        self.first = first
        self.longest = longest
        self.clock = clock
        self.sleep = sleep
        self.chance = chance or random.Random()  # noqa: S311 - jitter is no secret

    def __call__(self, model: Model) -> Model:
        """Return `model`, asked again; a baseline, or one that is already, as it is."""
        # Two of them would multiply their attempts.
        again = any(isinstance(layer, _RetriedModel) for layer in layers(model))
        return model if again or is_baseline(model) else _RetriedModel(model, self)

    async def ask(self, asked: Callable[[], Awaitable[T]]) -> T:
        """Return what `asked` gives, after as many attempts as it takes and is allowed."""
        from tenacity import AsyncRetrying, retry_if_exception

        spell = _Spell(self)
        retrying = AsyncRetrying(
            retry=retry_if_exception(may_pass),
            wait=spell.wait,
            stop=spell.stop,
            sleep=spell.sleep,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await asked()
        raise AssertionError  # tenacity ends with an answer or an error


class _Spell:
    """The faults of one request: how long to wait after each, and whether to give up."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._deadline: float | None = None
        self._failed: tuple[int, BaseException | None] = (0, None)

    async def sleep(self, seconds: float) -> None:
        """Wait before another attempt, in a span of its own."""
        since = time_ns()
        attempt, error = self._failed
        try:
            await self._retry.sleep(seconds)
        finally:
            told = {
                "gen_ai.request.model": getattr(error, "model_name", None),
                "assay.retry.attempt": attempt + 1,
                "assay.wait_seconds": seconds,
            }
            note("retry", f"retry {attempt}", told, since=since, error=error)

    def wait(self, state: "RetryCallState") -> float:
        error = _error(state)
        self._failed = state.attempt_number, error
        if isinstance(error, ProviderError) and error.retry_after is not None:
            return error.retry_after
        # 2 to the power of very many attempts would not be a float.
        doubled = self._retry.first * 2.0 ** min(state.attempt_number - 1, 60)
        return self._retry.chance.uniform(0.0, min(self._retry.longest, doubled))

    def stop(self, state: "RetryCallState") -> bool:
        now = self._retry.clock()
        if self._deadline is None:
            self._deadline = now + self._retry.within
        late = now + state.upcoming_sleep > self._deadline
        return late or state.attempt_number >= self._retry.attempts


def may_pass(error: BaseException) -> bool:
    """Tell whether the same request may succeed when it is made again, soon and by us."""
    passing = isinstance(error, (ProviderDown, ProviderGarbled))
    return passing and not isinstance(error, CircuitOpen)


def _error(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


class _RetriedModel(Layer):
    """Asks its model again."""

    def __init__(self, wrapped: Model, retry: Retry) -> None:
        super().__init__(wrapped)
        self._retry = retry

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        async def opened() -> tuple[AsyncExitStack, AnswerT]:
            async with AsyncExitStack() as stack:
                answer = await stack.enter_async_context(opening())
                if isinstance(answer, StreamedResponse):
                    # An answer that breaks off before it began has reached nobody yet.
                    await peek(answer)
                return stack.pop_all(), answer

        stack, answer = await self._retry.ask(opened)
        async with stack:
            yield answer
