"""Outputs while they are written: partial ones grow into the whole, and an early end is an error."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import models as pydantic_ai_models
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import AgentStreamEvent, ModelMessage
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from assay.agents import extract, triage
from assay.deps import Endpoint, Models
from assay.deps import models as deps_models
from assay.deps.errors import StreamCutShort
from assay.deps.resilience.fallback import Trail
from assay.deps.resilience.faults import Faults
from assay.deps.taxonomy import Label, Taxonomy

DEPS = triage.Deps(
    taxonomy=Taxonomy(
        labels=(
            Label(name="card", description="A card is lost.", examples=("I lost my card",)),
            Label(name="loan", description="Borrowing money.", examples=("I want a loan",)),
        )
    )
)
ANSWER = {"reason": "it says so", "label": "card", "confidence": 0.95, "urgency": 2}


class Order(BaseModel):
    """An order."""

    number: str
    lines: list[str] = []


class Writes:
    """A model that writes its calls of the output tool in pieces; then, perhaps, it breaks off."""

    def __init__(self, *outputs: list[str], breaks: Exception | None = None) -> None:
        self.outputs = list(outputs)
        self.breaks = breaks
        self.closed = 0

    def __call__(self) -> Model:
        return FunctionModel(stream_function=self.stream, model_name="writes")

    async def stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[DeltaToolCalls]:
        (tool,) = info.output_tools
        pieces = self.outputs.pop(0)
        try:
            yield {0: DeltaToolCall(tool.name, "", tool_call_id="c1")}
            for piece in pieces:
                yield {0: DeltaToolCall(json_args=piece)}
            if self.breaks is not None:
                raise self.breaks
        finally:
            self.closed += 1


def cut(text: str, *places: int) -> list[str]:
    ends = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in pairwise(ends) if a < b]


async def shown(
    model: Model | str, deps: triage.Deps = DEPS
) -> tuple[list[triage.Partial], triage.Triage]:
    async with triage.stream("I lost my card", deps, model=model) as stream:
        partials = [partial async for partial in stream]
        return partials, await stream.output()


@given(st.lists(st.integers(1, 80), max_size=20))
@settings(max_examples=40, deadline=None)
def test_however_an_answer_is_cut_its_partials_grow_into_it(places: list[int]) -> None:
    written = json.dumps(ANSWER)
    partials, whole = asyncio.run(shown(Writes(cut(written, *places))()))
    assert whole.model_dump() == ANSWER
    fields = list(ANSWER.items())
    sizes = [len(partial) for partial in partials]
    assert sizes == sorted(set(sizes))
    assert [dict(p) for p in partials] == [dict(fields[:size]) for size in sizes]
    assert sizes[-1] == len(fields)


async def test_fields_are_shown_one_by_one_when_they_are_complete() -> None:
    partials, _ = await shown(Writes(list(json.dumps(ANSWER)))())
    assert [list(partial)[-1] for partial in partials] == list(ANSWER)
    assert partials[2].get("confidence") == 0.95


async def test_a_label_that_is_none_is_not_shown_but_sent_back() -> None:
    wrong = cut(json.dumps({**ANSWER, "label": "crad"}), 30, 60)
    partials, whole = await shown(Writes(wrong, list(json.dumps(ANSWER)))())
    assert whole.label == "card"
    assert {partial.get("label") for partial in partials} == {None, "card"}


async def test_the_baseline_streams_what_it_answers() -> None:
    partials, whole = await shown("baseline")
    assert whole == await triage.run("I lost my card", DEPS)
    assert dict(partials[-1]) == whole.model_dump()


async def test_the_whole_can_be_had_without_reading_the_parts() -> None:
    async with triage.stream("x", DEPS, model=Writes(list(json.dumps(ANSWER)))()) as stream:
        assert (await stream.output()).label == "card"
        assert (await stream.output()).label == "card"


async def test_extracted_fields_are_shown_by_path_and_proved_at_the_end() -> None:
    quotes = [
        {"field": "number", "quote": "7731", "after": None},
        {"field": "lines.0", "quote": "Tea", "after": None},
    ]
    form = {"value": {"number": "7731", "lines": ["Tea"]}, "quotes": quotes}
    partials: list[Mapping[str, object]] = []
    async with extract.stream(
        "Order 7731: Tea", Order, extract.Deps(), model=Writes(list(json.dumps(form)))()
    ) as stream:
        async for partial in stream:
            partials.append(partial)
        whole = await stream.output()
    assert partials == [{"number": "7731"}, {"number": "7731", "lines.0": "Tea"}]
    assert whole.value == Order(number="7731", lines=["Tea"])
    assert whole.quotes["lines.0"].text == "Tea"


async def test_leaving_early_ends_the_model_s_stream() -> None:
    model = Writes(list(json.dumps(ANSWER)))
    async with triage.stream("x", DEPS, model=model()) as stream:
        await anext(stream)
    assert model.closed == 1


async def test_events_are_told_to_a_user_interface() -> None:
    events: list[AgentStreamEvent] = []
    model = Writes(list(json.dumps(ANSWER)))()
    async with triage.stream("x", DEPS, model=model, on_event=events.append) as stream:
        await stream.output()
    kinds = [event.event_kind for event in events]
    assert kinds[:2] == ["part_start", "final_result"]
    assert "part_delta" in kinds


# ---- ends that come too early


def naming(monkeypatch: pytest.MonkeyPatch, **models: Model) -> Models:
    """Return models by name; the first one is asked, the others stand in for it."""

    def build(model_id: str, *args: object) -> Model:
        return models[model_id]

    monkeypatch.setattr(deps_models, "build", build)
    first, *rest = models
    return Models(default=first, fallback=tuple(rest), trail=Trail())


async def test_a_model_that_breaks_off_is_an_error() -> None:
    broken = Writes(cut(json.dumps(ANSWER), 30)[:1], breaks=ModelHTTPError(500, "writes"))
    async with triage.stream("x", DEPS, model=broken()) as stream:
        assert (await anext(stream)).get("reason") == "it says so"
        with pytest.raises(ModelHTTPError):
            await stream.output()


async def test_before_its_first_word_another_model_streams_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(Writes):
        async def stream(
            self, messages: list[ModelMessage], info: AgentInfo
        ) -> AsyncIterator[DeltaToolCalls]:
            raise ModelHTTPError(503, "closed")
            yield {}

    models = naming(monkeypatch, a=Closed()(), b=Writes(list(json.dumps(ANSWER)))())
    partials, whole = await shown("small", triage.Deps(taxonomy=DEPS.taxonomy, models=models))
    assert (len(partials), whole.label) == (4, "card")
    assert models.trail is not None
    assert [run.model for run in models.trail.runs] == ["b"]


async def test_after_its_first_word_another_model_s_answer_is_given_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Writes(cut(json.dumps(ANSWER), 30)[:1], breaks=ModelHTTPError(500, "writes"))
    models = naming(monkeypatch, a=broken(), baseline=broken())
    partials, whole = await shown("small", triage.Deps(taxonomy=DEPS.taxonomy, models=models))
    assert [list(partial) for partial in partials] == [["reason"]]
    assert whole == await triage.run("I lost my card", DEPS)
    assert models.trail is not None
    (run,) = models.trail.runs
    assert (run.model, run.degraded, len(run.passed)) == ("baseline", True, 1)


@contextmanager
def streaming_server(*pieces: str, whole: bool) -> Generator[str]:
    """Serve one tool call as OpenAI's SSE does; unless `whole`, end without saying why."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            named = {"name": "final_result", "arguments": ""}
            self.say(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": named}])
            for piece in pieces:
                self.say(tool_calls=[{"index": 0, "function": {"arguments": piece}}])
            if whole:
                self.say(finish_reason="tool_calls")
                self.wfile.write(b"data: [DONE]\n\n")

        def say(self, finish_reason: str | None = None, **delta: Any) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("whole", "fallback"), [(True, ()), (False, ()), (False, ("baseline",))])
async def test_a_stream_over_http_is_whole_or_an_error_or_stood_in_for(
    whole: bool, fallback: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydantic_ai_models, "ALLOW_MODEL_REQUESTS", True)
    # Complete JSON, so that nothing but the missing end tells that there was to be more.
    trail = Trail()
    with streaming_server(*cut(json.dumps(ANSWER), 30, 60), whole=whole) as url:
        models = Models(
            default="llama",
            endpoint=Endpoint(url),
            fallback=fallback,
            wrap=(Faults(),),
            trail=trail,
        )
        async with aclosing(models):
            deps = triage.Deps(taxonomy=DEPS.taxonomy, models=models)
            if not whole and not fallback:
                with pytest.raises(StreamCutShort):
                    await shown("small", deps)
                return
            partials, answer = await shown("small", deps)
    assert partials[0] == {"reason": "it says so"}
    assert answer.label == "card"
    assert trail.degraded is not whole
