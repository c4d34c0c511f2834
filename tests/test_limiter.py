"""As many requests are under way as a provider bears, in the order in which they came: in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider

from assay.deps import BaselineModel, ConfigError
from assay.deps.errors import ProviderBusy
from assay.deps.resilience.limiter import Limiter, Load

from .asking import ASKED, ask, stream
from .narrow import ERRORS, TIMES, Narrow, Watched, limited, load, refusal
from .virtual import now, virtually


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


JOBS = st.lists(st.builds(Job, TIMES, st.none() | TIMES, st.booleans()), min_size=1, max_size=25)


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


def test_one_limiter_serves_one_loop_after_another() -> None:
    limiter = Limiter(1)
    for _ in range(2):
        model = limiter(Narrow(seconds=0.0).model())

        async def both(model: Model = model) -> None:
            await asyncio.gather(ask(model), ask(model))

        virtually(both())
    assert load(limiter).under_way == 0
