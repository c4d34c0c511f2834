"""Who is asked when a model fails, and the trail that tells who answered in the end.

A chain asks the model that a run names, and the next one when that one

- fails as a provider, or cannot take so long a prompt: at once, within the run, so that the
  conversation and the work of tools so far are kept;
- refuses, breaks a stream off that had begun, or gives no valid output in all its retries: the
  prompt is asked once more from the start, within the same budget.

A model that failed is not asked again in that run. When nobody answers, the error of the model
that was asked first is raised, with a note for every other one. The caller's own errors (an input,
a setting, a budget, a tool's own) ask nobody else: the next model could not do better.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic, time_ns
from typing import Any, Literal, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.capabilities import ResolveModelId
from pydantic_ai.exceptions import (
    ContentFilterError,
    FallbackExceptionGroup,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from ..baseline import is_baseline
from ..errors import ContextTooLong, InputError, provider_fault
from ..layer import AnswerT, Asked, Layer, Opening
from ..replay.answers import replayed_latency
from ..spans import note
from ..spending.budget import price

__all__ = (
    "Answered",
    "Chain",
    "Passed",
    "ResolveWithFallback",
    "Trail",
    "chain_of",
    "passes_on",
)

Why = Literal["provider", "too_long", "refused", "invalid"]
"""`provider`: it failed. `too_long`: the prompt was, for it. `invalid`: no valid output."""

DepsT = TypeVar("DepsT")


@dataclass(frozen=True)
class Passed:
    """A model that was asked and passed over, and why.

    Attributes:
        model: Its name.
        why: The kind of failure.
        error: What it raised: type and message.
    """

    model: str
    why: Why
    error: str


@dataclass(kw_only=True)
class Answered:
    """Who answered one run of an agent, who was asked before, and what the answers took.

    Attributes:
        agent: The agent's name, where it has one.
        asked: The model that the run named, its role resolved.
        model: Who gave the latest response; None while nobody has, or if nobody did.
        degraded: Whether that is a baseline in the place of an LLM.
        passed: The models that were asked before it and failed, in order.
        requests: Responses. Attempts that failed are not among them.
        retries: Those for which the model was told what was wrong with the one before.
        replayed: Those that came from a recording or a cache, at no cost.
        input_tokens: What the model read.
        output_tokens: What it wrote.
        cached_tokens: Of `input_tokens`, those that the provider had in its cache.
        cost: US dollars; None where the price of a response is unknown.
        seconds: Wall time, once the run has ended.
        started: When it began, by `time.monotonic`.
    """

    agent: str | None
    asked: str
    model: str | None = None
    degraded: bool = False
    passed: list[Passed] = field(default_factory=list[Passed])
    requests: int = 0
    retries: int = 0
    replayed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    started: float = field(default_factory=monotonic, repr=False, compare=False)

    def add(self, response: ModelResponse, *, again: bool = False) -> None:
        """Count a response of the run; `again` says that it puts an earlier one right."""
        usage = response.usage
        told = usage.total_tokens > 0 or usage.cost is not None  # else it would seem to be free
        dollars = price(response) if told else None
        self.requests += 1
        self.retries += again
        self.replayed += replayed_latency(response) is not None
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cache_read_tokens
        known = self.cost is not None and dollars is not None
        self.cost = (self.cost or 0.0) + float(dollars or 0) if known else None

    def attributes(self) -> dict[str, str | int | float | bool | list[str]]:
        """Return what a run's span says beside its tokens, which Pydantic AI puts there."""
        found = {
            "assay.asked": self.asked,
            "assay.model": self.model,
            "assay.degraded": self.degraded,
            "assay.passed": [f"{one.model} ({one.why})" for one in self.passed],
            "assay.retries": self.retries,
            "assay.replayed": self.replayed,
            "assay.cost_usd": self.cost,
        }
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        """Say it in a line, for people."""
        whom = "nobody" if self.model is None else f"{self.model!r}"
        last = ", a baseline, not an LLM" if self.degraded else ""
        why = "".join(f"; {one.model!r} failed ({one.why}): {one.error}" for one in self.passed)
        return f"{self.agent or 'agent'}: {whom} answered{last}{why}"


@dataclass
class Trail:
    """Who answered, run by run: give a new one to what you want to know it of.

    ```python
    trail = Trail()
    answer = await triage.run(message, deps.noting(trail))
    if trail.degraded:
        ...
    ```
    """

    runs: list[Answered] = field(default_factory=list[Answered])

    @property
    def degraded(self) -> bool:
        """Whether a baseline answered in an LLM's place, in any of the runs."""
        return any(run.degraded for run in self.runs)

    @property
    def fell_back(self) -> bool:
        """Whether any run was answered by another model than the one it named."""
        return any(run.model not in (None, run.asked) for run in self.runs)

    @property
    def cost(self) -> float | None:
        """US dollars of all runs; None where the price of a response is unknown."""
        costs = [run.cost for run in self.runs]
        return None if None in costs else sum(cost or 0.0 for cost in costs)


def passes_on(error: BaseException) -> bool:
    """Tell whether the next model may do better: the provider's or the model's failure it was."""
    return isinstance(error, UnexpectedModelBehavior) or provider_fault(error)


def _why(error: Exception) -> Why:
    if isinstance(error, ContentFilterError):
        return "refused"
    if isinstance(error, ContextTooLong):
        return "too_long"
    return "provider" if provider_fault(error) else "invalid"


class Chain(FallbackModel):
    """The models that one run may ask, first to last. It is made for one run and keeps its state.

    Args:
        members: Name and model; each in wrappers of its own, so that a recording, a limiter or a
            circuit sees the model that it is about.
        answered: Where it is noted who answers.
    """

    def __init__(self, members: Sequence[tuple[str, Model]], answered: Answered) -> None:
        self.answered = answered
        self.errors: list[Exception] = []
        self.of_tools: list[Exception] = []
        self._members = [_Member(model, name, self) for name, model in members]
        super().__init__(*self._members, fallback_on=[passes_on])

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        try:
            return await super().request(messages, model_settings, model_request_parameters)
        except FallbackExceptionGroup:
            pass  # raised below, outside: its first member must not become its own cause
        finally:
            self._leave_out()
        raise self.first_error()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        try:
            async with super().request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                yield stream
            return
        except FallbackExceptionGroup:
            pass
        finally:
            self._leave_out()
        raise self.first_error()

    def passed(self, member: _Member, error: Exception, since: int | None = None) -> None:
        """Note that a member failed, which was asked at `since`; it is not asked again."""
        member.failed = True
        if self.errors:
            said = f"{type(error).__name__}: {error}"
            self.errors[0].add_note(f"{member.name!r} was asked next and failed too: {said}")
        self.errors.append(error)
        why = _why(error)
        self.answered.passed.append(Passed(member.name, why, f"{type(error).__name__}: {error}"))
        told = {"gen_ai.request.model": member.name, "assay.fallback.why": why}
        note("fallback", f"fallback from {member.name}", told, since=since, error=error)
        self.nobody()

    def gave(self, member: _Member) -> None:
        """Note that a member gave a response."""
        self.answered.model = member.name
        self.answered.degraded = bool(self.errors) and is_baseline(member)

    def nobody(self) -> None:
        """Note that what was answered so far came to nothing."""
        self.answered.model, self.answered.degraded = None, False

    @property
    def stands_in(self) -> bool:
        """Whether it is a baseline's turn, in an LLM's place."""
        return bool(self.errors) and is_baseline(self.models[0])

    def concerns(self, error: Exception) -> bool:
        """Tell whether a run failed by its model: not by a tool, whoever that had asked."""
        if any(error is one for one in self.errors):
            return True
        own = all(error is not one for one in self.of_tools)
        return own and isinstance(error, UnexpectedModelBehavior)

    def go_on(self, error: Exception) -> bool:
        """Take a run's failure for that of the member it ended with; tell whether one is left."""
        if all(error is not one for one in self.errors):  # else it was noted when it was raised
            self.passed(next(m for m in self._members if not m.failed), error)
            self._leave_out()
        return any(not member.failed for member in self._members)

    def first_error(self) -> Exception:
        """Return the error of the model that was asked first; the others are its notes."""
        return self.errors[0]

    def _leave_out(self) -> None:
        left = [member for member in self._members if not member.failed]
        if left:  # a chain without models could not even tell its name
            self.models = list(left)


class _Member(Layer):
    """A model of a chain, which tells the chain how it went."""

    def __init__(self, wrapped: Model, name: str, chain: Chain) -> None:
        super().__init__(wrapped)
        self.name = name
        self.failed = False
        self._chain = chain

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        since = time_ns()
        try:
            async with opening() as answer:
                yield answer
        except Exception as e:  # a break in the middle of a stream comes through here, too
            if passes_on(e):
                self._chain.passed(self, e, since)
            raise
        self._chain.gave(self)


class ResolveWithFallback(ResolveModelId[DepsT]):
    """Resolves a run's model name, and asks the rest of its chain when the run fails.

    Asked again are the prompt and the history, with the run's deps and what is left of its budget.
    What else a run was given (`output_type`, `toolsets`, `instructions`) is not: it would have to
    be the agent's own.
    """

    async def on_tool_execute_error(
        self,
        ctx: RunContext[DepsT],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        error: Exception,
    ) -> Any:
        if (chain := chain_of(ctx.model)) is not None:
            chain.of_tools.append(error)
        raise error

    async def on_run_error(
        self, ctx: RunContext[DepsT], *, error: BaseException
    ) -> AgentRunResult[Any]:
        chain = chain_of(ctx.model)
        if chain is None or ctx.agent is None or not isinstance(error, Exception):
            raise error
        if isinstance(error, InputError) and chain.stands_in:
            # What is to be told, and put right, is why there had to be a stand-in.
            chain.nobody()
            chain.first_error().add_note(f"its baseline had no answer either: {error}")
            raise chain.first_error()
        if not chain.concerns(error):
            raise error
        if not chain.go_on(error):
            raise chain.first_error()
        return await ctx.agent.run(
            ctx.prompt,
            deps=ctx.deps,
            model=chain,
            usage=ctx.usage,
            usage_limits=ctx.usage_limits,
            message_history=[m for m in ctx.messages if m.run_id != ctx.run_id] or None,
        )


def chain_of(model: object) -> Chain | None:
    """Return the chain that a run's model is; None if it was given as an object."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    return model if isinstance(model, Chain) else None
