"""A provider is asked no faster than it answers: over real HTTP, and in virtual time."""

import asyncio
import json
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI
from pydantic_ai import models
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from assay.deps import BaselineModel, ConfigError
from assay.deps.causes import retry_after
from assay.deps.errors import ProviderBusy
from assay.deps.limiter import Limiter, Load
from assay.deps.rates import SPAN, Window, estimate

from .virtual import now, virtually

ASKED: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]


async def ask(model: Model) -> str:
    response = await model.request(ASKED, None, ModelRequestParameters())
    (part,) = response.parts
    assert isinstance(part, TextPart)
    return part.content


async def stream(model: Model) -> str:
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            pass
        (part,) = answer.get().parts
    assert isinstance(part, TextPart)
    return part.content


def load(limiter: Limiter) -> Load:
    (found,) = limiter.snapshot()
    return found


def refusal(seconds: object = None, status: int = 429, body: object = None) -> ModelHTTPError:
    headers = None if seconds is None else {"Retry-After": str(seconds)}
    return ModelHTTPError(status, "narrow", body, headers=headers)


def limited(most: int = 10, *, patience: float = 60.0, seed: int = 7) -> Limiter:
    clock = asyncio.get_running_loop().time
    return Limiter(most, patience=patience, clock=clock, chance=random.Random(seed))


@dataclass
class Narrow:
    """A provider that answers after `seconds`, and first raises each of `refusals`.

    Attributes:
        starts: When requests arrived, and how many were under way with each.
    """

    refusals: list[Exception] = field(default_factory=list[Exception])
    seconds: float = 1.0
    starts: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    under_way: int = 0

    async def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        async for text in self.answer_in_parts(messages, info):
            return ModelResponse(parts=[TextPart(text)])
        raise AssertionError

    async def answer_in_parts(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str]:
        self.under_way += 1
        self.starts.append((now(), self.under_way))
        error = self.refusals.pop(0) if self.refusals else None
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if error is not None:
            raise error
        yield "yes"

    def model(self) -> Model:
        return FunctionModel(self.answer, stream_function=self.answer_in_parts, model_name="narrow")


class Watched(WrapperModel):
    """Calls `on_start` in the moment in which a request starts, before anything else happens."""

    def __init__(self, wrapped: Model, on_start: Callable[[], None]) -> None:
        super().__init__(wrapped)
        self._on_start = on_start

    async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self._on_start()
        return await super().request(*args, **kwargs)

    @asynccontextmanager
    async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[StreamedResponse]:
        self._on_start()
        async with super().request_stream(*args, **kwargs) as answer:
            yield answer


def test_no_more_are_under_way_than_the_limit() -> None:
    async def main() -> None:
        narrow, limiter = Narrow(), limited(3)
        model = limiter(narrow.model())
        assert await asyncio.gather(*[ask(model) for _ in range(8)]) == ["yes"] * 8
        assert narrow.starts == [
            *[(0.0, 1), (0.0, 2), (0.0, 3)],
            *[(1.0, 1), (1.0, 2), (1.0, 3)],
            *[(2.0, 1), (2.0, 2)],
        ]
        assert load(limiter) == Load(
            provider="function", limit=3, under_way=0, halvings=0, waited=3 * 1.0 + 2 * 2.0
        )

    virtually(main())


def test_nothing_starts_before_the_moment_that_retry_after_names() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(7)]), limited(2)
        model = limiter(narrow.model())
        assert await asyncio.gather(*[ask(model) for _ in range(4)]) == ["yes"] * 4
        # At 0 two started and one was refused at 1: until 8 nobody starts, and then one at a time.
        assert [at for at, _ in narrow.starts] == [0, 0, 8, 9, 9]
        assert load(limiter).halvings == 1

    virtually(main())


def test_a_limit_halves_once_for_all_that_were_under_way_and_rises_with_success() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(1)] * 5), limited(8)
        model = limiter(narrow.model())
        jobs = [asyncio.create_task(ask(model)) for _ in range(30)]
        seen: list[tuple[int, int]] = []
        for _ in range(7):
            await asyncio.sleep(0.5)
            seen.append((load(limiter).limit, load(limiter).under_way))
            await asyncio.sleep(0.5)
        assert seen == [(8, 8), (4, 0), (4, 4), (5, 5), (6, 6), (7, 7), (8, 5)]
        await asyncio.gather(*jobs)
        assert (load(limiter).limit, load(limiter).halvings) == (8, 1)

    virtually(main())


def test_a_limit_never_falls_below_one() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(1)] * 9), limited(4)
        assert await ask(limiter(narrow.model())) == "yes"
        assert load(limiter).halvings == 9
        assert load(limiter).limit == 2  # one, and one success since
        assert len(narrow.starts) == 10

    virtually(main())


@pytest.mark.parametrize("status", [429, 529])
def test_without_retry_after_it_backs_off_with_full_jitter(status: int) -> None:
    async def main() -> list[float]:
        narrow = Narrow([refusal(status=status)] * 8, seconds=0.0)
        await ask(limited(patience=500)(narrow.model()))
        times = [at for at, _ in narrow.starts]
        return [b - a for a, b in pairwise(times)]

    gaps = virtually(main())
    chance = random.Random(7)
    longest = [1, 2, 4, 8, 16, 32, 32, 32]
    assert gaps == pytest.approx([chance.uniform(0, most) for most in longest], abs=1e-5)


def test_a_success_ends_a_back_off() -> None:
    async def main() -> float:
        narrow, limiter = Narrow([refusal()] * 3, seconds=0.0), limited()
        model = limiter(narrow.model())
        await ask(model)
        narrow.refusals = [refusal()]
        await ask(model)
        return narrow.starts[-1][0] - narrow.starts[-2][0]

    chance = random.Random(7)
    *_, last = [chance.uniform(0, most) for most in (1, 2, 4, 1)]
    assert virtually(main()) == pytest.approx(last, abs=1e-5)


def test_the_longest_of_several_pauses_counts() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(9), refusal(2)]), limited(2)
        model = limiter(narrow.model())
        await asyncio.gather(ask(model), ask(model))
        assert [at for at, _ in narrow.starts] == [0, 0, 10, 11]

    virtually(main())


def test_patience_ends_and_the_error_goes_to_the_caller() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(20)] * 9, seconds=0.0), limited(patience=60)
        with pytest.raises(ModelHTTPError) as e:
            await ask(limiter(narrow.model()))
        assert (e.value.status_code, now()) == (429, 60)
        assert [at for at, _ in narrow.starts] == [0, 20, 40, 60]
        assert load(limiter).under_way == 0

    virtually(main())


def test_who_would_have_to_wait_too_long_is_told_at_once_and_for_how_long() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(3600)], seconds=1.0), limited(1, patience=60)
        model = limiter(narrow.model())
        errors = await asyncio.gather(*[ask(model) for _ in range(3)], return_exceptions=True)
        assert now() == 1
        assert [type(e) for e in errors] == [ModelHTTPError, ProviderBusy, ProviderBusy]
        assert len(narrow.starts) == 1
        assert [e.retry_after for e in errors if isinstance(e, ProviderBusy)] == [3600] * 2
        await asyncio.sleep(3600)
        assert await ask(model) == "yes"

    virtually(main())


@pytest.mark.parametrize(
    "error",
    [
        refusal(5, status=503),
        refusal(5, status=400),
        ModelAPIError("narrow", "no route"),
        refusal(5, body={"code": "insufficient_quota", "message": "pay"}),
        ValueError("a bug"),
    ],
    ids=["503", "400", "connection", "out of credit", "bug"],
)
@pytest.mark.parametrize("way", [ask, stream])
def test_any_other_error_passes_untouched_and_moves_nothing(
    error: Exception, way: Callable[[Model], Awaitable[str]]
) -> None:
    async def main() -> None:
        narrow, limiter = Narrow([error]), limited(1)
        model = limiter(narrow.model())
        with pytest.raises(type(error)) as e:
            await way(model)
        assert e.value is error
        assert load(limiter) == Load(
            provider="function", limit=1, under_way=0, halvings=0, waited=0.0
        )
        assert await way(model) == "yes"
        assert now() == 2

    virtually(main())


def test_requests_start_in_the_order_they_came_and_a_refused_one_keeps_its_place() -> None:
    async def main() -> None:
        asked: list[int] = []

        def numbered(n: int) -> Model:
            async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
                asked.append(n)
                await asyncio.sleep(1)
                if asked == [0]:
                    raise refusal(2)
                return ModelResponse(parts=[TextPart("yes")])

            return limiter(FunctionModel(answer))

        limiter = limited(1)
        jobs = [asyncio.create_task(ask(numbered(n))) for n in range(6)]
        await asyncio.sleep(0.5)
        jobs[3].cancel()
        await asyncio.wait(jobs)
        assert asked == [0, 0, 1, 2, 4, 5]

    virtually(main())


def test_whoever_comes_again_goes_to_the_end_of_the_queue() -> None:
    async def main() -> None:
        asked: list[str] = []
        limiter = limited(1)

        async def twice(name: str) -> None:
            model = limiter(Watched(Narrow().model(), lambda: asked.append(name)))
            for _ in range(2):
                await ask(model)

        await asyncio.gather(twice("a"), twice("b"), twice("c"))
        assert asked == ["a", "b", "c", "a", "b", "c"]

    virtually(main())


# -- streams


def test_a_stream_holds_its_slot_while_it_is_open() -> None:
    async def main() -> None:
        narrow, limiter = Narrow(seconds=0.0), limited(1)
        model = limiter(narrow.model())
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            other = asyncio.create_task(ask(model))
            await asyncio.sleep(5)
            assert load(limiter).under_way == 1
            assert not other.done()
            assert [event async for event in answer]
        assert await other == "yes"
        assert [at for at, _ in narrow.starts] == [0, 5]
        assert load(limiter).under_way == 0

    virtually(main())


def test_a_stream_that_is_refused_when_opened_is_opened_again() -> None:
    async def main() -> None:
        narrow, limiter = Narrow([refusal(3)]), limited(4)
        assert await stream(limiter(narrow.model())) == "yes"
        assert [at for at, _ in narrow.starts] == [0, 4]
        assert load(limiter).limit == 2

    virtually(main())


@pytest.mark.parametrize(("name", "halvings"), [("narrow", 1), ("another", 0)])
def test_a_refusal_within_a_stream_slows_down_but_is_not_repeated(name: str, halvings: int) -> None:
    async def main() -> None:
        narrow, limiter = Narrow(), limited(4)
        model = limiter(narrow.model())
        with pytest.raises(ModelHTTPError):
            async with model.request_stream(ASKED, None, ModelRequestParameters()):
                raise ModelHTTPError(529, name)
        assert len(narrow.starts) == 1
        assert (load(limiter).halvings, load(limiter).under_way) == (halvings, 0)

    virtually(main())


def test_a_stream_that_is_left_early_or_by_an_error_gives_its_slot_back() -> None:
    async def main() -> None:
        limiter = limited(1)
        model = limiter(Narrow().model())
        async with AsyncExitStack() as left:
            await left.enter_async_context(
                model.request_stream(ASKED, None, ModelRequestParameters())
            )
            assert load(limiter).under_way == 1
        with pytest.raises(KeyError):
            async with model.request_stream(ASKED, None, ModelRequestParameters()):
                raise KeyError
        assert load(limiter) == Load(
            provider="function", limit=1, under_way=0, halvings=0, waited=0.0
        )

    virtually(main())


# -- laws


@dataclass(frozen=True)
class Job:
    """A request: when it comes, how long it takes, when it is cancelled, how it is made."""

    comes: float
    cancelled_after: float | None
    streams: bool


TIMES = st.integers(0, 40).map(lambda n: n / 4)
JOBS = st.lists(st.builds(Job, TIMES, st.none() | TIMES, st.booleans()), min_size=1, max_size=25)
ERRORS = st.one_of(
    st.none(),
    st.builds(refusal, st.none() | st.integers(0, 30), st.sampled_from([429, 529, 500])),
)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), JOBS, st.lists(ERRORS, max_size=40), st.sampled_from([0.0, 0.25, 3.0]))
def test_limits_hold_and_every_slot_comes_back(
    most: int, jobs: list[Job], errors: list[ModelHTTPError | None], seconds: float
) -> None:
    async def main() -> None:
        limiter, planned = limited(most, patience=20), iter(errors)
        starts: list[Load] = []

        async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
            await asyncio.sleep(seconds)
            if (error := next(planned, None)) is not None:
                raise error
            yield "yes"

        async def whole(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            return ModelResponse(parts=[TextPart(t) async for t in answer(messages, info)])

        inner = FunctionModel(whole, stream_function=answer)
        model = limiter(Watched(inner, lambda: starts.append(load(limiter))))

        async def run(job: Job) -> str:
            await asyncio.sleep(job.comes)
            async with asyncio.timeout(job.cancelled_after):
                return await (stream if job.streams else ask)(model)

        ended = await asyncio.gather(*map(run, jobs), return_exceptions=True)
        assert all(e == "yes" or isinstance(e, (ModelAPIError, TimeoutError)) for e in ended)
        assert load(limiter).under_way == 0
        # Every slot is back: as many as the limit says can be under way at once again.
        await asyncio.sleep(100)
        planned, last = iter([]), load(limiter).limit
        assert await asyncio.gather(*[ask(model) for _ in range(last)]) == ["yes"] * last
        assert starts[-1].under_way == last
        assert all(1 <= at.under_way <= at.limit <= most for at in starts)

    virtually(main())


# -- in a minute


def in_a_minute(per_minute: int | None = None, tokens: int | None = None) -> Limiter:
    clock = asyncio.get_running_loop().time
    return Limiter(50, per_minute=per_minute, tokens_per_minute=tokens, clock=clock)


def test_no_more_start_in_a_minute_than_allowed_and_in_the_order_they_came() -> None:
    async def main() -> None:
        narrow, asked = Narrow(seconds=0.0), list[int]()
        limiter = in_a_minute(3)

        async def numbered(number: int) -> None:
            await ask(limiter(Watched(narrow.model(), lambda: asked.append(number))))

        await asyncio.gather(*[numbered(n) for n in range(8)])
        assert [at for at, _ in narrow.starts] == [0, 0, 0, SPAN, SPAN, SPAN, 2 * SPAN, 2 * SPAN]
        assert asked == list(range(8))

    virtually(main())


def test_a_request_that_is_made_again_counts_again() -> None:
    async def main() -> None:
        narrow = Narrow([refusal(1)], seconds=0.0)
        model = in_a_minute(2)(narrow.model())
        await ask(model)
        await ask(model)
        assert [at for at, _ in narrow.starts] == [0, 1, SPAN]

    virtually(main())


def test_waiting_for_a_minute_to_pass_costs_no_patience() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        limiter = Limiter(1, per_minute=1, patience=5, clock=clock)
        narrow = Narrow([refusal(2)], seconds=0.0)
        model = limiter(narrow.model())
        first, second = asyncio.create_task(ask(model)), asyncio.create_task(ask(model))
        assert await first == "yes"
        narrow.refusals = [refusal(2)]  # for the second, which has waited for two minutes then
        assert await second == "yes"
        assert [at for at, _ in narrow.starts] == [0, SPAN, 2 * SPAN, 3 * SPAN]

    virtually(main())


def test_what_is_known_after_its_minute_changes_nothing() -> None:
    window = Window(10, "tokens")
    long_ago = window.take(0, 5)
    assert window.pause(100, 1) == 0
    window.settle(long_ago, 2)
    window.take(100, 10)
    assert window.pause(100, 1) == SPAN


def test_who_is_cancelled_while_a_minute_passes_takes_nothing_of_it() -> None:
    async def main() -> None:
        narrow = Narrow(seconds=0.0)
        model = in_a_minute(1, tokens=1000)(narrow.model())
        await ask(model)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await ask(model)
        assert await ask(model) == "yes"
        assert [at for at, _ in narrow.starts] == [0, SPAN]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())


MOST: ModelSettings = {"max_tokens": 400}


def tokens_of(total: int, limiter: Limiter, starts: list[float], seconds: float = 1.0) -> Model:
    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        starts.append(now())
        await asyncio.sleep(seconds)
        usage = RequestUsage(input_tokens=total - 10, output_tokens=10)
        return ModelResponse(parts=[TextPart("yes")], usage=usage)

    return limiter(FunctionModel(answer))


def test_what_a_request_may_take_is_kept_free_until_it_is_known_what_it_took() -> None:
    async def main() -> None:
        starts: list[float] = []
        model = tokens_of(20, in_a_minute(tokens=1000), starts)
        await asyncio.gather(
            *[model.request(ASKED, MOST, ModelRequestParameters()) for _ in range(5)]
        )
        # Two may take 401 each; what they took, 20, lets the others in without waiting a minute.
        assert starts == [0, 0, 1, 1, 2]

    virtually(main())


def test_tokens_that_were_not_expected_count_when_they_are_known() -> None:
    async def main() -> None:
        starts: list[float] = []
        model = tokens_of(600, in_a_minute(tokens=1000), starts)
        for _ in range(3):
            await ask(model)
        assert starts == [0, 1, SPAN]

    virtually(main())


def test_a_request_that_is_larger_than_a_minute_starts_alone() -> None:
    async def main() -> None:
        starts: list[float] = []
        model = tokens_of(500, in_a_minute(tokens=100), starts)
        await asyncio.gather(
            *[model.request(ASKED, MOST, ModelRequestParameters()) for _ in range(2)]
        )
        assert starts == [0, SPAN]

    virtually(main())


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 5),
    st.lists(st.tuples(TIMES, st.none() | TIMES, st.booleans()), min_size=1, max_size=25),
    st.lists(ERRORS, max_size=10),
)
def test_no_minute_ever_holds_more_requests_than_allowed(
    most: int,
    jobs: list[tuple[float, float | None, bool]],
    errors: list[ModelHTTPError | None],
) -> None:
    async def main() -> None:
        narrow = Narrow([e for e in errors if e is not None])
        model = in_a_minute(most, tokens=100_000)(narrow.model())

        async def run(comes: float, leaves: float | None, streams: bool) -> str:
            await asyncio.sleep(comes * 10)
            async with asyncio.timeout(leaves):
                return await (stream if streams else ask)(model)

        await asyncio.gather(*[run(*job) for job in jobs], return_exceptions=True)
        starts = [at for at, _ in narrow.starts]
        assert all(sum(begin <= at < begin + 60 for at in starts) <= most for begin in starts)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())


@given(st.integers(1, 20), st.lists(st.tuples(TIMES, st.integers(0, 20), st.integers(0, 20))))
def test_a_window_never_holds_more_units_than_its_size(
    most: int, jobs: list[tuple[float, int, int]]
) -> None:
    window, time, started = Window(most, "tokens"), 0.0, list[tuple[float, int]]()
    for later, guess, took in jobs:
        time += later
        units = min(guess, most)
        while (pause := window.pause(time, units)) > 0:
            time += pause
        window.settle(window.take(time, units), less := min(took, units))
        started.append((time, less))
    for begin, _ in started:
        assert sum(units for at, units in started if begin <= at < begin + SPAN) <= most


def test_an_estimate_reads_texts_calls_and_files() -> None:
    image = BinaryContent(b"x" * 50_000, media_type="image/png")
    asked: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(["a" * 400, image])], instructions="b" * 40),
        ModelResponse(parts=[ToolCallPart("t", {"a": "c" * 72}), TextPart("d" * 80)]),
        ModelRequest(parts=[ToolReturnPart("t", "e" * 120, "1")], instructions="b" * 40),
    ]
    assert estimate(asked, None) == 100 + 1000 + 20 + 20 + 30 + 10
    assert estimate(asked, {"max_tokens": 7}) == estimate(asked, None) + 7


# -- what is wrapped, and what it is called


def test_a_baseline_is_returned_as_it_is() -> None:
    limiter, baseline = Limiter(), BaselineModel("triage", str)
    assert limiter(baseline) is baseline
    wrapped = WrapperModel(baseline)
    assert limiter(wrapped) is wrapped
    assert limiter.snapshot() == ()


def test_a_model_is_limited_once_by_one_limiter() -> None:
    limiter, model = Limiter(), Narrow().model()
    once = limiter(model)
    outer = WrapperModel(once)
    assert limiter(outer) is outer
    assert Limiter()(once) is not once


def test_models_of_one_provider_share_a_limit_and_others_do_not() -> None:
    limiter = Limiter(5)

    def at(name: str, url: str) -> Model:
        return OpenAIChatModel(name, provider=OpenAIProvider(base_url=url, api_key="x"))

    one, two = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    for model in (at("agent", one), WrapperModel(at("judge", one)), at("agent", two)):
        limiter(model)
    limiter(FallbackModel(at("agent", one), at("agent", two)))
    assert [found.provider for found in limiter.snapshot()] == [
        f"fallback:openai,openai {one}/",
        f"openai {one}/",
        f"openai {two}/",
    ]


@pytest.mark.parametrize(
    ("most", "patience", "message"),
    [(0, 1.0, "at most 0"), (1, -1.0, "patience of -1"), (1, float("nan"), "patience of nan")],
)
def test_a_limiter_that_makes_no_sense_is_refused(most: int, patience: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Limiter(most, patience=patience)


def test_a_minute_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 requests per minute would ask nothing"):
        Limiter(per_minute=0)
    with pytest.raises(ConfigError, match="-1 tokens per minute would ask nothing"):
        Limiter(tokens_per_minute=-1)


def test_one_limiter_serves_one_loop_after_another() -> None:
    limiter = Limiter(1)
    for _ in range(2):
        model = limiter(Narrow(seconds=0.0).model())

        async def both(model: Model = model) -> None:
            await asyncio.gather(ask(model), ask(model))

        virtually(both())
    assert load(limiter).under_way == 0


NOON = "Tue, 03 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": "Tue, 03 Nov 2026 12:00:09 GMT", "Date": NOON}, 9),
        ({"Retry-After": "Tue, 03 Nov 2026 12:00:09 GMT"}, 4),  # the clock says five past
        ({"Retry-After": "Tue, 03 Nov 2026 12:00:09 -0000", "Date": NOON}, 9),
        ({"Retry-After": "Tue, 03 Nov 2026 11:00:00 GMT", "Date": NOON}, None),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Tue, 99 Nov 2026 12:00:00 GMT"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    headers: dict[str, str] | None, seconds: float | None
) -> None:
    error = ModelHTTPError(429, "m", headers=headers)
    assert retry_after(error, lambda: datetime(2026, 11, 3, 12, 0, 5, tzinfo=UTC)) == seconds


# -- over HTTP


class Crowd:
    """OpenAI's chat protocol on loopback, answering in phases: each waits until it is complete.

    Attributes:
        refused: From a phase, counted from 0, to how many of it get a 429 with `headers`.
        on_phase: Called while all requests of a phase wait for their answers.
        requests: Those of complete phases.
    """

    def __init__(self) -> None:
        self.refused: dict[int, int] = {}
        self.headers: dict[str, str] = {}
        self.on_phase: Callable[[], object] = lambda: None
        self.requests = 0
        self._phase = 0
        crowd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return NOON

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if crowd.meet():
                    self.send(429, "application/json", '{"error": {"message": "slow down"}}')
                elif body.get("stream"):
                    self.send(200, "text/event-stream", _events())
                else:
                    self.send(200, "application/json", json.dumps(_completion("message")))

            def send(self, status: int, kind: str, text: str) -> None:
                self.send_response(status)
                for name, value in crowd.headers.items() if status == 429 else ():
                    self.send_header(name, value)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def begin(self, *phases: int) -> None:
        """Complete phases of so many requests; those after them are of one request each."""
        self._phases = iter(phases)
        self._gate = threading.Barrier(next(self._phases), self._complete)

    def meet(self) -> bool:
        """Wait for the others of the phase; tell whether this one is refused."""
        gate, phase = self._gate, self._phase
        return gate.wait(timeout=20) < self.refused.get(phase, 0)

    def _complete(self) -> None:
        self.requests += self._gate.parties
        self.on_phase()
        # Whoever comes from now on belongs to the next phase.
        self._gate = threading.Barrier(next(self._phases, 1), self._complete)
        self._phase += 1

    def __enter__(self) -> "Crowd":
        self.begin(1)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _completion(part: str) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion" if part == "message" else "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, part: {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def _events() -> str:
    return f"data: {json.dumps(_completion('delta'))}\n\ndata: [DONE]\n\n"


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    with Crowd() as server:
        yield server


class Skips:
    """A clock that only waiting moves, so that nobody waits for real."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def over_http(client: AsyncOpenAI) -> Model:
    return OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))


def client_of(crowd: Crowd, retries: int = 0) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=crowd.url, api_key="x", max_retries=retries)


async def test_a_server_sees_concurrency_halve_and_rise_again(crowd: Crowd) -> None:
    time = Skips()
    limiter = Limiter(8, clock=time, sleep=time.sleep)
    seen: list[tuple[int, int]] = []
    crowd.on_phase = lambda: seen.append((load(limiter).under_way, load(limiter).limit))
    crowd.begin(8, 4, 5, 6)  # each phase is the limit at that time: a smaller one never completes
    crowd.refused, crowd.headers = {0: 8}, {"Retry-After": "1"}
    async with client_of(crowd) as client:
        model = limiter(over_http(client))
        assert await asyncio.gather(*[ask(model) for _ in range(4 + 5 + 6)]) == ["yes"] * 15
    assert seen == [(8, 8), (4, 4), (5, 5), (6, 6)]
    assert (crowd.requests, load(limiter).halvings) == (8 + 15, 1)


@pytest.mark.parametrize("way", [ask, stream])
@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "9"},
        {"Retry-After": "Tue, 03 Nov 2026 12:00:09 GMT"},
    ],
    ids=["seconds", "date"],
)
async def test_retry_after_is_honoured_over_http(
    crowd: Crowd, way: Callable[[Model], Awaitable[str]], headers: dict[str, str]
) -> None:
    time = Skips()
    limiter = Limiter(clock=time, sleep=time.sleep)
    crowd.refused, crowd.headers = {0: 1}, headers
    async with client_of(crowd) as client:
        assert await way(limiter(over_http(client))) == "yes"
    assert time.slept == [9]
    assert (crowd.requests, load(limiter).halvings) == (2, 1)


async def test_an_sdk_makes_a_refused_request_twice_more_before_it_is_seen(crowd: Crowd) -> None:
    time = Skips()
    limiter = Limiter(clock=time, sleep=time.sleep)
    crowd.refused, crowd.headers = {0: 1, 1: 1, 2: 1}, {"Retry-After": "0.01"}
    async with client_of(crowd, retries=2) as client:
        assert await ask(limiter(over_http(client))) == "yes"
    assert (crowd.requests, load(limiter).halvings, time.slept) == (4, 1, [0.01])
