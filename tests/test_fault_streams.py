"""A stream that fails is no short answer: over real HTTP, byte by byte."""

from contextlib import AsyncExitStack

import pytest
from pydantic_ai.models import ModelRequestParameters

from assay.deps.errors import (
    ProviderBusy,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    StreamCutShort,
)
from assay.deps.resilience.faults import Faults

from .asking import ASKED, stream
from .faulty import WHOLE, End, Faulty, delta, events
from .vendors import KEY, Json, Make, Named, chat, claude, responses
from .vendors import clients as clients
from .vendors import server as server

START: Json = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
BEGUN: tuple[Named, ...] = (
    ("message_start", {"type": "message_start", "message": START}),
    (
        "content_block_start",
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ye"}},
    ),
)
REPLY: Json = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "in_progress",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
MESSAGE: Json = {
    "id": "i1",
    "type": "message",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
WORDS: Json = {"item_id": "i1", "output_index": 0, "content_index": 0}
REPLYING = tuple(
    (str(item["type"]), {**item, "sequence_number": number})
    for number, item in enumerate[Json](
        (
            {"type": "response.created", "response": REPLY},
            {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE},
            {
                "type": "response.content_part.added",
                "part": {"type": "output_text", "text": "", "annotations": []},
                **WORDS,
            },
            {"type": "response.output_text.delta", "delta": "ye", "logprobs": [], **WORDS},
        )
    )
)
STREAMS: dict[str, tuple[Make, tuple[Json | Named, ...]]] = {
    "chat": (chat, (delta("ye"),)),
    "responses": (responses, REPLYING),
    "anthropic": (claude, BEGUN),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    ("then", "ends", "kind"),
    [
        ((), "whole", StreamCutShort),
        ((), "cut", StreamCutShort),
        ((("message", '{"cho'),), "whole", ProviderGarbled),
    ],
    ids=["ends early", "is cut", "is corrupt"],
)
async def test_a_stream_that_fails_midway_is_no_short_answer(
    server: Faulty,
    clients: AsyncExitStack,
    name: str,
    then: tuple[Named, ...],
    ends: End,
    kind: type,
) -> None:
    make, begun = STREAMS[name]
    # Anthropic's client reads only events whose names it knows.
    after = [("content_block_delta", "{") if name == "anthropic" else item for item in then]
    server.will(events(*begun, *after, ends=ends))
    model = Faults()(await make(server.url, clients, KEY))
    seen = 0
    with pytest.raises(ProviderGarbled) as e:  # noqa: PT012 - it must have begun before
        async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                seen += 1
    assert type(e.value) is kind
    assert seen > 0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"message": "boom", "type": "server_error"}, StreamCutShort),
        ({"message": "full", "type": "overloaded_error"}, ProviderBusy),
        ({"message": "fast", "code": "rate_limit_exceeded", "type": "requests"}, ProviderBusy),
        ({"message": "what", "type": "invalid_request_error"}, ProviderRefused),
    ],
)
async def test_an_error_within_a_stream_is_typed(
    server: Faulty, clients: AsyncExitStack, said: dict[str, str], kind: type
) -> None:
    server.will(events(delta("ye"), {"error": said}))
    with pytest.raises(ProviderError) as e:
        await stream(Faults()(await chat(server.url, clients)))
    assert type(e.value) is kind


async def test_what_a_reader_of_a_stream_raises_is_not_typed(
    server: Faulty, clients: AsyncExitStack
) -> None:
    model = Faults()(await chat(server.will(WHOLE).url, clients))
    with pytest.raises(ValueError, match=r"^mine$"):
        async with model.request_stream(ASKED, None, ModelRequestParameters()):
            raise ValueError("mine")


async def test_a_reader_may_leave_a_stream_early(server: Faulty, clients: AsyncExitStack) -> None:
    model = Faults()(await chat(server.will(events(delta("ye"), ends="hangs")).url, clients))
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            break
    await server.all_closed()  # leaving closed the connection, though the answer was not over
