"""The lean transport: over real HTTP it does what OpenAI's library does, fault for fault."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent, models
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings

from assay.deps import Endpoint, MissingExtra, Settings
from assay.deps.errors import ProviderDown, ProviderError, ProviderTimeout
from assay.deps.providers import Clients, Transport, build
from assay.deps.resilience.faults import Faults

from .asking import ASKED, ask, stream
from .faulty import WHOLE, Answer, Faulty, body, completion, delta, events
from .scripted import Sent, called, said, serving
from .test_faults import NO_MATTER_HOW_ASKED
from .vendors import clients as clients
from .vendors import error, openai
from .vendors import server as server

pytest.importorskip("aiohttp", reason="the extra `fast` is not installed")
if tuple(map(int, version("openai").split(".")[:2])) < (3, 52):
    pytest.skip("the extra `fast` asks for openai 3.52", allow_module_level=True)

from assay.deps.providers.transport import AioTransport, lean  # after what it needs

pytestmark = pytest.mark.slow

KEY = "sk-planted-planted-1"
BOTH: tuple[Transport, ...] = ("sdk", "lean")
Way = Callable[[Model], Awaitable[str]]


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)


def model_at(url: str, transport: Transport = "lean", **clients: Any) -> Model:
    made = Clients(transport=transport, **clients)
    return build("m", Endpoint(url, SecretStr(KEY)), made)


async def both(server: Faulty, clients: AsyncExitStack) -> list[Model]:
    """Return the same model through either transport."""
    provider = await openai(server.url, clients, KEY)
    quick = await clients.enter_async_context(lean(provider))
    return [OpenAIChatModel("m", provider=one) for one in (provider, quick)]


async def outcome(model: Model, way: Way) -> tuple[object, ...]:
    """Return what a caller sees of one request."""
    try:
        return (await way(Faults()(model)),)
    except ProviderError as e:
        return type(e), str(e), e.status, e.retry_after


# -- the same faults

FAULTS: dict[str, Answer] = {
    **{name: answer for name, (answer, _) in NO_MATTER_HOW_ASKED.items()},
    "a Retry-After": body(error("slow down"), 429, retry_after="7"),
    "a Retry-After on a page": body("<html>", 503, "text/html", retry_after="7"),
    "no HTTP": Answer(b"what do you want?\r\n\r\n", "cut"),
    "half a body": Answer(body(completion()).sent[:-9], "cut"),
    "no choice": body(completion(choices=[])),
    "null": body(completion(choices=None)),
    "no message": body(completion(choices=[{"index": 0, "finish_reason": "stop"}])),
    "a list": body("[]"),
    "nothing": body("null"),
    "a text": body('"yes"'),
    "a page": body("<html>It works!</html>", kind="text/html"),
    "no answer": body({"object": "error"}),
    "bad bytes": Answer(body("x").sent[:-1] + b"\xff"),
}
PECULIAR: dict[str, Answer] = {
    "well": body(completion()),
    "JSON that is called a text": body(completion(), kind="text/plain"),
    "no creation": body(completion(created=None)),
    "no reason to finish": body(
        completion(choices=[{"index": 0, "message": {"role": "assistant", "content": "yes"}}])
    ),
    "an unknown tier": body(completion(service_tier="gold")),
    "more than is asked for": body(completion(x_extra={"a": 1})),
}
STREAMS: dict[str, Answer] = {
    "well": WHOLE,
    "ends early": events(delta("ye")),
    "is cut": events(delta("ye"), ends="cut"),
    "is corrupt": events(delta("ye"), '{"cho'),
    "is corrupt at once": events('{"cho'),
    "says an error": events(delta("ye"), error("full", type="overloaded_error")),
    "says nothing": events("[DONE]"),
    "is a page": body("<html>It works!</html>", kind="text/html"),
}


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        *((ask, answer) for answer in (FAULTS | PECULIAR).values()),
        *((stream, answer) for answer in (FAULTS | STREAMS).values()),
    ],
    ids=[*(f"ask: {n}" for n in FAULTS | PECULIAR), *(f"stream: {n}" for n in FAULTS | STREAMS)],
)
async def test_a_caller_sees_what_the_librarys_own_client_would_show(
    server: Faulty, clients: AsyncExitStack, way: Way, answer: Answer
) -> None:
    server.will(answer)
    sdk, quick = [await outcome(model, way) for model in await both(server, clients)]
    assert sdk == quick


async def test_neither_follows_to_another_address(server: Faulty) -> None:
    server.will(body("", 302, location="/elsewhere"))
    seen: list[tuple[object, ...]] = []
    for transport in BOTH:
        async with model_at(server.url, transport) as model:
            seen.append(await outcome(model, ask))
    assert seen[0] == seen[1]
    assert len(server.asked) == 2


async def test_a_refused_connection_is_no_timeout() -> None:
    model = Faults()(model_at("http://127.0.0.1:9/v1"))
    with pytest.raises(ProviderDown) as e:
        await ask(model)
    assert not isinstance(e.value, ProviderTimeout)


@pytest.mark.parametrize(
    ("way", "answer"),
    [(ask, Answer(ends="hangs")), (stream, events(delta("ye"), ends="hangs"))],
)
@pytest.mark.parametrize("transport", BOTH)
async def test_a_silent_server_is_a_timeout(
    server: Faulty, way: Way, answer: Answer, transport: Transport
) -> None:
    async with model_at(server.will(answer).url, transport, timeout=0.05) as model:
        with pytest.raises(ProviderError) as e:
            await way(Faults()(model))
    assert type(e.value).__name__ in ("ProviderTimeout", "StreamCutShort")
    await server.all_closed()


async def test_the_timeout_of_a_request_goes_before_the_clients(server: Faulty) -> None:
    async with model_at(server.will(Answer(ends="hangs")).url) as model:
        with pytest.raises(ProviderTimeout):
            await Faults()(model).request(ASKED, {"timeout": 0.05}, ModelRequestParameters())


async def test_the_key_is_in_the_header_alone(server: Faulty) -> None:
    server.will(body(error(f"{KEY} is wrong"), 401))
    async with model_at(server.url) as model:
        with pytest.raises(ProviderError) as e:
            await ask(Faults()(model))
        assert KEY not in repr(model) + repr(model.provider) + str(e.value) + repr(e.value)


# -- the same requests


class Verdict(BaseModel):
    late: bool


def answering(sent: Sent) -> tuple[int, Any]:
    assert sent.body is not None
    again = any(message["role"] == "tool" for message in sent.body["messages"])
    return 200, called("final_result", {"late": True}) if again else called(
        "lookup", {"order": "1"}
    )


async def run(url: str, transport: Transport) -> None:
    settings = OpenAIChatModelSettings(
        temperature=0.5, extra_headers={"x-own": "1"}, extra_body={"top_k": 3}, stop_sequences=["."]
    )
    async with model_at(url, transport) as model:
        agent = Agent(model, output_type=Verdict, model_settings=settings)

        async def lookup(order: str) -> str:
            """Look an order up."""
            return "late"

        agent.tool_plain(lookup)
        assert (await agent.run("\u00e4rger")).output == Verdict(late=True)


async def test_a_server_is_sent_the_same() -> None:
    with serving(answering) as scripted:
        for transport in BOTH:
            await run(scripted.url, transport)
    assert len(scripted.sent) == 4
    sdk, lean = scripted.sent[:2], scripted.sent[2:]
    for one, other in zip(sdk, lean, strict=True):
        assert one.path == other.path
        assert one.body == other.body
        mine = {name: value for name, value in other.headers.items() if name != "content-length"}
        assert mine == {n: value for n, value in one.headers.items() if n != "content-length"}
    assert sdk[0].headers["x-own"] == "1"
    assert sdk[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "name", ["openai-chat:m", "openrouter:a/m", "litellm:m", "ollama:m", "vllm:m"]
)
async def test_providers_keep_their_ways(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_APP_TITLE", "App")
    reply: dict[str, Any] = {**said("ok"), "provider": "Somebody"}  # as OpenRouter does
    reply["choices"][0]["native_finish_reason"] = "stop"
    with serving(lambda sent: (200, reply)) as scripted:
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.url)
        here = Endpoint(scripted.url, SecretStr(KEY))
        seen: list[tuple[str, str]] = []
        for transport in BOTH:
            clients = Clients(transport=transport, endpoints=(("openrouter", here),))
            async with build(name, here, clients) as model:
                await model.request(ASKED, None, ModelRequestParameters())
                seen.append((model.system, str(model.base_url)))
    assert seen[0] == seen[1]
    sdk, lean = scripted.sent
    assert {**sdk.headers, "content-length": ""} == {**lean.headers, "content-length": ""}
    assert sdk.body == lean.body


async def test_another_number_of_retries_is_kept(server: Faulty) -> None:
    server.will(body(error("down"), 500, retry_after_ms="1"), body(completion()))
    async with model_at(server.url) as model:
        response = await model.request(ASKED, {"max_retries": 1}, ModelRequestParameters())
    assert response.text == "yes"
    assert len(server.asked) == 2


# -- connections


@pytest.mark.parametrize("way", [ask, stream])
async def test_a_connection_is_used_again(server: Faulty, way: Way) -> None:
    async with model_at(server.will(body(completion()) if way is ask else WHOLE).url) as model:
        assert [await way(model) for _ in range(3)] == ["yes"] * 3
        assert server.open == 1


async def test_a_model_that_was_left_can_be_entered_again(server: Faulty) -> None:
    model = model_at(server.will(body(completion())).url)
    for _ in range(2):
        async with model, model:
            assert await ask(model) == "yes"
            assert server.open == 1
        await server.all_closed()


async def test_a_model_within_a_model_that_is_entered_twice_stays_open(server: Faulty) -> None:
    model = model_at(server.will(body(completion())).url)
    async with model:
        async with model:
            await ask(model)
        assert server.open == 1


@pytest.mark.parametrize("way", [ask, stream])
async def test_who_cancels_closes_the_connection(server: Faulty, way: Way) -> None:
    async with model_at(server.will(Answer(ends="hangs")).url) as model:
        asking = asyncio.ensure_future(way(Faults(within=60)(model)))
        await server.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.all_closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_reader_may_leave_a_stream_early(server: Faulty) -> None:
    async with model_at(server.will(events(delta("ye"), ends="hangs")).url) as model:
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                break
        await server.all_closed()


async def twice(model: Model) -> list[str]:
    return [await ask(model), await ask(model)]


def test_a_model_serves_one_event_loop_after_another_and_ends_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(lambda sent: (200, said("ok"))) as scripted:
        model = model_at(scripted.url)
        assert [asyncio.run(twice(model)) for _ in range(3)] == [["ok", "ok"]] * 3
        del model
        gc.collect()  # what was left open would warn now, and warnings are errors
    assert not caplog.messages


async def test_a_client_that_is_forgotten_is_closed(
    server: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ask(model_at(server.will(body(completion())).url)) == "yes"
    gc.collect()
    await server.all_closed()
    assert not caplog.messages


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda sent: (200, said("from the proxy"))) as scripted:
        address = scripted.url.removesuffix("/v1").removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"http://me:secret@{address}")
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        async with model_at("http://model.example/v1") as model:
            assert await ask(model) == "from the proxy"
    (sent,) = scripted.sent
    assert sent.path == "http://model.example/v1/chat/completions"
    assert sent.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


async def test_other_clients_can_travel_so_too(server: Faulty) -> None:
    server.will(body({"a": 1}))
    async with httpx2.AsyncClient(transport=AioTransport()) as client:
        response = await client.post(f"{server.url}/x", json={})
    assert response.json() == {"a": 1}


# -- which of them


def test_settings_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().models().clients.transport == "sdk"
    monkeypatch.setenv("ASSAY_TRANSPORT", "lean")
    assert Settings().models().clients.transport == "lean"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "assay.deps.providers.transport", None)
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[fast\]'"):
        model_at("http://127.0.0.1:9/v1")
    assert model_at("http://127.0.0.1:9/v1", "sdk").model_name == "m"
