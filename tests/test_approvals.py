"""Runs that wait for people: kept, decided, and resumed by one worker, once."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, CallDeferred, DeferredToolRequests
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits

from assay.deps.approvals import (
    AlreadyResumed,
    Approvals,
    Approve,
    BadEdit,
    BeingResumed,
    Decision,
    Deny,
    Edit,
    Finished,
    LeaseLost,
    MemoryApprovals,
    NoSuchPause,
    Paused,
    Request,
    Undecided,
    asking,
    outcome,
    state_of,
)
from assay.deps.approvals import outcomes as approvals_door
from assay.deps.approvals import store as approvals_store
from assay.deps.approvals.sql import SqlApprovals
from assay.deps.errors import ConfigError, InputError

from .approving import (
    NOON,
    Deps,
    agent,
    approve_all,
    asks,
    call,
    paused_run,
    resume,
    run,
)
from .stores import postgres as postgres
from .virtual import virtually

STORES = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """A store, its clock, and what was paid."""

    store: Approvals
    clock: Clock
    paid: list[str] = field(default_factory=list[str])
    moments: list[str] = field(default_factory=list[str])

    @property
    def deps(self) -> Deps:
        return Deps(self.store, paid=self.paid.append, moment=self.moments.append)

    async def pause(self, model: Any = None) -> Paused:
        return await paused_run(self.deps, model)


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    limit = timedelta(hours=24)
    if request.param == "memory":
        yield World(MemoryApprovals(now=clock, expires=limit), clock)
        return
    file = request.param == "sqlite"
    url = tmp_path / "new" / "a.db" if file else request.getfixturevalue("postgres")
    with SqlApprovals(url, now=clock, expires=limit) as store:
        for one in asyncio.run(store.kept()):
            asyncio.run(store.forget(one.id))
        yield World(store, clock)


@pytest.fixture
def memory() -> World:
    clock = Clock()
    return World(MemoryApprovals(now=clock), clock)


# -- pause, decide, resume


async def test_a_run_pauses_is_decided_call_by_call_and_goes_on(world: World) -> None:
    paused = await world.pause()
    assert paused.agent == "desk"
    assert paused.at == NOON
    assert [(one.tool, one.arguments, one.why) for one in paused.requests] == [
        ("refund", {"order": "a", "cents": 500}, "500 cents are many"),
        ("refund", {"order": "b", "cents": 900}, "900 cents are many"),
    ]
    assert await world.store.pending() == (paused,)
    await world.store.decide(paused.id, "call-a", Approve(by="ann", why="she is right"))
    await world.store.decide(paused.id, "call-b", Deny(by="bob", why="too much"))
    said = await resume(paused.id, world.deps)
    assert said == "This call was denied: too much. It was not made.; paid a 500; seen"
    assert world.paid == ["a 500"]
    assert world.moments.count("looked") == 1  # what needed no approval was done before the pause
    assert await world.store.pending() == ()


async def test_what_was_decided_and_what_came_of_it_is_kept_as_a_record(world: World) -> None:
    paused = await world.pause()
    await world.store.decide(paused.id, "call-a", Approve(by="ann"))
    world.clock.now += timedelta(minutes=5)
    edit = Edit(by="bob", arguments={"order": "b", "cents": 90}, why="a typo")
    await world.store.decide(paused.id, "call-b", edit)
    said = await resume(paused.id, world.deps)
    kept = await world.store.get(paused.id)
    assert [one.decision for one in kept.requests] == [
        Approve(by="ann", at=NOON),
        Edit(by="bob", arguments={"order": "b", "cents": 90}, why="a typo", at=world.clock.now),
    ]
    assert isinstance(said, str)
    assert kept.finished == Finished(at=world.clock.now, output=said)
    assert state_of(kept, world.clock.now) == "finished"
    assert world.paid == ["a 500", "b 90"]
    with pytest.raises(AlreadyResumed, match="its output is kept"):
        await resume(paused.id, world.deps)
    with pytest.raises(AlreadyResumed, match="what was decided stands"):
        await world.store.decide(paused.id, "call-a", Deny(by="ann"))


async def test_a_run_is_not_resumed_before_every_request_is_decided(world: World) -> None:
    paused = await world.pause()
    await world.store.decide(paused.id, "call-b", Approve(by="ann"))
    with pytest.raises(Undecided, match="approve, edit or deny each") as e:
        await resume(paused.id, world.deps)
    assert e.value.undecided == ("call-a",)
    assert world.paid == []


async def test_until_it_is_resumed_a_decision_can_be_changed(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    await world.store.decide(paused.id, "call-a", Deny(by="bob", why="no"))
    await resume(paused.id, world.deps)
    assert world.paid == ["b 900"]


async def test_a_resumed_run_may_pause_again(world: World) -> None:
    def thrice(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        names = "abc"
        n = sum(isinstance(message, ModelResponse) for message in messages)
        return ModelResponse(parts=[call(names[n]) if n < 3 else TextPart("done")])

    model = FunctionModel(thrice)
    first = came = await paused_run(world.deps, model)
    seen = [first]
    while isinstance(came, Paused):
        seen.append(came)
        world.clock.now += timedelta(seconds=1)
        await approve_all(world.store, came)
        came = await resume(came.id, world.deps, model)
    assert came == "done"
    assert world.paid == ["a 500", "b 500", "c 500"]
    ids = [one.id for one in await world.store.kept()]
    assert ids == [one.id for one in seen[1:]]
    again = [(await world.store.get(id)).finished for id in ids]
    assert [one and one.paused_as for one in again] == [ids[1], ids[2], None]


async def test_the_context_the_model_and_the_usage_are_kept(world: World) -> None:
    context = {"session": "s-1", "n": [1, None]}
    paused = await run(world.deps, context=context)
    assert isinstance(paused, Paused)
    assert (paused.context, paused.model) == (context, "two")
    await approve_all(world.store, paused)
    async with world.store.resuming(paused.id) as resumed:
        assert resumed.context == context
        assert (resumed.usage.requests, resumed.usage.tool_calls) == (1, 1)
        result = await agent.run(
            message_history=resumed.messages,
            deferred_tool_results=resumed.decisions,
            usage=resumed.usage,
            usage_limits=UsageLimits(request_limit=2),
            deps=world.deps,
        )
        assert result.usage.requests == 2


async def test_messages_come_back_as_they_were(world: World) -> None:
    result = await agent.run("refund both", deps=world.deps)
    paused = await outcome(result, "desk", world.deps)
    assert isinstance(paused, Paused)
    assert await world.store.messages(paused.id) == result.all_messages()


async def test_runs_are_found_by_how_their_ids_begin(world: World) -> None:
    one, other = await world.pause(), await world.pause()
    assert await world.store.get(one.id[:20]) == one
    for wrong in ("", "%", "_" * 32, "nothing"):
        with pytest.raises(NoSuchPause, match="no paused run is kept whose id"):
            await world.store.get(wrong)
    with pytest.raises(NoSuchPause, match="no paused run is kept under"):
        await resume("nothing", world.deps)
    assert await world.store.forget(one.id)
    assert not await world.store.forget(one.id)
    assert await world.store.pending() == (other,)


async def test_an_unknown_call_and_another_agents_run_are_refused(world: World) -> None:
    paused = await world.pause()
    with pytest.raises(InputError, match="'call-a', 'call-b'"):
        await world.store.decide(paused.id, "call-z", Approve(by="ann"))
    await approve_all(world.store, paused)
    with pytest.raises(InputError, match="is one of 'desk', not of 'bank'"):
        async with world.store.resuming(paused.id, "bank"):
            pass
    assert (await world.store.get(paused.id)).begun is None


async def test_calls_that_are_made_elsewhere_are_no_matter_of_approval(memory: World) -> None:
    other = Agent(
        FunctionModel(asks(ToolCallPart("far", {}))), output_type=[str, DeferredToolRequests]
    )

    @other.tool_plain
    def far() -> str:
        raise CallDeferred

    with pytest.raises(ConfigError, match="raise ApprovalRequired"):
        await outcome(await other.run("go"), "other", memory.deps)


# -- edits


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"order": "b", "cents": "many"}, "cents: Input should be a valid integer"),
        ({"order": "b"}, "cents: Field required"),
        ({"order": "b", "cents": 1, "to": "me"}, "to: Extra inputs are not permitted"),
    ],
)
async def test_a_bad_edit_is_an_error_nothing_is_done_and_the_run_stays_paused(
    world: World, arguments: dict[str, Any], why: str
) -> None:
    paused = await world.pause()
    await world.store.decide(paused.id, "call-a", Approve(by="ann"))
    await world.store.decide(paused.id, "call-b", Edit(by="ann", arguments=arguments))
    with pytest.raises(BadEdit, match=why) as e:
        await resume(paused.id, world.deps)
    assert e.value.call_id == "call-b"
    assert world.paid == []  # nor the call that was approved
    kept = await world.store.get(paused.id)
    assert state_of(kept, world.clock.now) == "waiting"
    assert [one.call_id for one in kept.undecided] == ["call-b"]
    good = Edit(by="ann", arguments={"order": "b", "cents": 1})
    await world.store.decide(paused.id, "call-b", good)
    assert await resume(paused.id, world.deps) == "paid a 500; paid b 1; seen"


async def test_a_models_own_bad_arguments_are_still_told_to_the_model(memory: World) -> None:
    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        n = sum(isinstance(message, ModelResponse) for message in messages)
        parts = [[call("a")], [ToolCallPart("refund", {"order": 1})], [TextPart("sorry")]]
        return ModelResponse(parts=parts[n])

    paused = await memory.pause(FunctionModel(model))
    edit = Edit(by="ann", arguments={"order": "a", "cents": 1})
    await memory.store.decide(paused.id, "call-a", edit)
    assert await resume(paused.id, memory.deps, FunctionModel(model)) == "sorry"


# -- one worker at a time


async def test_of_two_workers_one_goes_on(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    found = await asyncio.gather(
        *[resume(paused.id, world.deps) for _ in range(5)], return_exceptions=True
    )
    errors = [one for one in found if isinstance(one, BaseException)]
    assert len(errors) == 4
    assert all(isinstance(one, BeingResumed | AlreadyResumed) for one in errors)
    assert world.paid == ["a 500", "b 900"]


async def test_a_worker_that_died_loses_its_lease(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    dead = world.store.resuming(paused.id)
    await dead.__aenter__()
    world.clock.now += timedelta(seconds=59)
    with pytest.raises(BeingResumed, match="if it died") as e:
        await resume(paused.id, world.deps)
    assert e.value.until == NOON + timedelta(seconds=60)
    world.clock.now += timedelta(seconds=1)
    assert await resume(paused.id, world.deps) == "paid a 500; paid b 900; seen"
    with pytest.raises(LeaseLost):  # it was not dead, and comes to its end
        await dead.__aexit__(None, None, None)


async def test_after_an_error_the_run_can_be_resumed_and_decisions_stand(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    with pytest.raises(ZeroDivisionError):
        async with world.store.resuming(paused.id):
            raise ZeroDivisionError
    with pytest.raises(AlreadyResumed, match="may have been done"):
        await world.store.decide(paused.id, "call-a", Deny(by="ann"))
    assert await resume(paused.id, world.deps) == "paid a 500; paid b 900; seen"


async def test_who_is_cancelled_gives_its_lease_back(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    inside = asyncio.Event()

    async def stuck() -> None:
        async with world.store.resuming(paused.id):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await world.store.get(paused.id)).until is None
    assert await resume(paused.id, world.deps) == "paid a 500; paid b 900; seen"


def in_virtual_time(after: timedelta = timedelta(0)) -> MemoryApprovals:
    return MemoryApprovals(
        now=lambda: NOON + after + timedelta(seconds=asyncio.get_running_loop().time()),
        lease=timedelta(seconds=30),
    )


def test_a_worker_that_takes_long_renews_its_lease() -> None:
    async def scenario() -> None:
        store = in_virtual_time()
        paused = await paused_run(Deps(store))
        await approve_all(store, paused)
        async with store.resuming(paused.id):
            for _ in range(20):
                await asyncio.sleep(29)
                with pytest.raises(BeingResumed):
                    await resume(paused.id, Deps(store))

    virtually(scenario())


def test_a_worker_that_lost_its_lease_is_stopped_at_its_next_sign_of_life() -> None:
    async def scenario() -> None:
        store = in_virtual_time()
        paused = await paused_run(Deps(store))
        await approve_all(store, paused)
        went_on: list[str] = []

        async def stands_still() -> None:
            async with store.resuming(paused.id):
                store.now = lambda: NOON + timedelta(minutes=5)  # as if it had stood still
                went_on.append(str(await resume(paused.id, Deps(store))))
                await asyncio.sleep(11)
                went_on.append("it went on itself")

        with pytest.raises(LeaseLost, match="another worker has it"):
            await stands_still()
        assert went_on == ["paid a 500; paid b 900; seen"]
        assert (await store.get(paused.id)).finished is not None

    virtually(scenario())


# -- expiry


async def test_what_nobody_decides_in_time_is_denied_and_says_so(world: World) -> None:
    paused = await world.pause()
    assert paused.expires == NOON + timedelta(hours=24)
    await world.store.decide(paused.id, "call-a", Approve(by="ann"))
    world.clock.now += timedelta(hours=24)
    assert state_of(await world.store.get(paused.id), world.clock.now) == "expired"
    with pytest.raises(AlreadyResumed, match="counts as denied"):
        await world.store.decide(paused.id, "call-b", Approve(by="late"))
    said = await resume(paused.id, world.deps)
    assert isinstance(said, str)
    assert "nobody decided before 2026-02-01 12:00:00 UTC" in said
    assert world.paid == ["a 500"]
    denied = (await world.store.get(paused.id)).requests[1].decision
    assert isinstance(denied, Deny)
    assert denied.by == "the time limit"


async def test_what_was_decided_in_time_does_not_expire(world: World) -> None:
    paused = await world.pause()
    await approve_all(world.store, paused)
    world.clock.now += timedelta(days=30)
    assert state_of(await world.store.get(paused.id), world.clock.now) == "ready"
    assert await resume(paused.id, world.deps) == "paid a 500; paid b 900; seen"


# -- asked at once


async def test_who_can_be_asked_at_once_is_asked_within_the_run(memory: World) -> None:
    asked: list[Request] = []

    async def ask(request: Request) -> Decision:
        asked.append(request)
        if request.call_id == "call-a":
            return Edit(by="ann", arguments={"order": "a", "cents": 1})
        return Deny(by="ann", why="no")

    result = await agent.run("refund both", deps=memory.deps, capabilities=[asking(ask)])
    assert result.output == "This call was denied: no. It was not made.; paid a 1; seen"
    assert memory.paid == ["a 1"]
    assert [one.why for one in asked] == ["500 cents are many", "900 cents are many"]


async def test_what_is_not_answered_at_once_is_paused(memory: World) -> None:
    async def ask(request: Request) -> Decision | None:
        return Approve(by="ann") if request.call_id == "call-a" else None

    result = await agent.run("refund both", deps=memory.deps, capabilities=[asking(ask)])
    paused = await outcome(result, "desk", memory.deps)
    assert isinstance(paused, Paused)
    assert [one.call_id for one in paused.requests] == ["call-b"]
    await approve_all(memory.store, paused)
    assert await resume(paused.id, memory.deps) == "paid a 500; paid b 900; seen"
    assert memory.paid == ["a 500", "b 900"]


# -- spans


async def test_the_pause_each_decision_and_the_resume_are_spans(
    monkeypatch: pytest.MonkeyPatch, memory: World
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (approvals_door, approvals_store):
        monkeypatch.setattr(module, "_tracer", provider.get_tracer("assay"))
    paused = await memory.pause()
    await memory.store.decide(paused.id, "call-a", Approve(by="ann"))
    await memory.store.decide(paused.id, "call-b", Deny(by="bob"))
    await resume(paused.id, memory.deps)
    spans = [(one.name, dict(one.attributes or {})) for one in exporter.get_finished_spans()]
    assert [name for name, _ in spans] == [
        "approval pause",
        "approval approve",
        "approval deny",
        "approval resume",
    ]
    assert spans[0][1] == {
        "assay.approval.id": paused.id,
        "assay.approval.agent": "desk",
        "assay.approval.tools": ("refund", "refund"),
    }
    assert spans[2][1]["assay.approval.by"] == "bob"
    assert "cents" not in str(spans)  # what is in arguments is not everybody's to read
