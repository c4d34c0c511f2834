"""Whatever a provider does wrong is one of our errors: over real HTTP, byte by byte."""

import json
import pickle
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps import BaselineModel
from assay.deps.errors import (
    CircuitOpen,
    ContextTooLong,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    StreamCutShort,
    provider_fault,
)
from assay.deps.resilience.causes import fault
from assay.deps.resilience.faults import Faults
from assay.deps.secrets import HIDDEN

from .asking import ask, stream
from .faulty import WHOLE, Answer, Faulty, body, completion, delta, events
from .vendors import KEY, Make, chat, claude, error, responses
from .vendors import clients as clients
from .vendors import server as server

KNOWN = "sk-proj-" + "a1B2" * 10


NO_MATTER_HOW_ASKED = {
    "a bad key": (body(error("no such key"), 401), ProviderRefused),
    "an unknown model": (body(error("no model 'm'", code="model_not_found"), 404), ProviderRefused),
    "an empty account": (body(error("no", code="insufficient_quota"), 429), ProviderRefused),
    "an unpaid bill": (body(error("pay"), 402), ProviderRefused),
    "a bad request": (body(error("temperature is 9"), 400), ProviderRefused),
    "too much": (
        body(error("This model's maximum context length is 10 tokens"), 400),
        ContextTooLong,
    ),
    "too much, by Anthropic": (body(error("prompt is too long: 9 > 8"), 400), ContextTooLong),
    "busy": (body(error("slow down"), 429), ProviderBusy),
    "overloaded": (body(error("overloaded", type="overloaded_error"), 529), ProviderBusy),
    "a timeout upstream": (body(error("too slow"), 408), ProviderDown),
    "a crash": (body("oops", 500, "text/plain"), ProviderDown),
    "a bad gateway": (body("<html>502</html>", 502, "text/html"), ProviderDown),
    "a body that is no JSON": (body('{"id": "c1", "choi'), ProviderGarbled),
    "no answer at all": (Answer(ends="cut"), ProviderDown),
}


@pytest.mark.parametrize(
    ("way", "name"),
    [
        *((ask, name) for name in NO_MATTER_HOW_ASKED),
        # A stream is not one body: what is garbled in it has its own tests below.
        *(
            (stream, n)
            for n, (_, kind) in NO_MATTER_HOW_ASKED.items()
            if kind is not ProviderGarbled
        ),
    ],
)
@pytest.mark.parametrize("make", [chat, responses, claude])
async def test_a_fault_is_typed_however_the_provider_is_asked(
    server: Faulty,
    clients: AsyncExitStack,
    name: str,
    make: Make,
    way: Callable[[Model], Awaitable[str]],
) -> None:
    answer, kind = NO_MATTER_HOW_ASKED[name]
    model = Faults()(await make(server.will(answer).url, clients, KEY))
    with pytest.raises(ProviderError) as e:
        await way(model)
    assert type(e.value) is kind
    assert isinstance(e.value, ModelAPIError)
    assert provider_fault(e.value)
    assert e.value.model_name == "m"
    assert isinstance(e.value.__cause__, Exception)
    if answer.sent and kind is not ProviderGarbled:
        assert e.value.status == int(answer.sent.split()[1])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        body(completion(choices=[])),
        body(completion(choices=None)),
        body(completion(choices=[{"index": 0, "finish_reason": "stop"}])),
        body("[]"),
        body("null"),
        body('"yes"'),
        body("<html>It works!</html>", kind="text/html"),
        body({"object": "error"}),
    ],
    ids=["no choice", "null", "no message", "a list", "nothing", "a text", "a page", "no answer"],
)
async def test_an_answer_that_is_none_is_garbled(
    server: Faulty, clients: AsyncExitStack, answer: Answer
) -> None:
    with pytest.raises(ProviderGarbled, match="cannot be read"):
        await ask(Faults()(await chat(server.will(answer).url, clients)))


@pytest.mark.parametrize("sent", [b"{}", b"null", b'{"content": null, "type": "message"}'])
async def test_what_a_proxy_makes_of_nothing_is_garbled(
    server: Faulty, clients: AsyncExitStack, sent: bytes
) -> None:
    with pytest.raises(ProviderGarbled):
        await ask(Faults()(await claude(server.will(body(sent.decode())).url, clients)))


@pytest.mark.parametrize("way", [ask, stream])
async def test_what_is_well_passes_as_it_is(
    server: Faulty, clients: AsyncExitStack, way: Callable[[Model], Awaitable[str]]
) -> None:
    server.will(body(completion()) if way is ask else WHOLE)
    assert await way(Faults(within=9)(await chat(server.url, clients))) == "yes"


async def test_an_agent_gets_typed_errors_from_a_run(
    server: Faulty, clients: AsyncExitStack
) -> None:
    server.will(events(delta("ye")))
    agent = Agent(Faults()(await chat(server.url, clients)))
    with pytest.raises(StreamCutShort):
        async with agent.run_stream("hello") as result:
            await result.get_output()
    server.will(body(error("no"), 401))
    with pytest.raises(ProviderRefused):
        await agent.run("hello")


@pytest.mark.parametrize("raised", [TypeError("a bug"), UserError("wrong use"), KeyError("k")])
async def test_a_bug_in_a_local_model_stays_one(raised: Exception) -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise raised

    with pytest.raises(type(raised)) as e:
        await ask(Faults()(FunctionModel(answer)))
    assert e.value is raised


async def test_a_wrong_use_of_a_provider_stays_one(server: Faulty, clients: AsyncExitStack) -> None:
    model = Faults()(await chat(server.url, clients))
    with pytest.raises(UserError):
        await Agent(model, output_type=int).run("hello", model_settings={"tool_choice": ["no"]})


def test_a_baseline_and_a_model_that_is_typed_are_returned_as_they_are() -> None:
    baseline = BaselineModel("triage", str)
    assert Faults()(baseline) is baseline
    once = Faults()(FunctionModel(lambda messages, info: ModelResponse([])))
    assert Faults()(once) is once


# -- keys


@pytest.mark.parametrize("key", [KEY, KNOWN, f"{KEY}\nand more", "\u00e4rger-" * 4])
@pytest.mark.parametrize("make", [chat, claude])
async def test_no_key_is_in_any_message(
    server: Faulty, clients: AsyncExitStack, key: str, make: Make
) -> None:
    said = f"the key {key} is wrong, and so is {KNOWN}, at tenant-4711-secret. " + "x" * 190
    server.will(body(error(f"{said} {key} {key}"), 401))
    model = Faults(secrets=[SecretStr("tenant-4711-secret")])(await make(server.url, clients, key))
    try:
        await ask(model)
    except Exception as e:
        shown = "".join(traceback.format_exception(e)) + repr(e) + json.dumps(vars(e), default=str)
    else:
        raise AssertionError("a wrong key was taken")
    lost = (key[:9], KNOWN[:12], "tenant-4711-secret")
    assert not [text for text in lost if text in shown]


async def test_an_original_that_cannot_be_cleaned_is_left_away(
    server: Faulty, clients: AsyncExitStack
) -> None:
    class Stubborn(Exception):
        def __str__(self) -> str:
            return f"it was {KNOWN}"

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelAPIError("m", f"no: {KNOWN}") from Stubborn()

    with pytest.raises(ProviderDown) as e:
        await ask(Faults()(FunctionModel(answer)))
    assert KNOWN not in "".join(traceback.format_exception(e.value))
    assert e.value.__cause__ is None
    assert HIDDEN in str(e.value)


# -- the errors themselves


ALL = [
    ContextTooLong("a", model_name="m", status=400),
    ProviderBusy("a", model_name="m", status=429, retry_after=2.5),
    CircuitOpen("a", model_name="m", until=datetime(2026, 11, 3, tzinfo=UTC), retry_after=3.0),
    StreamCutShort("a", model_name="m"),
]


@pytest.mark.parametrize("one", ALL, ids=lambda one: type(one).__name__)
def test_an_error_can_be_sent_to_another_process(one: ProviderError) -> None:
    back = pickle.loads(pickle.dumps(one))
    assert (type(back), str(back), vars(back)) == (type(one), str(one), vars(one))


async def test_pydantic_ais_own_fallback_takes_our_errors(
    server: Faulty, clients: AsyncExitStack
) -> None:
    first = Faults()(await chat(server.will(body("[")).url, clients))
    last = FunctionModel(lambda messages, info: ModelResponse([TextPart("from the last")]))
    assert await ask(FallbackModel(first, last)) == "from the last"


def test_a_typed_error_is_left_as_it_is() -> None:
    one = ProviderBusy("a", model_name="m")
    assert fault(one, "n") is one
    assert fault(KeyError("k"), "n") is None


def test_the_wait_that_is_asked_for_is_told() -> None:
    found = fault(ModelHTTPError(503, "m", headers={"Retry-After": "7"}), "m")
    assert isinstance(found, ProviderDown)
    assert (found.status, found.retry_after) == (503, 7)
