"""`assay approvals`: list, show, decide and resume runs that wait for people.

What a model wrote is untrusted: it is shown with every character that is not printed, such as
those that move the cursor or turn the direction of the text, as its number.
"""

import asyncio
import getpass
import json as jsonlib
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...deps.approvals import Approve, Deny, Edit, Paused, Request, state_of
from ...deps.approvals.sql import SqlApprovals
from ...deps.errors import ConfigError
from ...deps.models import Models
from .door import FAILED, err, out, say_model, wait_for
from .readable import readable
from .runners import Options, resumer

__all__ = (
    "Target",
    "approve_calls",
    "deny_calls",
    "edit_call",
    "list_paused",
    "resume_paused",
    "show_paused",
    "visible",
)

MAX_CELL = 300
"""Characters of arguments in the list; `show` has them all."""
MAX_ASKED = 2_000
"""Characters of the user's prompt under `show`; its JSON has them all."""
SHORT = 8
"""Characters of an id in the list: enough to name it."""


_ARGUMENTS = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is decided on, by whom, and how it is told.

    Attributes:
        store: Where the run is kept.
        id: Of the run, or how it begins.
        call: A call's id, or how it begins; None: all that are undecided.
        by: Who decides; empty: the user of this process.
        json: Print JSON.
    """

    store: str
    id: str
    call: str | None
    by: str
    json: bool


def list_paused(url: str, all: bool, json: bool) -> None:
    """List the calls of paused runs, oldest first."""
    with SqlApprovals(url) as store:
        found = asyncio.run(store.kept() if all else store.pending())
        now = store.now()
    if json:
        _print_json([_as_json(one, now) for one in found])
        return
    table = Table()
    for heading in ("id", "agent", "tool", "arguments", "why", "age", "state"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for paused in found:
        for request in paused.requests:
            table.add_row(*(escape(cell) for cell in _cells(paused, request, now)))
    out().print(table if found else "no run waits")


def show_paused(url: str, id: str, json: bool) -> None:
    """Show all that a person needs to decide, and what was decided."""

    async def both() -> tuple[Paused, list[ModelMessage]]:
        return await store.get(id), await store.messages(id)

    with SqlApprovals(url) as store:
        paused, messages = asyncio.run(both())
        now = store.now()
    asked = _asked(messages)
    if json:
        _print_json({**_as_json(paused, now), "asked": asked})
        return
    _print_paused(out(), paused, asked, now)


def approve_calls(target: Target, why: str | None) -> None:
    """Approve calls as they are."""
    _decide(target, Approve(by=_who(target.by), why=why))


def deny_calls(target: Target, why: str) -> None:
    """Deny calls."""
    _decide(target, Deny(by=_who(target.by), why=why))


def edit_call(target: Target, arguments: str, why: str | None) -> None:
    """Approve one call with other arguments."""
    new = _arguments(sys.stdin.read() if arguments == "-" else arguments)
    _decide(target, Edit(by=_who(target.by), arguments=new, why=why), alone=True)


def resume_paused(url: str, id: str, models: Models, options: Options, json: bool) -> None:
    """Let a run go on, and print its output."""

    async def go_on() -> Any:
        paused = await store.get(id)
        work = resumer(paused.agent, models, options, store)
        say_model(models.describe())
        return await work(paused.id)

    with SqlApprovals(url) as store:
        came = wait_for(go_on(), models)
        now = store.now()
    waits = isinstance(came, Paused)
    shown = _as_json(came, now) if isinstance(came, Paused) else to_jsonable_python(came)
    if json:
        _print_json(shown)
    else:
        for line in readable(shown).rstrip("\n").split("\n"):
            _print(out(), line)
    if waits:
        id = shown["id"]
        said = f"the run waits again, as {id}; see: assay approvals show {id[:SHORT]}"
        err().print(said, markup=False, soft_wrap=True)
        raise typer.Exit(FAILED)


def visible(text: str) -> str:
    r"""Return a text with each character that is not printed as its number, such as `\u202e`."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _decide(target: Target, decision: Approve | Edit | Deny, *, alone: bool = False) -> None:
    """Decide a call, or all that are undecided; `alone`: only where there is no choice."""

    async def each() -> Paused:
        paused = await store.get(target.id)
        for request in _chosen(paused, target.call, alone=alone):
            paused = await store.decide(paused.id, request.call_id, decision)
        return paused

    with SqlApprovals(target.store) as store:
        paused = asyncio.run(each())
        now = store.now()
    if target.json:
        _print_json(_as_json(paused, now))
        return
    _print_requests(out(), paused)
    _print(out(), _next_step(paused, now))


def _chosen(paused: Paused, call: str | None, *, alone: bool) -> tuple[Request, ...]:
    """Return the calls that are meant."""
    known = ", ".join(f"{one.call_id} ({visible(one.tool)})" for one in paused.requests)
    if call is None:
        found = paused.undecided or paused.requests
        if alone and len(found) > 1:
            raise ConfigError(f"the run {paused.id} has several calls; name one: --call; {known}")
        return found
    found = tuple(one for one in paused.requests if one.call_id.startswith(call))
    exact = tuple(one for one in found if one.call_id == call) or found
    if len(exact) != 1:
        why = "several calls begin" if exact else "no call begins"
        raise ConfigError(f"{why} with {call!r}; the run {paused.id} has {known}")
    return exact


def _who(by: str) -> str:
    """Return who decides."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError) as e:  # a user without a name, as in some containers
        raise ConfigError(f"nobody knows who you are ({e}); say who decides: --by NAME") from e


def _arguments(text: str) -> dict[str, JsonValue]:
    try:
        return _ARGUMENTS.validate_json(text)
    except ValidationError as e:
        why = e.errors(include_url=False)[0]["msg"]
        raise ConfigError(
            f"--arguments {text!r} is no JSON object: {why}; give all arguments in one"
        ) from e


def _print_paused(console: Console, paused: Paused, asked: str | None, now: datetime) -> None:
    _print(console, f"{paused.id}: {paused.agent}, {state_of(paused, now)}")
    _print(console, f"  model: {paused.model or 'unknown'}")
    _print(console, f"  since: {paused.at:%Y-%m-%d %H:%M:%S %Z}, for {_age(now - paused.at)}")
    if paused.expires is not None:
        said = f"  what is undecided at {paused.expires:%Y-%m-%d %H:%M:%S %Z} counts as denied"
        _print(console, said)
    if paused.context is not None:
        _print(console, f"  context: {_compact(paused.context)}")
    if asked is not None:
        _print(console, f"  asked: {_cut(jsonlib.dumps(asked, ensure_ascii=False), MAX_ASKED)}")
    _print_requests(console, paused)
    if paused.finished is not None:
        again = paused.finished.paused_as
        came = f"paused again as {again}" if again else _compact(paused.finished.output)
        _print(console, f"  finished {paused.finished.at:%Y-%m-%d %H:%M:%S %Z}: {came}")
    _print(console, _next_step(paused, now))


def _print_requests(console: Console, paused: Paused) -> None:
    for one in paused.requests:
        _print(console, f"  call {one.call_id}: {one.tool} {_compact(one.arguments)}")
        if one.why is not None:
            _print(console, f"    why it is asked: {one.why}")
        _print(console, f"    {_said(one)}")


def _said(request: Request) -> str:
    """Say what was decided."""
    made = request.decision
    if made is None:
        return "undecided"
    words = {"approve": "approved", "edit": "approved with other arguments", "deny": "denied"}
    new = f": {_compact(made.arguments)}" if isinstance(made, Edit) else ""
    when = "" if made.at is None else f" at {made.at:%Y-%m-%d %H:%M:%S %Z}"
    why = f" ({made.why})" if made.why else ""
    return f"{words[made.kind]} by {made.by}{when}{new}{why}"


def _next_step(paused: Paused, now: datetime) -> str:
    short = paused.id[:SHORT]
    return {
        "waiting": f"{len(paused.undecided)} undecided: assay approvals approve|edit|deny {short}",
        "expired": f"its time is over; let it go on, denied: assay approvals resume {short}",
        "ready": f"all is decided; let it go on: assay approvals resume {short}",
        "resuming": "a worker resumes it",
        "finished": "it is finished",
    }[state_of(paused, now)]


def _cells(paused: Paused, request: Request, now: datetime) -> tuple[str, ...]:
    state = state_of(paused, now)
    decided = "" if request.decision is None else f", {request.decision.kind}"
    return tuple(
        visible(cell)
        for cell in (
            paused.id[:SHORT],
            paused.agent,
            request.tool,
            _cut(_compact(request.arguments), MAX_CELL),
            request.why or "",
            _age(now - paused.at),
            state + decided,
        )
    )


def _asked(messages: list[ModelMessage]) -> str | None:
    """Return the user's last words before the run was paused."""
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                    return part.content
    return None


def _age(passed: timedelta) -> str:
    minutes = int(passed.total_seconds()) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _compact(value: JsonValue) -> str:
    return jsonlib.dumps(value, ensure_ascii=False)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _print(console: Console, text: str) -> None:
    indent = len(text) - len(text.lstrip(" "))
    console.print(" " * indent + visible(text[indent:]), markup=False, soft_wrap=True)


def _as_json(paused: Paused, now: datetime) -> dict[str, Any]:
    return {**paused.model_dump(mode="json"), "state": state_of(paused, now)}


def _print_json(value: Any) -> None:
    # In ASCII, so that nothing in it reaches a terminal but as its number.
    sys.stdout.write(jsonlib.dumps(value, indent=2) + "\n")
