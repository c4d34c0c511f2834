"""A model that goes round in circles is told so, and then stopped; an honest one is not."""

import pickle
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults
from pydantic_core import to_json

from assay.deps import Endpoint, Models
from assay.deps.errors import ConfigError, LoopDetected
from assay.deps.loop_guard import MARK, Count, LoopGuard, Made, Step, longest, steps_of

Call = tuple[str, dict[str, Any]]
A: Call = ("look", {"at": "a"})
B: Call = ("look", {"at": "b"})
POLL: Call = ("status", {"job": 7})


class Plays:
    """A model that makes the calls of a script, and then says "done"."""

    def __init__(self, *steps: Sequence[Call]) -> None:
        self._steps: Iterator[Sequence[Call]] = iter(steps)
        self.told: list[str] = []
        self.model = FunctionModel(self.answer, stream_function=self.stream)

    def answer(self, messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        self.told += notes(messages[-1:])
        calls = next(self._steps, None)
        if calls is None:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(name, args) for name, args in calls])

    async def stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        for i, part in enumerate(self.answer(messages, info).parts):
            if isinstance(part, ToolCallPart):
                json = to_json(part.args).decode()
                yield {i: DeltaToolCall(part.tool_name, json, tool_call_id=part.tool_call_id)}
            else:
                yield "done"


def notes(messages: Sequence[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    prompts = [part.content for part in parts if isinstance(part, UserPromptPart)]
    return [each for each in prompts if isinstance(each, str) and each.startswith(MARK)]


@dataclass
class World:
    """An agent and what its tools saw."""

    agent: Agent[Any, str]
    looked: list[str]


def world(
    *guards: LoopGuard,
    says: Callable[[], object] = lambda: "nothing",
    polling: bool = False,
    deps_type: type = object,
) -> World:
    agent: Agent[Any, str] = Agent(deps_type=deps_type, capabilities=guards or [LoopGuard()])
    looked: list[str] = []

    @agent.tool_plain(retries=20)
    def look(at: str) -> str:
        looked.append(at)
        if at == "missing":
            raise ModelRetry("there is no such place")
        return f"at {at}: nothing"

    @agent.tool_plain(metadata={"polling": polling})
    def status(job: int) -> object:
        looked.append(f"job {job}")
        return says()

    return World(agent, looked)


Mode = Literal["run", "run_stream", "run_stream_events", "iter"]


async def played(agent: Agent[Any, str], plays: Plays, mode: Mode = "run") -> str:
    if mode == "run":
        return (await agent.run("go", model=plays.model)).output
    if mode == "run_stream":
        async with agent.run_stream("go", model=plays.model) as streamed:
            return await streamed.get_output()
    if mode == "run_stream_events":
        async with agent.run_stream_events("go", model=plays.model) as events:
            async for _ in events:
                pass
        assert events.result is not None
        return events.result.output
    async with agent.iter("go", model=plays.model) as run:
        async for _ in run:
            pass
    assert run.result is not None
    return run.result.output


# -- stopped


@pytest.mark.parametrize("mode", ["run", "run_stream", "run_stream_events", "iter"])
async def test_a_looping_model_is_told_and_then_stopped_at_exactly_the_count(mode: Mode) -> None:
    plays, here = Plays(*[[A]] * 50), world()
    with pytest.raises(LoopDetected) as caught:
        await played(here.agent, plays, mode)
    assert here.looked == ["a"] * 5
    assert [f"{n} times" in told for n, told in zip((3, 4), plays.told, strict=True)] == [True] * 2
    assert (caught.value.pattern, caught.value.count) == ("repeated", 5)
    assert [(call.tool, call.arguments) for call in caught.value.trail] == [
        ("look", '{"at":"a"}')
    ] * 5
    assert len({call.result for call in caught.value.trail}) == 1
    assert "declare it: LoopGuard(polling={'look'})" in str(caught.value)


@pytest.mark.parametrize("stop", [3, 4, 9])
async def test_the_count_is_configured(stop: int) -> None:
    here = world(LoopGuard(repeated=Count(2, stop)))
    with pytest.raises(LoopDetected):
        await played(here.agent, Plays(*[[A]] * 50))
    assert here.looked == ["a"] * stop


async def test_two_calls_in_turn_are_a_loop() -> None:
    plays, here = Plays(*[[A], [B]] * 20), world()
    with pytest.raises(LoopDetected, match=r"same two calls in turn.* 4 times") as caught:
        await played(here.agent, plays)
    assert here.looked == ["a", "b"] * 4
    assert caught.value.pattern == "alternating"
    assert len(caught.value.trail) == 8
    assert "2 times" in plays.told[0]


async def test_a_longer_circle_is_no_progress() -> None:
    around = [[("look", {"at": at})] for at in "abc"]
    plays, here = Plays(*around * 20), world(LoopGuard(no_progress=Count(4, 7)))
    with pytest.raises(LoopDetected, match="nothing new, 7 steps") as caught:
        await played(here.agent, plays)
    assert "".join(here.looked) == "abcabcabca"
    assert caught.value.pattern == "no progress"
    assert len(plays.told) == 3


async def test_parallel_calls_are_one_step_in_whatever_order() -> None:
    here = world()
    with pytest.raises(LoopDetected) as caught:
        await played(here.agent, Plays(*[[A, B], [B, A]] * 9))
    assert len(here.looked) == 10
    assert caught.value.pattern == "repeated"


async def test_a_call_that_is_refused_the_same_way_each_time_is_a_loop() -> None:
    here = world()
    with pytest.raises(LoopDetected):
        await played(here.agent, Plays(*[[("look", {"at": "missing"})]] * 20))
    assert len(here.looked) == 5


async def test_a_model_that_heeds_the_warning_is_not_stopped() -> None:
    plays, here = Plays(*[[A]] * 4, [B]), world()
    assert await played(here.agent, plays) == "done"
    assert len(plays.told) == 2


async def test_a_run_that_ends_is_not_stopped() -> None:
    """The last of so many equal calls is answered before the run is stopped."""
    here = world()
    assert await played(here.agent, Plays(*[[A]] * 4)) == "done"


async def test_the_trail_is_short_and_holds_no_keys() -> None:
    @dataclass
    class Deps:
        models: Models

    models = Models(
        endpoint=Endpoint(base_url="http://localhost", api_key=SecretStr("hunter2-long"))
    )
    long: Call = ("look", {"at": "hunter2-long sk-1234567890abcdefghijkl " + "x" * 999})
    here = world(deps_type=Deps)
    with pytest.raises(LoopDetected) as caught:
        await here.agent.run("go", model=Plays(*[[long]] * 9).model, deps=Deps(models))
    shown = f"{caught.value} {caught.value.trail}"
    assert "hunter2" not in shown
    assert "sk-1234" not in shown
    assert all(len(call.arguments) < 250 for call in caught.value.trail)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.trail, str(again)) == (caught.value.trail, str(caught.value))


# -- not stopped


async def test_polling_whose_results_change_is_left_alone() -> None:
    numbers = count()
    plays, here = Plays(*[[POLL]] * 40), world(says=lambda: {"percent": next(numbers)})
    assert await played(here.agent, plays) == "done"
    assert (len(here.looked), plays.told) == (40, [])


@pytest.mark.parametrize("declared", ["with the tool", "by name"])
async def test_declared_polling_is_left_alone(declared: str) -> None:
    named = declared == "by name"
    guard = LoopGuard(polling={"status"} if named else ())
    plays, here = Plays(*[[POLL]] * 40), world(guard, polling=not named)
    assert await played(here.agent, plays) == "done"
    assert (len(here.looked), plays.told) == (40, [])


async def test_polling_between_the_calls_hides_no_loop() -> None:
    here = world(polling=True)
    with pytest.raises(LoopDetected):
        await played(here.agent, Plays(*[[A], [POLL, POLL]] * 40))
    assert here.looked.count("a") == 5


async def test_images_that_differ_are_progress() -> None:
    numbers = count()
    agent = Agent(capabilities=[LoopGuard()])

    @agent.tool_plain
    def look(at: str) -> Any:
        from pydantic_ai import BinaryContent, ToolReturn

        picture = BinaryContent(str(next(numbers)).encode(), media_type="image/png")
        return ToolReturn(f"a picture of {at}", content=[picture])

    assert await played(agent, Plays(*[[A]] * 9)) == "done"


# -- turns


async def test_a_new_turn_starts_anew_and_runs_do_not_know_one_another() -> None:
    here = world()
    history: list[ModelMessage] = []
    for _ in range(4):
        plays = Plays(*[[A]] * 4)
        result = await here.agent.run("again", model=plays.model, message_history=history)
        history = result.all_messages()
        assert len(plays.told) == 2
    assert len(here.looked) == 16


async def test_a_run_without_a_prompt_goes_on_counting() -> None:
    """Warned or not, a result is the same result."""
    here = world()
    first = await here.agent.run("go", model=Plays(*[[A]] * 4).model)
    history = first.all_messages()[:-1]  # before it said "done"
    with pytest.raises(LoopDetected):
        await here.agent.run(message_history=history, model=Plays(*[[A]] * 9).model)
    assert len(here.looked) == 5


async def test_a_run_that_waits_for_approvals_goes_on_counting() -> None:
    agent = Agent(output_type=[str, DeferredToolRequests], capabilities=[LoopGuard()])
    moved: list[str] = []

    @agent.tool_plain(requires_approval=True)
    def move(to: str) -> str:
        moved.append(to)
        return "ok"

    plays = Plays(*[[("move", {"to": "x"})]] * 9)
    result = await agent.run("go", model=plays.model)

    async def approve_all() -> None:
        nonlocal result
        while isinstance(result.output, DeferredToolRequests):
            yes = {call.tool_call_id: True for call in result.output.approvals}
            result = await agent.run(
                model=plays.model,
                message_history=result.all_messages(),
                deferred_tool_results=DeferredToolResults(approvals=dict(yes)),
            )

    with pytest.raises(LoopDetected):
        await approve_all()
    assert len(moved) == 5


def test_counts_leave_the_model_a_chance() -> None:
    for warn, stop in [(1, 5), (3, 3), (5, 3), (0, 0)]:
        with pytest.raises(ConfigError, match="warn < stop"):
            Count(warn, stop)


# -- laws

MADE = st.builds(Made, st.sampled_from("tu"), st.sampled_from("xyz"), st.sampled_from("01"))
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.lists(MADE, min_size=1, max_size=3).map(tuple), max_size=30
)


def judged(steps: Sequence[Step], guard: LoopGuard) -> list[bool]:
    """Return whether each step was warned of; stop where the run would be."""
    said: list[bool] = []
    for step in steps:
        guard._steps.append(step)  # pyright: ignore[reportPrivateUsage]
        said.append(guard._judge(()) is not None)  # pyright: ignore[reportPrivateUsage]
    return said


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=3), max_size=60))
def test_a_sequence_without_repeats_is_never_warned_of(shape: list[list[bool]]) -> None:
    """Each step holds a call, or a result of an old call, that no step before it held."""
    numbers = map(str, count())
    steps = [
        tuple(Made("t", "x" if old else next(numbers), next(numbers)) for old in step)
        for step in shape
    ]
    tight = Count(2, 3)
    guard = LoopGuard(repeated=tight, alternating=tight, no_progress=tight)
    assert not any(judged(steps, guard))


@given(STEPS)
def test_a_pattern_is_counted_as_one_would_by_hand(steps: list[Step]) -> None:
    sets = [frozenset(step) for step in steps]
    same, pairs, idle = (seen.times for seen in longest(steps))
    runs = [n for n in range(1, len(sets) + 1) if len(set(sets[-n:])) == 1]
    assert same == max(runs, default=0)
    turns = [
        n
        for n in range(1, len(sets) // 2 + 1)
        if sets[-2 * n :] == sets[-2:] * n and sets[-1] != sets[-2]
    ]
    assert pairs == max(turns, default=0)
    fresh = [i for i, one in enumerate(sets) if one - frozenset[Made]().union(*sets[:i])]
    assert idle == len(sets) - 1 - max(fresh, default=-1)


@given(STEPS, st.integers(1, 6), st.integers(1, 30))
def test_whatever_was_before_a_loop_is_stopped_in_time(
    before: list[Step], period: int, stop: int
) -> None:
    """A circle of any length, after any history, is stopped once it brings nothing new."""
    circle: list[Step] = [(Made("round", str(n), ""),) for n in range(period)]
    never, limit = Count(1_000, 1_001), Count(2, stop + 2)
    guard = LoopGuard(repeated=never, alternating=never, no_progress=limit)
    guard._steps = list(before)  # pyright: ignore[reportPrivateUsage]
    rounds = cycle(circle)
    in_time = [next(rounds) for _ in range(period + limit.stop - 1)]
    assert len(judged(in_time, guard)) == len(in_time)
    with pytest.raises(LoopDetected):
        judged([next(rounds)], guard)


@given(STEPS)
def test_steps_are_read_back_from_a_history(steps: list[Step]) -> None:
    history: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("go")])]
    for step in steps:
        calls = [ToolCallPart(made.tool, {"at": made.arguments}) for made in step]
        returns = [
            ToolReturnPart(call.tool_name, made.result, call.tool_call_id)
            for call, made in zip(calls, step, strict=True)
        ]
        history += [ModelResponse(parts=calls), ModelRequest(parts=returns)]
    found = steps_of(history)
    assert [[(m.tool, m.arguments) for m in step] for step in found] == [
        [(m.tool, f'{{"at":"{m.arguments}"}}') for m in step] for step in steps
    ]
    assert [seen.times for seen in longest(found)] == [seen.times for seen in longest(steps)]
    assert steps_of([*history, ModelRequest(parts=[UserPromptPart("and now?")])]) == []
