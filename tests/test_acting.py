"""A baseline that acts calls its agent's tools through the loop, and goes on where it was."""

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    RunContext,
    ToolDenied,
)
from pydantic_ai.messages import ModelMessage, ToolCallPart

from assay.deps.acting import ActingBaseline, Calls, ToolRefused
from assay.deps.errors import InputError
from assay.deps.fence import fence, unfenced
from assay.deps.safety import Finding, Untrusted
from assay.deps.safety.untrusted import Policy


class Card(BaseModel):
    id: str
    blocked: bool = False


class Reply(BaseModel):
    said: str


async def find_card(ctx: RunContext[list[str]], last4: str, *, owner: str = "me") -> Card:
    ctx.deps.append(f"find {last4} of {owner}")
    if last4 == "0000":
        raise ModelRetry("there is no card 0000")
    return Card(id=f"card-{last4}")


async def block(ctx: RunContext[list[str]], card: str) -> str:
    if not ctx.tool_call_approved:
        raise ApprovalRequired()
    ctx.deps.append(f"block {card}")
    return fence("result", "blocked")


async def solve(prompt: str, call: Calls[list[str]]) -> Reply:
    try:
        card = await call(find_card, prompt, owner="Ada")
    except ToolRefused as e:
        return Reply(said=str(e))
    try:
        return Reply(said=await call(block, card.id))
    except ToolRefused:
        return Reply(said="not blocked")


def agent() -> Agent[list[str], Reply | DeferredToolRequests]:
    made = Agent(
        ActingBaseline("support", solve),
        deps_type=list[str],
        output_type=[Reply, DeferredToolRequests],
    )
    made.tool(find_card)
    made.tool(block)
    return made


async def paused(deps: list[str]) -> tuple[list[ModelMessage], ToolCallPart]:
    """Run until a person must decide; return what was said, and the call that waits."""
    result = await agent().run("4711", deps=deps)
    assert isinstance(result.output, DeferredToolRequests)
    return result.all_messages(), result.output.approvals[0]


def decided(asked: ToolCallPart, decision: bool | ToolDenied) -> DeferredToolResults:
    return DeferredToolResults(approvals={asked.tool_call_id: decision})


async def test_it_stops_where_a_person_must_decide_and_goes_on_with_the_decision() -> None:
    deps: list[str] = []
    messages, asked = await paused(deps)
    assert (asked.tool_name, asked.args_as_dict()) == ("block", {"card": "card-4711"})
    done = await agent().run(
        message_history=messages,
        deferred_tool_results=decided(asked, True),
        deps=deps,
    )
    assert done.output == Reply(said="blocked")
    assert deps == ["find 4711 of Ada", "block card-4711"]  # nothing was asked twice


async def test_it_is_told_what_was_denied() -> None:
    deps: list[str] = []
    messages, asked = await paused(deps)
    done = await agent().run(
        message_history=messages,
        deferred_tool_results=decided(asked, ToolDenied("no")),
        deps=deps,
    )
    assert (done.output, deps) == (Reply(said="not blocked"), ["find 4711 of Ada"])


async def test_it_is_told_why_a_call_was_sent_back() -> None:
    done = await agent().run("0000", deps=[])
    assert isinstance(done.output, Reply)
    assert "'find_card' was refused" in done.output.said
    assert "no card 0000" in done.output.said


async def test_a_new_turn_starts_with_the_new_prompt() -> None:
    first = await agent().run("0000", deps=[])
    deps: list[str] = []
    second = await agent().run("0815", deps=deps, message_history=first.all_messages())
    assert isinstance(second.output, DeferredToolRequests)
    assert deps == ["find 0815 of Ada"]


async def test_it_does_not_go_on_with_another_ones_history() -> None:
    async def other(prompt: str, call: Calls[list[str]]) -> Reply:
        return Reply(said=await call(block, "card-1"))

    messages, asked = await paused([])
    with pytest.raises(InputError, match="'find_card' where this baseline calls 'block'"):
        await agent().run(
            message_history=messages,
            deferred_tool_results=decided(asked, True),
            deps=[],
            model=ActingBaseline("other", other),
        )


def test_only_a_whole_fence_is_taken_off() -> None:
    assert unfenced(fence("result", "a\nb")) == "a\nb"
    assert unfenced(fence("result", "a") + "!") is None
    assert unfenced(fence("result", "a").replace("a\n", "b\n")) is None
    assert unfenced("a") is None


async def note(ctx: RunContext[list[str]]) -> str:
    return "a note"


@pytest.mark.parametrize("spans", [(), ((2, 4),)])
@pytest.mark.parametrize("policy", ["quarantine", "redact"])
async def test_a_result_that_a_guard_kept_back_is_none(
    policy: Policy, spans: tuple[tuple[int, int], ...]
) -> None:
    async def look(text: str) -> Finding | None:
        return Finding(category="instruction", reason="it gives orders", spans=spans)

    guarded = Untrusted(detectors=[look], policy=policy)
    made = Agent(ActingBaseline("support", solve), deps_type=list[str], capabilities=[guarded])
    made.tool(find_card)
    done = await made.run("4711", deps=[], output_type=Reply)
    assert "'find_card' was refused" in done.output.said


async def test_a_text_that_was_kept_aside_is_refused_and_one_in_part_redacted_is_not() -> None:
    async def look(text: str) -> Finding | None:
        return Finding(category="instruction", reason="it gives orders", spans=((0, 1),))

    async def read(prompt: str, call: Calls[list[str]]) -> Reply:
        return Reply(said=await call(note))

    for policy in ("redact", "quarantine"):
        guarded = Untrusted(detectors=[look], policy=policy)
        made = Agent(ActingBaseline("support", read), deps_type=list[str], capabilities=[guarded])
        made.tool(note)
        if policy == "redact":
            done = await made.run("go", deps=[], output_type=Reply)
            assert done.output.said.endswith("] note")
        else:
            with pytest.raises(ToolRefused, match="kept aside for a person"):
                await made.run("go", deps=[], output_type=Reply)


async def test_a_result_of_another_type_is_no_refusal() -> None:
    async def read(prompt: str, call: Calls[list[str]]) -> Reply:
        return Reply(said=str(await call(find_card, "1")))

    def wrong(ctx: RunContext[list[str]], last4: str) -> str:
        return "no card at all"

    made = Agent(ActingBaseline("support", read), deps_type=list[str])
    made.tool(name="find_card")(wrong)
    with pytest.raises(ValidationError):
        await made.run("go", deps=[], output_type=Reply)
