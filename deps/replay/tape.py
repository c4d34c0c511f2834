"""Record model responses once, replay them ever after: evaluations become incremental.

A recording is found by what was asked (see `requests`), the case, the trial, and how many equal
requests came before it in the trial. Whoever asks, agent, sub-agent or judge, is served alike:
change one agent's instructions, and only its own calls, and those that depend on its answers, are
made anew.

```python
replay = Replay(mode="auto", write=Recordings(Path(".assay/replay/triage")))
tape = replay.tape(case.name, trial_number)
models = dataclasses.replace(models, wrap=(*models.wrap, tape))
```
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Any, Literal

from pydantic import SecretStr
from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ..baseline import is_baseline
from .answers import (
    REPLAYED,
    asked_of,
    event_data,
    recording_of,
    replayed_latency,
    response_from,
    stream_from,
)
from .miss import ReplayMiss, miss
from .recordings import Key, Place, Recording, Recordings, dump
from .requests import canonical, digest, scrub

__all__ = ("REPLAYED", "Mode", "Replay", "ReplayMiss", "Tape", "replayed_latency")

Mode = Literal["auto", "only", "off", "refresh"]
"""`auto`: replay what there is, record the rest. `only`: never ask a provider. `off`: always ask,
record nothing. `refresh`: ask everything anew and record it."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Where recordings are and how they are used, for one suite.

    Args:
        mode: See `Mode`.
        write: Where recordings are kept, and looked for first.
        read: Where else they are looked for, such as `datasets/<agent>/replay/` or a service's
            `Cache`.
        secrets: Texts that must never reach a file, such as the configured API key. Keys of known
            providers are recognised anyway, and headers are never kept.
    """

    write: Recordings
    read: tuple[Place, ...] = ()
    mode: Mode = "auto"
    secrets: tuple[SecretStr, ...] = ()

    def tape(self, case: str, trial: int) -> "Tape":
        """Return what one trial's models are wrapped in: put it last but one into `Models.wrap`."""
        if self.mode == "refresh":
            self.write.forget(case, trial)
        return Tape(self, case, trial)


@dataclass(eq=False)
class Tape:
    """The responses of one trial. Calling it wraps a model; baselines are left alone.

    Attributes:
        replayed: Responses that came from a recording.
        asked: Responses that a provider gave.
        latency: Seconds that the replayed responses took when they were recorded. Add it to a
            trial's duration; where requests ran side by side it is an upper bound.
    """

    replay: Replay
    case: str
    trial: int
    replayed: int = 0
    asked: int = 0
    latency: float = 0.0
    _claimed: set[Key] = field(default_factory=set[Key], repr=False)

    def __call__(self, model: Model) -> Model:
        """Return `model`, recorded and replayed."""
        # A baseline is code of this repository: a recording would hide that it has changed.
        if self.replay.mode == "off" or is_baseline(model):
            return model
        return _ReplayModel(model, self)

    @property
    def all_replayed(self) -> bool:
        """Whether there were responses, and a provider gave none of them."""
        return self.replayed > 0 and self.asked == 0

    def find(self, key: Key, request: str) -> Recording | None:
        """Return the recording of a request, or None if a provider must be asked.

        Raises:
            ReplayMiss: there is none, and no provider may be asked.
        """
        if self.replay.mode == "refresh":
            return None
        places: tuple[Place, ...] = (self.replay.write, *self.replay.read)
        for place in places:
            if found := place.get(key):
                self.replayed += 1
                self.latency += found.latency
                return found
        if self.replay.mode == "only":
            raise miss(key, request, [one for p in places for one in p.of_case(self.case)])
        return None

    def keep(self, recording: Recording) -> None:
        """Record a response, without secrets."""
        self.replay.write.put(recording.key, self.scrub(dump(recording)))

    def scrub(self, text: str) -> str:
        return scrub(text, (secret.get_secret_value() for secret in self.replay.secrets))

    @contextmanager
    def claim(self, request: str) -> Generator[Key]:
        """Give a request the first free occurrence number; a request that fails gives it back."""
        hashed = digest(request)
        keys = (Key(self.case, self.trial, n, hashed) for n in count())
        key = next(key for key in keys if key not in self._claimed)
        self._claimed.add(key)
        try:
            yield key
        except BaseException:
            self._claimed.discard(key)  # a retry of the same request is the same occurrence
            raise


class _ReplayModel(WrapperModel):
    """Answers from a tape, or asks the model and records."""

    def __init__(self, wrapped: Model, tape: Tape) -> None:
        super().__init__(wrapped)
        self._tape = tape

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        document = asked_of(self.wrapped, messages, model_settings, model_request_parameters)
        request = self._tape.scrub(canonical(document))
        with self._tape.claim(request) as key:
            if found := self._tape.find(key, request):
                return response_from(found)
            started = perf_counter()
            response = await self.wrapped.request(
                messages, model_settings, model_request_parameters
            )
            self._keep(key, document, response, None, perf_counter() - started)
            return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Replay a stream with its deltas. While recording, it is handed on once it is complete."""
        document = asked_of(self.wrapped, messages, model_settings, model_request_parameters)
        request = self._tape.scrub(canonical(document))
        with self._tape.claim(request) as key:
            if found := self._tape.find(key, request):
                response, events = response_from(found), found.events
            else:
                started = perf_counter()
                async with self.wrapped.request_stream(
                    messages, model_settings, model_request_parameters, run_context
                ) as stream:
                    events = [event_data(event) async for event in stream]
                    response = stream.get()
                self._keep(key, document, response, events, perf_counter() - started)
        yield stream_from(response, events, model_request_parameters)

    def _keep(
        self,
        key: Key,
        document: dict[str, Any],
        response: ModelResponse,
        events: list[Any] | None,
        latency: float,
    ) -> None:
        self._tape.asked += 1
        if response.state == "complete":  # a suspended or broken answer is worth nothing later
            self._tape.keep(recording_of(key, document, response, latency, events))
