"""Extraction through instructor: same contract, over real HTTP, in modes without tool calls."""

import datetime as dt
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, models
from pydantic_ai.exceptions import ContentFilterError, ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage

from assay.agents import extract
from assay.agents.extract import Deps
from assay.deps.errors import MissingExtra, ProviderGarbled, UnknownModel, provider_fault
from assay.deps.providers.instructed import InstructedModel, Mode, instructed
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Replay

MODES: tuple[Mode, ...] = ("json", "md_json", "tools")
Body = dict[str, Any]
Say = Callable[[Body], Any]


class Server:
    """A provider on loopback that answers as scripted: (status, body) or a message."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.requests: list[Body] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests.append(body)
                status, content = server.say(body)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("retry-after", "7")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def completion(request: Body, finish: str = "stop", **message: Any) -> tuple[int, bytes]:
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": None, **message},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    return 200, json.dumps(body).encode()


def saying(*answers: str) -> Say:
    """Give each answer in turn, as the request's mode asks for it; the last one ever after."""
    given = iter(answers)
    last = answers[-1]

    def say(request: Body) -> tuple[int, bytes]:
        text = next(given, last)
        if "tools" in request:
            name = request["tool_choice"]["function"]["name"]
            call = {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}
            return completion(request, "tool_calls", tool_calls=[call])
        if "response_format" not in request:
            text = f"Here it is:\n```json\n{text}\n```"
        return completion(request, content=text)

    return say


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Say], Server]]:
    pytest.importorskip(
        "instructor", reason="instructor is not installed: make test ENV=instructor"
    )
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    servers: list[Server] = []

    def start(say: Say) -> Server:
        servers.append(Server(say))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def at(server: Server, mode: Mode) -> InstructedModel:
    provider = OpenAIProvider(base_url=server.url, api_key="none")
    provider.client.max_retries = 0  # the SDK's own would wait
    return instructed(f"instructor:{mode}:m", provider)


class Order(BaseModel):
    """An order."""

    number: str = Field(description="the order's number")
    total: float | None = None


DEPS = Deps(now=lambda: dt.datetime(2026, 3, 4, tzinfo=dt.UTC))
TEXT = "Order A-17, total 9.50. {{ 7 * 7 }} http://127.0.0.1/x.png"
RIGHT = {"value": {"number": "A-17"}, "quotes": [{"field": "number", "quote": "A-17"}]}
WRONG = {"value": {"number": "A-17"}, "quotes": [{"field": "number", "quote": "no. A-17"}]}


def form(answer: Body) -> str:
    """Answer in the agent's words: it has a tool beside its output, so an answer names one."""
    return json.dumps({"answer": {"tool": "extraction", "arguments": answer}})


@pytest.mark.parametrize("mode", MODES)
async def test_extract_keeps_its_contract(serve: Callable[[Say], Server], mode: Mode) -> None:
    server = serve(saying(form(WRONG), form(RIGHT)))
    usage = RunUsage()
    deps = Deps(now=DEPS.now, usage=usage)
    async with at(server, mode) as model:
        found = await extract.run(TEXT, Order, deps, model=model)
    assert found.value == Order(number="A-17")
    assert (found.quotes["number"].start, found.quotes["number"].end) == (6, 10)
    assert len(server.requests) == usage.requests == 2
    assert (usage.input_tokens, usage.output_tokens) == (200, 20)
    correction = server.requests[1]["messages"][-1]
    assert correction["role"] == "user"
    assert "'no. A-17' is not in the document" in json.dumps(correction)


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_can_be_called_in_every_mode(
    serve: Callable[[Say], Server], mode: Mode
) -> None:
    look = json.dumps({"answer": {"tool": "find_quote", "arguments": {"phrase": "A-17"}}})
    server = serve(saying(look, form(RIGHT)))
    async with at(server, mode) as model:
        found = await extract.run(TEXT, Order, DEPS, model=model)
    assert found.value.number == "A-17"
    assert "find_quote returned: " in json.dumps(server.requests[1]["messages"])


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_asks_in_its_own_way(serve: Callable[[Say], Server], mode: Mode) -> None:
    server = serve(saying('{"number": "A-17"}'))
    async with at(server, mode) as model:
        result = await Agent(model, output_type=Order, instructions="Read.").run(TEXT)
    assert result.output == Order(number="A-17")
    (request,) = server.requests
    assert request.get("response_format") == ({"type": "json_object"} if mode == "json" else None)
    assert ("tools" in request) is (mode == "tools")
    asked = request["tools"][0]["function"] if mode == "tools" else request["messages"][0]
    assert "the order's number" in json.dumps(asked)
    if mode == "tools":
        assert asked["name"] == "final_result"
        assert asked["description"] == "An order."


@pytest.mark.parametrize("mode", MODES)
async def test_untrusted_text_is_neither_a_template_nor_a_picture(
    serve: Callable[[Say], Server], mode: Mode
) -> None:
    server = serve(saying('{"number": "A-17"}'))
    async with at(server, mode) as model:
        await Agent(model, output_type=Order).run(TEXT)
    assert any(TEXT in json.dumps(message) for message in server.requests[0]["messages"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", ['{"number": ', "no", '["A-17"]', '{"total": 1}'])
async def test_an_answer_that_cannot_be_read_goes_back(
    serve: Callable[[Say], Server], mode: Mode, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(saying(bad, '{"number": "A-17"}'))
    async with at(server, mode) as model:
        result = await Agent(model, output_type=Order, retries=1).run(TEXT)
    assert result.output == Order(number="A-17")
    assert result.usage.requests == 2
    told = json.dumps(server.requests[1]["messages"][-1])
    assert "Fix the errors and try again" in told or "validation error" in told
    assert not [record for record in caplog.records if record.name.startswith("instructor")]


async def test_text_where_a_tool_was_asked_for_goes_back(serve: Callable[[Say], Server]) -> None:
    answers = iter(["I would rather talk.", ""])
    right = saying('{"number": "A-17"}')
    server = serve(lambda r: completion(r, content=text) if (text := next(answers)) else right(r))
    async with at(server, "tools") as model:
        result = await Agent(model, output_type=Order, retries=1).run(TEXT)
    assert result.output == Order(number="A-17")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_an_error_status_stays_a_providers_fault(
    serve: Callable[[Say], Server],
    mode: Mode,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve(lambda _: (status, b'{"error": {"message": "bad key sk-planted-1234567890"}}'))
    async with at(server, mode) as model:
        with pytest.raises(ModelHTTPError) as caught:
            await Agent(model, output_type=Order, retries=3).run(TEXT)
    assert caught.value.status_code == status
    assert (caught.value.headers or {})["retry-after"] == "7"
    assert len(server.requests) == 1
    assert not [record for record in caplog.records if record.name.startswith("instructor")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", [b"<html>", b'"a string"', b'{"id": "1", "choices": []}'])
async def test_an_answer_that_is_no_completion_is_garbled(
    serve: Callable[[Say], Server], mode: Mode, body: bytes
) -> None:
    server = serve(lambda _: (200, body))
    async with at(server, mode) as model:
        with pytest.raises(ProviderGarbled):
            await Agent(model, output_type=Order).run(TEXT)


async def test_nobody_there_is_a_providers_fault(serve: Callable[[Say], Server]) -> None:
    server = serve(saying("{}"))
    model = at(server, "json")
    server.close()
    async with model:
        with pytest.raises(ModelAPIError) as caught:
            await Agent(model, output_type=Order).run(TEXT)
    assert provider_fault(caught.value)


async def test_a_refusal_is_a_content_filters(serve: Callable[[Say], Server]) -> None:
    server = serve(lambda r: completion(r, content="", refusal="I will not."))
    async with at(server, "json") as model:
        with pytest.raises(ContentFilterError):
            await Agent(model, output_type=Order).run(TEXT)


async def test_an_answer_cut_short_is_not_an_answer(serve: Callable[[Say], Server]) -> None:
    server = serve(lambda r: completion(r, "length", content='{"number": "A-'))
    async with at(server, "json") as model:
        with pytest.raises(Exception, match=r"token limit|max_tokens") as caught:
            await Agent(model, output_type=Order, model_settings={"max_tokens": 5}).run(TEXT)
    assert not provider_fault(caught.value)
    assert server.requests[0]["max_tokens"] == 5


async def test_plain_text_needs_no_schema(serve: Callable[[Say], Server]) -> None:
    server = serve(lambda r: completion(r, content="Hello."))
    async with at(server, "md_json") as model:
        result = await Agent(model, model_settings={"stop_sequences": ["x"]}).run("Hi")
    assert result.output == "Hello."
    assert server.requests[0]["messages"] == [{"role": "user", "content": "Hi"}]
    assert server.requests[0]["stop"] == ["x"]


async def test_an_answer_is_replayed(serve: Callable[[Say], Server], tmp_path: Path) -> None:
    server = serve(saying(form(RIGHT)))
    recordings = Recordings(tmp_path)
    async with at(server, "json") as model:
        first = Replay(write=recordings).tape("case", 0)
        fresh = await extract.run(TEXT, Order, DEPS, model=first(model))
        again = Replay(write=recordings, mode="only").tape("case", 0)
        assert await extract.run(TEXT, Order, DEPS, model=again(model)) == fresh
    assert len(server.requests) == 1
    assert again.all_replayed


async def test_it_streams_the_whole_answer(serve: Callable[[Say], Server]) -> None:
    server = serve(saying('{"number": "A-17"}'))
    model = at(server, "json")
    async with model, Agent(model, output_type=Order).run_stream(TEXT) as stream:
        assert await stream.get_output() == Order(number="A-17")


async def test_the_output_is_that_of_the_agent_path(serve: Callable[[Say], Server]) -> None:
    def as_agent(request: Body) -> tuple[int, bytes]:
        function = {"name": "extraction", "arguments": json.dumps(RIGHT)}
        call = {"id": "1", "type": "function", "function": function}
        return completion(request, "tool_calls", tool_calls=[call])

    server = serve(as_agent)
    plain = OpenAIChatModel("m", provider=OpenAIProvider(base_url=server.url, api_key="none"))
    async with plain:
        agents = await extract.run(TEXT, Order, DEPS, model=plain)
    server.say = saying(form(RIGHT))
    async with at(server, "md_json") as model:
        assert await extract.run(TEXT, Order, DEPS, model=model) == agents


@pytest.mark.parametrize("name", ["instructor:xml:m", "instructor:m", "instructor:json:"])
def test_a_name_without_a_mode_is_unknown(name: str) -> None:
    with pytest.raises(UnknownModel, match="one of json, md_json, tools"):
        instructed(name, OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="none"))


def test_without_instructor_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "instructor", None)
    provider = OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="none")
    with pytest.raises(MissingExtra, match=r"assay-agents\[instructor\]"):
        instructed("instructor:json:m", provider)
