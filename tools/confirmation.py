"""A chat in which the user's own next message decides what waits for their approval.

"Yes" or "no", alone, decides. Anything else is neither: then what waits is dropped, as if denied,
and the message is taken for what it says. So nothing waits for longer than one message, and no
later "yes", meant for something else, can set it off. Where two things wait at once, which takes
two messages at the same time, "yes" does not say to which: both are dropped.

Whether a message is a yes is a matter of a few words and not of a model: nothing that a model has
read can confirm anything.
"""

import re
from collections.abc import Sequence

from pydantic import JsonValue
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)

from ..deps.approvals import Approvals, Approve, Deny, Paused

__all__ = ("DROPPED", "by_user", "drop", "says_yes", "waiting")

DROPPED = "Nothing was done: the user answered with something else than yes or no."

_POLITE = r"(?:[\s,]+(?:please|thanks|thank you|bitte|danke))?"
_YES = (
    r"yes|yep|yeah|y|ok|okay|sure|confirm|confirmed|i confirm|do it|yes,? do it|yes,? i'?m sure|"
    r"go ahead|yes,? go ahead|yes,? delete (?:it|them|all)|ja|jawohl|klar|mach das|ja,? mach das"
)
_NO = (
    r"no|nope|n|no,? don'?t|don'?t|do not|cancel|stop|never ?mind|no,? cancel|keep (?:it|them)|"
    r"no,? keep (?:it|them)|nein|abbrechen|lass es|nein,? lass es"
)


def says_yes(text: str) -> bool | None:
    """Tell whether a message is a yes or a no, in English or German; None if it is neither."""
    plain = " ".join(text.casefold().replace("\u2019", "'").split()).rstrip(".! ")
    if re.fullmatch(f"(?:{_YES}){_POLITE}", plain):
        return True
    return False if re.fullmatch(f"(?:{_NO}){_POLITE}", plain) else None


async def waiting(
    approvals: Approvals, agent: str, context: dict[str, JsonValue]
) -> Sequence[Paused]:
    """Return the runs of an agent that wait, and whose context holds all that `context` does."""
    return [
        paused
        for paused in await approvals.pending()
        if paused.agent == agent
        and isinstance(paused.context, dict)
        and context.items() <= paused.context.items()
    ]


async def by_user(approvals: Approvals, paused: Paused, *, yes: bool) -> None:
    """Decide, as the user, what nobody has decided of a paused run."""
    decision = Approve(by="the user") if yes else Deny(by="the user", why="the user said no")
    for request in paused.undecided:
        await approvals.decide(paused.id, request.call_id, decision)


async def drop(approvals: Approvals, paused: Paused) -> Sequence[ModelMessage]:
    """End a paused run without doing what waits, and return its messages, all answered.

    Raises:
        BeingResumed: it is being resumed at this moment.
    """
    for request in paused.requests:
        if paused.begun is None:
            await approvals.decide(paused.id, request.call_id, Deny(by="the user", why=DROPPED))
    async with approvals.resuming(paused.id) as resumed:
        return [*resumed.messages, *_answered(resumed.messages)]


def _answered(messages: Sequence[ModelMessage]) -> Sequence[ModelMessage]:
    """Return what answers the calls that no message answers."""
    there = {
        part.tool_call_id
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
    calls = (p for m in messages for p in m.parts if isinstance(p, ToolCallPart))
    run = messages[-1].run_id
    parts = [
        ToolReturnPart(call.tool_name, DROPPED, call.tool_call_id, outcome="denied")
        for call in calls
        if call.tool_call_id not in there
    ]
    return [
        ModelRequest(parts=parts, run_id=run),
        ModelResponse(parts=[TextPart(DROPPED)], run_id=run),
    ]
