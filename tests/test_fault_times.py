"""Who is too slow is left, and told apart from who is slow to read."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps import ConfigError
from assay.deps.errors import ProviderTimeout
from assay.deps.resilience.faults import Faults

from .asking import ASKED, ask, stream
from .faulty import Answer, Counted, Faulty, delta, events
from .vendors import chat
from .vendors import clients as clients
from .vendors import server as server
from .virtual import now, virtually


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        (ask, Answer(ends="hangs")),
        (stream, Answer(ends="hangs")),
        (stream, events(delta("ye"), ends="hangs")),
    ],
    ids=["no answer", "no stream", "half a stream"],
)
async def test_who_is_too_slow_is_left(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]], answer: Answer
) -> None:
    model = Faults(within=0.05)(await chat(server.will(answer).url, clients))
    with pytest.raises(ProviderTimeout, match=r"within 0\.05 s"):
        await way(model)
    await server.all_closed()


async def test_the_timeout_of_the_settings_is_typed_too(
    server: Faulty, clients: AsyncExitStack
) -> None:
    model = Faults()(await chat(server.will(Answer(ends="hangs")).url, clients))
    with pytest.raises(ProviderTimeout):
        await model.request(ASKED, {"timeout": 0.05}, ModelRequestParameters())
    await server.all_closed()


def dripping(seconds: float) -> Model:
    async def parts(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for text in "four":
            await asyncio.sleep(seconds)
            yield text

    return FunctionModel(stream_function=parts)


def test_a_server_that_drips_has_no_more_time_than_one_that_is_silent() -> None:
    async def main() -> None:
        assert await stream(Faults(within=10)(dripping(2))) == "four"
        begun = now()
        with pytest.raises(ProviderTimeout, match="within 7 s"):
            await stream(Faults(within=7)(dripping(2)))
        assert now() - begun == 7

    virtually(main())


def test_the_time_of_a_reader_is_not_the_providers() -> None:
    async def main() -> None:
        model = Faults(within=10)(dripping(2))
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                await asyncio.sleep(60)
        assert now() > 4 * 60

    virtually(main())


@pytest.mark.parametrize("raised", [KeyError("mine"), asyncio.CancelledError(), None])
async def test_a_stream_is_closed_when_its_reader_leaves(raised: BaseException | None) -> None:
    counted = Counted(dripping(0))
    model = Faults()(counted)
    async with AsyncExitStack() as left:
        if raised is not None:
            left.enter_context(pytest.raises(type(raised)))
        async with model.request_stream(ASKED, None, ModelRequestParameters()):
            assert counted.open == 1
            if raised is not None:
                raise raised
    assert counted.open == 0


@pytest.mark.parametrize("way", [ask, stream])
async def test_who_cancels_is_not_told_of_a_timeout_and_the_connection_is_closed(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]]
) -> None:
    model = Faults(within=60)(await chat(server.will(Answer(ends="hangs")).url, clients))
    asking = asyncio.ensure_future(way(model))
    await server.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.all_closed()
    gc.collect()  # what was left open would warn now
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("within", [0, -1.0, float("nan")])
def test_a_bound_that_makes_no_sense_is_refused(within: float) -> None:
    with pytest.raises(ConfigError, match="no provider answers within"):
        Faults(within=within)
