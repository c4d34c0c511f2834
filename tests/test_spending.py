"""What may be spent is reserved before it is asked for: a request that may not fit is not made."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from assay.deps import BaselineModel, ConfigError, Endpoint, Models, by_name
from assay.deps.errors import AssayError, BudgetSpent, NotFound
from assay.deps.layer import Asked
from assay.deps.resilience.layers import resilient
from assay.deps.spending import Allowance
from assay.deps.spending.caps import NOTHING, Amount, Cap
from assay.deps.spending.ledger import Ledger, MemoryLedger
from assay.deps.spending.ledger_sql import SqlLedger

from .accounts import ASKED, NOON, PRICE, TOLD, Clock, Says, allowed, ask, stood, stream
from .loopback import Provider

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    with closing(SqlLedger(tmp_path / "deep" / "spend.db")) as opened:
        yield opened


# -- refusals, and what they say


@pytest.mark.parametrize("way", [ask, stream])
async def test_a_request_is_refused_before_it_is_made(way: Any, ledger: Ledger) -> None:
    account, clock = allowed(Cap(requests=2, per=MINUTE), ledger=ledger)
    inner = Says()
    model = account(inner)
    await way(model)
    clock.now += timedelta(seconds=30)
    await way(model)
    with pytest.raises(BudgetSpent) as refused:
        await way(model)
    assert inner.asked == 2
    assert str(refused.value) == (
        "'tenant-7' may spend 2 requests within 60 s: 2 requests spent, 0 requests reserved for "
        "requests under way, and this request may take 1 request; there is room by "
        "2026-01-31 12:01:02 UTC: wait, raise the cap, or ask the baseline"
    )
    error = refused.value
    assert (error.tenant, error.unit, error.cap) == ("tenant-7", "requests", 2)
    assert (error.spent, error.reserved, error.estimate) == (2, 0, 1)
    assert error.retry_after == 32
    clock.now = error.frees or NOON
    await way(model)


async def test_dollars_are_estimated_by_the_price_lists_and_settled_by_the_answer() -> None:
    # 1 token in, 1,000 out at $10 a million: at most $0.0100025 a request, $0.00035 in truth.
    account, _ = allowed(Cap(usd=0.0105, per="day"))
    model = account(Says())
    await ask(model)
    assert await stood(account) == (Amount(350_000, TOLD, 1), NOTHING)
    await ask(model)
    with pytest.raises(BudgetSpent) as refused:
        await ask(model)
    assert str(refused.value) == (
        "'tenant-7' may spend $0.0105 a day: $0.0007 spent, $0 reserved for requests under way, "
        "and this request may take $0.0100; there is room by 2026-02-01 00:00:00 UTC: wait, "
        "raise the cap, or ask the baseline"
    )
    assert refused.value.spent == pytest.approx(2 * PRICE)
    await ask(model, {"max_tokens": 100})  # so it costs less at most


async def test_what_never_fits_says_so() -> None:
    account, _ = allowed(Cap(tokens=500, per="month"))
    with pytest.raises(BudgetSpent, match=r"may take 1,001 tokens; more than the cap") as refused:
        await ask(account(Says()))
    assert refused.value.frees is refused.value.retry_after is None
    account, _ = allowed(Cap(requests=1))
    await ask(account(Says()))
    with pytest.raises(BudgetSpent, match=r"1 request in all: .*; raise the cap, or") as refused:
        await ask(account(Says()))
    assert refused.value.frees is None


async def test_of_several_caps_the_one_that_frees_last_is_named() -> None:
    account, clock = allowed(
        Cap(requests=1, per=MINUTE), Cap(requests=1, per="month"), Cap(requests=1, per="day")
    )
    await ask(account(Says()))
    with pytest.raises(BudgetSpent, match="1 request a month") as refused:
        await ask(account(Says()))
    assert refused.value.frees == datetime(2026, 2, 1, tzinfo=UTC)
    clock.now = datetime(2026, 2, 1, tzinfo=UTC)
    await ask(account(Says()))


def test_a_refusal_survives_pickling_and_stops_what_usage_limits_stop() -> None:
    figures: Any = {"cap": 2.0, "spent": 1.5, "reserved": 0.4, "estimate": 0.2}
    error = BudgetSpent("no more", tenant="t", unit="usd", **figures, frees=NOON, retry_after=5.0)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == ("no more", vars(error))
    assert isinstance(again, UsageLimitExceeded)
    assert isinstance(again, AssayError)
    assert pickle.loads(pickle.dumps(NotFound(["total"]))).fields == ("total",)


NOT_A_CAP: list[tuple[dict[str, Any], str]] = [
    ({}, "without usd, tokens or requests caps nothing"),
    ({"usd": 0}, "a cap of 0 usd allows nothing"),
    ({"tokens": float("nan")}, "a cap of nan tokens allows nothing"),
    ({"requests": 1, "per": timedelta()}, "has no window"),
    ({"requests": 1, "per": "week"}, "a cap per 'week' has no window"),
]


@pytest.mark.parametrize(("cap", "message"), NOT_A_CAP)
def test_what_caps_nothing_is_refused(cap: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cap(**cap)


def test_an_allowance_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="without caps allows everything"):
        Allowance()
    with pytest.raises(ConfigError, match="an answer of 0 tokens is none"):
        Allowance(Cap(tokens=1), answer_tokens=0)


# -- what is counted


@pytest.mark.parametrize("way", [ask, stream])
async def test_without_a_price_a_cap_in_dollars_is_said_not_to_hold(way: Any) -> None:
    inner = Says(name="house-7b")
    account, _ = allowed(Cap(usd=5))
    with pytest.raises(ConfigError, match=r"price of 'house-7b' is unknown, so a cap in dollars"):
        await way(account(inner))
    assert inner.asked == 0

    def a_tenth_of_a_cent(response: ModelResponse) -> Decimal:
        return Decimal(response.usage.total_tokens) / 1000

    priced, _ = allowed(Cap(usd=5), price=a_tenth_of_a_cent)
    await way(priced(inner))
    assert (await stood(priced))[0].usd == 0.11
    without_dollars, _ = allowed(Cap(tokens=2000))
    await way(without_dollars(inner))
    assert (await stood(without_dollars))[0] == Amount(0, TOLD, 1)


async def test_the_cost_that_came_with_an_answer_is_taken() -> None:
    account, _ = allowed(Cap(usd=5))
    usage = RequestUsage(input_tokens=100, output_tokens=10, cost=Decimal("0.25"))
    await ask(account(Says(usage)))
    assert (await stood(account))[0] == Amount(250_000_000, TOLD, 1)


@pytest.mark.parametrize("way", [ask, stream])
async def test_where_an_answer_tells_nothing_the_estimate_stands(way: Any) -> None:
    account, _ = allowed(Cap(usd=5, tokens=5000), answer_tokens=500)
    await way(account(Says(RequestUsage())))
    spent, reserved = await stood(account)
    assert (spent.tokens, reserved) == (501, NOTHING)
    assert spent.usd == pytest.approx((1 * 2.5 + 500 * 10) / 1e6)


def test_an_estimate_knows_tools_and_who_bounds_the_answer() -> None:
    account, _ = allowed(Cap(tokens=5000))
    inner = Says()
    plain = Asked(ASKED, None, ModelRequestParameters())
    assert account.estimate(plain, inner) == Amount(0, 1 + 1000, 1)
    bounded = replace(plain, settings=ModelSettings(max_tokens=50))
    assert account.estimate(bounded, inner) == Amount(0, 1 + 50, 1)
    inner._settings = ModelSettings(max_tokens=70)  # pyright: ignore[reportPrivateUsage]
    assert account.estimate(plain, inner) == Amount(0, 1 + 70, 1)
    assert account.estimate(bounded, inner) == Amount(0, 1 + 50, 1)
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    tool = ToolDefinition(name="look_up", description="x" * 400, parameters_json_schema=schema)
    armed = replace(bounded, parameters=ModelRequestParameters(function_tools=[tool]))
    assert 100 < account.estimate(armed, inner).tokens - 50 < 130


async def test_a_failed_request_is_given_back(ledger: Ledger) -> None:
    async def fails(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(500, "f")

    account, _ = allowed(Cap(requests=1), ledger=ledger)
    for _ in range(3):
        with pytest.raises(ModelHTTPError):
            await ask(account(FunctionModel(fails)))
    assert await stood(account) == (NOTHING, NOTHING)


async def test_a_stream_that_breaks_off_counts_with_what_it_told(ledger: Ledger) -> None:
    async def parts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "some words"
        raise ConnectionResetError

    account, _ = allowed(Cap(tokens=5000), ledger=ledger)
    with pytest.raises(ConnectionResetError):
        await stream(account(FunctionModel(stream_function=parts, model_name="f")))
    spent, reserved = await stood(account)
    assert 0 < spent.tokens < 100
    assert (spent.requests, reserved) == (1, NOTHING)


@pytest.mark.parametrize(("words", "tokens"), [(["some words"], 1001), ([], 0)])
async def test_one_that_told_nothing_costs_its_estimate_if_it_had_begun(
    words: list[str], tokens: int
) -> None:
    account, _ = allowed(Cap(tokens=5000))
    model = account(Says(RequestUsage(), words=words))
    with pytest.raises(ConnectionResetError):
        async with model.request_stream(ASKED, None, ModelRequestParameters()):
            raise ConnectionResetError
    assert (await stood(account))[0].tokens == tokens


async def test_a_cancelled_request_is_given_back(ledger: Ledger) -> None:
    account, _ = allowed(Cap(requests=3), ledger=ledger)
    arrived = asyncio.Queue[None]()
    inner = Says(arrived=arrived)
    asking = [asyncio.create_task(ask(account(inner))) for _ in range(3)]
    for _ in asking:
        await arrived.get()
    assert (await stood(account))[1].requests == 3
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert await stood(account) == (NOTHING, NOTHING)


async def test_one_that_is_cancelled_while_it_is_reserved_is_given_back(ledger: Ledger) -> None:
    account, _ = allowed(Cap(requests=50), ledger=ledger)
    inner = Says()
    asking = [asyncio.create_task(ask(account(inner))) for _ in range(50)]
    for turns in range(50):  # each is cancelled at another point of its way
        for _ in range(turns % 4):
            await asyncio.sleep(0)
        asking[turns].cancel()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert any(isinstance(one, asyncio.CancelledError) for one in done)
    answered = inner.asked  # it answers at once
    assert await stood(account) == (Amount(0, TOLD * answered, answered), NOTHING)


# -- how it stands among other layers


def test_a_baseline_is_free_and_no_model_is_charged_twice() -> None:
    account, _ = allowed(Cap(requests=1))
    baseline = BaselineModel("triage", str)
    assert account(baseline) is baseline
    charged = account(Says())
    assert account(charged) is charged
    assert account.allowance.of("tenant-8")(charged) is not charged


async def test_a_house_and_its_tenants_are_one_around_the_other() -> None:
    clock = Clock()
    ledger = MemoryLedger()
    house = Allowance(Cap(requests=3), ledger=ledger, now=clock).of("everyone")
    each = Allowance(Cap(requests=2), ledger=ledger, now=clock)
    inner = Says()
    first, second = house(each.of("a")(inner)), house(each.of("b")(inner))
    await ask(first)
    await ask(first)
    with pytest.raises(BudgetSpent, match="'a' may spend 2"):
        await ask(first)
    await ask(second)  # what the refused one had reserved of the house is given back
    with pytest.raises(BudgetSpent, match="'everyone' may spend 3"):
        await ask(second)
    assert inner.asked == 3


async def test_a_refusal_is_neither_retried_nor_a_providers_fault() -> None:
    account, _ = allowed(Cap(requests=1))
    inner = Says()
    model: Model = inner
    for wrap in (account, *resilient(timeout=5, requests_per_minute=100)):
        model = wrap(model)
    await ask(model)
    for way in (ask, stream):
        with pytest.raises(BudgetSpent):
            await way(model)
    assert inner.asked == 1


async def test_a_refusal_asks_no_other_model_but_the_caller_may_ask_the_baseline(
    provider: Provider,
) -> None:
    async def solve(text: str) -> int:
        return len(text)

    @dataclass(frozen=True)
    class Deps:
        models: Models

    provider.answer = lambda request: {"response": 100}
    account, _ = allowed(Cap(requests=1))
    agent = Agent(
        "default",
        output_type=int,
        deps_type=Deps,
        capabilities=[by_name(lambda deps: BaselineModel("counts", solve))],
        name="counts",
    )
    models = Models(
        default="gpt-4o",
        endpoint=Endpoint(provider.url),
        fallback=("other", "baseline"),
        wrap=(account,),
    )
    async with aclosing(models):
        deps = Deps(models)
        assert (await agent.run("hello", deps=deps)).output == 100
        with pytest.raises(BudgetSpent):
            await agent.run("hello", deps=deps)
        assert (await agent.run("hello", deps=deps, model="baseline")).output == 5
    assert len(provider.requests) == 1


async def test_two_hundred_at_once_make_no_more_requests_than_the_cap(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer = lambda request: {"response": 1}
    with closing(SqlLedger(tmp_path / "spend.db")) as ledger:
        account, _ = allowed(Cap(requests=20, per="day"), ledger=ledger)
        server = OpenAIProvider(base_url=provider.url, api_key="x")
        async with OpenAIChatModel("gpt-4o", provider=server) as model:
            agent = Agent(account(model), output_type=int, name="counts")
            ran = await asyncio.gather(
                *(agent.run("hello") for _ in range(200)), return_exceptions=True
            )
        assert len(provider.requests) == 20
        refused = [one for one in ran if isinstance(one, BudgetSpent)]
        assert len(refused) == 180
        assert (await stood(account))[0].requests == 20
