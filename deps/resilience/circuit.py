"""Leave a provider alone that fails and fails: a circuit breaker in front of models.

After so many faults in a row the circuit opens: for a while requests fail at once, so that their
callers can turn to another model, and the provider is not asked. Then one request is let through.
If it is answered the circuit closes, else it stays open for another while (Nygard, Release It!,
2007, chapter 5).

```python
circuit = Circuit(failures=5, pause=30)  # one for all agents of a service
models = dataclasses.replace(models, wrap=(Faults(), circuit, limiter, retry))
```
"""

import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Literal

from pydantic_ai.models import Model

from ..baseline import is_baseline, layers
from ..clock import utc_now
from ..errors import CircuitOpen, ConfigError, ProviderDown, ProviderError, ProviderGarbled
from ..layer import AnswerT, Asked, Layer, Opening

__all__ = ("Circuit", "State")

State = Literal["closed", "open", "probing"]


class Circuit:
    """Opens on repeated failure. Calling it wraps a model; baselines do not fail so.

    Models of one provider (its name and address) share one circuit. What counts as a failure is
    `ProviderDown` and `ProviderGarbled`, of a model whose faults are typed (see `Faults`). Any
    answer, and be it a refusal, ends a row of failures. Failures of requests that were under way
    together count once: a blip that cuts off a hundred is one failure. A request that is
    cancelled, or that began before the circuit last opened or closed, counts for nothing.

    Put it between `Faults` and the limiter: then requests that wait for a slot fail at once too.

    Args:
        failures: So many in a row open the circuit.
        pause: Seconds for which it is open, before one request tries.
        clock: Seconds that never go back.
        now: The time of day, for what errors say.

    Raises:
        ConfigError: a number makes no sense.
    """

    def __init__(
        self,
        failures: int = 5,
        pause: float = 30.0,
        *,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if failures < 1:
            raise ConfigError(f"a circuit that opens after {failures} failures is never closed")
        if not 0 < pause < math.inf:
            raise ConfigError(
                f"a circuit open for {pause} seconds makes no sense; give more than 0"
            )
        self.failures = failures
        self.pause = pause
        self.clock = clock
        self.now = now
        self._breakers: dict[tuple[str, str | None], _Breaker] = {}

    def __call__(self, model: Model) -> Model:
        """Return `model`, guarded; a baseline, or one guarded by this already, as it is."""
        guarded = (layer for layer in layers(model) if isinstance(layer, _GuardedModel))
        if is_baseline(model) or any(layer.circuit is self for layer in guarded):
            return model
        key = (model.system, model.base_url)
        return _GuardedModel(model, self, self._breakers.setdefault(key, _Breaker(self)))

    def snapshot(self) -> dict[str, State]:
        """Return the state of each provider's circuit, by the provider's name and address."""
        return {" ".join(filter(None, key)): one.state for key, one in self._breakers.items()}


class _Breaker:
    """The circuit of one provider.

    It is closed while `_until` is None, else open; from then on it may be probed. What began in an
    earlier era than the present one has nothing to say.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._in_a_row = 0
        self._until: float | None = None
        self._probing = False
        self._era: int = 0

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "probing" if self._probing else "open"

    @contextmanager
    def guard(self, name: str) -> Generator[None]:
        """Let a request to the model called `name` through, and learn from how it ends.

        Raises:
            CircuitOpen: it is not let through.
        """
        era, row = self._enter(name), self._in_a_row
        try:
            yield
        except ProviderError as e:
            # In a stream's body it may be the error of another request that its reader made.
            self._leave(era, row, _failed(e) if e.model_name == name else None)
            raise
        except BaseException:
            self._leave(era, row, None)
            raise
        self._leave(era, row, False)

    def _enter(self, name: str) -> int:
        if self._until is not None:
            left = self._until - self._circuit.clock()
            if left > 0 or self._probing:
                raise self._open(name, max(0.0, left))
            self._probing = True
        return self._era

    def _leave(self, era: int, row: int, failed: bool | None) -> None:
        """Learn how a request ended; None tells nothing of the provider.

        Args:
            era: When it began.
            row: How many had failed in a row by then.
            failed: How it ended.
        """
        if era != self._era:
            return
        probed, self._probing = self._probing, False
        if failed:
            if row < self._in_a_row and not probed:
                return  # it was under way when the last one failed
            self._in_a_row += 1
            if probed or self._in_a_row >= self._circuit.failures:
                self._until = self._circuit.clock() + self._circuit.pause
                self._era += 1
        elif failed is not None:
            self._in_a_row = 0
            if probed:
                self._until = None
                self._era += 1

    def _open(self, name: str, left: float) -> CircuitOpen:
        until = self._circuit.now().astimezone(UTC) + timedelta(seconds=left)
        again = f"before {until:%H:%M:%S} UTC" if left else "while one request tries it"
        return CircuitOpen(
            f"model {name!r} is not asked {again}: its provider failed "
            f"{self._in_a_row} times in a row; ask another model, or wait",
            model_name=name,
            until=until,
            retry_after=left,
        )


def _failed(error: ProviderError) -> bool | None:
    if isinstance(error, CircuitOpen):
        return None  # of another circuit
    return isinstance(error, (ProviderDown, ProviderGarbled))


class _GuardedModel(Layer):
    """Asks its model while the circuit lets it."""

    def __init__(self, wrapped: Model, circuit: Circuit, breaker: _Breaker) -> None:
        super().__init__(wrapped)
        self.circuit = circuit
        self._breaker = breaker

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        with self._breaker.guard(self.model_name):
            async with opening() as answer:
                yield answer
