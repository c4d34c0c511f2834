"""Nothing that was recorded is asked twice; whatever changed is asked anew."""

import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage, RunUsage

from assay.deps.baseline import BaselineModel
from assay.deps.replay.recordings import (
    BadRecording,
    Key,
    Recording,
    Recordings,
    dump,
    folder_name,
)
from assay.deps.replay.tape import Mode, Replay, ReplayMiss, Tape, replayed_latency


class Provider:
    """Stands for a provider: counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.broken = 0
        self.answer: Callable[[list[ModelMessage], AgentInfo], ModelResponse] = self.count
        self.model = FunctionModel(self.reply, stream_function=self.stream, model_name="f")

    def reply(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked.append(info.instructions)
        if self.broken:
            self.broken -= 1
            raise ConnectionError("down")
        return self.answer(messages, info)

    async def stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.asked.append(info.instructions)
        for word in ("one ", "two ", "three"):
            yield word

    def count(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(input_tokens=7, output_tokens=3, cost=Decimal("0.5"))
        return ModelResponse([TextPart(f"answer {len(self.asked)}")], usage=usage)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def folder(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path / "replay")


def tape(folder: Recordings, mode: Mode = "auto", case: str = "lost-card", trial: int = 0) -> Tape:
    return Replay(write=folder, mode=mode).tape(case, trial)


writer = Agent(name="writer", instructions="Write.")


async def ask(tape: Tape, provider: Provider, prompt: str = "hello") -> str:
    return (await writer.run(prompt, model=tape(provider.model))).output


# -- what was recorded is not asked again


async def test_a_recorded_answer_is_replayed_free_and_marked(
    folder: Recordings, provider: Provider
) -> None:
    recording = tape(folder)
    fresh = await writer.run("hello", model=recording(provider.model))
    assert (recording.asked, recording.replayed, recording.all_replayed) == (1, 0, False)
    assert fresh.usage.cost == Decimal("0.5")
    replaying = tape(folder, "only")
    again = await writer.run("hello", model=replaying(provider.model))
    assert again.output == fresh.output
    assert (replaying.asked, replaying.replayed, replaying.all_replayed) == (0, 1, True)
    assert again.usage == replace(fresh.usage, cost=Decimal(0))
    response = again.all_messages()[-1]
    assert isinstance(response, ModelResponse)
    latency = replayed_latency(response)
    assert latency is not None
    assert latency == replaying.latency >= 0
    assert len(provider.asked) == 1


async def test_trials_and_cases_have_answers_of_their_own(
    folder: Recordings, provider: Provider
) -> None:
    for mode in ("auto", "only"):
        said = [
            await ask(tape(folder, mode, case, trial), provider)
            for case in ("a", "A", "b")
            for trial in (0, 1)
        ]
        assert said == [f"answer {n}" for n in range(1, 7)]


async def test_equal_requests_of_one_trial_are_answered_in_their_order(
    folder: Recordings, provider: Provider
) -> None:
    for mode in ("auto", "only"):
        one = tape(folder, mode)
        assert [await ask(one, provider) for _ in range(3)] == ["answer 1", "answer 2", "answer 3"]


async def test_a_request_that_failed_leaves_no_gap(folder: Recordings, provider: Provider) -> None:
    one = tape(folder)
    provider.broken = 2
    for _ in range(2):
        with suppress(ConnectionError):
            await ask(one, provider)
    assert await ask(one, provider) == "answer 3"
    assert await ask(tape(folder, "only"), provider) == "answer 3"


async def test_a_trial_that_was_cut_short_goes_on_where_it_was(
    folder: Recordings, provider: Provider
) -> None:
    await ask(tape(folder), provider, "first")
    resumed = tape(folder)
    await ask(resumed, provider, "first")
    await ask(resumed, provider, "second")
    assert (resumed.replayed, resumed.asked) == (1, 1)


async def test_refresh_asks_anew_and_off_keeps_nothing(
    folder: Recordings, provider: Provider
) -> None:
    one = tape(folder)
    assert [await ask(one, provider), await ask(one, provider)] == ["answer 1", "answer 2"]
    assert await ask(tape(folder, "off"), provider) == "answer 3"
    assert await ask(tape(folder, "refresh"), provider) == "answer 4"
    assert await ask(tape(folder, "only"), provider) == "answer 4"
    assert len(list(folder.of_case("lost-card"))) == 1  # the second of the old ones is gone, too


async def test_recordings_of_the_repository_are_read_and_not_written(
    folder: Recordings, provider: Provider, tmp_path: Path
) -> None:
    shared = Recordings(tmp_path / "shared")
    await ask(tape(shared), provider)
    both = Replay(write=folder, read=(shared,)).tape("lost-card", 0)
    assert await ask(both, provider) == "answer 1"
    assert await ask(both, provider, "new") == "answer 2"
    assert len(list(shared.of_case("lost-card"))) == 1
    refreshed = Replay(write=folder, read=(shared,), mode="refresh").tape("lost-card", 0)
    assert await ask(refreshed, provider) == "answer 3"
    later = Replay(write=folder, read=(shared,)).tape("lost-card", 0)
    assert await ask(later, provider) == "answer 3"


# -- agents of every kind


class Order(BaseModel):
    amount: int


async def test_tool_loops_and_retries_replay_to_the_same_end(
    folder: Recordings, provider: Provider
) -> None:
    looked: list[int] = []
    agent = Agent(output_type=Order, instructions="Order.")

    @agent.tool
    def stock(ctx: RunContext[object], id: int) -> dict[str, int]:
        looked.append(id)
        return {"id": id, "timestamp": 9}

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = len(messages) // 2
        return ModelResponse(
            [
                [ThinkingPart("hm", signature="s"), ToolCallPart("stock", {"id": 3})],
                [ToolCallPart("final_result", '{"amount": "many"}')],
                [ToolCallPart("final_result", '{"amount": 4}')],
            ][turn]
        )

    provider.answer = answer
    usages: list[RunUsage] = []
    for mode in ("auto", "only"):
        result = await agent.run("four", model=tape(folder, mode)(provider.model))
        assert result.output == Order(amount=4)
        usages.append(replace(result.usage, cost=Decimal(0)))
    assert usages[0] == usages[1]
    assert (len(provider.asked), looked) == (3, [3, 3])  # tools are ours: they run again


async def streamed(one: Tape, provider: Provider) -> list[str]:
    async with writer.run_stream("hello", model=one(provider.model)) as stream:
        return [delta async for delta in stream.stream_text(delta=True, debounce_by=None)]


async def test_streams_keep_their_deltas(folder: Recordings, provider: Provider) -> None:
    words = ["one ", "two ", "three"]
    assert await streamed(tape(folder), provider) == words
    assert await streamed(tape(folder, "only"), provider) == words
    assert await ask(tape(folder, "only"), provider) == "one two three"
    assert len(provider.asked) == 1


async def test_an_answer_recorded_whole_can_be_streamed(
    folder: Recordings, provider: Provider
) -> None:
    await ask(tape(folder), provider)
    assert "".join(await streamed(tape(folder, "only"), provider)) == "answer 1"


async def test_changed_instructions_ask_only_that_agent_anew(
    folder: Recordings, provider: Provider
) -> None:
    provider.answer = lambda messages, info: ModelResponse([TextPart("done")])
    reader = Agent(name="reader", instructions="Read.")

    async def both(instructions: str) -> None:
        for case in ("a", "b", "c"):
            one = tape(folder, case=case)
            with reader.override(instructions=instructions):
                draft = await writer.run(case, model=one(provider.model))
                await reader.run(draft.output, model=one(provider.model))

    await both("Read.")
    assert len(provider.asked) == 6
    await both("Read twice.")
    assert provider.asked[6:] == ["Read twice."] * 3
    await both("Read.")  # and back again
    assert len(provider.asked) == 9


async def test_a_baseline_is_never_recorded(folder: Recordings) -> None:
    solver = BaselineModel("writer", str.upper)
    one = tape(folder)
    assert one(solver) is solver
    assert (await writer.run("hello", model=one(solver))).output == "HELLO"
    assert list(folder.of_case("lost-card")) == []


# -- misses


async def test_a_miss_names_the_case_and_what_changed(
    folder: Recordings, provider: Provider
) -> None:
    await ask(tape(folder, trial=2), provider)
    with writer.override(instructions="Write\nbetter."), pytest.raises(ReplayMiss) as caught:
        await ask(tape(folder, "only", trial=2), provider)
    assert caught.value.key.case == "lost-card"
    assert caught.value.changed == ("instructions",)
    said = str(caught.value)
    assert "case 'lost-card', trial 2: instructions changed" in said
    assert "\n-Write.\n+Write\n+better." in said
    assert len(provider.asked) == 1


async def test_a_miss_compares_with_the_same_turn(folder: Recordings, provider: Provider) -> None:
    first = await writer.run("hello", model=tape(folder)(provider.model))
    history = first.all_messages()
    one = tape(folder)
    await ask(one, provider)
    await writer.run("and then?", model=one(provider.model), message_history=history)
    replaying = tape(folder, "only")(provider.model)
    with pytest.raises(ReplayMiss) as caught:
        await writer.run("and now?", model=replaying, message_history=history)
    assert caught.value.changed == ("messages",)
    assert '-    "content": "and then?"' in caught.value.diff
    assert len(caught.value.diff) < 600


async def test_a_miss_says_when_only_the_trial_is_new(
    folder: Recordings, provider: Provider
) -> None:
    await ask(tape(folder), provider)
    with pytest.raises(ReplayMiss, match="same request is recorded only for trial 0"):
        await ask(tape(folder, "only", trial=1), provider)
    with pytest.raises(ReplayMiss, match="nothing is recorded for this case"):
        await ask(tape(folder, "only", case="new"), provider)


async def test_a_long_difference_is_cut(folder: Recordings, provider: Provider) -> None:
    await ask(tape(folder), provider, "\n".join(f"a{n}" for n in range(500)))
    with pytest.raises(ReplayMiss) as caught:
        await ask(tape(folder, "only"), provider, "\n".join("b" * 999 for _ in range(500)))
    assert caught.value.diff.endswith("… and more")
    assert len(caught.value.diff) < 5000


# -- secrets


async def test_secrets_do_not_reach_a_file(folder: Recordings, provider: Provider) -> None:
    configured = "correct-horse-battery"
    key = "sk-proj-" + "a1b2" * 8
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
    provider.answer = lambda messages, info: ModelResponse([TextPart(f"{jwt} {configured}")])
    replay = Replay(write=folder, secrets=(SecretStr(configured), SecretStr("none")))
    said: list[str] = []
    for _ in range(2):
        result = await writer.run(
            f"none but {key} and {configured}",
            model=replay.tape("c", 0)(provider.model),
            model_settings={
                "extra_headers": {"authorization": "header-value"},
                "extra_body": {"api_key": "body-value", "nested": [{"Password": "deep-value"}]},
            },
        )
        said.append(result.output)
    text = "".join(file.read_text(encoding="utf-8") for file in folder.folder.rglob("*.json"))
    for secret in (configured, key, jwt, "header-value", "body-value", "deep-value"):
        assert secret not in text
    assert "none but [secret] and [secret]" in text
    assert said == [f"{jwt} {configured}", "[secret] [secret]"]
    assert len(provider.asked) == 1


# -- files


def recording(case: str = "c", text: str = "x") -> Recording:
    return Recording(
        key=Key(case, 0, 0, "h"), request={}, response={"t": text}, events=None, latency=1
    )


@settings(max_examples=200, deadline=None)
@given(st.sets(st.text(max_size=12), min_size=2, max_size=2))
def test_no_two_cases_share_a_folder(names: set[str]) -> None:
    files = {folder_name(name).casefold() for name in names}
    assert len(files) == 2
    assert all(file.isascii() and "/" not in file and file not in ("", ".", "..") for file in files)


def test_concurrent_writers_leave_one_whole_file(folder: Recordings) -> None:
    texts = [str(n) * 20_000 for n in range(8)]

    def put(text: str) -> None:
        folder.put(recording().key, dump(recording(text=text)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, texts))
    (found,) = folder.of_case("c")
    assert found.response["t"] in texts
    assert [file.name for file in folder.folder.rglob("*") if file.is_file()] == ["0.0.h.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_file_is_named(folder: Recordings, content: str) -> None:
    folder.put(recording().key, content)
    with pytest.raises(BadRecording, match=r"0\.0\.h\.json.*delete it"):
        folder.get(recording().key)


def test_a_recording_is_read_back_as_it_was_written(folder: Recordings) -> None:
    folder.put(recording().key, dump(recording(text="é\n")))
    assert folder.get(recording().key) == recording(text="é\n")
    assert (
        json.loads(next(folder.folder.rglob("*.json")).read_text(encoding="utf-8"))["case"] == "c"
    )
