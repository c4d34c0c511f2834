"""A run has its time, and a tool in it; what takes longer is cancelled, sockets and all."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_ai import Agent, models
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from assay.agents import triage
from assay.deps import BaseDeps, Endpoint, Models, Settings, Trail, by_name
from assay.deps.errors import RunTimeout, ToolTimeout
from assay.deps.providers import Clients
from assay.deps.providers.output_mode import OutputModes
from assay.deps.taxonomy import Label, Taxonomy
from assay.deps.timeouts import within

from .faulty import Answer, Faulty, body, completion, delta, events, faulty

SHORT = 0.05
TAXONOMY = Taxonomy(labels=(Label(name="card"), Label(name="loan")))
HANGS = Answer(ends="hangs")
STALLS = events(delta("ye"), ends="hangs")
OUTPUT = '{"reason": "asks for a card", "label": "card", "confidence": 0.9, "urgency": 2}'


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    """A provider on loopback; leaving it waits until its clients have closed all connections."""
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    async with faulty() as running:
        yield running


def at(server: Faulty, **given: Any) -> triage.Deps:
    known = Models(default="m", endpoint=Endpoint(server.url), **given)
    return triage.Deps(taxonomy=TAXONOMY, models=known)


# -- runs


async def test_a_run_over_time_is_a_typed_error_and_its_socket_is_closed(server: Faulty) -> None:
    deps = at(server.will(HANGS), run_timeout=SHORT)
    async with aclosing(deps.models):
        with pytest.raises(RunTimeout, match=r"agent 'triage' did not end within 0\.05 s; give"):
            await triage.run("a card, please", deps)
        await server.all_closed()  # while the client is still open


@pytest.mark.parametrize("answer", [HANGS, STALLS], ids=["no event", "an event"])
async def test_a_stream_over_time_is_a_typed_error_and_its_socket_is_closed(
    server: Faulty, answer: Answer
) -> None:
    deps = at(server.will(answer), run_timeout=SHORT)
    async with aclosing(deps.models):
        with pytest.raises(RunTimeout):
            async with triage.stream("a card, please", deps) as answers:
                await answers.output()
        await server.all_closed()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_that_is_cancelled_closes_its_socket(server: Faulty, streamed: bool) -> None:
    deps = at(server.will(STALLS if streamed else HANGS), run_timeout=60)

    async def ask() -> None:
        if streamed:
            async with triage.stream("a card, please", deps) as answers:
                await answers.output()
        else:
            await triage.run("a card, please", deps)

    async with aclosing(deps.models):
        running = asyncio.create_task(ask())
        await server.arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.all_closed()


async def test_nobody_stands_in_when_the_time_of_a_run_is_over(server: Faulty) -> None:
    trail = Trail()
    deps = at(server.will(HANGS), run_timeout=SHORT, fallback=("baseline",)).noting(trail)
    async with aclosing(deps.models):
        with pytest.raises(RunTimeout):
            await triage.run("a card, please", deps)
    (noted,) = trail.runs
    assert (noted.model, noted.passed, noted.requests) == (None, [], 0)
    assert noted.seconds >= SHORT


async def test_a_model_that_stands_in_has_what_is_left_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    skipped = [0.0]
    monkeypatch.setattr("assay.deps.runs.monotonic", lambda: monotonic() + skipped[0])

    async def invalid(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append("a")
        skipped[0] += 29.9
        return ModelResponse(parts=[TextPart("no output at all")])

    async def slow(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append("b")
        return await never(messages, info)

    def built(name: str, *_: object) -> FunctionModel:
        return FunctionModel(invalid if name == "a" else slow)

    monkeypatch.setattr("assay.deps.models.build", built)
    known = Models(default="a", fallback=("b",), run_timeout=60.5)
    async with asyncio.timeout(30):
        with pytest.raises(RunTimeout):
            await triage.run("x", triage.Deps(taxonomy=TAXONOMY, models=known))
    assert asked == ["a", "a", "b"]


async def test_a_cancellation_from_elsewhere_is_no_timeout_of_the_run() -> None:
    deps = triage.Deps(taxonomy=TAXONOMY, models=Models(run_timeout=60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT):
            await triage.run("x", deps, model=FunctionModel(never))


async def test_a_run_in_time_is_left_alone(server: Faulty) -> None:
    clients = Clients(modes=OutputModes("prompted"))
    deps = at(server.will(body(completion(OUTPUT))), run_timeout=60, clients=clients)
    async with aclosing(deps.models):
        assert (await triage.run("a card, please", deps)).label == "card"


async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return await asyncio.Future()


# -- tools


def looking(tool: Any, retries: int = 1) -> Agent[BaseDeps, str]:
    agent = Agent(deps_type=BaseDeps, retries=retries, name="looking", capabilities=[by_name()])
    agent.tool_plain(name="look")(tool)
    return agent


def tool_timeout(seconds: float | None) -> BaseDeps:
    return BaseDeps(models=Models(tool_timeout=seconds))


async def test_a_tool_over_time_goes_back_to_the_model() -> None:
    told: list[str] = []

    async def look() -> str:
        return await asyncio.Future()

    def once(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("look", {})])
        told.append(str(messages[-1].parts[0]))
        return ModelResponse(parts=[TextPart("done without")])

    result = await looking(look).run("x", deps=tool_timeout(SHORT), model=FunctionModel(once))
    assert result.output == "done without"
    (said,) = told
    assert "tool 'look' took longer than 0.05 s; ask it for less, or go on without it" in said


async def test_a_tool_that_is_late_in_every_attempt_ends_the_run() -> None:
    attempts: list[int] = []

    async def look() -> str:
        attempts.append(1)
        return await asyncio.Future()

    deps = BaseDeps(models=Models(tool_timeout=SHORT, fallback=("baseline",)))
    with pytest.raises(ToolTimeout, match=r"'look' took longer than 0\.05 s and its retries are"):
        await looking(look, retries=2).run("x", deps=deps, model=TestModel())
    assert len(attempts) == 3


async def test_a_plain_function_over_time_is_left_to_its_thread() -> None:
    release = threading.Event()

    def look() -> str:
        release.wait(30)
        return "late"

    try:
        with pytest.raises(ToolTimeout):
            await looking(look, retries=0).run("x", deps=tool_timeout(SHORT), model=TestModel())
        deps = BaseDeps(models=Models(run_timeout=SHORT))
        with pytest.raises(RunTimeout):
            await looking(look).run("x", deps=deps, model=TestModel())
    finally:
        release.set()


async def test_a_timeout_of_the_tools_own_goes_before() -> None:
    async def look() -> str:
        await asyncio.sleep(3 * SHORT)
        return "found"

    agent = Agent(deps_type=BaseDeps, capabilities=[by_name()])
    agent.tool_plain(timeout=60)(look)
    result = await agent.run("x", deps=tool_timeout(SHORT), model=TestModel())
    assert "found" in result.output


# -- the bound itself


async def test_a_timeout_of_the_blocks_own_stays_one() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        async with within(60, lambda: RunTimeout("late")):
            raise TimeoutError("its own")
    async with within(None, lambda: RunTimeout("late")):
        pass


def test_settings_bound_runs_and_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().models().run_timeout, Settings().models().tool_timeout) == (None, None)
    monkeypatch.setenv("ASSAY_RUN_TIMEOUT", "30")
    monkeypatch.setenv("ASSAY_TOOL_TIMEOUT", "5")
    assert (Settings().models().run_timeout, Settings().models().tool_timeout) == (30, 5)
    monkeypatch.setenv("ASSAY_RUN_TIMEOUT", "0")
    with pytest.raises(ValidationError, match="greater than 0"):
        Settings()
