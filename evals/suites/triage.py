"""How good triage is: the right label, or the honest absence of one."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from ...agents import triage
from ...deps.taxonomy import Taxonomy
from ..checks import Check, MaxRequests, MaxSeconds, verdict
from ..judges.rubric import Rubric
from ..suite import DATASETS, Suite, Trial

__all__ = ("AbstainsRightly", "Expected", "LabelEquals", "UrgencyInRange", "suite")

FOLDER = DATASETS / "triage"

REASON = Rubric(
    [
        {"id": "quoted", "text": "The words that `reason` quotes stand in the message."},
        {
            "id": "supports",
            "text": "What `reason` says speaks for the `label` given rather than for another one; "
            "where the label is null, for none that fits.",
        },
    ],
    name="reason",
)
"""The reason given supports the label."""


class Expected(BaseModel):
    """What a case knows of the right answer."""

    label: str | None
    urgency: tuple[int, int] | None = None
    """The lowest and the highest urgency that a reasonable person might give."""


@dataclass
class LabelEquals(Check):
    """The label, or the abstention, is the expected one."""

    def evaluate(self, ctx: EvaluatorContext[str, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None:
            return {}
        got: triage.Triage = ctx.output
        return verdict(
            got.label == expected.label, f"got {got.label!r}, expected {expected.label!r}"
        )


@dataclass
class AbstainsRightly(Check):
    """It abstains where no label fits, and only there."""

    def evaluate(self, ctx: EvaluatorContext[str, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None:
            return {}
        got: triage.Triage = ctx.output
        return verdict(got.abstained == (expected.label is None), f"got {got.label!r}")


@dataclass
class UrgencyInRange(Check):
    """The urgency is one that a reasonable person might give."""

    def evaluate(self, ctx: EvaluatorContext[str, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None or expected.urgency is None:
            return {}
        low, high = expected.urgency
        got: triage.Triage = ctx.output
        return verdict(low <= got.urgency <= high, f"got {got.urgency}, expected {low} to {high}")


@cache  # one world for all trials: its memo keeps the fitted baseline
def world() -> triage.Deps:
    """Return deps with the dataset's own taxonomy."""
    return triage.Deps(taxonomy=Taxonomy.from_file(FOLDER / "taxonomy.yaml"))


async def task(message: str, trial: Trial) -> triage.Triage:
    """Sort one message."""
    return await triage.run(message, replace(world(), models=trial.models, usage=trial.usage))


suite = Suite(
    name="triage",
    about="sort a message into a label of a taxonomy, or none",
    task=task,
    baseline=task,
    path=FOLDER / "cases.yaml",
    types=(str, Expected),
    checks=(
        LabelEquals(),
        AbstainsRightly(),
        UrgencyInRange(),
        MaxRequests(4),
        MaxSeconds(30),
        REASON,
    ),
    hard=("label_equals",),
    thresholds={"label_equals": 0.68, "abstains_rightly": 0.79, "urgency_in_range": 0.88},
)
