"""Take one incoming message as far as it can go by itself, else hand it to a person.

Plain code over other agents: no model of its own, so its baseline is its parts on theirs.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar, cast

from pydantic import BaseModel, Field
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage

from ..deps.errors import InputError, provider_fault
from ..deps.records import Booking, ContactChange, Invoice
from ..tools.corrections import corrected
from . import copy_editor, extract, triage

__all__ = ("ACKNOWLEDGEMENTS", "RECORDS", "Deps", "Handled", "Record", "Route", "Step", "run")

Route = Literal["invoice", "booking", "contact_change", "reply", "person"]
Record = Invoice | Booking | ContactChange
StepOutput = triage.Triage | extract.Extraction[Record] | copy_editor.Review
OutputT = TypeVar("OutputT", bound=StepOutput)

RECORDS: Mapping[str, type[Record]] = {
    "invoice": Invoice,
    "booking": Booking,
    "contact_change": ContactChange,
}
"""Label to what its messages are read into; the label is the route."""

ACKNOWLEDGEMENTS: Mapping[str, str] = {
    "question": "Thank you for your message. We have received your question and will answer it "
    "as soon as we can.",
    "complaint": "Thank you for telling us. We are sorry about the trouble. We are looking into "
    "your complaint and will come back to you as soon as we can.",
}
"""Label to what its messages are answered: receipt is confirmed, nothing more is promised."""


@dataclass(frozen=True, kw_only=True)
class Deps(triage.Deps, extract.Deps, copy_editor.Deps):
    """What the desk needs: the whole is every part's deps.

    Args:
        min_confidence: Below this, what triage says is not acted upon.
        replies: Label to the reply that its messages get, unless the caller has a better one.
    """

    min_confidence: float = 0.5
    replies: Mapping[str, str] = field(default_factory=lambda: ACKNOWLEDGEMENTS)


class Step(BaseModel):
    """What one agent made of the message: its output, or why there is none."""

    agent: str
    output: StepOutput | None = None
    error: str | None = None
    provider_failed: bool = False


class Handled(BaseModel):
    """How far a message came. A step that failed leaves what was done before it."""

    route: Route
    reason: str = Field(description="why this route; for a person, why it could not go on")
    record: Record | None = Field(default=None, description="the message's data, to be filed")
    reply: str | None = Field(default=None, description="what to answer; a draft for a person")
    steps: list[Step] = Field(description="the agents that ran, in order")


async def run(
    message: str, deps: Deps, *, draft: str | None = None, model: Model | str | None = None
) -> Handled:
    """Handle `message`, all steps within one budget.

    A bad message never raises: a step that fails (nothing found, provider down, budget spent)
    sends it to a person. Wrong configuration raises; it would fail every message.

    Args:
        message: The text as it came in.
        deps: The parts' world; `limits` holds for the steps together, and for all that shares
            `usage`. Without `usage`, this message's spending is counted by itself.
        draft: The reply to a question or complaint, instead of its label's in `deps.replies`.
        model: A model or its name for every step, instead of the ones `deps` stands for.

    Raises:
        ConfigError: a model name, a key or a target is wrong.
    """
    deps = replace(deps, usage=RunUsage() if deps.usage is None else deps.usage)
    steps: list[Step] = []
    found = await _step("triage", triage.run(message, deps, model=model), steps)
    if found is None:
        return _person("could not be sorted", steps)
    if found.label is None:
        return _person(f"no label fits: {found.reason}", steps)
    if found.confidence < deps.min_confidence:
        return _person(f"perhaps {found.label}, at {found.confidence:.0%} too unsure", steps)
    if found.label in RECORDS:
        work = extract.run(message, RECORDS[found.label], deps, model=model)
        return await _file(cast(Route, found.label), work, steps)
    if found.label in deps.replies:
        return await _answer(draft or deps.replies[found.label], deps, model, steps)
    return _person(f"{found.label} is for people", steps)


async def _file(
    route: Route, work: Awaitable[extract.Extraction[Record]], steps: list[Step]
) -> Handled:
    found = await _step("extract", work, steps)
    if found is None:
        return _person(f"{route}, but could not be read", steps)
    return Handled(route=route, reason="read", record=found.value, steps=steps)


async def _answer(draft: str, deps: Deps, model: Model | str | None, steps: list[Step]) -> Handled:
    review = await _step("copy_editor", copy_editor.run(draft, deps, model=model), steps)
    if review is None:
        return _person("the reply could not be reviewed", steps, draft)
    critical = [issue for issue in review.issues if issue.severity == "critical"]
    for issue in critical:
        if issue.suggestion is None:
            return _person(f"the reply cannot be sent: {issue.explanation}", steps, draft)
    reason = f"reviewed, {len(critical)} corrected"
    return Handled(route="reply", reason=reason, reply=corrected(draft, critical), steps=steps)


def _person(why: str, steps: list[Step], draft: str | None = None) -> Handled:
    error = steps[-1].error
    reason = f"{why}: {error}" if error else why
    return Handled(route="person", reason=reason, reply=draft, steps=steps)


async def _step(agent: str, work: Awaitable[OutputT], steps: list[Step]) -> OutputT | None:
    """Await an agent; note its output, or the failure that this message or its budget met."""
    try:
        output = await work
    except Exception as e:
        if not (isinstance(e, (InputError, AgentRunError)) or provider_fault(e)):
            raise
        error = f"{type(e).__name__}: {e}"
        steps.append(Step(agent=agent, error=error, provider_failed=provider_fault(e)))
        return None
    steps.append(Step(agent=agent, output=output))
    return output
