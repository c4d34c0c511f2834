"""A provider is asked no faster than it answers, over real HTTP: what it says by 429 is heard."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from openai import AsyncOpenAI
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from assay.deps.resilience.causes import retry_after
from assay.deps.resilience.limiter import Limiter

from .asking import ask, stream
from .crowd import NOON, Crowd
from .crowd import crowd as crowd
from .narrow import load

pytestmark = pytest.mark.slow


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
