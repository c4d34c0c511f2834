"""Runs that wait for people: paused on a sensitive call, kept, and resumed, maybe elsewhere.

```python
agent = Agent(..., output_type=[Reply, DeferredToolRequests])


async def run(text: str, deps: Deps) -> Reply | Paused:
    result = await agent.run(text, deps=deps)
    return await outcome(result, "support", deps)


async def resume(id: str, deps: Deps) -> Reply | Paused:
    async with deps.approvals.resuming(id) as paused:
        result = await agent.run(
            message_history=paused.messages,
            deferred_tool_results=paused.decisions,
            capabilities=paused.capabilities,  # a bad edit is an error, and nothing is done
            usage=paused.usage,
            deps=replace(deps, idempotency=deps.idempotency.of(id)),  # see below
        )
        return await outcome(result, "support", deps, resumed=paused)
```

Who resumes a run holds a lease and renews it. A worker that died loses it, and the run can be
resumed anew, with the same decisions. What was done by then would be done again, unless its tools
act once per key (`tools.idempotent`) and the key is the caller's, such as the id of the paused run
or of its session: the run's own id is another one each time.

Leases are told by the clock: give them more time than the clocks of your machines are apart, and
than an event loop may stand still. A store keeps what users and tools said, in clear text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from opentelemetry import trace
from pydantic import JsonValue
from pydantic_ai import AgentRunResult, DeferredToolRequests, DeferredToolResults
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.tools import RunContext, ToolApproved, ToolDenied

from .records import (
    AlreadyResumed,
    Approve,
    BadEdit,
    BeingResumed,
    Decision,
    Deny,
    Edit,
    Finished,
    LeaseLost,
    NoSuchPause,
    Paused,
    Request,
    State,
    Undecided,
    requested,
    state_of,
)
from .store import Approvals, MemoryApprovals, Resumed, as_result

__all__ = (
    "AlreadyResumed",
    "Approvals",
    "Approve",
    "BadEdit",
    "BeingResumed",
    "Decision",
    "Deny",
    "Edit",
    "Finished",
    "HasApprovals",
    "LeaseLost",
    "MemoryApprovals",
    "NoSuchPause",
    "Paused",
    "Request",
    "Resumed",
    "State",
    "Undecided",
    "asking",
    "outcome",
    "state_of",
)

_tracer = trace.get_tracer("assay")

T = TypeVar("T")


class HasApprovals(Protocol):
    """Deps of agents whose runs can wait for people."""

    @property
    def approvals(self) -> Approvals: ...


async def outcome(
    result: AgentRunResult[T | DeferredToolRequests],
    agent: str,
    deps: HasApprovals,
    *,
    context: JsonValue = None,
    resumed: Resumed | None = None,
) -> T | Paused:
    """Return a run's output; or keep the run, if it waits for people. An agent's last line.

    Args:
        result: Of the run.
        agent: The agent's name.
        deps: With the store.
        context: What is to be kept with a paused run; None: what was kept when it last paused.
        resumed: The paused run of which this is the continuation; what came of it is noted.
    """
    output = result.output
    if isinstance(output, DeferredToolRequests):
        return await deps.approvals.pause(result, agent, context=context, resumed=resumed)
    if resumed is not None:
        await deps.approvals.finish(resumed, output)
    return output


def asking(
    ask: Callable[[Request], Awaitable[Approve | Edit | Deny | None]],
) -> HandleDeferredToolCalls[Any]:
    """Return a capability that asks at once, within the run, one call after the other.

    What `ask` answers with None stays open: the run ends with it, and can be paused. Edited
    arguments that the tool does not take are told to the model.
    """

    async def handle(_: RunContext[Any], requests: DeferredToolRequests) -> DeferredToolResults:
        answers: dict[str, ToolApproved | ToolDenied] = {}
        for call in requests.approvals:
            request = requested(call, requests.metadata.get(call.tool_call_id, {}))
            with _tracer.start_as_current_span("approval ask") as span:
                decision = await ask(request)
                span.set_attribute("assay.approval.call", request.call_id)
                if decision is not None:
                    span.set_attribute("assay.approval.decision", decision.kind)
                    span.set_attribute("assay.approval.by", decision.by)
                    answers[call.tool_call_id] = as_result(decision)
        return requests.build_results(approvals=answers)

    return HandleDeferredToolCalls(handle)
