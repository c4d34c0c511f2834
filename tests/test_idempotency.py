"""A tool acts once per key: asked twice, by two, after errors and after kill -9."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from assay.deps.errors import ConfigError, OutcomeUnknown
from assay.deps.idempotency import (
    Act,
    Acts,
    Guarantee,
    Idempotency,
    MemoryActs,
    Note,
)
from assay.deps.idempotency.sql import SqlActs
from assay.tools.idempotent import idempotent

from .stores import postgres as postgres
from .virtual import virtually

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


class Receipt(BaseModel):
    order: str
    cents: int


@dataclass
class Bank:
    """Pays, and fails as it is told to."""

    idempotency: Idempotency
    paid: list[Act] = field(default_factory=list[Act])
    fails: list[BaseException] = field(default_factory=list[BaseException])
    now: datetime = NOON

    async def pay(self, act: Act) -> None:
        await asyncio.sleep(0)
        if self.fails and isinstance(self.fails[0], ModelRetry | LookupError):
            raise self.fails.pop(0)
        self.paid.append(act)
        if self.fails:
            raise self.fails.pop(0)


@idempotent("at_most_once", undone=(LookupError,))
async def refund(ctx: RunContext[Bank], act: Act, order: str, cents: int = 100) -> Receipt:
    """Pay an order back.

    Args:
        ctx: The run.
        order: Its number.
        cents: How much.
    """
    await ctx.deps.pay(act)
    return Receipt(order=order, cents=cents)


@idempotent("at_least_once")
async def remind(ctx: RunContext[Bank], act: Act, order: str) -> Receipt:
    await ctx.deps.pay(act)
    return Receipt(order=order, cents=act.attempt)


def context(bank: Bank, run_id: str | None = "run-1") -> RunContext[Bank]:
    return RunContext(deps=bank, model=TestModel(), usage=RunUsage(), run_id=run_id)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def acts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Acts]:
    if request.param == "memory":
        yield MemoryActs()
        return
    file = request.param == "sqlite"
    opened = SqlActs(tmp_path / "new" / "a.db" if file else request.getfixturevalue("postgres"))
    with opened._engine.begin() as connection:  # pyright: ignore[reportPrivateUsage]
        connection.exec_driver_sql("DELETE FROM act")
    yield opened
    opened.close()


@pytest.fixture
def bank(acts: Acts) -> Bank:
    made = Bank(Idempotency())
    poll = timedelta(milliseconds=1)
    made.idempotency = Idempotency(acts, scope="ticket-7", poll=poll, now=lambda: made.now)
    return made


# -- one act per key


async def test_what_was_done_is_not_done_again(bank: Bank) -> None:
    first = await refund(context(bank), "a", cents=5)
    again = await refund(context(bank, "run-2"), order="a", cents=5)
    assert first == again == Receipt(order="a", cents=5)
    assert [act.attempt for act in bank.paid] == [1]


async def test_other_arguments_tools_and_callers_are_other_acts(bank: Bank) -> None:
    await refund(context(bank), "a")
    await refund(context(bank), "a", 100)  # the default
    await refund(context(bank), "b")
    await refund(context(bank), "a", 101)
    await remind(context(bank), "a")
    bank.idempotency = bank.idempotency.of("ticket-8")
    await refund(context(bank), "a")
    assert len({act.key for act in bank.paid}) == len(bank.paid) == 5


async def test_without_a_callers_key_acts_are_one_within_a_run(bank: Bank) -> None:
    bank.idempotency = Idempotency(bank.idempotency.acts)
    for run_id in ("run-1", "run-1", "run-2"):
        await refund(context(bank, run_id), "a")
    assert len(bank.paid) == 2
    with pytest.raises(ConfigError, match=r"give one: idempotency\.of"):
        await refund(context(bank, None), "a")


async def test_of_many_at_once_one_acts_and_the_others_wait(bank: Bank) -> None:
    found = await asyncio.gather(*[refund(context(bank), "a") for _ in range(20)])
    assert found == [Receipt(order="a", cents=100)] * 20
    assert len(bank.paid) == 1


# -- when it fails


@pytest.mark.parametrize("error", [ModelRetry("which order?"), LookupError("no such order")])
async def test_after_an_error_that_says_nothing_was_done_it_may_be_tried_anew(
    bank: Bank, error: Exception
) -> None:
    bank.fails = [error]
    with pytest.raises(type(error)):
        await refund(context(bank), "a")
    assert await refund(context(bank), "a") == Receipt(order="a", cents=100)
    assert [act.attempt for act in bank.paid] == [1]


async def test_after_any_other_error_at_most_once_says_that_the_outcome_is_unknown(
    bank: Bank,
) -> None:
    bank.fails = [TimeoutError("no answer from the bank")]
    with pytest.raises(TimeoutError):
        await refund(context(bank), "a")
    with pytest.raises(OutcomeUnknown, match="may have acted") as caught:
        await refund(context(bank), "a")
    assert (caught.value.tool, caught.value.key) == ("refund", bank.paid[0].key)
    assert caught.value.begun == NOON
    assert len(bank.paid) == 1


async def test_an_unknown_outcome_is_settled_or_forgotten_by_somebody_who_looked(
    bank: Bank,
) -> None:
    bank.fails = [TimeoutError(), TimeoutError()]
    for order in ("a", "b"):
        with pytest.raises(TimeoutError):
            await refund(context(bank), order)
    settled, forgotten = (act.key for act in bank.paid)
    await bank.idempotency.settle(settled, '{"order": "a", "cents": 7}')
    assert (await refund(context(bank), "a")).cents == 7
    assert await bank.idempotency.settle(settled, "null") == '{"order": "a", "cents": 7}'
    assert await bank.idempotency.forget(forgotten)
    assert not await bank.idempotency.forget(forgotten)
    assert (await refund(context(bank), "b")).cents == 100
    assert len(bank.paid) == 3


async def test_at_least_once_acts_again_and_is_told_so(bank: Bank) -> None:
    bank.fails = [TimeoutError(), ModelRetry("")]
    with pytest.raises(TimeoutError):
        await remind(context(bank), "a")
    with pytest.raises(ModelRetry):  # nothing done this time, but maybe the time before
        await remind(context(bank), "a")
    assert await remind(context(bank), "a") == Receipt(order="a", cents=3)
    assert [(act.attempt, act.again) for act in bank.paid] == [(1, False), (3, True)]
    assert len({act.key for act in bank.paid}) == 1


async def test_a_cancelled_tool_may_have_acted(bank: Bank) -> None:
    acting = asyncio.Event()

    @idempotent("at_most_once")
    async def slow(ctx: RunContext[Bank], act: Act) -> None:
        acting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(slow(context(bank)))
    await acting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OutcomeUnknown):
        await slow(context(bank))


async def test_who_is_cancelled_at_any_moment_acts_no_second_time(bank: Bank) -> None:
    for pauses in range(12):
        task = asyncio.create_task(refund(context(bank), f"order-{pauses}"))
        for _ in range(pauses):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(OutcomeUnknown):
            await refund(context(bank), f"order-{pauses}")
    assert set(Counter(act.key for act in bank.paid).values()) == {1}


async def test_who_is_cancelled_while_it_claims_leaves_nothing_behind() -> None:
    class Slow(MemoryActs):
        claimed = asyncio.Event()

        async def claim(self, wanted: Note, *, again: bool) -> Note:
            found = await super().claim(wanted, again=again)
            if not self.claimed.is_set():
                self.claimed.set()
                await asyncio.Event().wait()
            return found

    slow = Slow()
    bank = Bank(Idempotency(slow, scope="x"))
    task = asyncio.create_task(refund(context(bank), "a"))
    await slow.claimed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await refund(context(bank), "a") == Receipt(order="a", cents=100)
    assert [act.attempt for act in bank.paid] == [1]


# -- leases


def left_behind(bank: Bank, guarantee: Guarantee) -> Note:
    """What a worker notes that dies then."""
    tool = "refund" if guarantee == "at_most_once" else "remind"
    arguments = {"order": "a", "cents": 100} if tool == "refund" else {"order": "a"}
    key = bank.idempotency.key(tool, arguments, None)
    until = bank.now + bank.idempotency.lease
    return Note(key=key, tool=tool, owner="dead", begun=bank.now, until=until)


async def test_a_dead_worker_is_awaited_until_its_lease_ends(bank: Bank) -> None:
    for guarantee in ("at_most_once", "at_least_once"):
        await bank.idempotency.acts.claim(left_behind(bank, guarantee), again=False)
    waiting = [asyncio.create_task(each(context(bank), "a")) for each in (refund, remind)]
    done, _ = await asyncio.wait(waiting, timeout=0.02)
    assert not done
    bank.now += bank.idempotency.lease
    refused, reminded = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(refused, OutcomeUnknown)
    assert reminded == Receipt(order="a", cents=2)
    assert [act.again for act in bank.paid] == [True]


async def test_a_worker_that_was_taken_for_dead_still_notes_what_came_of_it(bank: Bank) -> None:
    note = left_behind(bank, "at_most_once")
    await bank.idempotency.acts.claim(note, again=False)
    bank.now += 2 * bank.idempotency.lease
    with pytest.raises(OutcomeUnknown):
        await refund(context(bank), "a")
    await bank.idempotency.acts.finish(note.key, '{"order": "a", "cents": 1}')
    assert (await refund(context(bank), "a")).cents == 1
    assert bank.paid == []


def test_a_lease_is_renewed_as_long_as_the_tool_takes() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bank = Bank(Idempotency(now=lambda: NOON + timedelta(seconds=loop.time()), scope="x"))

        @idempotent("at_least_once")
        async def slow(ctx: RunContext[Bank], act: Act) -> int:
            bank.paid.append(act)
            await asyncio.sleep(1_000)
            return act.attempt

        assert await asyncio.gather(*[slow(context(bank)) for _ in range(3)]) == [1, 1, 1]
        assert len(bank.paid) == 1

    virtually(main())


# -- as a tool


async def test_the_model_sees_the_tool_as_its_callers_do(bank: Bank) -> None:
    offered: list[Any] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        offered.extend(info.function_tools)
        if len(messages) < 5:
            return ModelResponse(parts=[ToolCallPart("refund", {"order": "a", "cents": 5})])
        return ModelResponse(parts=[TextPart("done")])

    agent = Agent(FunctionModel(model), deps_type=Bank)
    agent.tool(refund)
    history = (await agent.run("go", deps=bank)).all_messages()
    assert offered[0].description == "Pay an order back."
    assert offered[0].parameters_json_schema == {
        "type": "object",
        "properties": {
            "order": {"type": "string", "description": "Its number."},
            "cents": {"type": "integer", "default": 100, "description": "How much."},
        },
        "required": ["order"],
        "additionalProperties": False,
    }
    assert len(bank.paid) == 1
    assert "'a'" in repr(history[2])
    assert refund.__name__ == "refund"


async def test_a_tool_whose_result_cannot_be_stored_is_refused() -> None:
    async def untold(ctx: RunContext[Bank], act: Act):
        await ctx.deps.pay(act)

    bank = Bank(Idempotency(scope="x"))
    with pytest.raises(ConfigError, match="annotate what it returns"):
        idempotent("at_most_once")(untold)

    class Odd:
        pass

    @idempotent("at_most_once")
    async def odd(ctx: RunContext[Bank], act: Act) -> Odd:
        await ctx.deps.pay(act)
        return Odd()

    @idempotent("at_most_once")
    async def lies(ctx: RunContext[Bank], act: Act) -> Any:
        await ctx.deps.pay(act)
        return Odd()

    with pytest.raises(ConfigError, match="cannot be stored"):
        await odd(context(bank))
    assert bank.paid == []  # it was told in time
    with pytest.raises(ConfigError, match="has acted, but"):
        await lies(context(bank))
    with pytest.raises(OutcomeUnknown):
        await lies(context(bank))


def test_a_function_that_could_not_be_told_of_its_act_is_refused() -> None:
    def plain(ctx: RunContext[Bank], act: Act) -> int:
        return act.attempt

    async def short(ctx: RunContext[Bank]) -> int:
        return 1

    decorate: Any = idempotent("at_most_once")
    for function in (plain, short):
        with pytest.raises(ConfigError, match="async def tool"):
            decorate(function)


async def test_what_a_changed_tool_cannot_read_is_said(bank: Bank) -> None:
    await refund(context(bank), "a")
    key = bank.paid[0].key
    await bank.idempotency.forget(key)
    await bank.idempotency.acts.claim(left_behind(bank, "at_most_once"), again=False)
    await bank.idempotency.settle(key, '"was a text"')
    with pytest.raises(ConfigError, match="give its acts another key"):
        await refund(context(bank), "a")


async def test_pruning_keeps_what_nobody_knows_the_outcome_of(tmp_path: Path) -> None:
    acts = SqlActs(tmp_path / "a.db")
    bank = Bank(Idempotency(acts, scope="x", now=lambda: NOON))
    await refund(context(bank), "a")
    bank.fails = [TimeoutError()]
    with pytest.raises(TimeoutError):
        await refund(context(bank), "b")
    assert await acts.prune(NOON) == 0
    assert await acts.prune(NOON + timedelta(seconds=1)) == 1
    with pytest.raises(OutcomeUnknown):
        await refund(context(bank), "b")
    await refund(context(bank), "a")
    assert len(bank.paid) == 3
    acts.close()
