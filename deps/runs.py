"""What a run's deps decide of it: its model, its time, and what is noted of it."""

from __future__ import annotations

from copy import copy
from functools import partial
from time import monotonic
from typing import Any, Protocol, TypeVar

from opentelemetry import trace
from opentelemetry.trace import NoOpTracer
from pydantic_ai import RunContext
from pydantic_ai.capabilities import (
    AgentNode,
    NodeResult,
    WrapNodeRunHandler,
    WrapRunHandler,
    WrapToolExecuteHandler,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ToolCallPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import ToolDefinition

from .resilience.fallback import Answered, ResolveWithFallback, Trail, chain_of
from .timeouts import late_run, late_tool, within

__all__ = ("HasTerms", "RunByName", "Terms")


class Terms(Protocol):
    """What a run reads of the models it is given; see `models.Models`."""

    @property
    def run_timeout(self) -> float | None: ...
    @property
    def tool_timeout(self) -> float | None: ...
    @property
    def trail(self) -> Trail | None: ...


class HasTerms(Protocol):
    """Deps with models."""

    @property
    def models(self) -> Terms: ...


DepsT = TypeVar("DepsT", bound=HasTerms)


class RunByName(ResolveWithFallback[DepsT]):
    """Resolves a run's model, holds the run to its time, and notes what it took.

    Noted is what the run itself did: not what its sub-agents did, nor what others add to a `usage`
    that they share with it.
    """

    _answered: Answered | None = None  # None where nobody would read it

    async def for_run(self, ctx: RunContext[DepsT]) -> RunByName[DepsT]:
        answered = _noted(ctx)
        if answered is None:
            return self  # a copy would have Pydantic AI set the run up anew
        own = copy(self)
        own._answered = answered
        return own

    async def wrap_run(
        self, ctx: RunContext[DepsT], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        try:
            return await handler()
        finally:
            if self._answered is not None:
                self._answered.seconds = monotonic() - self._answered.started
                if _traced(ctx):
                    trace.get_current_span().set_attributes(self._answered.attributes())

    async def wrap_node_run(
        self,
        ctx: RunContext[DepsT],
        *,
        node: AgentNode[DepsT],
        handler: WrapNodeRunHandler[DepsT],
    ) -> NodeResult[DepsT]:
        seconds = ctx.deps.models.run_timeout
        if seconds is None or self._answered is None:
            return await handler(node)
        # From the moment the model was named: a model that stands in has what is left of the time.
        left = self._answered.started + seconds - monotonic()
        async with within(left, partial(late_run, self._answered.agent, seconds)):
            return await handler(node)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[DepsT],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        seconds = ctx.deps.models.tool_timeout
        if seconds is None or tool_def.timeout is not None:  # its own, which Pydantic AI keeps
            return await handler(args)
        async with within(
            seconds, partial(late_tool, call.tool_name, seconds, last=ctx.last_attempt)
        ):
            return await handler(args)

    async def after_model_request(
        self,
        ctx: RunContext[DepsT],
        *,
        request_context: ModelRequestContext,
        response: ModelResponse,
    ) -> ModelResponse:
        if self._answered is not None:
            self._answered.add(response, again=_puts_right(request_context.messages))
            if chain_of(ctx.model) is None:  # else its chain tells who answered
                self._answered.model = ctx.model.model_name
        return response


def _noted(ctx: RunContext[DepsT]) -> Answered | None:
    """Return where a run is noted; None if nobody would read it."""
    models, chain = ctx.deps.models, chain_of(ctx.model)
    if models.trail is None and models.run_timeout is None and not _traced(ctx):
        return None
    if chain is not None:
        return chain.answered
    name = None if ctx.agent is None else ctx.agent.name
    answered = Answered(agent=name, asked=ctx.model.model_name)
    if models.trail is not None:
        models.trail.runs.append(answered)
    return answered


def _traced(ctx: RunContext[DepsT]) -> bool:
    return not isinstance(ctx.tracer, NoOpTracer)


def _puts_right(messages: list[ModelMessage]) -> bool:
    """Tell whether a request sends something back: an output, or a call of a tool."""
    return any(
        # The kinds of part up to some version of Pydantic AI, and of those after it.
        part.part_kind in ("retry-prompt", "retry-feedback")
        or getattr(part, "outcome", None) == "retried"
        for part in messages[-1].parts
    )
