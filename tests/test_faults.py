"""Whatever a provider does wrong is one of our errors: over real HTTP, byte by byte."""

import asyncio
import gc
import json
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic import DefaultAsyncHttpxClient as AnthropicHttpxClient
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import SecretStr
from pydantic_ai import Agent, models
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from assay.deps import BaselineModel, ConfigError
from assay.deps.causes import fault
from assay.deps.errors import (
    CircuitOpen,
    ContextTooLong,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderTimeout,
    StreamCutShort,
    provider_fault,
)
from assay.deps.faults import Faults
from assay.deps.secrets import HIDDEN

from .faulty import WHOLE, Answer, Counted, End, Faulty, body, completion, delta, events, faulty
from .virtual import now, virtually

ASKED: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]
KEY = "correct-horse-battery-staple"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading all certificates takes most of a test
KNOWN = "sk-proj-" + "a1B2" * 10


async def ask(model: Model) -> str:
    response = await model.request(ASKED, None, ModelRequestParameters())
    (part,) = response.parts
    assert isinstance(part, TextPart)
    return part.content


async def stream(model: Model) -> str:
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            pass
        (part,) = answer.get().parts
    assert isinstance(part, TextPart)
    return part.content


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    async with faulty() as found:
        yield found


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as found:
        yield found


Make = Callable[[str, AsyncExitStack, str], Awaitable[Model]]
Json = dict[str, Any]
Named = tuple[str, Json | str]


async def openai(url: str, clients: AsyncExitStack, key: str) -> OpenAIProvider:
    http = DefaultAsyncHttpxClient(verify=NO_TLS)
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=http)
    return OpenAIProvider(openai_client=await clients.enter_async_context(client))


async def chat(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    return OpenAIChatModel("m", provider=await openai(url, clients, key))


async def responses(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    return OpenAIResponsesModel("m", provider=await openai(url, clients, key))


async def claude(url: str, clients: AsyncExitStack, key: str = KEY) -> Model:
    http = AnthropicHttpxClient(verify=NO_TLS)
    base = url.removesuffix("/v1")
    client = AsyncAnthropic(base_url=base, api_key=key, max_retries=0, http_client=http)
    await clients.enter_async_context(client)
    return AnthropicModel("m", provider=AnthropicProvider(anthropic_client=client))


def error(message: str, **more: str) -> dict[str, object]:
    return {"error": {"message": message, **more}}


NO_MATTER_HOW_ASKED = {
    "a bad key": (body(error("no such key"), 401), ProviderRefused),
    "an unknown model": (body(error("no model 'm'", code="model_not_found"), 404), ProviderRefused),
    "an empty account": (body(error("no", code="insufficient_quota"), 429), ProviderRefused),
    "an unpaid bill": (body(error("pay"), 402), ProviderRefused),
    "a bad request": (body(error("temperature is 9"), 400), ProviderRefused),
    "too much": (
        body(error("This model's maximum context length is 10 tokens"), 400),
        ContextTooLong,
    ),
    "too much, by Anthropic": (body(error("prompt is too long: 9 > 8"), 400), ContextTooLong),
    "busy": (body(error("slow down"), 429), ProviderBusy),
    "overloaded": (body(error("overloaded", type="overloaded_error"), 529), ProviderBusy),
    "a timeout upstream": (body(error("too slow"), 408), ProviderDown),
    "a crash": (body("oops", 500, "text/plain"), ProviderDown),
    "a bad gateway": (body("<html>502</html>", 502, "text/html"), ProviderDown),
    "a body that is no JSON": (body('{"id": "c1", "choi'), ProviderGarbled),
    "no answer at all": (Answer(ends="cut"), ProviderDown),
}


@pytest.mark.parametrize(
    ("way", "name"),
    [
        *((ask, name) for name in NO_MATTER_HOW_ASKED),
        # A stream is not one body: what is garbled in it has its own tests below.
        *(
            (stream, n)
            for n, (_, kind) in NO_MATTER_HOW_ASKED.items()
            if kind is not ProviderGarbled
        ),
    ],
)
@pytest.mark.parametrize("make", [chat, responses, claude])
async def test_a_fault_is_typed_however_the_provider_is_asked(
    server: Faulty,
    clients: AsyncExitStack,
    name: str,
    make: Make,
    way: Callable[[Model], Awaitable[str]],
) -> None:
    answer, kind = NO_MATTER_HOW_ASKED[name]
    model = Faults()(await make(server.will(answer).url, clients, KEY))
    with pytest.raises(ProviderError) as e:
        await way(model)
    assert type(e.value) is kind
    assert isinstance(e.value, ModelAPIError)
    assert provider_fault(e.value)
    assert e.value.model_name == "m"
    assert isinstance(e.value.__cause__, Exception)
    if answer.sent and kind is not ProviderGarbled:
        assert e.value.status == int(answer.sent.split()[1])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        body(completion(choices=[])),
        body(completion(choices=None)),
        body(completion(choices=[{"index": 0, "finish_reason": "stop"}])),
        body("[]"),
        body("null"),
        body('"yes"'),
        body("<html>It works!</html>", kind="text/html"),
        body({"object": "error"}),
    ],
    ids=["no choice", "null", "no message", "a list", "nothing", "a text", "a page", "no answer"],
)
async def test_an_answer_that_is_none_is_garbled(
    server: Faulty, clients: AsyncExitStack, answer: Answer
) -> None:
    with pytest.raises(ProviderGarbled, match="cannot be read"):
        await ask(Faults()(await chat(server.will(answer).url, clients)))


@pytest.mark.parametrize("sent", [b"{}", b"null", b'{"content": null, "type": "message"}'])
async def test_what_a_proxy_makes_of_nothing_is_garbled(
    server: Faulty, clients: AsyncExitStack, sent: bytes
) -> None:
    with pytest.raises(ProviderGarbled):
        await ask(Faults()(await claude(server.will(body(sent.decode())).url, clients)))


START: Json = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
BEGUN: tuple[Named, ...] = (
    ("message_start", {"type": "message_start", "message": START}),
    (
        "content_block_start",
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ye"}},
    ),
)
REPLY: Json = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "in_progress",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
MESSAGE: Json = {
    "id": "i1",
    "type": "message",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
WORDS: Json = {"item_id": "i1", "output_index": 0, "content_index": 0}
REPLYING = tuple(
    (str(item["type"]), {**item, "sequence_number": number})
    for number, item in enumerate[Json](
        (
            {"type": "response.created", "response": REPLY},
            {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE},
            {
                "type": "response.content_part.added",
                "part": {"type": "output_text", "text": "", "annotations": []},
                **WORDS,
            },
            {"type": "response.output_text.delta", "delta": "ye", "logprobs": [], **WORDS},
        )
    )
)
STREAMS: dict[str, tuple[Make, tuple[Json | Named, ...]]] = {
    "chat": (chat, (delta("ye"),)),
    "responses": (responses, REPLYING),
    "anthropic": (claude, BEGUN),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    ("then", "ends", "kind"),
    [
        ((), "whole", StreamCutShort),
        ((), "cut", StreamCutShort),
        ((("message", '{"cho'),), "whole", ProviderGarbled),
    ],
    ids=["ends early", "is cut", "is corrupt"],
)
async def test_a_stream_that_fails_midway_is_no_short_answer(
    server: Faulty,
    clients: AsyncExitStack,
    name: str,
    then: tuple[Named, ...],
    ends: End,
    kind: type,
) -> None:
    make, begun = STREAMS[name]
    # Anthropic's client reads only events whose names it knows.
    after = [("content_block_delta", "{") if name == "anthropic" else item for item in then]
    server.will(events(*begun, *after, ends=ends))
    model = Faults()(await make(server.url, clients, KEY))
    seen = 0
    with pytest.raises(ProviderGarbled) as e:  # noqa: PT012 - it must have begun before
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                seen += 1
    assert type(e.value) is kind
    assert seen > 0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"message": "boom", "type": "server_error"}, StreamCutShort),
        ({"message": "full", "type": "overloaded_error"}, ProviderBusy),
        ({"message": "fast", "code": "rate_limit_exceeded", "type": "requests"}, ProviderBusy),
        ({"message": "what", "type": "invalid_request_error"}, ProviderRefused),
    ],
)
async def test_an_error_within_a_stream_is_typed(
    server: Faulty, clients: AsyncExitStack, said: dict[str, str], kind: type
) -> None:
    server.will(events(delta("ye"), {"error": said}))
    with pytest.raises(ProviderError) as e:
        await stream(Faults()(await chat(server.url, clients)))
    assert type(e.value) is kind


@pytest.mark.parametrize("way", [ask, stream])
async def test_what_is_well_passes_as_it_is(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]]
) -> None:
    server.will(body(completion()) if way is ask else WHOLE)
    assert await way(Faults(within=9)(await chat(server.url, clients))) == "yes"


async def test_an_agent_gets_typed_errors_from_a_run(
    server: Faulty, clients: AsyncExitStack
) -> None:
    server.will(events(delta("ye")))
    agent = Agent(Faults()(await chat(server.url, clients)))
    with pytest.raises(StreamCutShort):
        async with agent.run_stream("hello") as result:
            await result.get_output()
    server.will(body(error("no"), 401))
    with pytest.raises(ProviderRefused):
        await agent.run("hello")


# -- nothing that a reader does is a provider's fault, nor is what a local model does


async def test_what_a_reader_of_a_stream_raises_is_not_typed(
    server: Faulty, clients: AsyncExitStack
) -> None:
    model = Faults()(await chat(server.will(WHOLE).url, clients))
    with pytest.raises(ValueError, match=r"^mine$"):
        async with model.request_stream(ASKED, None, ModelRequestParameters()):
            raise ValueError("mine")


async def test_a_reader_may_leave_a_stream_early(server: Faulty, clients: AsyncExitStack) -> None:
    model = Faults()(await chat(server.will(events(delta("ye"), ends="hangs")).url, clients))
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            break
    await server.all_closed()  # leaving closed the connection, though the answer was not over


@pytest.mark.parametrize("raised", [TypeError("a bug"), UserError("wrong use"), KeyError("k")])
async def test_a_bug_in_a_local_model_stays_one(raised: Exception) -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise raised

    with pytest.raises(type(raised)) as e:
        await ask(Faults()(FunctionModel(answer)))
    assert e.value is raised


async def test_a_wrong_use_of_a_provider_stays_one(server: Faulty, clients: AsyncExitStack) -> None:
    model = Faults()(await chat(server.url, clients))
    with pytest.raises(UserError):
        await Agent(model, output_type=int).run("hello", model_settings={"tool_choice": ["no"]})


def test_a_baseline_and_a_model_that_is_typed_are_returned_as_they_are() -> None:
    baseline = BaselineModel("triage", str)
    assert Faults()(baseline) is baseline
    once = Faults()(FunctionModel(lambda messages, info: ModelResponse([])))
    assert Faults()(once) is once


# -- time


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        (ask, Answer(ends="hangs")),
        (stream, Answer(ends="hangs")),
        (stream, events(delta("ye"), ends="hangs")),
    ],
    ids=["no answer", "no stream", "half a stream"],
)
async def test_who_is_too_slow_is_left(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]], answer: Answer
) -> None:
    model = Faults(within=0.05)(await chat(server.will(answer).url, clients))
    with pytest.raises(ProviderTimeout, match=r"within 0\.05 s"):
        await way(model)
    await server.all_closed()


async def test_the_timeout_of_the_settings_is_typed_too(
    server: Faulty, clients: AsyncExitStack
) -> None:
    model = Faults()(await chat(server.will(Answer(ends="hangs")).url, clients))
    with pytest.raises(ProviderTimeout):
        await model.request(ASKED, {"timeout": 0.05}, ModelRequestParameters())
    await server.all_closed()


def dripping(seconds: float) -> Model:
    async def parts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for text in "four":
            await asyncio.sleep(seconds)
            yield text

    return FunctionModel(stream_function=parts)


def test_a_server_that_drips_has_no_more_time_than_one_that_is_silent() -> None:
    async def main() -> None:
        assert await stream(Faults(within=10)(dripping(2))) == "four"
        begun = now()
        with pytest.raises(ProviderTimeout, match="within 7 s"):
            await stream(Faults(within=7)(dripping(2)))
        assert now() - begun == 7

    virtually(main())


def test_the_time_of_a_reader_is_not_the_providers() -> None:
    async def main() -> None:
        model = Faults(within=10)(dripping(2))
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                await asyncio.sleep(60)
        assert now() > 4 * 60

    virtually(main())


@pytest.mark.parametrize("raised", [KeyError("mine"), asyncio.CancelledError(), None])
async def test_a_stream_is_closed_when_its_reader_leaves(raised: BaseException | None) -> None:
    counted = Counted(dripping(0))
    model = Faults()(counted)
    async with AsyncExitStack() as left:
        if raised is not None:
            left.enter_context(pytest.raises(type(raised)))
        async with model.request_stream(ASKED, None, ModelRequestParameters()):
            assert counted.open == 1
            if raised is not None:
                raise raised
    assert counted.open == 0


@pytest.mark.parametrize("way", [ask, stream])
async def test_who_cancels_is_not_told_of_a_timeout_and_the_connection_is_closed(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]]
) -> None:
    model = Faults(within=60)(await chat(server.will(Answer(ends="hangs")).url, clients))
    asking = asyncio.ensure_future(way(model))
    await server.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.all_closed()
    gc.collect()  # what was left open would warn now
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("within", [0, -1.0, float("nan")])
def test_a_bound_that_makes_no_sense_is_refused(within: float) -> None:
    with pytest.raises(ConfigError, match="no provider answers within"):
        Faults(within=within)


# -- keys


@pytest.mark.parametrize("key", [KEY, KNOWN, f"{KEY}\nand more", "\u00e4rger-" * 4])
@pytest.mark.parametrize("make", [chat, claude])
async def test_no_key_is_in_any_message(
    server: Faulty, clients: AsyncExitStack, key: str, make: Make
) -> None:
    said = f"the key {key} is wrong, and so is {KNOWN}, at tenant-4711-secret. " + "x" * 190
    server.will(body(error(f"{said} {key} {key}"), 401))
    model = Faults(secrets=[SecretStr("tenant-4711-secret")])(await make(server.url, clients, key))
    try:
        await ask(model)
    except Exception as e:
        shown = "".join(traceback.format_exception(e)) + repr(e) + json.dumps(vars(e), default=str)
    else:
        raise AssertionError("a wrong key was taken")
    lost = (key[:9], KNOWN[:12], "tenant-4711-secret")
    assert not [text for text in lost if text in shown]


async def test_an_original_that_cannot_be_cleaned_is_left_away(
    server: Faulty, clients: AsyncExitStack
) -> None:
    class Stubborn(Exception):
        def __str__(self) -> str:
            return f"it was {KNOWN}"

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelAPIError("m", f"no: {KNOWN}") from Stubborn()

    with pytest.raises(ProviderDown) as e:
        await ask(Faults()(FunctionModel(answer)))
    assert KNOWN not in "".join(traceback.format_exception(e.value))
    assert e.value.__cause__ is None
    assert HIDDEN in str(e.value)


# -- the errors themselves


ALL = [
    ContextTooLong("a", model_name="m", status=400),
    ProviderBusy("a", model_name="m", status=429, retry_after=2.5),
    CircuitOpen("a", model_name="m", until=datetime(2026, 11, 3, tzinfo=UTC), retry_after=3.0),
    StreamCutShort("a", model_name="m"),
]


@pytest.mark.parametrize("one", ALL, ids=lambda one: type(one).__name__)
def test_an_error_can_be_sent_to_another_process(one: ProviderError) -> None:
    back = pickle.loads(pickle.dumps(one))
    assert (type(back), str(back), vars(back)) == (type(one), str(one), vars(one))


async def test_pydantic_ais_own_fallback_takes_our_errors(
    server: Faulty, clients: AsyncExitStack
) -> None:
    first = Faults()(await chat(server.will(body("[")).url, clients))
    last = FunctionModel(lambda messages, info: ModelResponse([TextPart("from the last")]))
    assert await ask(FallbackModel(first, last)) == "from the last"


def test_a_typed_error_is_left_as_it_is() -> None:
    one = ProviderBusy("a", model_name="m")
    assert fault(one, "n") is one
    assert fault(KeyError("k"), "n") is None


def test_the_wait_that_is_asked_for_is_told() -> None:
    found = fault(ModelHTTPError(503, "m", headers={"Retry-After": "7"}), "m")
    assert isinstance(found, ProviderDown)
    assert (found.status, found.retry_after) == (503, 7)
