"""Turn whatever goes wrong between us and a provider into one of our typed errors.

```python
faults = Faults(within=120)  # innermost: the first of `Models.wrap`
models = dataclasses.replace(models, wrap=(faults, *models.wrap))
```

What is typed, and as what, is in `fault`. An SDK's error, a body that is not JSON, a connection cut
in the middle of a stream and a stream that ends before the answer all come out as `ProviderError`s.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self, TypeVar

from pydantic import SecretStr
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import Model, StreamedResponse

from ..baseline import is_baseline, layers
from ..clock import utc_now
from ..errors import (
    ConfigError,
    ProviderDown,
    ProviderError,
    ProviderTimeout,
    StreamCutShort,
)
from ..layer import AnswerT, Asked, Layer, Opening
from ..secrets import scrub_error
from ..streams import Events, relay
from .causes import fault

__all__ = ("Faults",)

T = TypeVar("T")


class Faults:
    """Makes typed errors of a provider's faults. Calling it wraps a model; baselines have none.

    Only what the model raises is typed, never what its caller does with a stream, and only what a
    provider can have caused: a wrong use (`UserError`) and a fault of a model that runs in this
    process stay as they are. The original is the `__cause__`. Keys are taken out of its messages
    too; where that cannot be done, it is left away.

    Args:
        within: Seconds that a request may wait for its provider, all in all: for the answer, or
            for a stream and all its events, without the time that the reader takes for them.
            `ModelSettings(timeout=...)` bounds each read alone, so a server that drips is never
            late for it. None waits for ever.
        secrets: Texts that must be in no message. Those that look like a key of a known provider,
            and the one that the model's own client sends, are recognised anyway.
        now: The time of day, for a Retry-After that is a date in an answer without one.

    Raises:
        ConfigError: `within` is not more than 0.
    """

    def __init__(
        self,
        *,
        within: float | None = None,
        secrets: Iterable[SecretStr] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if within is not None and not within > 0:
            raise ConfigError(
                f"no provider answers within {within} seconds; give more than 0, or None for ever"
            )
        self.within = within
        self.secrets = tuple(secret.get_secret_value() for secret in secrets)
        self.now = now

    def __call__(self, model: Model) -> Model:
        """Return `model`, its faults typed; a baseline, or one typed already, as it is."""
        typed = any(isinstance(layer, _TypedModel) for layer in layers(model))
        return model if typed or is_baseline(model) else _TypedModel(model, self)


class _TypedModel(Layer):
    """Raises typed errors."""

    def __init__(self, wrapped: Model, faults: Faults) -> None:
        super().__init__(wrapped)
        self.faults = faults
        self.remote = wrapped.provider is not None

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        waiting, opened = _Waiting(self), opening()
        answer = await waiting(opened.__aenter__)
        if isinstance(answer, StreamedResponse):
            stream = answer
            relay(stream, lambda events: _CheckedEvents(stream, events, waiting))
        try:
            yield answer
        except BaseException as e:  # the reader's, or one that was typed when it read
            if not await opened.__aexit__(type(e), e, e.__traceback__):
                raise
        else:
            await waiting(lambda: opened.__aexit__(None, None, None))

    def typed(self, error: Exception) -> ProviderError | None:
        """Return what `error` means; None if it is no fault of the provider."""
        secrets = (*self.faults.secrets, *_keys(self.wrapped))
        name, faults = self.model_name, self.faults
        found = fault(error, name, remote=self.remote, secrets=secrets, now=faults.now)
        if found is None or found is error:
            return None
        found.__cause__ = error if scrub_error(error, secrets) else None
        return found


class _Waiting:
    """Waits for a provider, in as many turns as it takes, until its time is over."""

    def __init__(self, model: _TypedModel) -> None:
        self.model = model
        self.left = model.faults.within

    async def __call__(self, asked: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._in_time(asked)
        except Exception as e:
            if (found := self.model.typed(e)) is None:
                raise
        raise found  # not while handling the original, which may hold what must not be shown

    async def _in_time(self, asked: Callable[[], Awaitable[T]]) -> T:
        if self.left is None:
            return await asked()
        loop = asyncio.get_running_loop()
        started, limit = loop.time(), asyncio.timeout(self.left)
        try:
            async with limit:
                return await asked()
        except TimeoutError as e:
            if not limit.expired():
                raise
            raise self._too_slow() from e
        finally:
            self.left = max(0.0, self.left - (loop.time() - started))

    def _too_slow(self) -> ProviderTimeout:
        name, within = self.model.model_name, self.model.faults.within
        return ProviderTimeout(
            f"model {name!r} did not answer within {within:g} s; give it more time, or ask another",
            model_name=name,
        )


class _CheckedEvents:
    """The events of a stream, which must end with a reason to end."""

    def __init__(self, stream: StreamedResponse, events: Events, waiting: _Waiting) -> None:
        self._stream = stream
        self._events = events
        self._waiting = waiting

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelResponseStreamEvent:
        name = self._waiting.model.model_name
        try:
            event = await self._waiting(lambda: anext(self._events, None))
        except ProviderTimeout:
            raise
        except ProviderDown as e:
            raise _cut_short(name, str(e)) from e
        if event is not None:
            return event
        if self._waiting.model.remote and _unfinished(self._stream):
            raise _cut_short(name, "it ended without a reason to end")
        raise StopAsyncIteration


def _cut_short(name: str, why: str) -> StreamCutShort:
    return StreamCutShort(
        f"the stream of model {name!r} broke off: {why}; what came of it is no answer, ask again",
        model_name=name,
    )


def _unfinished(stream: StreamedResponse) -> bool:
    """Tell whether a stream that is at its end has no reason for it."""
    if stream.cancelled:
        return False
    if stream.finish_reason is None:
        return True
    # From some version on, Pydantic AI says "stop" for a server that did not. What the server did
    # say is in the details, under the same name.
    if all(kind.__name__ != "OpenAIStreamedResponse" for kind in type(stream).__mro__):
        return False
    return stream.finish_reason == "stop" and "finish_reason" not in (stream.provider_details or {})


def _keys(model: Model) -> list[str]:
    """Return the keys that the client of a model sends."""
    *_, innermost = layers(model)
    client: object = getattr(innermost, "client", None)
    found: list[object] = [getattr(client, name, None) for name in ("api_key", "auth_token")]
    texts = [key for key in found if isinstance(key, str)]
    return [*texts, *(repr(key)[1:-1] for key in texts), *(key.strip() for key in texts)]
