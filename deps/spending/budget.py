"""What a run may spend, and what it has spent: counted where models answer.

```python
meter = Meter(Budget(usd=5.0))
models = dataclasses.replace(models, wrap=(meter, *models.wrap))
...
if why := meter.reached():  # before each unit of work; nothing under way is cut off
    stop(why)
```

Put the meter before a replay in `Models.wrap`: then only what a provider answered is counted, not
what was answered from a recording.
"""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from time import monotonic

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model

from ..baseline import is_baseline
from ..errors import ConfigError
from ..layer import AnswerT, Asked, Layer, Opening, response_of

__all__ = ("Budget", "Meter", "Spent", "in_dollars", "price")

LARGER = "go on with a larger one"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Caps on a run; None caps nothing.

    Attributes:
        usd: Dollars, by the price lists of genai-prices.
        tokens: Input and output tokens.
        requests: Answers of models.
        seconds: Wall time.

    Raises:
        ConfigError: a cap is not a number greater than 0.
    """

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            cap = getattr(self, one.name)
            if cap is not None and not 0 < cap < math.inf:
                raise ConfigError(
                    f"a budget of {cap} {one.name} allows nothing or everything; "
                    "give a number greater than 0, or leave it out"
                )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was spent so far. A stream that broke off counts with what it had told by then.

    Attributes:
        usd: Dollars, of the responses whose price is known.
        tokens: Input and output tokens, of the responses that tell.
        requests: Responses. What failed, or was made again by an SDK, is not among them.
        seconds: Wall time since the meter was made.
        unpriced: Models that answered at an unknown price: `usd` is a lower bound.
        unmeasured: Models that answered without telling their tokens: `tokens` is one too.
    """

    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    unpriced: frozenset[str] = frozenset()
    unmeasured: frozenset[str] = frozenset()


NOTHING = Spent()


class Meter:
    """Counts what models answer, for a whole run. Calling it wraps a model; baselines cost nothing.

    Args:
        budget: What `reached` compares with.
        clock: Seconds that never go back. Wall time counts from now.
        before: What was spent when the run, which now goes on, was stopped. Its wall time is left
            out: the time until now was nobody's.
    """

    def __init__(
        self,
        budget: Budget,
        clock: Callable[[], float] = monotonic,
        *,
        before: Spent = NOTHING,
    ) -> None:
        self.budget = budget
        self._clock = clock
        self._started = clock()
        self._usd = Decimal(str(before.usd))
        self._tokens = before.tokens
        self._requests = before.requests
        self._unpriced = set(before.unpriced)
        self._unmeasured = set(before.unmeasured)

    def __call__(self, model: Model) -> Model:
        """Return `model`, counted; a baseline as it is."""
        if is_baseline(model):
            return model
        return _MeteredModel(model, self)

    @property
    def spent(self) -> Spent:
        return Spent(
            usd=float(self._usd),
            tokens=self._tokens,
            requests=self._requests,
            seconds=self._clock() - self._started,
            unpriced=frozenset(self._unpriced),
            unmeasured=frozenset(self._unmeasured),
        )

    def reached(self) -> str | None:
        """Return why no more work should start: a cap is reached, or cannot hold; else None."""
        spent, budget = self.spent, self.budget
        after = f"after {spent.requests:,} requests"
        if budget.usd is not None and spent.usd >= budget.usd:
            cap, sum_ = in_dollars(budget.usd), in_dollars(spent.usd)
            return f"the budget of {cap} is spent ({sum_} {after}); {LARGER}"
        if budget.tokens is not None and spent.tokens >= budget.tokens:
            cap = f"{budget.tokens:,} tokens"
            return f"the budget of {cap} is spent ({spent.tokens:,} {after}); {LARGER}"
        if budget.requests is not None and spent.requests >= budget.requests:
            cap = f"{budget.requests:,} requests"
            return f"the budget of {cap} is spent ({spent.requests:,} were answered); {LARGER}"
        if budget.seconds is not None and spent.seconds >= budget.seconds:
            cap = f"{budget.seconds:,g} seconds"
            return f"the budget of {cap} is spent ({spent.seconds:,.1f} {after}); {LARGER}"
        return self._cannot_hold()

    def add(self, response: ModelResponse, name: str) -> None:
        """Count a response of the model called `name`."""
        name = response.model_name or name
        self._requests += 1
        self._tokens += response.usage.total_tokens
        if response.usage.total_tokens == 0 and response.usage.cost is None:
            # It would else be free. Of a stream that broke off, nothing else was to be expected.
            if response.state == "complete":
                self._unmeasured.add(name)
                self._unpriced.add(name)
        elif (dollars := price(response)) is None:
            self._unpriced.add(name)
        else:
            self._usd += dollars

    def _cannot_hold(self) -> str | None:
        if self.budget.usd is not None and self._unpriced:
            return (
                f"the price of {_names(self._unpriced)} is unknown, so a cap in dollars cannot "
                "hold; cap tokens or requests instead"
            )
        if self.budget.tokens is not None and self._unmeasured:
            return (
                f"{_names(self._unmeasured)} does not tell its tokens, so a cap on them cannot "
                "hold; cap requests or seconds instead"
            )
        return None


class _MeteredModel(Layer):
    """Tells a meter of each response."""

    def __init__(self, wrapped: Model, meter: Meter) -> None:
        super().__init__(wrapped)
        self._meter = meter

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        async with opening() as answer:
            try:
                yield answer
            finally:  # a stream that breaks off has cost something too
                self._meter.add(response_of(answer), self.model_name)


def price(response: ModelResponse) -> Decimal | None:
    """Return dollars as Pydantic AI counts them for a run; None if nobody knows the price."""
    if response.usage.cost is not None:
        return response.usage.cost
    if not response.model_name:
        return None
    try:
        return response.cost().total_price
    except (LookupError, ValueError):  # no such model in the lists; usage that makes no sense
        return None


def in_dollars(usd: float) -> str:
    """Say a sum of money; a small one with as many places as it takes."""
    if usd >= 1:
        return f"${usd:,.2f}".removesuffix(".00")
    return f"${usd:.4f}" if usd >= 0.001 else f"${usd:.9f}".rstrip("0").removesuffix(".")


def _names(models: set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(models))
