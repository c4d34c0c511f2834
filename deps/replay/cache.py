"""Keep a service's responses: what was asked before is answered at once, and costs nothing.

```python
cache = Cache(Recordings(Path(".assay/cache")), max_age=86_400)
models = dataclasses.replace(models, wrap=(*models.wrap, cache))  # last: a hit takes no slot
```

Equal is what has the same digest: model, messages, settings, tools, output. Whoever asks the same
twice on purpose, for a second opinion, gets the first one again and is better off without a cache.

The files are recordings as an evaluation's are (see `recordings`), but known by the request alone:
a service has no cases, and no trials to keep apart. A tape may look in a cache too; it finds there
only what the first trial asks for the first time, for a second trial has to be a sample of its own.
"""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

from pydantic import SecretStr
from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ..baseline import is_baseline
from ..clock import utc_now
from ..errors import ConfigError
from .answers import asked_of, recording_of, response_from, stream_from
from .recordings import BadRecording, Key, Recording, Recordings, dump
from .requests import canonical, digest, scrub

__all__ = ("Cache", "CacheWarning")

CASE = "cache"
"""The folder of all recordings in a cache's folder, where an evaluation has one for each case."""

# Cut short, filtered or broken: such an answer is no answer for the next one who asks.
_WHOLE = (None, "stop", "tool_call")


class CacheWarning(UserWarning):
    """A cache's file cannot be read or written: the provider was asked, its answer handed on."""


@dataclass(eq=False)
class _Asking:
    """A request that a provider is asked now."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    recording: Recording | None = None
    failed: bool = False


_Place = tuple[asyncio.AbstractEventLoop, Key]

Asked = tuple[ModelResponse, Recording | None]
"""What a provider answered, and what was kept of it; None if that is nothing for others."""


@dataclass(eq=False)
class Cache:
    """Answers what it has an answer for, and keeps what a provider says. Calling it wraps a model.

    Baselines are left alone. A failure is never kept, nor a stream that was not read to its end,
    nor an answer cut short. Equal requests at one moment are asked once: the others wait. Streams
    do not wait, for one would go at the pace of another's reader.

    Args:
        recordings: Where responses are kept. Prompts stand there in clear: guard it like a log.
        max_age: Seconds that a response is good for; None for ever. Older files are replaced when
            they are asked for.
        secrets: Texts that must never reach a file. Keys of known providers are recognised anyway.
        now: The clock.

    Raises:
        ConfigError: the age is not more than 0.
    """

    recordings: Recordings
    max_age: float | None = None
    secrets: tuple[SecretStr, ...] = ()
    now: Callable[[], datetime] = utc_now
    _asking: dict[_Place, _Asking] = field(default_factory=dict[_Place, _Asking], repr=False)

    def __post_init__(self) -> None:
        if self.max_age is not None and not self.max_age > 0:
            raise ConfigError(
                f"a response {self.max_age} seconds old is never good; give more than 0, or None"
            )

    def __call__(self, model: Model) -> Model:
        """Return `model`, asked only for what is not known."""
        return model if is_baseline(model) else _CachedModel(model, self)

    def get(self, key: Key) -> Recording | None:
        """Return what a tape may have: the answer to the first such request of a first trial."""
        return None if key.trial or key.occurrence else self.find(_key(key.request))

    def of_case(self, case: str) -> Iterator[Recording]:
        """Yield nothing: no recording here is of a case."""
        return iter(())

    def find(self, key: Key) -> Recording | None:
        """Return a recording that is not too old; None if there is none that can be read."""
        try:
            return self.recordings.get(key) if self._fresh(key) else None
        except (BadRecording, OSError) as e:
            warnings.warn(f"{e}; the provider is asked", CacheWarning, stacklevel=2)
            return None

    def keep(self, recording: Recording) -> None:
        """Keep a recording, without secrets; where that fails, its answer is still good."""
        text = self.scrub(dump(recording))
        try:
            self.recordings.put(recording.key, text)
        except ConfigError as e:
            warnings.warn(str(e), CacheWarning, stacklevel=2)

    def scrub(self, text: str) -> str:
        return scrub(text, (secret.get_secret_value() for secret in self.secrets))

    async def answer(self, key: Key, ask: Callable[[], Awaitable[Asked]]) -> ModelResponse:
        """Return the answer that is kept, or is being given to somebody else, or to `ask`.

        Who was cancelled meanwhile is succeeded by one of those who waited. After a failure all of
        them ask for themselves: one after another they would wait through as many failures.
        """
        place = (asyncio.get_running_loop(), key)
        while asking := self._asking.get(place):
            await asking.done.wait()
            if asking.recording is not None:
                return response_from(asking.recording)
            if asking.failed:
                return (await ask())[0]
        self._asking[place] = asking = _Asking()
        try:
            asking.recording = await asyncio.to_thread(self.find, key)
            if asking.recording is not None:
                return response_from(asking.recording)
            response, asking.recording = await ask()
            asking.failed = asking.recording is None
            return response
        except Exception:
            asking.failed = True
            raise
        finally:
            del self._asking[place]
            asking.done.set()

    def _fresh(self, key: Key) -> bool:
        if self.max_age is None:
            return True
        written = self.recordings.written(key)
        return written is not None and self.now() - written <= timedelta(seconds=self.max_age)


class _CachedModel(WrapperModel):
    """Answers from a cache, or asks the model and keeps what it says."""

    def __init__(self, wrapped: Model, cache: Cache) -> None:
        super().__init__(wrapped)
        self._cache = cache

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        document = asked_of(self.wrapped, messages, model_settings, model_request_parameters)
        key = self._key(document)

        async def asked() -> Asked:
            started = perf_counter()
            response = await self.wrapped.request(
                messages, model_settings, model_request_parameters
            )
            latency = perf_counter() - started
            return response, await self._kept(key, document, response, latency)

        return await self._cache.answer(key, asked)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Hand a stream on as it comes, and keep it; another time it comes in one piece."""
        document = asked_of(self.wrapped, messages, model_settings, model_request_parameters)
        key = self._key(document)
        if found := await asyncio.to_thread(self._cache.find, key):
            yield stream_from(response_from(found), found.events, model_request_parameters)
            return
        started = perf_counter()
        async with self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            yield stream
        await self._kept(key, document, stream.get(), perf_counter() - started)

    def _key(self, document: dict[str, Any]) -> Key:
        return _key(digest(self._cache.scrub(canonical(document))))

    async def _kept(
        self, key: Key, document: dict[str, Any], response: ModelResponse, latency: float
    ) -> Recording | None:
        """Keep a response if it is good for others too."""
        if response.state != "complete" or response.finish_reason not in _WHOLE:
            return None
        recording = recording_of(key, document, response, latency)
        await asyncio.to_thread(self._cache.keep, recording)
        return recording


def _key(request: str) -> Key:
    return Key(CASE, 0, 0, request)
