"""A provider that fails and fails is left alone for a while, and then tried by one request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel

from assay.deps import BaselineModel, ConfigError
from assay.deps.errors import (
    CircuitOpen,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
)
from assay.deps.resilience.circuit import Circuit
from assay.deps.resilience.limiter import Limiter

from .asking import ASKED, ask, stream
from .virtual import now, virtually

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
DOWN = ProviderDown("down", model_name="m")


@dataclass
class Provider:
    """Does what it is told when it is asked: raises, or says "yes", after a while."""

    error: Exception | None = None
    seconds: float = 0.0
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def parts(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.asked += 1
        error = self.error
        await asyncio.sleep(self.seconds)
        if error is not None:
            raise error
        yield "yes"

    async def whole(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse([TextPart(text) async for text in self.parts(messages, info)])

    def model(self) -> Model:
        return FunctionModel(self.whole, stream_function=self.parts, model_name="m")


def circuit(failures: int = 3, pause: float = 30.0) -> Circuit:
    clock = asyncio.get_running_loop().time
    return Circuit(failures, pause, clock=clock, now=lambda: NOON + timedelta(seconds=clock()))


async def fails(model: Model, kind: type[Exception] = ProviderDown, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(kind) as e:
            await ask(model)
        assert type(e.value) is kind


@pytest.mark.parametrize("way", [ask, stream])
@pytest.mark.parametrize("kind", [ProviderDown, ProviderGarbled])
def test_failures_in_a_row_open_it_and_one_that_is_answered_closes_it(
    way: Callable[[Model], Awaitable[str]], kind: type[ProviderError]
) -> None:
    async def main() -> None:
        provider, breaker = Provider(kind("x", model_name="m")), circuit()
        model = breaker(provider.model())
        for _ in range(3):
            with pytest.raises(kind):
                await way(model)
        with pytest.raises(CircuitOpen, match="not asked before 12:00:30 UTC") as e:
            await way(model)
        assert (e.value.until, e.value.retry_after) == (NOON + timedelta(seconds=30), 30)
        assert (provider.asked, breaker.snapshot()) == (3, {"function": "open"})
        await asyncio.sleep(30)
        provider.error = None
        assert await way(model) == "yes"
        assert breaker.snapshot() == {"function": "closed"}

    virtually(main())


@pytest.mark.parametrize(
    "error", [None, ProviderRefused("no", model_name="m"), ProviderBusy("b", model_name="m")]
)
def test_an_answer_and_be_it_a_refusal_ends_a_row(error: Exception | None) -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit()(provider.model())
        for _ in range(4):
            provider.error = DOWN
            await fails(model, times=2)
            provider.error = error
            await asyncio.gather(ask(model), return_exceptions=True)
        assert provider.asked == 12

    virtually(main())


def test_a_bug_and_a_cancelled_request_count_for_nothing() -> None:
    async def main() -> None:
        provider = Provider(KeyError("k"))
        model = circuit(failures=1)(provider.model())
        await fails(model, KeyError, times=5)
        provider.seconds = 100
        provider.error = DOWN
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ask(model)
        provider.seconds = 0
        await fails(model)
        await fails(model, CircuitOpen)

    virtually(main())


def test_one_request_alone_tries_a_provider_again() -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit(failures=1)(provider.model())
        await fails(model)
        await asyncio.sleep(30)
        provider.error, provider.seconds = None, 5
        probe = asyncio.create_task(ask(model))
        await asyncio.sleep(1)
        with pytest.raises(CircuitOpen, match="while one request tries it"):
            await ask(model)
        assert await probe == "yes"
        assert await ask(model) == "yes"
        assert provider.asked == 3

    virtually(main())


def test_a_try_that_fails_opens_it_for_another_while() -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit(failures=3)(provider.model())
        await fails(model, times=3)
        await asyncio.sleep(30)
        await fails(model)
        await fails(model, CircuitOpen)
        await asyncio.sleep(29)
        await fails(model, CircuitOpen)
        await asyncio.sleep(1)
        await fails(model)
        assert provider.asked == 5

    virtually(main())


def test_a_try_that_is_cancelled_leaves_the_try_to_the_next() -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit(failures=1)(provider.model())
        await fails(model)
        await asyncio.sleep(30)
        provider.error, provider.seconds = None, 100
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ask(model)
        provider.seconds = 0
        assert await ask(model) == "yes"

    virtually(main())


def test_what_began_before_it_opened_neither_closes_it_nor_keeps_it_open() -> None:
    async def main() -> None:
        provider, breaker = Provider(None, seconds=10), circuit(failures=1)
        model = breaker(provider.model())
        slow = asyncio.create_task(ask(model))
        await asyncio.sleep(1)
        provider.error, provider.seconds = DOWN, 38  # fails at 39, when the circuit is being tried
        late = asyncio.create_task(ask(model))
        await asyncio.sleep(1)
        provider.seconds = 0
        await fails(model)  # opens it at 2, until 32
        assert await slow == "yes"
        assert breaker.snapshot() == {"function": "open"}
        await asyncio.sleep(25)
        provider.error, provider.seconds = None, 5
        probe = asyncio.create_task(ask(model))
        await asyncio.gather(late, return_exceptions=True)
        assert breaker.snapshot() == {"function": "probing"}
        assert await probe == "yes"
        assert breaker.snapshot() == {"function": "closed"}

    virtually(main())


def test_the_error_of_another_request_in_a_streams_body_is_not_held_against_it() -> None:
    async def main() -> None:
        model = circuit(failures=1)(Provider().model())
        with pytest.raises(ProviderDown):
            async with model.request_stream(ASKED, None, ModelRequestParameters()):
                raise ProviderDown("of another", model_name="another")
        assert await ask(model) == "yes"

    virtually(main())


def test_those_who_wait_for_a_slot_fail_at_once_and_are_not_counted_in_their_minute() -> None:
    async def main() -> None:
        provider = Provider(DOWN, seconds=1)
        clock = asyncio.get_running_loop().time
        limiter = Limiter(1, per_minute=3, clock=clock)
        model = limiter(circuit(failures=2, pause=5)(provider.model()))
        ended = await asyncio.gather(*[ask(model) for _ in range(9)], return_exceptions=True)
        assert [type(e) for e in ended] == [ProviderDown] * 2 + [CircuitOpen] * 7
        assert (provider.asked, now()) == (2, 2)
        await asyncio.sleep(5)
        provider.error = None
        assert await ask(model) == "yes"  # the third of its minute
        assert now() == 8

    virtually(main())


def test_models_of_one_provider_share_a_circuit_and_are_wrapped_once() -> None:
    one, baseline = Circuit(), BaselineModel("triage", str)
    assert one(baseline) is baseline
    model = one(Provider().model())
    outer = WrapperModel(model)
    assert one(outer) is outer
    one(Provider().model())
    assert one.snapshot() == {"function": "closed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "after 0 failures"), ((1, 0.0), "open for 0.0"), ((1, float("nan")), "open for nan")],
)
def test_a_circuit_that_makes_no_sense_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Circuit(*arguments)


# -- laws


FAILURES, PAUSE = 3, 10.0


class Machine(RuleBasedStateMachine):
    """Compares a circuit with what its description says, request by request.

    A request is under way between its `begin` and its end, so that they may overlap.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.ends: dict[int, tuple[Any, Any]] = {}
        self.rows: dict[int, int] = {}
        self.count = 0
        self.row = 0
        self.open_until: float | None = None
        self.probe: int | None = None
        self.said_nothing: set[int] = set()
        self.circuit = Circuit(FAILURES, PAUSE, clock=lambda: self.time, now=lambda: NOON)
        self.loop = asyncio.new_event_loop()
        self.model = self.circuit(FunctionModel(self.answer, model_name="m"))

    async def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        waiting: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.started = waiting
        if (error := await waiting) is not None:
            raise error
        return ModelResponse([TextPart("yes")])

    def spin(self) -> None:
        for _ in range(8):
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule()
    def begin(self) -> None:
        self.started: asyncio.Future[Exception | None] | None = None
        task = self.loop.create_task(ask(self.model))
        self.spin()
        may = self.open_until is None or (self.time >= self.open_until and self.probe is None)
        assert (self.started is not None) is may
        if self.started is None:
            assert isinstance(task.exception(), CircuitOpen)
            return
        self.count += 1
        self.ends[self.count] = (task, self.started)
        self.rows[self.count] = self.row
        if self.open_until is not None:
            self.probe = self.count

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), how=st.sampled_from(["well", "refused", "down", "cancelled"]))
    def end(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.ends)))
        task, waiting = self.ends.pop(number)
        errors = {"well": None, "refused": ProviderRefused("r", model_name="m"), "down": DOWN}
        if how == "cancelled":
            task.cancel()
        else:
            waiting.set_result(errors[how])
        self.spin()
        assert task.done()
        if not task.cancelled():
            task.exception()
        self.learn(number, how)

    def learn(self, number: int, how: str) -> None:
        probed = number == self.probe
        if probed:
            self.probe = None
        if number in self.said_nothing or how == "cancelled":
            return
        if how == "down" and self.rows[number] < self.row and not probed:
            return  # it was under way when another one failed: one blip
        self.row = self.row + 1 if how == "down" else 0
        if how == "down" and (probed or self.row >= FAILURES):
            self.open_until = self.time + PAUSE
            self.said_nothing.update(self.ends)
        elif probed:
            self.open_until = None
            self.said_nothing.update(self.ends)

    @invariant()
    def it_says_what_it_is(self) -> None:
        state = "closed" if self.open_until is None else "probing" if self.probe else "open"
        assert self.circuit.snapshot() == {"function": state}

    def teardown(self) -> None:
        for task, _ in self.ends.values():
            task.cancel()
        self.spin()
        self.loop.close()


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_a_circuit_is_what_its_description_says = Machine.TestCase


def test_a_blip_that_cuts_off_many_at_once_is_one_failure() -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit(5, pause=10)(provider.model())
        lost = await asyncio.gather(*[ask(model) for _ in range(40)], return_exceptions=True)
        assert {type(error) for error in lost} == {type(DOWN)}
        provider.error = None
        assert await ask(model) == "yes"

    virtually(main())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40))
def test_a_dead_provider_is_asked_no_more_than_once_in_a_pause(
    failures: int, requests: int
) -> None:
    async def main() -> None:
        provider = Provider(DOWN)
        model = circuit(failures, pause=10)(provider.model())
        for _ in range(requests):
            await asyncio.gather(ask(model), return_exceptions=True)
            await asyncio.sleep(1)
        assert provider.asked <= failures + now() / 10

    virtually(main())
