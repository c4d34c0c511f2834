"""No minute holds more requests or tokens than a provider allows, in virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.exceptions import ModelHTTPError
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
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from assay.deps import ConfigError
from assay.deps.resilience.limiter import Limiter
from assay.deps.resilience.rates import LATEST, SPAN, Window, estimate

from .asking import ASKED, ask, stream
from .narrow import ERRORS, TIMES, Narrow, Watched, in_a_minute, refusal
from .virtual import now, virtually


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
    window.settle(long_ago, 100, 2)
    window.settle(window.take(100, 10), 100, 10)
    assert window.pause(100, 1) == SPAN


def test_what_arrives_late_counts_from_its_answer_or_five_seconds_after_its_start() -> None:
    window = Window(1, "requests")
    start = window.take(0, 1)
    assert window.pause(1, 1) == LATEST + SPAN - 1
    window.settle(start, 2, 1)
    assert window.pause(2, 1) == SPAN
    window.settle(window.take(100, 1), 300, 1)
    assert window.pause(150, 1) == 100 + LATEST + SPAN - 150


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
        assert starts == [0, 1, 1 + SPAN]  # the first may have arrived with its answer

    virtually(main())


def test_a_request_that_is_larger_than_a_minute_starts_alone() -> None:
    async def main() -> None:
        starts: list[float] = []
        model = tokens_of(500, in_a_minute(tokens=100), starts)
        await asyncio.gather(
            *[model.request(ASKED, MOST, ModelRequestParameters()) for _ in range(2)]
        )
        assert starts == [0, 1 + SPAN]

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
        window.settle(window.take(time, units), time, less := min(took, units))
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


def test_a_minute_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 requests per minute would ask nothing"):
        Limiter(per_minute=0)
    with pytest.raises(ConfigError, match="-1 tokens per minute would ask nothing"):
        Limiter(tokens_per_minute=-1)
