"""How far the judge can be trusted: candidates of which anybody can see what is true of them.

The judge has no baseline, so without an LLM there is no judgement, and every case is unscored.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from ...agents import judge
from ...deps.models import BASELINE
from ..checks import Check, verdict
from ..outcome import Unscored
from ..suite import DATASETS, Suite, Trial

__all__ = ("Expected", "ToJudge", "VerdictEquals", "suite")

Expected = dict[str, Literal["pass", "fail", "cannot_say"]]
"""Criterion's id to the verdict that is plainly right."""


class ToJudge(BaseModel):
    """What a judge is given."""

    candidate: str
    criteria: list[judge.Criterion]
    inputs: str | None = None


@dataclass
class VerdictEquals(Check):
    """Every criterion has the expected verdict."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        if ctx.output is None:
            raise Unscored("no LLM is configured as judge; set ASSAY_JUDGE_MODEL")
        if ctx.expected_output is None:
            return {}
        expected: Expected = ctx.expected_output
        got: judge.Judgement = ctx.output
        wrong = [
            f"{mark.id}: got {mark.verdict}, expected {expected[mark.id]}: {mark.reason}"
            for mark in got.marks
            if mark.verdict != expected[mark.id]
        ]
        return verdict(not wrong, "; ".join(wrong))


async def task(given: ToJudge, trial: Trial) -> judge.Judgement | None:
    """Judge one candidate; None where no LLM is there to do it."""
    if trial.models.named("judge") == BASELINE:
        return None
    deps = judge.Deps(models=trial.models, usage=trial.usage)
    return await judge.run(given.candidate, given.criteria, deps, inputs=given.inputs)


suite = Suite(
    name="judge",
    about="grade an output by a rubric",
    task=task,
    path=DATASETS / "judge" / "cases.yaml",
    types=(ToJudge, Expected),
    checks=(VerdictEquals(),),
    thresholds={"verdict_equals": 0.9},
)
