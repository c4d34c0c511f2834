"""What travels to a provider and back, from the wire up: HTTP recorded once, replayed ever after.

Write the cassettes anew with `pytest tests/test_http_cassettes.py -n0 --record-mode=rewrite`: it
asks the servers on loopback that are written here. Otherwise no socket is opened.
"""

import json
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from copy import copy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import pytest
import yaml
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent, ModelRetry, models
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from assay.deps.models import Endpoint, Models
from assay.deps.replay.requests import scrub

from .loopback import Provider

OPENAI_KEY = "sk-proj-" + "a1b2" * 8
ANTHROPIC_KEY = "sk-ant-" + "c3d4" * 8
PLANTED = (OPENAI_KEY, ANTHROPIC_KEY, "org-planted", "planted-session", "planted-id")

CASSETTES = Path(__file__).parent / "cassettes" / "test_http_cassettes"

# A list of what is kept, not of what is dropped: a header that nobody has thought of is not kept.
REQUEST_HEADERS = {"content-type", "accept", "anthropic-version", "anthropic-beta"}
RESPONSE_HEADERS = {"content-type", "retry-after"}


# vcrpy has no types; this is what is used of it.
VCR: Any = import_module("vcr").VCR
Refused: type[Exception] = import_module("vcr.errors").CannotOverwriteExistingCassetteException


class Request(Protocol):
    """A request on its way to a cassette."""

    uri: str
    headers: dict[str, str]
    body: bytes | str | None


class Cassette(Protocol):
    """What has been played of a cassette, and whether something was added."""

    all_played: bool
    dirty: bool


def _kept_request(request: Request) -> Request:
    """Return a request as a cassette holds it: without who asks, and where the server stood."""
    kept = copy(request)
    kept.headers = {n: v for n, v in request.headers.items() if n.lower() in REQUEST_HEADERS}
    kept.uri = urlunsplit(urlsplit(request.uri)._replace(netloc="provider.test"))
    if request.body:
        kept.body = scrub(_text(request.body))
    return kept


def _text(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode()


def _kept_response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {n: v for n, v in response["headers"].items() if n.lower() in RESPONSE_HEADERS}
    body = scrub(response["body"]["string"].decode()).encode()
    return {**response, "headers": headers, "body": {"string": body}}


# Host and port are what differs between two recordings; of a body, its JSON is compared.
CONFIG: dict[str, Any] = {
    "match_on": ("method", "scheme", "path", "query", "body"),
    "before_record_request": _kept_request,
    "before_record_response": _kept_response,
    "filter_query_parameters": ["beta"],  # older versions of Pydantic AI ask at Anthropic's beta
    "decode_compressed_response": True,
}

pytestmark = pytest.mark.block_network


@pytest.fixture
def vcr_config() -> dict[str, Any]:
    return CONFIG


# -- the servers, for recording


class Vendor(BaseHTTPRequestHandler):
    """OpenAI's chat stream and Anthropic's messages, whole and streamed."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "messages" in self.path.rsplit("/", 1)[1]:
            message = _message(asked)
            events = [(e["type"], e) for e in _message_events(message)]
        else:
            message, events = {}, [("", chunk) for chunk in _chunks()]
        if asked.get("stream"):
            text = "".join(
                (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
                for name, data in events
            )
            self.reply("text/event-stream", text + ("" if message else "data: [DONE]\n\n"))
        else:
            self.reply("application/json", json.dumps(message))

    def reply(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.send_header("set-cookie", "session=planted-session")
        self.send_header("openai-organization", "org-planted")
        self.send_header("request-id", "planted-id")
        self.end_headers()
        self.wfile.write(text.encode())


def _chunks() -> Iterator[dict[str, Any]]:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    for delta in ({"role": "assistant", "content": ""}, {"content": "It "}, {"content": "rains."}):
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    yield {**base, "choices": [], "usage": usage}


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    """Call the tool first, if there is one; afterwards say what it has found."""
    done = "tool_result" in json.dumps(asked["messages"])
    text = {"type": "text", "text": "It rains."}
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"place": "Leeds"}}
    calls = bool(asked.get("tools")) and not done
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [call if calls else text],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 5},
    }


def _message_events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    (block,) = message["content"]
    if block["type"] == "text":
        empty: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


@contextmanager
def vendor() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def chat() -> Generator[str]:
    with Provider() as provider:
        provider.answer = lambda request: {"city": "Leeds", "rain": True}
        yield provider.url.removesuffix("/v1")


@contextmanager
def nobody() -> Generator[str]:
    yield "http://127.0.0.1:9"


# -- the models, as a service gets them


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-planted")
    monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC_KEY)


def openai_at(url: str) -> Models:
    return Models(default="stub", endpoint=Endpoint(f"{url}/v1", SecretStr(OPENAI_KEY)))


@pytest.fixture
async def gpt(record_mode: str) -> AsyncIterator[Model]:
    """A model at an OpenAI-compatible endpoint that answers by calling the output tool."""
    with nobody() if record_mode == "none" else chat() as url:
        known = openai_at(url)
        yield known.resolve("large")
        await known.aclose()


@pytest.fixture
async def streaming_gpt(record_mode: str) -> AsyncIterator[Model]:
    with nobody() if record_mode == "none" else vendor() as url:
        known = openai_at(url)
        yield known.resolve("large")
        await known.aclose()


@pytest.fixture
async def claude(record_mode: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    with nobody() if record_mode == "none" else vendor() as url:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        known = Models(default="anthropic:claude-opus-4-5")
        yield known.resolve("large")
        await known.aclose()


class Weather(BaseModel):
    city: str
    rain: bool


# Without it each version of Pydantic AI has a default of its own, and streams what may be long.
BRIEF = ModelSettings(max_tokens=200)

reporter = Agent(
    name="reporter", instructions="Report the weather.", output_type=Weather, model_settings=BRIEF
)
speaker = Agent(name="speaker", instructions="Say the weather.", model_settings=BRIEF)
walker = Agent(name="walker", instructions="Look first.", model_settings=BRIEF)


@walker.tool_plain
def weather(place: str) -> str:
    """Look the weather up."""
    if place != "Leeds":
        raise ModelRetry(f"{place!r} is unknown")
    return "rain"


# -- what a cassette holds is answered


@pytest.mark.vcr
async def test_openai_chat_answers_from_its_cassette(gpt: Model, vcr: Cassette) -> None:
    result = await reporter.run("And in Leeds?", model=gpt)
    assert result.output == Weather(city="Leeds", rain=True)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (100, 10)
    assert vcr.all_played or vcr.dirty  # the one while replaying, the other while recording


@pytest.mark.vcr
async def test_an_openai_stream_is_replayed_in_its_pieces(streaming_gpt: Model) -> None:
    async with speaker.run_stream("And now?", model=streaming_gpt) as stream:
        pieces = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
    assert pieces == ["It ", "rains."]
    assert stream.usage.output_tokens == 3


@pytest.mark.vcr
async def test_an_anthropic_tool_loop_answers_from_its_cassette(
    claude: Model, vcr: Cassette
) -> None:
    result = await walker.run("A walk in Leeds?", model=claude)
    assert result.output == "It rains."
    assert (result.usage.requests, result.usage.tool_calls) == (2, 1)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (22, 10)
    assert vcr.all_played or vcr.dirty


@pytest.mark.vcr
async def test_an_anthropic_stream_is_replayed(claude: Model) -> None:
    async with speaker.run_stream("And now?", model=claude) as stream:
        assert await stream.get_output() == "It rains."
    assert stream.response.finish_reason == "stop"


# -- and nothing else

REFUSED = (Refused, ModelAPIError)


def refusal(error: BaseException) -> str:
    """Return what the cassette said: some SDKs wrap its error, all in the chain that pytest shows."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, Refused):
        found = found.__cause__
    assert found is not None, f"{error!r} has another cause"
    return str(found)


def hasty(model: Model) -> Model:
    """Return a model that does not wait and try again when it is refused."""
    client: Any = getattr(model, "client")  # noqa: B009 - of OpenAI's and Anthropic's models alike
    client.max_retries = 0
    return model


@pytest.mark.vcr("test_openai_chat_answers_from_its_cassette.yaml", record_mode="none")
async def test_another_question_is_refused_with_what_differs(gpt: Model) -> None:
    with pytest.raises(REFUSED) as caught:
        await reporter.run("And in York?", model=hasty(gpt))
    said = refusal(caught.value)
    assert "closest differ in body" in said
    assert '+      "content": "And in York?"' in said


@pytest.mark.vcr("test_openai_chat_answers_from_its_cassette.yaml", record_mode="none")
async def test_an_answer_is_given_once(gpt: Model) -> None:
    await reporter.run("And in Leeds?", model=hasty(gpt))
    with pytest.raises(REFUSED) as caught:
        await reporter.run("And in Leeds?", model=gpt)
    assert "already been played back" in refusal(caught.value)


@pytest.mark.vcr("test_an_anthropic_stream_is_replayed.yaml", record_mode="none")
async def test_anthropic_is_refused_too(claude: Model) -> None:
    with pytest.raises(REFUSED) as caught:
        await speaker.run("And then?", model=hasty(claude))
    assert "closest differ in body" in refusal(caught.value)


# -- what a cassette must not hold


def test_no_planted_secret_is_in_a_cassette() -> None:
    files = sorted(CASSETTES.glob("*.yaml"))
    assert len(files) == 4
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not [planted for planted in PLANTED if planted in text], file.name
        for entry in yaml.safe_load(text)["interactions"]:
            assert {n.lower() for n in entry["request"]["headers"]} <= REQUEST_HEADERS
            assert {n.lower() for n in entry["response"]["headers"]} <= RESPONSE_HEADERS


@pytest.mark.block_network(allowed_hosts=[r"127\.0\.0\.1"])
async def test_recording_leaves_the_keys_out(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    with Provider() as provider, VCR(**CONFIG).use_cassette(str(file)):
        provider.answer = lambda request: {"city": OPENAI_KEY, "rain": True}
        known = openai_at(provider.url.removesuffix("/v1"))
        result = await reporter.run(f"My key is {OPENAI_KEY}", model=known.resolve("large"))
        await known.aclose()
    assert provider.keys == [f"Bearer {OPENAI_KEY}"]  # it did travel, thrice
    assert OPENAI_KEY in json.dumps(provider.requests)
    assert result.output.city == OPENAI_KEY
    text = file.read_text(encoding="utf-8")
    assert not [planted for planted in PLANTED if planted in text]
    (entry,) = yaml.safe_load(text)["interactions"]
    assert "My key is [secret]" in entry["request"]["body"]
    assert "[secret]" in entry["response"]["body"]["string"]
    assert "127.0.0.1" not in text
