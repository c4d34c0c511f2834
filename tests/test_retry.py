"""What may pass is asked again, in bounds; nothing else is."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI
from pydantic_ai import models
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider

from assay.deps import BaselineModel, ConfigError
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
)
from assay.deps.resilience.circuit import Circuit
from assay.deps.resilience.faults import Faults
from assay.deps.resilience.limiter import Limiter
from assay.deps.resilience.retry import Retry

from .asking import ASKED, ask, stream
from .faulty import WHOLE, Answer, Counted, Faulty, body, completion, delta, events, faulty
from .virtual import now, virtually

PASSING: list[type[ProviderError]] = [
    ProviderDown,
    ProviderTimeout,
    ProviderGarbled,
    StreamCutShort,
]
LASTING: list[type[ProviderError]] = [ProviderRefused, ContextTooLong, ProviderBusy]


BOTH = pytest.mark.parametrize("way", [ask, stream])
Way = Callable[[Model], Awaitable[str]]


@dataclass
class Failing:
    """Raises each of `errors` after a while, then says "yes"; keeps when it was asked."""

    errors: list[Exception] = field(default_factory=list[Exception])
    seconds: float = 0.0
    starts: list[float] = field(default_factory=list[float])

    async def parts(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.starts.append(now())
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        yield "yes"

    async def whole(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse([TextPart(text) async for text in self.parts(messages, info)])

    def model(self) -> Model:
        return FunctionModel(self.whole, stream_function=self.parts, model_name="m")


def retry(attempts: int = 4, within: float = 60.0, **more: Any) -> Retry:
    clock = asyncio.get_running_loop().time
    return Retry(attempts, within, clock=clock, chance=random.Random(7), **more)


@BOTH
@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_asked_again_until_it_has(way: Way, kind: type[ProviderError]) -> None:
    async def main() -> None:
        failing = Failing([kind("a", model_name="m"), kind("b", model_name="m")])
        assert await way(retry()(failing.model())) == "yes"
        assert len(failing.starts) == 3

    virtually(main())


@BOTH
@pytest.mark.parametrize("error", [*[k("a") for k in LASTING], KeyError("k"), TypeError("t")])
def test_what_does_not_pass_is_asked_once(way: Way, error: Exception) -> None:
    async def main() -> None:
        failing = Failing([error])
        with pytest.raises(type(error)) as e:
            await way(retry()(failing.model()))
        assert e.value is error
        assert failing.starts == [0]

    virtually(main())


def test_an_open_circuit_is_not_asked_again() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a", model_name="m")] * 9)
        clock = asyncio.get_running_loop().time
        model = retry(attempts=9)(Circuit(2, clock=clock)(failing.model()))
        with pytest.raises(CircuitOpen):
            await ask(model)
        assert len(failing.starts) == 2

    virtually(main())


@BOTH
def test_the_last_error_goes_to_the_caller_when_the_attempts_are_used_up(way: Way) -> None:
    async def main() -> None:
        errors = [ProviderDown(f"{n}", model_name="m") for n in range(5)]
        failing = Failing(list[Exception](errors))
        with pytest.raises(ProviderDown) as e:
            await way(retry(attempts=3)(failing.model()))
        assert e.value is errors[2]
        assert len(failing.starts) == 3

    virtually(main())


def test_waits_are_an_exponential_back_off_with_full_jitter() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a")] * 6)
        await ask(retry(attempts=9, first=1, longest=8)(failing.model()))
        gaps = [b - a for a, b in zip(failing.starts, failing.starts[1:], strict=False)]
        chance = random.Random(7)
        longest = (1, 2, 4, 8, 8, 8)
        assert gaps == pytest.approx([chance.uniform(0, most) for most in longest], abs=1e-5)

    virtually(main())


def test_retry_after_is_kept_to_the_second_and_never_cut() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a", status=503, retry_after=25), ProviderDown("b")])
        await ask(retry(longest=0)(failing.model()))
        assert failing.starts == [0, 25, 25]

    virtually(main())


def test_who_would_have_to_wait_too_long_is_told_at_once() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a", retry_after=61)])
        with pytest.raises(ProviderDown):
            await ask(retry(within=60)(failing.model()))
        assert now() == 0

    virtually(main())


def test_time_runs_from_the_first_fault_and_not_from_the_queue_before_it() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a", retry_after=5)], seconds=100)
        assert await ask(retry(within=5)(failing.model())) == "yes"
        assert failing.starts == [0, 105]

    virtually(main())


def test_a_cancelled_request_is_not_asked_again() -> None:
    async def main() -> None:
        failing = Failing([ProviderDown("a", retry_after=50)], seconds=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await ask(retry()(failing.model()))
        await asyncio.sleep(100)
        assert failing.starts == [0]

    virtually(main())


def test_a_stream_is_not_opened_again_once_an_event_has_reached_its_reader() -> None:
    async def main() -> None:
        asked: list[float] = []

        async def parts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
            asked.append(now())
            yield "ye"
            raise StreamCutShort("gone")

        with pytest.raises(StreamCutShort):
            await stream(retry()(FunctionModel(stream_function=parts)))
        assert len(asked) == 1

    virtually(main())


def test_every_stream_that_failed_is_closed_before_the_next_is_opened() -> None:
    async def main() -> None:
        model = Counted(Failing([ProviderDown("a")] * 2).model())
        again = retry()(model)
        async with again.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            assert model.open == 1
            assert [event async for event in answer]
        assert model.open == 0

    virtually(main())


def failure(kind: type[ProviderError], pause: float | None) -> ProviderError:
    return kind("x", model_name="m", retry_after=pause)


ERRORS = st.builds(failure, st.sampled_from([*PASSING, *LASTING]), st.none() | st.floats(0.01, 90))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ERRORS, max_size=8),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, 20.0, 60.0]),
    st.sampled_from([0.0, 2.0]),
    st.booleans(),
)
def test_there_are_never_more_attempts_or_more_time_than_allowed(
    errors: list[ProviderError], attempts: int, within: float, seconds: float, streams: bool
) -> None:
    async def main() -> None:
        failing = Failing([*errors], seconds)
        model = retry(attempts, within)(failing.model())
        (ended,) = await asyncio.gather((stream if streams else ask)(model), return_exceptions=True)
        assert ended == "yes" or ended in errors
        assert 1 <= len(failing.starts) <= attempts
        assert failing.starts[-1] <= seconds + within + 1e-6 or len(failing.starts) == 1
        # Each attempt but the last ended in something that may pass.
        met = errors[: len(failing.starts) - 1]
        assert all(isinstance(e, tuple(PASSING)) for e in met)

    virtually(main())


def test_a_baseline_and_a_model_that_is_asked_again_already_are_returned_as_they_are() -> None:
    baseline = BaselineModel("triage", str)
    assert Retry()(baseline) is baseline
    outer = WrapperModel(Retry()(Failing().model()))
    assert Retry()(outer) is outer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attempts": 0}, "0 attempts"),
        ({"within": -1.0}, "within -1"),
        ({"first": float("nan")}, "first nan"),
        ({"longest": float("inf")}, "longest inf"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Retry(**arguments)


# -- over HTTP


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    async with faulty() as found:
        yield found


class Slept:
    """Keeps how long it should have slept."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def __call__(self, seconds: float) -> None:
        self.times.append(seconds)
        self.now += seconds


def whole(client: AsyncOpenAI, slept: Slept) -> Model:
    """Return a model in all that makes it resilient, in the right order."""
    model: Model = OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))
    limiter = Limiter(clock=slept.clock, sleep=slept)
    again = Retry(clock=slept.clock, sleep=slept)
    for wrap in (Faults(within=20), Circuit(clock=slept.clock), limiter, again):
        model = wrap(model)
    return model


SORRY = body({"error": {"message": "sorry"}}, 500)
BUSY = body({"error": {"message": "slow down"}}, 429, Retry_After="7")
GOOD = body(completion())
CUT = Answer(ends="cut")


@pytest.mark.parametrize(
    ("way", "answers", "asked"),
    [
        (ask, (SORRY, SORRY, GOOD), 3),
        (ask, (CUT, body("{"), BUSY, SORRY, GOOD), 5),
        (stream, (SORRY, CUT, WHOLE), 3),
        (stream, (events(), events(ends="cut"), WHOLE), 3),
        # Real servers begin with a chunk that says whose turn it is, and no more.
        (stream, (events(delta(None), ends="cut"), WHOLE), 2),
        (stream, (events(delta(None)), WHOLE), 2),
        (stream, (events("{broken"), BUSY, WHOLE), 3),
    ],
)
async def test_a_provider_that_recovers_gives_its_answer(
    server: Faulty, way: Way, answers: tuple[Answer, ...], asked: int
) -> None:
    server.will(*answers)
    async with AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        assert await way(whole(client, Slept())) == "yes"
    assert len(server.asked) == asked


async def test_a_refusal_is_waited_for_once_and_by_the_limiter_alone(server: Faulty) -> None:
    slept = Slept()
    server.will(BUSY, GOOD)
    async with AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        assert await ask(whole(client, slept)) == "yes"
    assert slept.times == [7]


async def test_retry_after_of_a_provider_that_is_down_is_kept(server: Faulty) -> None:
    slept = Slept()
    server.will(body({"error": {"message": "soon"}}, 503, Retry_After="9"), GOOD)
    async with AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        assert await ask(whole(client, slept)) == "yes"
    assert slept.times == [9]


async def test_a_stream_that_breaks_off_midway_is_an_error_and_asked_once(server: Faulty) -> None:
    server.will(events(delta("ye"), ends="cut"))
    async with AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
        with pytest.raises(StreamCutShort):
            await stream(whole(client, Slept()))
    assert len(server.asked) == 1
