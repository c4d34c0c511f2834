"""What a run spends is counted where models answer; a cap that cannot hold is said not to."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from assay.deps import BaselineModel, ConfigError
from assay.deps.spending.budget import Budget, Meter, Spent

from .loopback import Provider

ASKED: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]
PRICE = 0.00035
"""Dollars for 100 tokens in and 10 out of gpt-4o: $2.50 and $10 per million."""


class Says(Model):
    """Answers with what it was given, whole or as a stream."""

    def __init__(self, response: ModelResponse) -> None:
        super().__init__()
        self._response = response

    @property
    def model_name(self) -> str:
        return "asked-for"

    @property
    def system(self) -> str:
        return "openai"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        return self._response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        yield CompletedStreamedResponse(
            self._response, model_request_parameters=model_request_parameters, replay_events=True
        )


def said(
    name: str | None = "gpt-4o", tokens: tuple[int, int] = (100, 10), cost: str | None = None
) -> ModelResponse:
    usage = RequestUsage(
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost=None if cost is None else Decimal(cost),
    )
    return ModelResponse(
        parts=[TextPart("yes")], model_name=name, provider_name="openai", usage=usage
    )


async def ask(model: Model) -> None:
    await model.request(ASKED, None, ModelRequestParameters())


async def stream(model: Model) -> None:
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            pass


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def metered(**caps: Any) -> tuple[Meter, Clock]:
    clock = Clock()
    return Meter(Budget(**caps), clock), clock


@pytest.mark.parametrize("way", [ask, stream])
async def test_answers_are_counted_whole_and_streamed(way: Any) -> None:
    meter, clock = metered()
    model = meter(Says(said()))
    await way(model)
    await way(model)
    clock.now += 2.5
    assert meter.spent == Spent(
        usd=2 * PRICE,
        tokens=220,
        requests=2,
        seconds=2.5,
        unpriced=frozenset(),
        unmeasured=frozenset(),
    )
    assert meter.reached() is None


async def test_it_counts_what_pydantic_ai_counts_for_a_run(provider: Provider) -> None:
    meter, _ = metered(usd=1)
    server = OpenAIProvider(base_url=provider.url, api_key="x")
    provider.answer = lambda request: {"response": len(provider.requests)}
    async with OpenAIChatModel("gpt-4o", provider=server) as model:
        agent = Agent(meter(model), output_type=int, name="counts")

        @agent.output_validator
        def second(output: int) -> int:
            assert output == len(provider.requests)
            return output

        first, other = await agent.run("hello"), await agent.run("hello again")
    usage = first.usage + other.usage
    assert usage.cost == pytest.approx(Decimal(2 * PRICE))
    spent = meter.spent
    assert (spent.usd, spent.tokens, spent.requests) == (
        float(usage.cost or 0),
        usage.total_tokens,
        len(provider.requests),
    )
    assert spent.unpriced == frozenset()


async def test_a_streamed_run_is_counted_as_pydantic_ai_counts_it() -> None:
    meter, _ = metered()

    async def drain(ctx: RunContext[object], events: AsyncIterable[Any]) -> None:
        async for _ in events:
            pass

    agent = Agent(meter(Says(said(cost="0.25"))), name="streams")
    run = await agent.run("hello", event_stream_handler=drain)
    assert (meter.spent.usd, meter.spent.tokens) == (0.25, run.usage.total_tokens)
    assert run.usage.cost == Decimal("0.25")
    assert meter.spent.requests == run.usage.requests == 1


async def test_a_cost_that_came_with_the_answer_is_taken() -> None:
    meter, _ = metered(usd=1)
    await ask(meter(Says(said("a-gateway's", cost="0.5"))))
    await ask(meter(Says(said("a-recording's", (0, 0), cost="0"))))
    assert meter.spent.usd == 0.5
    assert meter.spent.unpriced == meter.spent.unmeasured == frozenset()
    assert meter.reached() is None


@pytest.mark.parametrize(
    ("caps", "seconds", "message"),
    [
        (
            {"usd": 0.0007},
            0,
            "the budget of $0.0007 is spent ($0.0007 after 2 requests); go on with a larger one",
        ),
        (
            {"tokens": 200},
            0,
            "the budget of 200 tokens is spent (220 after 2 requests); go on with a larger one",
        ),
        (
            {"requests": 2},
            0,
            "the budget of 2 requests is spent (2 were answered); go on with a larger one",
        ),
        (
            {"seconds": 60},
            61.25,
            "the budget of 60 seconds is spent (61.2 after 2 requests); go on with a larger one",
        ),
        ({"usd": 0.0008, "tokens": 221, "requests": 3, "seconds": 62}, 61.25, None),
        ({}, 1e9, None),
    ],
)
async def test_a_cap_is_named_when_it_is_reached(
    caps: dict[str, Any], seconds: float, message: str | None
) -> None:
    meter, clock = metered(**caps)
    model = meter(Says(said()))
    await ask(model)
    assert meter.reached() is None
    await ask(model)
    clock.now += seconds
    assert meter.reached() == message


async def test_larger_sums_are_said_in_dollars_and_cents() -> None:
    meter, _ = metered(usd=5)
    for _ in range(2):
        await ask(meter(Says(said(cost="2.512"))))
    assert meter.reached() == (
        "the budget of $5 is spent ($5.02 after 2 requests); go on with a larger one"
    )


@pytest.mark.parametrize("way", [ask, stream])
async def test_an_unknown_price_is_said_and_not_guessed(way: Any) -> None:
    meter, _ = metered(usd=5, tokens=10_000)
    await way(meter(Says(said("house-7b"))))
    await way(meter(Says(said())))
    assert meter.spent.unpriced == {"house-7b"}
    assert meter.spent.unmeasured == frozenset()
    assert meter.spent.usd == PRICE  # of the other one
    assert meter.reached() == (
        "the price of 'house-7b' is unknown, so a cap in dollars cannot hold; "
        "cap tokens or requests instead"
    )


async def test_without_a_cap_in_dollars_a_price_may_be_unknown() -> None:
    meter, _ = metered(tokens=1000)
    await ask(meter(Says(said(None))))
    assert meter.spent.unpriced == {"asked-for"}
    assert meter.reached() is None


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ({"usd": 5}, "the price of 'gpt-4o' is unknown, so a cap in dollars cannot hold"),
        ({"tokens": 5}, "'gpt-4o' does not tell its tokens, so a cap on them cannot hold"),
        ({"requests": 5}, None),
    ],
)
async def test_a_server_that_tells_no_usage_is_not_free(
    caps: dict[str, Any], message: str | None
) -> None:
    meter, _ = metered(**caps)
    await ask(meter(Says(said(tokens=(0, 0)))))
    assert meter.spent.unmeasured == meter.spent.unpriced == {"gpt-4o"}
    reached = meter.reached()
    assert reached is None if message is None else message in str(reached)


async def test_a_stream_that_breaks_off_is_counted_with_what_it_told() -> None:
    async def parts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "some words"
        raise ConnectionResetError

    meter, _ = metered(usd=1)
    with pytest.raises(ConnectionResetError):
        await stream(meter(FunctionModel(stream_function=parts, model_name="f")))
    assert meter.spent.requests == 1
    assert meter.spent.tokens > 0


async def test_one_broken_stream_without_usage_does_not_stop_a_run() -> None:
    meter, _ = metered(usd=1, tokens=10)
    broken = said(tokens=(0, 0))
    broken.state = "interrupted"
    await stream(meter(Says(broken)))
    assert meter.spent.requests == 1
    assert meter.reached() is None


async def test_a_failed_request_is_not_counted() -> None:
    async def fails(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ConnectionResetError

    meter, _ = metered(requests=1)
    with pytest.raises(ConnectionResetError):
        await ask(meter(FunctionModel(fails)))
    assert meter.spent.requests == 0


def test_a_baseline_is_returned_as_it_is() -> None:
    meter, _ = metered(requests=1)
    baseline = BaselineModel("triage", str)
    wrapped = WrapperModel(baseline)
    assert meter(baseline) is baseline
    assert meter(wrapped) is wrapped


@pytest.mark.parametrize("cap", ["usd", "tokens", "requests", "seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_cap_that_is_none_is_refused(cap: str, value: float) -> None:
    caps: dict[str, Any] = {cap: value}
    with pytest.raises(ConfigError, match=f"a budget of {value} {cap} allows nothing"):
        Budget(**caps)


ANSWERS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 10**6), st.decimals("0", "10", places=6)),
    max_size=30,
)


@given(ANSWERS, st.integers(1, 10**7), st.floats(0.01, 100))
def test_a_cap_is_reached_exactly_when_the_sum_is(
    answers: list[tuple[int, int, Decimal]], tokens: int, usd: float
) -> None:
    meters = metered(tokens=tokens)[0], metered(usd=usd)[0]
    for asked, made, cost in answers:
        for meter in meters:
            meter.add(said(tokens=(asked, made), cost=str(cost)), "m")
    total = sum(asked + made for asked, made, _ in answers)
    assert [meter.reached() is not None for meter in meters] == [
        total >= tokens,
        sum((cost for *_, cost in answers), Decimal(0)) >= Decimal(str(usd)),
    ]
