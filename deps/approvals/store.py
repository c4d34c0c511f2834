"""The store of runs that wait for people, whatever keeps its records; see `approvals`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, TypeVar
from uuid import uuid4

from opentelemetry import trace
from pydantic import JsonValue, TypeAdapter
from pydantic_ai import AgentRunResult, DeferredToolResults
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
)
from pydantic_ai.tools import ToolApproved, ToolDenied
from pydantic_ai.usage import RunUsage
from pydantic_core import to_jsonable_python

from ..clock import utc_now
from ..errors import ConfigError, InputError
from .edits import CheckedEdits
from .records import (
    Approve,
    BadEdit,
    Deny,
    Edit,
    Finished,
    NoSuchPause,
    Paused,
    Record,
    claimed,
    decided,
    finished,
    released,
    renewed,
    requested,
)

__all__ = ("Approvals", "MemoryApprovals", "Resumed", "as_result")

_tracer = trace.get_tracer("assay")
_USAGE = TypeAdapter(RunUsage)

T = TypeVar("T")
Change = Callable[[Record], Record]


@dataclass
class Resumed:
    """A paused run that is being resumed, with what its agent is to be run with.

    Attributes:
        paused: The run, with all its decisions.
        messages: Its history.
        usage: What it had spent; give it to the run, and limits hold for both parts.
        is_finished: Whether it was noted what came of it.
    """

    paused: Paused
    messages: list[ModelMessage]
    usage: RunUsage
    owner: str = field(repr=False)
    is_finished: bool = False

    @property
    def id(self) -> str:
        return self.paused.id

    @property
    def context(self) -> JsonValue:
        return self.paused.context

    @property
    def decisions(self) -> DeferredToolResults:
        """The decisions as Pydantic AI takes them.

        The tool of a call that was approved as it is finds in `ctx.tool_call_metadata["why"]` what
        was asked, so it can ask anew where that is no longer what it would do.
        """
        approved = (r for r in self.paused.requests if isinstance(r.decision, Approve))
        return DeferredToolResults(
            metadata={one.call_id: {"why": one.why} for one in approved},
            approvals={
                one.call_id: as_result(one.decision)
                for one in self.paused.requests
                if one.decision is not None
            },
        )

    @property
    def capabilities(self) -> Sequence[AbstractCapability[Any]]:
        """What the resumed run needs besides the agent's own capabilities."""
        requests = self.paused.requests
        return [
            CheckedEdits(frozenset(r.call_id for r in requests if isinstance(r.decision, Edit)))
        ]


@dataclass(eq=False, kw_only=True)
class Approvals(ABC):
    """Keeps paused runs. A store has four methods: to add, change, find and delete records.

    Args:
        now: The clock, the same for all who share the store.
        lease: How long a worker is not taken for dead, after it was last heard of.
        expires: How long people have for a decision; what is undecided then counts as denied.
    """

    now: Callable[[], datetime] = utc_now
    lease: timedelta = timedelta(seconds=60)
    expires: timedelta | None = None

    @abstractmethod
    async def _change(self, id: str, change: Change, then: Record | None = None) -> Record:
        """Replace a record by what `change` makes of it, and add `then`: both, or neither.

        Between looking and writing nobody else may write it. What `change` raises, is raised.

        Raises:
            NoSuchPause: nothing is kept under this id.
        """

    @abstractmethod
    async def _add(self, record: Record) -> None:
        """Keep a new record."""

    @abstractmethod
    async def _found(self, begins: str, *, all: bool) -> list[Record]:
        """Return the records whose id begins so, oldest first; `all`: finished ones, too."""

    @abstractmethod
    async def _delete(self, id: str) -> bool:
        """Delete a record, and tell whether there was one."""

    async def pause(
        self,
        result: AgentRunResult[Any],
        agent: str,
        *,
        context: JsonValue = None,
        resumed: Resumed | None = None,
    ) -> Paused:
        """Keep a run that ended with calls that need approval; `outcome` calls this.

        Raises:
            ConfigError: calls are to be made elsewhere, which is no matter of approval.
        """
        record = self._record(
            result, agent, resumed.context if context is None and resumed else context
        )
        paused = record.paused
        attributes = {
            "assay.approval.id": paused.id,
            "assay.approval.agent": agent,
            "assay.approval.tools": [one.tool for one in paused.requests],
        }
        with _tracer.start_as_current_span("approval pause", attributes=attributes):
            if resumed is None:
                await self._add(record)
            else:
                await self._finish(resumed, Finished(at=self.now(), paused_as=paused.id), record)
        return paused

    async def finish(self, resumed: Resumed, output: object) -> None:
        """Note what came of a resumed run; `outcome` calls this.

        Raises:
            LeaseLost: another worker owns it by now.
        """
        kept = to_jsonable_python(output, serialize_unknown=True)
        await self._finish(resumed, Finished(at=self.now(), output=kept))

    async def pending(self) -> tuple[Paused, ...]:
        """Return the paused runs that are not finished, oldest first."""
        return tuple(one.paused for one in await self._found("", all=False))

    async def kept(self) -> tuple[Paused, ...]:
        """Return all paused runs, finished ones too, oldest first."""
        return tuple(one.paused for one in await self._found("", all=True))

    async def get(self, id: str) -> Paused:
        """Return a paused run, finished or not, by its id or how that begins.

        Raises:
            NoSuchPause: there is none, or more than one.
        """
        return (await self._one(id)).paused

    async def messages(self, id: str) -> list[ModelMessage]:
        """Return what was said before a run was paused; for its errors see `get`."""
        return ModelMessagesTypeAdapter.validate_json((await self._one(id)).messages)

    async def _one(self, id: str) -> Record:
        found = await self._found(id, all=True) if id else []
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoSuchPause(f"no paused run is kept whose id begins with {id!r}")
        raise NoSuchPause(f"{len(found)} paused runs begin with {id!r}; give more of the id")

    async def decide(self, id: str, call_id: str, decision: Approve | Edit | Deny) -> Paused:
        """Decide one call of a paused run. Until it is resumed, that can be changed.

        Raises:
            NoSuchPause: there is no such run.
            InputError: no such call waits.
            AlreadyResumed: it was resumed, or its time is over.
        """
        attributes = {
            "assay.approval.id": id,
            "assay.approval.call": call_id,
            "assay.approval.by": decision.by,
        }
        with _tracer.start_as_current_span(f"approval {decision.kind}", attributes=attributes):
            now = self.now()
            record = await self._change(id, lambda old: decided(old, call_id, decision, now))
        return record.paused

    async def forget(self, id: str) -> bool:
        """Delete all that is kept of a run, whatever its state; tell whether there was any."""
        return await self._delete(id)

    @asynccontextmanager
    async def resuming(self, id: str, agent: str | None = None) -> AsyncGenerator[Resumed]:
        """Resume a run within the block; no other worker can meanwhile.

        When the block raises, the run stays paused. Its decisions then stand, as some may have been
        done; but after `BadEdit` that call is undecided again.

        Args:
            id: The paused run's.
            agent: Whose run it must be.

        Raises:
            NoSuchPause: there is no such run.
            InputError: it is another agent's.
            Undecided: requests wait for a decision.
            BeingResumed: another worker resumes it.
            AlreadyResumed: it is finished.
            LeaseLost: the block took longer than the lease without being able to renew it.
        """
        owner = uuid4().hex
        with _tracer.start_as_current_span("approval resume", attributes={"assay.approval.id": id}):
            record = await self._claim(id, owner, agent)
            resumed = Resumed(
                paused=record.paused,
                messages=ModelMessagesTypeAdapter.validate_json(record.messages),
                usage=_USAGE.validate_json(record.usage),
                owner=owner,
            )
            try:
                async with self._renewed(id, owner):
                    yield resumed
            except BaseException as e:
                bad = e.call_id if isinstance(e, BadEdit) else None
                await asyncio.shield(self._release(id, owner, bad))
                raise
            if not resumed.is_finished:
                await self._finish(resumed, Finished(at=self.now()))

    async def _claim(self, id: str, owner: str, agent: str | None) -> Record:
        def claim(old: Record) -> Record:
            if agent is not None and old.paused.agent != agent:
                raise InputError(
                    f"the paused run {id!r} is one of {old.paused.agent!r}, not of {agent!r}; "
                    "let that agent resume it"
                )
            return claimed(old, owner, self.now(), self.lease)

        try:
            return await self._change(id, claim)
        except asyncio.CancelledError:
            # It may be noted, or about to be.
            await asyncio.shield(self._release(id, owner))
            raise

    async def _release(self, id: str, owner: str, bad: str | None = None) -> None:
        await self._change(id, lambda old: released(old, owner, bad=bad))

    async def _finish(self, resumed: Resumed, came: Finished, then: Record | None = None) -> None:
        await self._change(resumed.id, lambda old: finished(old, resumed.owner, came), then)
        resumed.is_finished = True

    @asynccontextmanager
    async def _renewed(self, id: str, owner: str) -> AsyncGenerator[None]:
        """Renew a lease as long as the block takes; who has lost it, is stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(id, owner))
                yield
                renewing.cancel()
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
            raise error from error.__cause__

    async def _renew(self, id: str, owner: str) -> None:
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            await self._change(id, lambda old: renewed(old, owner, self.now() + self.lease))

    def _record(self, result: AgentRunResult[Any], agent: str, context: JsonValue) -> Record:
        requests, now = result.output, self.now()
        if requests.calls:
            tools = ", ".join(sorted({repr(call.tool_name) for call in requests.calls}))
            raise ConfigError(
                f"agent {agent!r} left calls of {tools} to be made elsewhere; only calls that wait "
                "for approval can be paused: raise ApprovalRequired in these tools"
            )
        metadata = requests.metadata
        messages = result.all_messages()
        paused = Paused(
            id=uuid4().hex,
            agent=agent,
            requests=tuple(
                requested(call, metadata.get(call.tool_call_id, {})) for call in requests.approvals
            ),
            at=now,
            model=_model_of(messages),
            context=context,
            expires=None if self.expires is None else now + self.expires,
        )
        return Record(
            paused=paused,
            messages=ModelMessagesTypeAdapter.dump_json(messages).decode(),
            usage=_USAGE.dump_json(result.usage).decode(),
        )


@dataclass(eq=False)
class MemoryApprovals(Approvals):
    """Keeps paused runs for as long as the process lives: for tests, and for what need not last."""

    _records: dict[str, Record] = field(default_factory=dict[str, Record], init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    async def _change(self, id: str, change: Change, then: Record | None = None) -> Record:
        with self._lock:
            if id not in self._records:
                raise NoSuchPause(f"no paused run is kept under {id!r}")
            new = change(self._records[id])
            self._records[id] = new
            if then is not None:
                self._records[then.paused.id] = then
            return new

    async def _add(self, record: Record) -> None:
        with self._lock:
            self._records[record.paused.id] = record

    async def _found(self, begins: str, *, all: bool) -> list[Record]:
        with self._lock:
            found = [one for id, one in self._records.items() if id.startswith(begins)]
        return [one for one in found if all or one.paused.finished is None]

    async def _delete(self, id: str) -> bool:
        with self._lock:
            return self._records.pop(id, None) is not None


def as_result(decision: Approve | Edit | Deny) -> ToolApproved | ToolDenied:
    """Return a decision as Pydantic AI takes it."""
    if isinstance(decision, Deny):
        why = f": {decision.why}" if decision.why else ""
        return ToolDenied(f"This call was denied{why}. It was not made.")
    return ToolApproved(override_args=decision.arguments if isinstance(decision, Edit) else None)


def _model_of(messages: Sequence[ModelMessage]) -> str | None:
    answered = (one.model_name for one in reversed(messages) if isinstance(one, ModelResponse))
    return next(answered, None)
