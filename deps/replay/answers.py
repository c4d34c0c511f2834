"""Between what a model answered and a recording of it."""

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from .recordings import Key, Recording
from .requests import request_document

__all__ = (
    "REPLAYED",
    "asked_of",
    "event_data",
    "recording_of",
    "replayed_latency",
    "response_from",
    "stream_from",
)

REPLAYED = "assay_replay"
"""The key in a replayed response's `metadata`; under it is the recorded `latency`, in seconds."""

# Of a response, what belongs to the run that recorded it and not to the answer.
_NOT_KEPT = {"run_id", "conversation_id", "provider_url", "workspace_ref", "history_digest"}


def replayed_latency(response: ModelResponse) -> float | None:
    """Return the seconds that a replayed response took when recorded; None if it is fresh."""
    found = (response.metadata or {}).get(REPLAYED)
    return None if found is None else float(found["latency"])


def asked_of(
    model: Model,
    messages: list[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
) -> dict[str, Any]:
    """Return the document of a request to a model; see `requests`."""
    return request_document(model.model_id, messages, *model.prepare_request(settings, parameters))


def recording_of(
    key: Key,
    request: dict[str, Any],
    response: ModelResponse,
    latency: float,
    events: list[Any] | None = None,
) -> Recording:
    """Return the recording of a response; `events` are a stream's, as JSON data."""
    data = _response_adapter().dump_python(
        response, mode="json", exclude_none=True, exclude=_NOT_KEPT
    )
    return Recording(key=key, request=request, response=data, events=events, latency=latency)


def event_data(event: ModelResponseStreamEvent) -> Any:
    """Return an event of a stream as JSON data."""
    return _event_adapter().dump_python(event, mode="json")


def response_from(recording: Recording) -> ModelResponse:
    """Return a recorded response: marked, and free of charge."""
    response = _response_adapter().validate_python(recording.response)
    mark = {REPLAYED: {"latency": recording.latency}}
    return replace(
        response,
        usage=replace(response.usage, cost=Decimal(0)),
        metadata={**(response.metadata or {}), **mark},
    )


def stream_from(
    response: ModelResponse, events: list[Any] | None, parameters: ModelRequestParameters
) -> CompletedStreamedResponse:
    """Return a response as a stream, in its recorded pieces or, without any, in one a part."""
    return CompletedStreamedResponse(
        response,
        model_request_parameters=parameters,
        replay_events=True if events is None else _events_adapter().validate_python(events),
    )


@cache
def _response_adapter() -> TypeAdapter[ModelResponse]:
    return TypeAdapter(ModelResponse)


@cache
def _event_adapter() -> TypeAdapter[ModelResponseStreamEvent]:
    return TypeAdapter(ModelResponseStreamEvent)


@cache
def _events_adapter() -> TypeAdapter[list[ModelResponseStreamEvent]]:
    return TypeAdapter(list[ModelResponseStreamEvent])
