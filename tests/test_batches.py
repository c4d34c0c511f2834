"""Batches at half the price: each request gets its own answer, and none is paid for twice."""

import _thread
import asyncio
import json
import multiprocessing
import sqlite3
import ssl
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent, models
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from assay.deps.baseline import layers
from assay.deps.batches import Asker, Batches, Pace, Progress, asking, batched
from assay.deps.errors import (
    ConfigError,
    ProviderBusy,
    ProviderDown,
    ProviderGarbled,
    ProviderRefused,
)
from assay.deps.models import Endpoint, Models
from assay.evals.batched import as_measured
from assay.evals.checks import MaxSeconds
from assay.evals.cli import batching, main
from assay.evals.engine import evaluate
from assay.evals.outcome import Outcome, TrialResult
from assay.evals.runs import begin
from assay.evals.store.database import RunStore

from .batch_server import BatchServer, Body, chat, message
from .batch_suite import FAST, suite

pytestmark = pytest.mark.slow


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    # Every client reads the certificates of the world, which no loopback needs, for half a test.
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", MagicMock())
    with BatchServer() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789abcdef")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", found.origin)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-planted-0123456789abcdef")
        yield found


@asynccontextmanager
async def asked(
    path: Path | None = None, *, pace: Pace = FAST, **kwargs: Any
) -> AsyncGenerator[Models]:
    """Models that ask in batches, remembered in a file; closed in the end."""
    async with Batches(path, pace=pace, **kwargs) as batches:
        found = batched(Models(default="openai-chat:gpt-5"), batches)
        yield found
        await found.aclose()


async def say(model: Model, text: str, settings: ModelSettings | None = None) -> ModelResponse:
    request: list[ModelMessage] = [ModelRequest.user_text_prompt(text)]
    return await model.request(request, settings, ModelRequestParameters())


def texts(body: Body) -> str:
    """Return what was asked last, in either protocol."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def echo(body: Body) -> Body:
    return chat(body, texts(body))


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
    monkeypatch.setattr("assay.deps.batch_formats.OpenAIBatches.most", 4)
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


# -- evaluations


def test_a_trials_duration_is_without_its_waiting() -> None:
    result = TrialResult(
        case="c",
        trial=0,
        model="m",
        duration=7205.0,
        outcomes=(Outcome("max_seconds", "fail", 0.0), Outcome("other", "pass", 1.0)),
    )
    found = as_measured(result, Asker("a", requests=2, waited=7200.0), (MaxSeconds(30),))
    assert (found.duration, found.model_seconds) == (5.0, None)
    assert [outcome.status for outcome in found.outcomes] == ["unscored", "pass"]
    assert "7,200 s of waiting" in found.outcomes[0].reason
    assert as_measured(result, Asker("a"), (MaxSeconds(30),)) is result


def looks_then_echoes(body: Body) -> Body:
    """Call a tool in the first turn, and answer in the second."""
    texts_ = [m["content"] for m in body["messages"] if m["role"] == "user"]
    if body["messages"][-1]["role"] == "tool":
        return chat(body, texts_[0])
    answer = chat(body, "")
    call = {"name": "look", "arguments": json.dumps({"word": texts_[0]})}
    answer["choices"][0]["message"] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": call}],
    }
    return answer


async def test_turns_come_in_waves_and_time_is_said_to_be_unmeasured(
    server: BatchServer, tmp_path: Path
) -> None:
    server.answer = looks_then_echoes
    store = RunStore(tmp_path / "runs.db")
    async with asked(tmp_path / "batches.db") as found:
        report = await evaluate(suite(12), models=found, trials=2, max_concurrency=1, store=store)
    assert [len(batch.lines) for batch in server.batches] == [24, 24]
    checks = {check.check: check for check in report.checks}
    assert checks["EqualsExpected"].mean == 1.0
    assert checks["max_seconds"].unscored == 24
    result = next(iter(report.results))
    assert result.requests == 2
    assert result.metrics["batched"] == 2
    assert result.metrics["batch_seconds"] > 0.05  # twice until it settled
    assert result.model_seconds is None
    store.close()


CRASHING = """
import asyncio, os, runpy
from pathlib import Path
from pydantic_ai import models
from assay.deps.batches import Batches, batched
from assay.deps.models import Models
from assay.evals.engine import evaluate
from assay.evals.store.database import RunStore

os.environ.update(environment)
mine = runpy.run_path(place)

async def main():
    store = RunStore(Path(folder) / "runs.db")
    async with Batches(Path(folder) / "batches.db", pace=mine["FAST"]) as batches:
        models_ = batched(Models(default="openai-chat:gpt-5"), batches)
        await evaluate(mine["suite"](8), models=models_, store=store, run=store.run("latest"))

models.ALLOW_MODEL_REQUESTS = True
asyncio.run(main())
"""


def crash(folder: Path, server: BatchServer, waves: int) -> None:
    """Evaluate in a process that is killed while its batch number `waves` is under way."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.evals.engine", "pydantic_ai.models.openai"])
    world = {
        "environment": {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "planted"},
        "folder": str(folder),
        "place": str(Path(__file__).with_name("batch_suite.py")),
    }
    process = context.Process(target=exec, args=(CRASHING, world))
    process.start()
    try:
        while len(server.batches) < waves:
            assert process.is_alive()
            process.join(0.01)
    finally:
        process.kill()
        process.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
@pytest.mark.parametrize("waves", [1, 2])
async def test_a_run_that_was_killed_goes_on_and_pays_nothing_twice(
    server: BatchServer, tmp_path: Path, waves: int
) -> None:
    store = RunStore(tmp_path / "runs.db")
    run = begin(store, [suite(8)], models=Models(default="openai-chat:gpt-5"))

    def answer(body: Body) -> Body:
        server.held = True  # the first batch ends, if it may, and the next one does not
        return looks_then_echoes(body)

    server.answer, server.held = answer, waves == 1
    await asyncio.to_thread(crash, tmp_path, server, waves)
    assert len(server.batches) == waves
    assert len(store.done(run.id, "s")) == 0
    server.held, server.answer = False, looks_then_echoes
    async with asked(tmp_path / "batches.db") as found:
        report = await evaluate(suite(8), models=found, store=store, run=run)
    assert report.totals.trials == 8
    assert next(c for c in report.checks if c.check == "EqualsExpected").mean == 1.0
    assert [len(batch.lines) for batch in server.batches] == [8, 8]
    store.close()


# -- the command line

MINE = """
import runpy
from pathlib import Path
suite = runpy.run_path({place!r})["suite"](8)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = str(Path(__file__).with_name("batch_suite.py"))
    (tmp_path / "mine.py").write_text(MINE.format(place=place), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batching, "Batches", partial(Batches, pace=FAST))
    return tmp_path


def assay(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


EVAL = ("eval", "mine.py:suite", "--batch", "--model", "openai-chat:gpt-5")


def test_the_command_line_asks_in_batches_and_says_how_they_stand(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL, "--trials", "2") == 0
    said = capsys.readouterr()
    assert "batch 2 (batch1): 16 of 16 done" in said.err
    assert [len(batch.lines) for batch in server.batches] == [16, 16]
    with closing(sqlite3.connect(folder / "batches.db")) as journal:  # all of it is in the store
        assert journal.execute("SELECT count(*) FROM request").fetchone() == (0,)


def test_an_interrupted_run_says_that_its_batches_go_on_and_collects_them(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.held = True
    looked = server.serve

    def serve(method: str, path: str, content: bytes, kind: str) -> Any:
        if method == "GET" and not interrupted:
            interrupted.append(path)
            _thread.interrupt_main()
        return looked(method, path, content, kind)

    interrupted: list[str] = []
    monkeypatch.setattr(server, "serve", serve)
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "assay eval --resume" in said
    assert "1 batches go on at their provider" in said
    server.held = False
    assert assay(monkeypatch, "eval", "--resume", "latest") == 0
    assert [len(batch.lines) for batch in server.batches] == [8, 8]


def test_recording_is_refused_and_a_budget_told_what_it_can_hold(
    server: BatchServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert assay(monkeypatch, *EVAL, "--replay", "auto") == 2
    assert "leave one of --batch and --replay away" in " ".join(capsys.readouterr().err.split())
    server.answer = looks_then_echoes
    assert assay(monkeypatch, *EVAL, "--max-requests", "100") == 0
    assert "is looked at when the first answers are there" in " ".join(
        capsys.readouterr().err.split()
    )
    assert assay(monkeypatch, *EVAL, "--max-concurrency", "4") == 0
    assert [len(batch.lines) for batch in server.batches[2:]] == [4, 4, 4, 4]
