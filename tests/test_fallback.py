"""Who is asked when a model fails, and what is told of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import (
    ModelAPIError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RunUsage, UsageLimits
from pydantic_core import to_jsonable_python

from assay.agents import extract, judge, triage
from assay.deps import ConfigError, Models, NotFound, UnknownModel, by_name
from assay.deps import models as deps_models
from assay.deps.resilience.fallback import Trail

from .chains import TAXONOMY, Kind, World, answer, behaving, llms
from .chains import world as world


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("down", "provider"),
        ("too long", "too_long"),
        ("refuses", "refused"),
        ("invalid", "invalid"),
    ],
)
async def test_the_next_model_is_asked_and_the_trail_says_why(
    world: World, kind: Kind, why: str
) -> None:
    world.llms = llms(a=kind, b="fine")
    trail = Trail()
    got = await triage.run("my card", world.deps("a", "b").noting(trail))
    assert got.label == "card"
    (run,) = trail.runs
    assert (run.agent, run.asked, run.model) == ("triage", "a", "b")
    assert [(one.model, one.why) for one in run.passed] == [("a", why)]
    assert trail.fell_back
    assert not trail.degraded
    assert str(run).startswith(f"triage: 'b' answered; 'a' failed ({why}): ")
    assert to_jsonable_python(trail)["runs"][0]["passed"][0]["why"] == why


async def test_without_failure_the_trail_names_the_model_that_was_asked(world: World) -> None:
    world.llms = llms(a="fine", b="fine")
    trail = Trail()
    await triage.run("my card", world.deps("a", "b").noting(trail))
    assert (trail.runs[0].model, trail.runs[0].passed, trail.fell_back) == ("a", [], False)
    assert world.asked == ["a"]


async def test_a_baseline_that_was_asked_for_degrades_nothing() -> None:
    trail = Trail()
    await triage.run("I lost my card", triage.Deps(taxonomy=TAXONOMY).noting(trail))
    assert (trail.runs[0].model, trail.degraded) == ("baseline", False)


async def test_work_that_tools_have_done_is_kept_and_a_failed_model_not_asked_again(
    world: World,
) -> None:
    look_up = ModelResponse(parts=[ToolCallPart("similar_messages", {"text": "card"})])

    def dies(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return look_up if len(messages) == 1 else behaving("down", "a")

    def goes_on(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        returned = [part for m in messages for part in m.parts if isinstance(part, ToolReturnPart)]
        return look_up if len(returned) == 1 else answer("card")

    world.llms = {"a": dies, "b": goes_on}
    usage = RunUsage()
    await triage.run("my card", world.deps("a", "b", usage=usage))
    assert world.asked == ["a", "a", "b", "b"]
    assert usage.tool_calls == 2


async def test_invalid_output_is_asked_for_anew_within_one_budget(world: World) -> None:
    lengths: list[int] = []

    def valid(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        lengths.append(len(messages))
        return answer("loan")

    world.llms = {**llms(a="invalid"), "b": valid}
    usage = RunUsage()
    assert (await triage.run("x", world.deps("a", "b", usage=usage))).label == "loan"
    assert lengths == [1]
    assert usage.requests == len(world.asked) == 3
    limits = UsageLimits(request_limit=2)
    with pytest.raises(UsageLimitExceeded):
        await triage.run("x", world.deps("a", "b", limits=limits))
    assert world.asked[3:] == ["a", "a"]


async def test_a_history_is_asked_with_again(world: World) -> None:
    seen: list[str] = []

    def valid(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.extend(str(message) for message in messages)
        return answer("loan")

    world.llms = {**llms(a="invalid"), "b": valid}
    deps = world.deps("a", "b")
    history = [ModelRequest.user_text_prompt("before"), ModelResponse(parts=[TextPart("aha")])]
    result = await triage.agent.run("now", deps=deps, message_history=history)
    assert result.output.label == "loan"
    assert [
        word for one in seen for word in ("before", "aha", "now", "nonsense") if word in one
    ] == [
        "before",
        "aha",
        "now",
    ]


async def test_the_error_of_the_model_that_was_asked_is_raised_when_nobody_answers(
    world: World,
) -> None:
    world.llms = llms(a="down", b="invalid", c="refuses")
    trail = Trail()
    with pytest.raises(ModelAPIError, match="no capacity") as e:
        await triage.run("x", world.deps("a", "b", "c").noting(trail))
    assert [note.split(" failed")[0] for note in e.value.__notes__] == [
        "'b' was asked next and",
        "'c' was asked next and",
    ]
    (run,) = trail.runs
    assert (run.model, run.degraded) == (None, False)
    assert [one.model for one in run.passed] == ["a", "b", "c"]
    assert str(run).startswith("triage: nobody answered; 'a' failed")


class Order(BaseModel):
    number: str


async def test_a_stand_in_without_an_answer_does_not_hide_why_there_was_one(world: World) -> None:
    world.llms = llms(a="down")
    trail = Trail()
    models = Models(default="a", fallback=("baseline",), trail=trail)
    with pytest.raises(ModelAPIError, match="no capacity") as e:
        await extract.run("Nothing of the kind.", Order, extract.Deps(models=models))
    assert "its baseline had no answer either: required fields 'number'" in e.value.__notes__[0]
    assert (trail.runs[0].model, trail.degraded) == (None, False)


async def test_another_llm_that_finds_nothing_is_believed(world: World) -> None:
    nothing: dict[str, Any] = {"value": {"number": None}, "quotes": []}
    blank = ModelResponse(parts=[ToolCallPart("extraction", nothing)])
    world.llms = {**llms(a="down"), "b": lambda messages, info: blank}
    models = world.deps("a", "b").models
    with pytest.raises(NotFound, match="required fields 'number' are not in the text"):
        await extract.run("Nothing of the kind.", Order, extract.Deps(models=models))


@pytest.mark.parametrize("kind", ["down", "invalid"])
async def test_what_fails_in_a_tool_is_not_the_model_s_failure(world: World, kind: Kind) -> None:
    outer = Agent("small", deps_type=triage.Deps, output_type=int, capabilities=[by_name()])

    async def sort(ctx: RunContext[triage.Deps], message: str) -> str:
        """Sort a message, by an agent that has no fallback."""
        return (await triage.run(message, ctx.deps, model=world.build("inner", None))).reason

    outer.tool(sort)
    call = ModelResponse(parts=[ToolCallPart("sort", {"message": "x"})])
    world.llms = {"a": lambda messages, info: call, **llms(b="fine", inner=kind)}
    with pytest.raises((ModelAPIError, UnexpectedModelBehavior)):
        await outer.run("x", deps=world.deps("a", "b"))
    assert list(dict.fromkeys(world.asked)) == ["a", "inner"]


async def test_what_the_caller_did_wrong_is_passed_on_to_nobody(world: World) -> None:
    def wrong(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ConfigError("a setting is wrong")

    world.llms = {"a": wrong, **llms(b="fine")}
    with pytest.raises(ConfigError):
        await triage.run("x", world.deps("a", "b"))
    assert world.asked == ["a"]


async def test_a_cancelled_run_asks_nobody_else(world: World) -> None:
    asked = asyncio.Event()

    class Hangs(WrapperModel):
        async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    world.llms = llms(a="fine", b="fine")
    deps = world.deps("a", "b")
    deps = replace(deps, models=replace(deps.models, wrap=(Hangs,)))
    task = asyncio.create_task(triage.run("x", deps))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.asked == []


async def test_each_model_of_a_chain_has_wrappers_of_its_own(world: World) -> None:
    wrapped: list[str] = []

    def wrap(model: Model) -> Model:
        wrapped.append(model.model_name)
        return WrapperModel(model)

    world.llms = llms(a="down", b="fine")
    deps = world.deps("a", "b", "baseline")
    await triage.run("x", replace(deps, models=replace(deps.models, wrap=(wrap,))))
    assert wrapped == ["a", "b", "baseline:triage"]


async def test_a_wrong_name_in_the_fallback_is_told_before_the_outage(world: World) -> None:
    world.llms = llms(a="fine")
    with pytest.raises(UnknownModel, match="'misspelt'"):
        await triage.run("x", world.deps("a", "misspelt"))
    assert world.asked == []


async def test_judges_baselines_and_models_given_as_objects_have_no_fallback(
    world: World,
) -> None:
    world.llms = llms(a="down", b="fine")
    deps = world.deps("a", "b")
    rubric = [judge.Criterion(id="c", text="it is polite")]
    with pytest.raises(ModelAPIError):
        await judge.run("text", rubric, judge.Deps(models=deps.models))
    with pytest.raises(ModelAPIError):
        await triage.run("x", deps, model=world.build("a", None))
    await triage.run("x", deps, model="baseline")
    assert world.asked == ["a", "a"]


async def test_a_baseline_is_left_out_where_the_agent_has_none(world: World) -> None:
    world.llms = llms(a="fine", b="fine")
    models = Models(default="a", fallback=("b", "baseline", "a", "b"), trail=Trail())
    chain = models.resolve("small")
    assert "a,b" in chain.model_name
    assert "baseline" not in chain.model_name


async def test_runs_that_share_deps_do_not_share_their_chain(world: World) -> None:
    def often_down(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if "not good" in str(messages[0]):
            return behaving("down", "a")
        return answer("card")

    world.llms = {"a": often_down, **llms(b="fine")}
    trail = Trail()
    deps = world.deps("a", "b").noting(trail)
    await asyncio.gather(*(triage.run("not good" if n % 2 else "good", deps) for n in range(20)))
    assert sorted(run.model or "" for run in trail.runs) == ["a"] * 10 + ["b"] * 10
    assert all(len(run.passed) == (run.model == "b") for run in trail.runs)


@given(st.lists(st.sampled_from(["fine", "down", "invalid", "refuses", "too long"]), min_size=1))
@settings(max_examples=30, deadline=None)
def test_the_first_model_that_can_answers(kinds: list[Kind]) -> None:
    names = [f"m{n}" for n in range(len(kinds))]
    world = World(llms(**dict(zip(names, kinds, strict=True))))
    trail = Trail()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deps_models, "build", world.build)
        run = triage.run("x", world.deps(*names).noting(trail))
        if "fine" in kinds:
            asyncio.run(run)
        else:
            with pytest.raises((ModelAPIError, UnexpectedModelBehavior)):
                asyncio.run(run)
    expected = kinds.index("fine") if "fine" in kinds else None
    (told,) = trail.runs
    assert told.model == (None if expected is None else names[expected])
    assert [one.model for one in told.passed] == names[:expected]
    # In the order of the chain, and nobody after the one that answered.
    order = list(dict.fromkeys(world.asked))
    assert order == names[: None if expected is None else expected + 1]
