"""How far the desk takes a message: the right route, the right data, and people where it must."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, Field
from pydantic_ai.usage import UsageLimits
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from ...agents import desk
from ...deps.errors import ProviderError
from ...deps.taxonomy import Taxonomy
from ..checks import Check, MaxRequests, MaxSeconds, verdict
from ..suite import DATASETS, Plain, Suite, Trial

__all__ = (
    "Expected",
    "HandedOverWithReason",
    "Incoming",
    "RecordMatches",
    "ReplyEquals",
    "RouteEquals",
    "StepsRun",
    "suite",
)

BUDGET = 12
"""Requests that one message may cost, all its steps together."""


class Incoming(BaseModel):
    """A message, and the reply to it if somebody has drafted one."""

    message: str
    draft: str | None = None


class Expected(BaseModel):
    """What a case knows of the right outcome."""

    route: desk.Route
    record: Plain = Field(default={}, description="the record's fields that are compared")
    reply: str | None = Field(default=None, description="the reply, letter by letter")
    steps: list[str] = Field(description="the agents that run, in order")


@dataclass
class RouteEquals(Check):
    """The message took the expected route."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        if ctx.expected_output is None:
            return {}
        got: desk.Handled = ctx.output
        expected = ctx.expected_output.route
        return verdict(
            got.route == expected, f"got {got.route} ({got.reason}), expected {expected}"
        )


@dataclass
class RecordMatches(Check):
    """The record has the expected values in the fields that the case names."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None or not expected.record:
            return {}
        got: desk.Handled = ctx.output
        if got.record is None or got.route != expected.route:
            return verdict(False, f"no {expected.route} was read")
        wrong = differences(got.record, expected.record)
        return verdict(not wrong, "; ".join(wrong))


def differences(record: desk.Record, expected: Mapping[str, Any]) -> list[str]:
    """Name the fields whose value is another than expected; case and spacing do not matter."""
    filled = {**record.model_dump(), **expected}
    wanted = type(record).model_validate(filled)  # so that "99.00" is a Decimal, as in the record
    pairs = {name: (getattr(record, name), getattr(wanted, name)) for name in expected}
    return [
        f"{name}: got {str(got)!r}, expected {str(want)!r}"
        for name, (got, want) in pairs.items()
        if _plain(got) != _plain(want)
    ]


def _plain(value: object) -> object:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value


@dataclass
class ReplyEquals(Check):
    """The reply is the expected one, letter by letter."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None or expected.reply is None:
            return {}
        return verdict(ctx.output.reply == expected.reply, f"got {ctx.output.reply!r}")


@dataclass
class HandedOverWithReason(Check):
    """Whoever gets the message is told why, and what was done before."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        got: desk.Handled = ctx.output
        if got.route != "person":
            return {}
        return verdict(bool(got.reason and got.steps), "handed over without a word")


@dataclass
class StepsRun(Check):
    """The expected agents ran, in order, and no other."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        if ctx.expected_output is None:
            return {}
        got = [step.agent for step in ctx.output.steps]
        expected = ctx.expected_output.steps
        return verdict(got == expected, f"ran {got}, expected {expected}")


@cache  # one world for all trials: its memo keeps the fitted baselines
def world() -> desk.Deps:
    """Return deps with triage's taxonomy, on the day that the cases speak of."""
    monday = datetime(2026, 3, 2, 9, tzinfo=UTC)
    return desk.Deps(
        taxonomy=Taxonomy.from_file(DATASETS / "triage" / "taxonomy.yaml"),
        now=lambda: monday,
        limits=UsageLimits(request_limit=BUDGET),
    )


async def task(incoming: Incoming, trial: Trial) -> desk.Handled:
    """Handle one message.

    Raises:
        ProviderError: a step met a dead provider; the desk hands over, but its skill was not seen.
    """
    deps = replace(world(), models=trial.models, usage=trial.usage)
    handled = await desk.run(incoming.message, deps, draft=incoming.draft)
    for step in handled.steps:
        if step.provider_failed:
            raise ProviderError(f"{step.agent}: {step.error}")
    return handled


suite = Suite(
    name="desk",
    about="take a message as far as it can go by itself, else hand it to a person",
    task=task,
    baseline=task,
    path=DATASETS / "desk" / "cases.yaml",
    types=(Incoming, Expected),
    checks=(
        RouteEquals(),
        RecordMatches(),
        ReplyEquals(),
        HandedOverWithReason(),
        StepsRun(),
        MaxRequests(BUDGET),
        MaxSeconds(60),
    ),
    thresholds={"route_equals": 0.65, "record_matches": 0.3, "steps_run": 0.7},
)
