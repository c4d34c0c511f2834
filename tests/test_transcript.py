"""What was said in a trial can be read afterwards: all of it, once, and no secret."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent, BinaryContent, ModelMessagesTypeAdapter, RunContext
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from assay.deps.baseline import BaselineModel
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Replay
from assay.evals.transcript import Transcript

Message = dict[str, Any]


def kinds(messages: list[Message] | None) -> list[str]:
    return [part["part_kind"] for message in messages or [] for part in message["parts"]]


def texts(messages: list[Message] | None) -> list[Any]:
    return [part.get("content") for message in messages or [] for part in message["parts"]]


def says(text: str) -> FunctionModel:
    return FunctionModel(lambda messages, info: ModelResponse([TextPart(text)]))


writer = Agent(name="writer", instructions="Write.", output_type=str)


# -- all of it


async def test_nothing_said_is_none() -> None:
    transcript = Transcript()
    transcript(says("hello"))
    assert transcript.messages is None


async def test_a_tool_loop_is_one_conversation() -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(
            [ToolCallPart("stock", {"id": 3})] if len(messages) == 1 else [TextPart("9 left")]
        )

    agent = Agent(name="clerk", instructions="Count.")

    @agent.tool
    def stock(ctx: RunContext[object], id: int) -> int:
        return 9

    transcript = Transcript()
    result = await agent.run("how many?", model=transcript(FunctionModel(answer)))
    messages = transcript.messages
    assert kinds(messages) == ["user-prompt", "tool-call", "tool-return", "text"]
    assert messages is not None
    assert {(m["agent"], m["run_id"]) for m in messages} == {("clerk", result.run_id)}
    assert [m.get("instructions") for m in messages] == ["Count.", None, None, None]
    assert [m.kind for m in ModelMessagesTypeAdapter.validate_python(messages)] == [
        "request",
        "response",
        "request",
        "response",
    ]


async def test_a_baseline_talks_too() -> None:
    transcript = Transcript()
    await writer.run("hello", model=transcript(BaselineModel("writer", str.upper)))
    assert texts(transcript.messages) == ["hello", "HELLO"]
    assert transcript.messages is not None
    assert transcript.messages[1]["model_name"] == "baseline:writer"


async def test_runs_stand_in_the_order_of_their_first_requests() -> None:
    transcript = Transcript()
    reader = Agent(transcript(says("read")), name="reader")

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(
            [ToolCallPart("ask_reader", {})] if len(messages) == 1 else [TextPart("written")]
        )

    agent = Agent(transcript(FunctionModel(answer)), name="writer")

    @agent.tool
    async def ask_reader(ctx: RunContext[object]) -> str:
        return (await reader.run("read this")).output

    await agent.run("write")
    assert [m["agent"] for m in transcript.messages or []] == ["writer"] * 4 + ["reader"] * 2
    assert texts(transcript.messages) == ["write", None, "read", "written", "read this", "read"]


async def test_a_stream_is_heard_to_its_end() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for word in ("one ", "two"):
            yield word

    transcript = Transcript()
    model = transcript(FunctionModel(stream_function=stream))
    async with writer.run_stream("count", model=model) as streamed:
        assert await streamed.get_output() == "one two"
    assert texts(transcript.messages) == ["count", "one two"]
    assert [m["agent"] for m in transcript.messages or []] == ["writer", "writer"]


async def test_a_stream_that_breaks_leaves_what_had_come() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "one "
        raise ConnectionError("gone")

    transcript = Transcript()
    model = transcript(FunctionModel(stream_function=stream))
    with pytest.raises(ConnectionError):
        async with writer.run_stream("count", model=model) as streamed:
            await streamed.get_output()
    assert texts(transcript.messages) == ["count", "one "]


async def test_a_question_without_an_answer_is_there() -> None:
    def broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ConnectionError("down")

    transcript = Transcript()
    with suppress(ConnectionError):
        await writer.run("hello", model=transcript(FunctionModel(broken)))
    assert texts(transcript.messages) == ["hello"]


async def test_a_replayed_answer_is_in_it(tmp_path: Path) -> None:
    replay = Replay(write=Recordings(tmp_path))
    for model in (says("first"), says("second")):
        transcript = Transcript()
        await writer.run("hello", model=transcript(replay.tape("c", 0)(model)))
        assert texts(transcript.messages) == ["hello", "first"]


async def test_reading_in_between_loses_nothing() -> None:
    transcript = Transcript()
    model = transcript(says("yes"))
    await writer.run("one", model=model)
    assert texts(transcript.messages) == ["one", "yes"]
    assert transcript.messages is transcript.messages
    await writer.run("two", model=model)
    assert texts(transcript.messages) == ["one", "yes", "two", "yes"]


async def test_a_model_asked_without_an_agent_is_heard() -> None:
    transcript = Transcript()
    for _ in range(2):
        await model_request(transcript(says("yes")), [ModelRequest.user_text_prompt("hello")])
    messages = transcript.messages
    assert texts(messages) == ["hello", "yes"] * 2
    assert len({m["run_id"] for m in messages or []}) == 2
    assert not any("agent" in m for m in messages or [])


# -- once


async def test_a_history_from_the_same_trial_is_not_told_twice() -> None:
    transcript = Transcript()
    model = transcript(says("yes"))
    first = await writer.run("one", model=model)
    second = await writer.run("two", model=model, message_history=first.all_messages())
    assert texts(transcript.messages) == ["one", "yes", "two", "yes"]
    runs = [m["run_id"] for m in transcript.messages or []]
    assert runs == [first.run_id] * 2 + [second.run_id] * 2


async def test_a_history_from_elsewhere_is_told() -> None:
    first = await writer.run("one", model=says("yes"))
    transcript = Transcript()
    second = await writer.run(
        "two", model=transcript(says("yes")), message_history=first.all_messages()
    )
    assert texts(transcript.messages) == ["one", "yes", "two", "yes"]
    assert {m["run_id"] for m in transcript.messages or []} == {second.run_id}


async def test_instructions_are_told_again_when_they_change() -> None:
    agent = Agent(name="clerk")
    given = iter(["Count.", "Count.", "Stop."])
    agent.instructions(lambda: next(given))

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(
            [ToolCallPart("wait", {})] if len(messages) < 5 else [TextPart("done")]
        )

    @agent.tool
    def wait(ctx: RunContext[object]) -> str:
        return "waited"

    transcript = Transcript()
    await agent.run("go", model=transcript(FunctionModel(answer)))
    requests = [m for m in transcript.messages or [] if m["kind"] == "request"]
    assert [m.get("instructions") for m in requests] == ["Count.", None, "Stop."]


# -- and nothing else


async def test_what_nobody_reads_is_left_out() -> None:
    response = ModelResponse(
        [ThinkingPart("hm", signature="s" * 5000, provider_details={"x": 1}), TextPart("yes")],
        usage=RequestUsage(input_tokens=3, output_tokens=0),
        provider_details={"headers": {"x-request-id": "r"}},
        provider_url="http://provider.example",
        metadata={"x": 1},
    )
    transcript = Transcript()
    image = BinaryContent(b"png" * 1000, media_type="image/png")
    model = transcript(FunctionModel(lambda messages, info: response, model_name="f"))
    await writer.run(["look", image], model=model)
    request, answer = transcript.messages or []
    assert answer["usage"] == {"input_tokens": 3}
    assert answer["parts"] == [
        {"content": "hm", "part_kind": "thinking"},
        {"content": "yes", "part_kind": "text"},
    ]
    assert set(answer) == {"parts", "usage", "model_name", "timestamp", "kind", "run_id", "agent"}
    assert request["parts"][0]["content"][1]["data"].startswith("sha256:")


async def test_a_planted_key_is_not_in_it() -> None:
    configured, known = "correct-horse-battery", "sk-proj-" + "a1b2" * 8
    transcript = Transcript(secrets=(SecretStr(configured), SecretStr("none")))
    await writer.run(f"{known}, none", model=transcript(says(f"I see {configured}")))
    assert texts(transcript.messages) == ["[secret], none", "I see [secret]"]


async def test_what_json_cannot_say_is_described() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    transcript = Transcript()
    model = transcript(BaselineModel("clerk", str.upper))
    for content in ({"half": "\ud800", "thing": object}, cycle):
        found = ToolReturnPart("look", content, "call")
        await model_request(model, [ModelRequest([found, UserPromptPart("go")])])
    shown, _, unreadable = transcript.messages or []
    assert shown["parts"][0]["content"] == {"half": "\ud800", "thing": "<class 'object'>"}
    assert "cannot be written as JSON" in unreadable["content"]
    json.dumps(transcript.messages)
