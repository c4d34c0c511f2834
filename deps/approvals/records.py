"""What is kept of a run that waits for people, and which changes of that there may be.

A record is a value: each change is a function from what is kept to what is kept next, or an error
that says why not. Stores apply them, one at a time per record.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_ai.messages import ToolCallPart

from ..errors import AssayError, ConfigError, InputError

__all__ = (
    "AlreadyResumed",
    "Approve",
    "BadEdit",
    "BeingResumed",
    "Decision",
    "Deny",
    "Edit",
    "Finished",
    "LeaseLost",
    "NoSuchPause",
    "Paused",
    "Record",
    "Request",
    "State",
    "Undecided",
    "claimed",
    "decided",
    "finished",
    "released",
    "renewed",
    "requested",
    "state_of",
)

State: TypeAlias = Literal["waiting", "expired", "ready", "resuming", "finished"]
"""`ready`: every request is decided, so it can be resumed; `expired`: so can it, as denied."""


class NoSuchPause(ConfigError):
    """No run is kept under this id, or more than one begins so."""


class Undecided(AssayError):
    """A run is not resumed before every request is decided; `undecided` has their call ids."""

    def __init__(self, message: str, *, undecided: tuple[str, ...]) -> None:
        super().__init__(message)
        self.undecided = undecided


class AlreadyResumed(AssayError):
    """A run went on, or began to: what was decided stands."""


class BeingResumed(AssayError):
    """Another worker resumes a run, and holds its lease until `until`."""

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class LeaseLost(AssayError):
    """A worker stood still for longer than its lease, and another may have gone on instead."""


class BadEdit(InputError):
    """Edited arguments are none that the tool of call `call_id` takes: nothing was done."""

    def __init__(self, message: str, *, call_id: str) -> None:
        super().__init__(message)
        self.call_id = call_id


class _Frozen(BaseModel):
    # What models and people wrote as Infinity is not kept as null, which is another argument.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class Approve(_Frozen):
    """The call may be made as it is.

    Attributes:
        by: Who decided.
        why: Their reason, for the record.
        at: When; the store says.
    """

    kind: Literal["approve"] = "approve"
    by: str
    why: str | None = None
    at: datetime | None = None


class Edit(_Frozen):
    """The call may be made with these arguments instead; they are checked when it is resumed."""

    kind: Literal["edit"] = "edit"
    by: str
    arguments: dict[str, JsonValue]
    why: str | None = None
    at: datetime | None = None


class Deny(_Frozen):
    """The call is not made; the model is told why."""

    kind: Literal["deny"] = "deny"
    by: str
    why: str | None = None
    at: datetime | None = None


Decision: TypeAlias = Annotated[Approve | Edit | Deny, Field(discriminator="kind")]


class Request(_Frozen):
    """A call that waits for a decision.

    Attributes:
        call_id: The call's id in the run.
        tool: Which tool is to be called.
        arguments: As the model wrote them: untrusted text.
        why: Why it needs approval, if the tool or a capability says so.
        decision: What was decided, so far.
    """

    call_id: str
    tool: str
    arguments: dict[str, JsonValue]
    why: str | None = None
    decision: Decision | None = None


class Finished(_Frozen):
    """What came of a resumed run.

    Attributes:
        at: When.
        output: Its output, as JSON; None if it paused again, or if nobody said.
        paused_as: The id under which it is paused again.
    """

    at: datetime
    output: JsonValue = None
    paused_as: str | None = None


class Paused(_Frozen):
    """A run that waits for people: what an agent returns instead of its output.

    Attributes:
        id: Under which it is kept.
        agent: The agent's name.
        requests: The calls that wait.
        at: Since when.
        model: The model that asked for them.
        context: What the agent's caller keeps with it, such as a session's id.
        expires: When what is undecided counts as denied; None: never.
        begun: When it was first resumed; from then on what is decided stands.
        until: When the lease of who resumes it ends.
        finished: What came of it.
    """

    id: str
    agent: str
    requests: tuple[Request, ...]
    at: datetime
    model: str | None = None
    context: JsonValue = None
    expires: datetime | None = None
    begun: datetime | None = None
    until: datetime | None = None
    finished: Finished | None = None

    @property
    def undecided(self) -> tuple[Request, ...]:
        """The requests that nobody has decided."""
        return tuple(one for one in self.requests if one.decision is None)


class Record(_Frozen):
    """All that is kept of a paused run.

    Attributes:
        paused: What people see of it.
        messages: The run's messages, as JSON.
        usage: What it has spent, as JSON.
        owner: Who holds the lease.
    """

    paused: Paused
    messages: str
    usage: str
    owner: str | None = None


def requested(call: ToolCallPart, metadata: Mapping[str, object]) -> Request:
    """Return what a call asks for; `metadata` is what came with `ApprovalRequired`."""
    why = metadata.get("why")
    return Request(
        call_id=call.tool_call_id,
        tool=call.tool_name,
        arguments=call.args_as_dict(),
        why=None if why is None else str(why),
    )


def state_of(paused: Paused, now: datetime) -> State:
    """Return where a paused run stands."""
    if paused.finished is not None:
        return "finished"
    if paused.until is not None and now < paused.until:
        return "resuming"
    if not paused.undecided:
        return "ready"
    return "expired" if _is_expired(paused, now) else "waiting"


def decided(record: Record, call_id: str, decision: Decision, now: datetime) -> Record:
    """Return what is kept when a call is decided; before it is resumed, the last one counts.

    Raises:
        AlreadyResumed: it was resumed, or its time is over: what was decided stands.
        InputError: no such call waits.
    """
    paused = record.paused
    asked = next((one for one in paused.requests if one.call_id == call_id), None)
    if asked is None:
        known = ", ".join(repr(one.call_id) for one in paused.requests)
        raise InputError(
            f"the paused run {paused.id!r} asks about no call {call_id!r}; its calls: {known}"
        )
    if paused.begun is not None and asked.decision is not None:
        raise AlreadyResumed(
            f"the paused run {paused.id!r} was resumed at {_shown(paused.begun)}: what was decided "
            "stands, as it may have been done"
        )
    if _is_expired(paused, now):
        raise AlreadyResumed(
            f"the paused run {paused.id!r} expired at {_shown(paused.expires)}: what was undecided "
            "counts as denied; resume it, and the agent is told so"
        )
    made = asked.model_copy(update={"decision": decision.model_copy(update={"at": now})})
    return _with(record, requests=tuple(made if one is asked else one for one in paused.requests))


def claimed(record: Record, owner: str, now: datetime, lease: timedelta) -> Record:
    """Return what is kept when a worker begins to resume a run.

    Raises:
        AlreadyResumed: it is finished.
        BeingResumed: another worker holds its lease.
        Undecided: requests are undecided, and there is time left to decide them.
    """
    paused = record.paused
    if paused.finished is not None:
        again = paused.finished.paused_as
        came = f"it paused again as {again!r}" if again else "its output is kept with it"
        raise AlreadyResumed(
            f"the paused run {paused.id!r} was finished at {_shown(paused.finished.at)}: {came}"
        )
    if paused.until is not None and now < paused.until:
        raise BeingResumed(
            f"the paused run {paused.id!r} is being resumed by another worker, which was heard of "
            f"lately; if it died, this can be done after {_shown(paused.until)}",
            until=paused.until,
        )
    if paused.undecided and not _is_expired(paused, now):
        raise _undecided(paused)
    requests = tuple(_denied_in_time(paused, one, now) for one in paused.requests)
    begun = paused.begun or now
    new = _with(record, requests=requests, begun=begun, until=now + lease)
    return new.model_copy(update={"owner": owner})


def renewed(record: Record, owner: str, until: datetime) -> Record:
    """Return what is kept when a worker is heard of.

    Raises:
        LeaseLost: it is no more the owner.
    """
    _check_owner(record, owner)
    return _with(record, until=until)


def released(record: Record, owner: str, *, bad: str | None = None) -> Record:
    """Return what is kept when a worker gives up; nothing changes if it is no more the owner.

    Args:
        record: What is kept.
        owner: The worker.
        bad: The call whose edited arguments its tool does not take: it is undecided again.
    """
    if record.owner != owner:
        return record
    requests = tuple(
        one.model_copy(update={"decision": None}) if one.call_id == bad else one
        for one in record.paused.requests
    )
    return _with(record, until=None, requests=requests).model_copy(update={"owner": None})


def finished(record: Record, owner: str, came: Finished) -> Record:
    """Return what is kept when a run has gone on to its end, or to its next pause.

    Raises:
        LeaseLost: another worker owns it by now.
    """
    _check_owner(record, owner)
    return _with(record, until=None, finished=came).model_copy(update={"owner": None})


def _check_owner(record: Record, owner: str) -> None:
    if record.owner != owner:
        raise LeaseLost(
            f"the lease of the paused run {record.paused.id!r} ran out and another worker has it: "
            "this one does not go on; give leases more time than a worker may stand still"
        )


def _undecided(paused: Paused) -> Undecided:
    calls = ", ".join(f"{one.call_id!r} ({one.tool})" for one in paused.undecided)
    return Undecided(
        f"the paused run {paused.id!r} waits for decisions on {calls}; approve, edit or deny each",
        undecided=tuple(one.call_id for one in paused.undecided),
    )


def _denied_in_time(paused: Paused, request: Request, now: datetime) -> Request:
    """Return a request with a decision: what nobody decided in time is denied, and says so."""
    if request.decision is not None:
        return request
    why = f"nobody decided before {_shown(paused.expires)}, when the request expired"
    denied = Deny(by="the time limit", why=why, at=now)
    return request.model_copy(update={"decision": denied})


def _is_expired(paused: Paused, now: datetime) -> bool:
    return bool(paused.expires is not None and paused.expires <= now and paused.undecided)


def _with(record: Record, **changes: object) -> Record:
    return record.model_copy(update={"paused": record.paused.model_copy(update=changes)})


def _shown(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S %Z}"
