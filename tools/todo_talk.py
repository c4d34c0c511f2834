"""A conversation about a task list: where it is kept, and what a message begins with."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart

from ..deps.approvals import Approvals, Paused
from ..deps.errors import InputError
from ..deps.sessions import OpenTurn, Session, Sessions, turn
from .confirmation import by_user, drop, says_yes, waiting

__all__ = ("Talk", "head", "read_head", "spoken_of")

HISTORY = 20_000
"""Tokens of a conversation, by estimate, that are shown again; what is older is left out."""

_HEAD = re.compile(r"now: \S+ (\S+) \(.*?\)\nspoken of last: (.*)\n\n")


_IDS = TypeAdapter(list[int])


class Talk(BaseModel):
    """One turn of a conversation; kept with a run that waits.

    Attributes:
        owner: Whose list it is about.
        session: The conversation's id; None: one that begins and ends here.
        turn: What the turn changes is journalled under this, and its runs' ids begin with it.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    session: str | None = None
    turn: str = Field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, paused: Paused, owner: str) -> Talk:
        """Return the turn that waits.

        Raises:
            InputError: it is about another owner's list.
        """
        talk = cls.model_validate(paused.context)
        if talk.owner != owner:
            raise InputError(
                f"the paused run {paused.id!r} is about the list of {talk.owner!r}, not of "
                f"{owner!r}: resume it with that list"
            )
        return talk

    @property
    def as_context(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")

    @asynccontextmanager
    async def opened(self, sessions: Sessions) -> AsyncGenerator[OpenTurn]:
        """Take this turn in its session, while others wait; see `deps.sessions.turn`."""
        if self.session is None:
            yield OpenTurn(Session(id=""))
            return
        # With the owner: whoever guesses another one's session finds nothing.
        key = f"todo/{self.owner}/{self.session}"
        async with turn(sessions, key, within=HISTORY) as opened:
            yield opened

    async def settle(
        self, text: str, agent: str, approvals: Approvals
    ) -> tuple[str | None, list[ModelMessage]]:
        """Let what the user says now decide, or drop, what waits here (see `confirmation`).

        Returns:
            The id of the paused run that is decided, and is to be resumed; and the messages of
            those that are dropped.
        """
        if self.session is None:
            return None, []
        pending = await waiting(approvals, agent, {"owner": self.owner, "session": self.session})
        yes = says_yes(text)
        if len(pending) == 1 and yes is not None:
            await by_user(approvals, pending[0], yes=yes)
            return pending[0].id, []
        each = [(Talk.of(paused, self.owner), await drop(approvals, paused)) for paused in pending]
        return None, [message for talk, messages in each for message in talk.own(messages)]

    def own(self, messages: Sequence[ModelMessage]) -> list[ModelMessage]:
        """Return the messages of this turn's runs."""
        return [m for m in messages if m.run_id is not None and m.run_id.startswith(self.turn)]


def head(now: datetime, spoken: Sequence[int]) -> str:
    """Return what a prompt begins with: it changes, so it stands after all that is cached."""
    of = ", ".join(map(str, spoken)) or "none"
    return f"now: {now:%A} {now.isoformat(timespec='minutes')} ({now.tzinfo})\nspoken of last: {of}"


def read_head(prompt: str) -> tuple[datetime, list[int], str]:
    """Return the time, the tasks spoken of last, and the user's words.

    Raises:
        InputError: the prompt does not begin with a head.
    """
    found = _HEAD.match(prompt)
    if found is None:
        raise InputError(f"the prompt does not begin with head(...), but with {prompt[:60]!r}")
    spoken = [int(each) for each in re.findall(r"\d+", found[2])]
    return datetime.fromisoformat(found[1]), spoken, prompt[found.end() :]


def spoken_of(history: Sequence[ModelMessage]) -> list[int]:
    """Return the tasks of which the last reply spoke, or for which the last call asked."""
    parts = (p for m in history if isinstance(m, ModelResponse) for p in m.parts)
    for call in reversed([part for part in parts if isinstance(part, ToolCallPart)]):
        found = _ids(call)
        if found is not None:
            return found
    return []


def _ids(call: ToolCallPart) -> list[int] | None:
    arguments = call.args_as_dict()
    inner: Any = arguments.get("reply")  # where the output tool takes the reply by its name
    told = cast("dict[str, Any]", inner) if isinstance(inner, dict) else arguments
    ids = told.get("about") if call.tool_name == "done" else arguments.get("ids")
    try:
        return None if ids is None else _IDS.validate_python(ids)
    except ValidationError:  # a call that went back to the model
        return None
