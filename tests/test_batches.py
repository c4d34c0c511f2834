"""Batches at half the price: each request gets its own answer, and none is paid for twice."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse

from assay.deps.baseline import layers
from assay.deps.batches import Batches, Progress, asking, batched
from assay.deps.errors import (
    ConfigError,
    ProviderBusy,
    ProviderDown,
    ProviderGarbled,
    ProviderRefused,
)
from assay.deps.models import Endpoint, Models

from .batch_server import BatchServer, Body, chat, message
from .batch_suite import FAST
from .batching import asked, echo, say, server, texts

__all__ = ("server",)

pytestmark = pytest.mark.slow


# -- one batch


@pytest.mark.parametrize(
    ("name", "answer"), [("openai-chat:gpt-5", chat), ("anthropic:claude-opus-4-5", message)]
)
async def test_requests_made_side_by_side_are_one_batch_and_each_gets_its_own_answer(
    server: BatchServer, name: str, answer: Any
) -> None:
    server.answer = lambda body: answer(body, texts(body))
    server.looks = 2
    told: list[str] = []

    def tell(progress: Progress) -> None:
        told.append(str(progress))

    async with asked(told=tell) as found:
        model = found.resolve(name)
        answers = await asyncio.gather(*[say(model, f"text {n}") for n in range(30)])
    assert [response.text for response in answers] == [f"text {n}" for n in range(30)]
    assert [len(batch.lines) for batch in server.batches] == [30]
    assert server.single == []
    assert all("stream" not in body for body in server.requests)
    assert told == ["batch 1 (batch0): 0 of 30 done", "batch 1 (batch0): 30 of 30 done"]
    assert "x-stainless-retry-count" not in server.headers


async def test_the_responses_api_has_batches_too(server: BatchServer) -> None:
    said: Body = {"type": "output_text", "text": "yes", "annotations": []}
    output = {"id": "o", "type": "message", "role": "assistant", "status": "completed"}
    server.answer = lambda body: {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": body["model"],
        "status": "completed",
        "output": [output | {"content": [said]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    async with asked() as found:
        assert (await say(found.resolve("openai:gpt-5"), "x")).text == "yes"
    assert [batch.endpoint for batch in server.batches] == ["/v1/responses"]


async def test_a_server_that_speaks_openais_protocol_may_have_batches(server: BatchServer) -> None:
    async with Batches(pace=FAST) as batches:
        endpoint = Endpoint(server.url, SecretStr("planted-key-0123456789"))
        found = batched(Models(default="llama", endpoint=endpoint), batches)
        assert (await say(found.resolve("large"), "x")).text == "yes"
    assert server.headers["authorization"] == "Bearer planted-key-0123456789"


async def test_every_model_has_a_batch_of_its_own(server: BatchServer) -> None:
    async with asked() as found:
        names = ("openai-chat:gpt-5", "openai-chat:gpt-5-mini")
        await asyncio.gather(*[say(found.resolve(name), "x") for name in names for _ in "ab"])
    assert sorted(len(batch.lines) for batch in server.batches) == [2, 2]
    assert all(len({body["model"] for body in b.lines.values()}) == 1 for b in server.batches)


async def test_a_full_batch_goes_and_the_next_one_fills(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.deps.batches.formats.OpenAIBatches.most", 4)
    server.answer = echo
    async with asked() as found:
        model = found.resolve("large")
        answers = await asyncio.gather(*[say(model, f"{n}") for n in range(10)])
    assert [response.text for response in answers] == [f"{n}" for n in range(10)]
    assert sorted(len(batch.lines) for batch in server.batches) == [2, 4, 4]


async def test_nobody_pays_for_what_was_given_up_before_it_went(server: BatchServer) -> None:
    async with asked() as found:
        model = found.resolve("large")
        staying = asyncio.create_task(say(model, "stays"))
        going = asyncio.create_task(say(model, "goes"))
        await asyncio.sleep(0.01)
        going.cancel()
        assert (await staying).text == "yes"
    assert [texts(body) for body in server.requests] == ["stays"]


async def test_a_response_is_marked_as_asked_at_the_price_of_batches(server: BatchServer) -> None:
    async with asked() as found:
        response = await say(found.resolve("large"), "x")
    assert (response.provider_details or {})["processing"] == "batch"


# -- what goes wrong


async def test_what_befell_one_request_is_its_own_error(server: BatchServer) -> None:
    fates: dict[str, Any] = {"0": 400, "1": 429, "2": "expired", "3": "cancelled", "4": "missing"}

    def answer(body: Body) -> Any:
        return fates.get(texts(body)) or echo(body)

    server.answer = answer
    async with asked() as found:
        model = found.resolve("large")
        ends = await asyncio.gather(*[say(model, f"{n}") for n in range(6)], return_exceptions=True)
    kinds = [type(end) for end in ends]
    refused, busy, down = ProviderRefused, ProviderBusy, ProviderDown
    assert kinds == [refused, busy, down, refused, down, ModelResponse]
    # What may pass was in a second batch; what was refused, or cancelled by someone, was not.
    assert [sorted(map(texts, batch.lines.values())) for batch in server.batches] == [
        ["0", "1", "2", "3", "4", "5"],
        ["1", "2", "4"],
    ]
    assert all("planted" not in str(end) for end in ends)


async def test_anthropics_errors_are_typed_as_those_of_single_requests(server: BatchServer) -> None:
    fates: dict[str, Any] = {"0": 400, "1": 529, "2": "expired", "3": "cancelled", "4": "missing"}
    server.answer = lambda body: fates[texts(body)]
    async with asked(pace=replace(FAST, attempts=1)) as found:
        model = found.resolve("anthropic:claude-opus-4-5")
        ends = await asyncio.gather(*[say(model, f"{n}") for n in range(5)], return_exceptions=True)
    refused, busy, down = ProviderRefused, ProviderBusy, ProviderDown
    assert [type(end) for end in ends] == [refused, busy, down, refused, down]


async def test_what_may_pass_is_asked_again_in_the_next_batch(server: BatchServer) -> None:
    ends: list[Any] = [503, "expired"]
    server.answer = lambda body: ends.pop(0) if ends else chat(body, "at last")
    async with asked(pace=replace(FAST, attempts=3)) as found:
        assert (await say(found.resolve("large"), "x")).text == "at last"
    assert len(server.batches) == 3


async def test_a_batch_that_fails_as_a_whole_says_why(server: BatchServer) -> None:
    server.failing = [{"code": "invalid_json_line", "message": "line 1 is no JSON", "line": 1}]
    async with asked() as found:
        with pytest.raises(ProviderRefused, match="line 1 is no JSON"):
            await say(found.resolve("large"), "x")
    server.failing = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    async with asked() as found:
        with pytest.raises(ProviderBusy, match="Enqueued token limit"):
            await say(found.resolve("large"), "x")


@pytest.mark.parametrize("what", ["upload", "submit", "look", "results"])
@pytest.mark.parametrize("fault", [500, 429, "lose"])
async def test_what_goes_wrong_about_a_batch_and_may_pass_harms_no_request(
    server: BatchServer, what: str, fault: Any
) -> None:
    server.faults = {what: [fault, fault]}
    async with asked() as found:
        assert (await say(found.resolve("large"), "x")).text == "yes"
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["openai-chat:gpt-5", "anthropic:claude-opus-4-5"])
async def test_a_batch_whose_name_was_not_heard_is_found_and_not_handed_in_again(
    server: BatchServer, name: str
) -> None:
    protocol = chat if name.startswith("openai") else message
    server.answer = lambda body: protocol(body, texts(body))
    async with asked() as found:  # somebody else's, of the same size
        await say(found.resolve(name), "another")
    server.faults = {"submit": ["lose"]}
    async with asked() as found:
        assert (await say(found.resolve(name), "x")).text == "x"
    assert [texts(body) for body in server.requests] == ["another", "x"]


async def test_a_batch_that_cannot_be_looked_at_is_given_up_after_some_time(
    server: BatchServer,
) -> None:
    server.faults = {"look": [502] * 4}
    async with asked() as found:
        with pytest.raises(ProviderDown, match="HTTP 502"):
            await say(found.resolve("large"), "x")


async def test_a_bad_key_is_told_once_for_all(server: BatchServer) -> None:
    server.faults = {"upload": [401]}
    async with asked() as found:
        model = found.resolve("large")
        ends = await asyncio.gather(*[say(model, f"{n}") for n in range(3)], return_exceptions=True)
    assert [type(end) for end in ends] == [ProviderRefused] * 3
    assert server.asked == ["upload"]


async def test_a_server_without_batches_is_a_matter_of_configuration(server: BatchServer) -> None:
    server.faults = {"upload": [404]}
    async with asked() as found:
        with pytest.raises(ConfigError, match=r"takes no batches .HTTP 404.*leave --batch away"):
            await say(found.resolve("large"), "x")


@pytest.mark.parametrize("name", ["openrouter:x/y", "ollama:llama", "instructor:json:llama"])
async def test_a_provider_without_batches_says_which_have_them(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "planted")
    monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
    async with asked() as found:
        with pytest.raises(ConfigError, match=r"openai:.*anthropic:.*--batch away"):
            found.resolve(name)


async def test_a_stream_is_refused(server: BatchServer) -> None:
    async with asked() as found:
        agent = Agent(found.resolve("large"))
        with pytest.raises(ConfigError, match="which have no streams"):
            async with agent.run_stream("x"):
                pass
    assert server.asked == []


async def test_what_is_asked_around_the_layer_is_asked_by_itself(
    server: BatchServer,
) -> None:
    async with asked() as found:
        *_, inner = layers(found.resolve("large"))
        assert (await say(inner, "x")).text == "yes"
    assert (len(server.single), len(server.batches)) == (1, 0)


# -- remembered


async def test_what_was_asked_before_is_not_asked_again(
    server: BatchServer, tmp_path: Path
) -> None:
    path = tmp_path / "batches.db"
    server.held = True
    server.answer = echo
    async with asked(path) as found:
        with asking("run/case/0"):
            waiting = asyncio.create_task(say(found.resolve("large"), "x"))
        await asyncio.to_thread(server.submitted.wait, 5)
        waiting.cancel()
    server.held = False
    for _ in range(2):  # under way, then ended
        async with asked(path) as found:
            with asking("run/case/0"):
                assert (await say(found.resolve("large"), "x")).text == "x"
    assert len(server.requests) == 1
    assert server.asked.count("results") == 2  # two files, read once
    async with asked(path) as found:
        with asking("run/case/1"):  # another trial's answer would be no trial
            await say(found.resolve("large"), "x")
    assert len(server.requests) == 2


async def test_what_a_run_has_stored_may_be_forgotten(server: BatchServer, tmp_path: Path) -> None:
    path = tmp_path / "batches.db"
    for forgotten in ("other/", "run/"):
        async with asked(path) as found:
            with asking("run/case"):
                await say(found.resolve("large"), "x")
            batches = found.clients.batches
            assert batches is not None
            await batches.forget(forgotten)
    assert len(server.requests) == 1
    async with asked(path) as found:
        with asking("run/case"):
            await say(found.resolve("large"), "x")
    assert len(server.requests) == 2


async def test_an_answer_that_cannot_be_read_is_not_kept(
    server: BatchServer, tmp_path: Path
) -> None:
    server.answer = lambda body: {"object": "chat.completion"}
    for _ in range(2):
        async with asked(tmp_path / "batches.db") as found:
            with pytest.raises(ProviderGarbled):
                await say(found.resolve("large"), "x")
    assert len(server.requests) == 2


async def test_an_intent_that_came_to_nothing_is_asked_anew(
    server: BatchServer, tmp_path: Path
) -> None:
    path = tmp_path / "batches.db"
    server.faults = {"upload": ["lose"] * 4}
    async with asked(path) as found:
        with pytest.raises(ProviderDown):
            await say(found.resolve("large"), "x")
    async with asked(path) as found:
        assert (await say(found.resolve("large"), "x")).text == "yes"
    assert len(server.requests) == 1


def test_a_file_that_cannot_be_kept_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"cannot keep batches in .*leave --batch away"):
        Batches(tmp_path / "folder" / "batches.db")
