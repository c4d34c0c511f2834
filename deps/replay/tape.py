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
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from itertools import count
from time import perf_counter
from typing import Any, Literal

from pydantic import SecretStr, TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ..baseline import is_baseline
from .miss import ReplayMiss, miss
from .recordings import Key, Recording, Recordings, dump
from .requests import canonical, digest, request_document, scrub

__all__ = ("REPLAYED", "Mode", "Replay", "ReplayMiss", "Tape", "replayed_latency")

Mode = Literal["auto", "only", "off", "refresh"]
"""`auto`: replay what there is, record the rest. `only`: never ask a provider. `off`: always ask,
record nothing. `refresh`: ask everything anew and record it."""

REPLAYED = "assay_replay"
"""The key in a replayed response's `metadata`; under it is the recorded `latency`, in seconds."""

# Of a response, what belongs to the run that recorded it and not to the answer.
_NOT_KEPT = {"run_id", "conversation_id", "provider_url", "workspace_ref", "history_digest"}


def replayed_latency(response: ModelResponse) -> float | None:
    """Return the seconds that a replayed response took when recorded; None if it is fresh."""
    found = (response.metadata or {}).get(REPLAYED)
    return None if found is None else float(found["latency"])


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Where recordings are and how they are used, for one suite.

    Args:
        mode: See `Mode`.
        write: Where recordings are kept, and looked for first.
        read: Where else they are looked for, such as `datasets/<agent>/replay/`.
        secrets: Texts that must never reach a file, such as the configured API key. Keys of known
            providers are recognised anyway, and headers are never kept.
    """

    write: Recordings
    read: tuple[Recordings, ...] = ()
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
        places = (self.replay.write, *self.replay.read)
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
        document = self._document(messages, model_settings, model_request_parameters)
        request = self._tape.scrub(canonical(document))
        with self._tape.claim(request) as key:
            if found := self._tape.find(key, request):
                return _response(found)
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
        document = self._document(messages, model_settings, model_request_parameters)
        request = self._tape.scrub(canonical(document))
        with self._tape.claim(request) as key:
            if found := self._tape.find(key, request):
                response, events = _response(found), _events(found)
            else:
                started = perf_counter()
                async with self.wrapped.request_stream(
                    messages, model_settings, model_request_parameters, run_context
                ) as stream:
                    dumped = [_event_adapter().dump_python(e, mode="json") async for e in stream]
                    response = stream.get()
                self._keep(key, document, response, dumped, perf_counter() - started)
                events = _events_adapter().validate_python(dumped)
        yield CompletedStreamedResponse(
            response,
            model_request_parameters=model_request_parameters,
            replay_events=True if events is None else events,
        )

    def _document(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> dict[str, Any]:
        prepared = self.wrapped.prepare_request(settings, parameters)
        return request_document(self.wrapped.model_id, messages, *prepared)

    def _keep(
        self,
        key: Key,
        document: dict[str, Any],
        response: ModelResponse,
        events: list[Any] | None,
        latency: float,
    ) -> None:
        self._tape.asked += 1
        if response.state != "complete":
            return  # a suspended or broken answer is worth nothing later
        dumped = _response_adapter().dump_python(
            response, mode="json", exclude_none=True, exclude=_NOT_KEPT
        )
        self._tape.keep(
            Recording(key=key, request=document, response=dumped, events=events, latency=latency)
        )


def _response(recording: Recording) -> ModelResponse:
    """Return a recorded response: marked, and free of charge."""
    response = _response_adapter().validate_python(recording.response)
    mark = {REPLAYED: {"latency": recording.latency}}
    return replace(
        response,
        usage=replace(response.usage, cost=Decimal(0)),
        metadata={**(response.metadata or {}), **mark},
    )


def _events(recording: Recording) -> list[ModelResponseStreamEvent] | None:
    """Return a stream's events; None where the response was recorded without streaming."""
    if recording.events is None:
        return None
    return _events_adapter().validate_python(recording.events)


@cache
def _response_adapter() -> TypeAdapter[ModelResponse]:
    return TypeAdapter(ModelResponse)


@cache
def _event_adapter() -> TypeAdapter[ModelResponseStreamEvent]:
    return TypeAdapter(ModelResponseStreamEvent)


@cache
def _events_adapter() -> TypeAdapter[list[ModelResponseStreamEvent]]:
    return TypeAdapter(list[ModelResponseStreamEvent])
