"""A comparison as an evaluator: the output against another run's, or another model's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext

from ...agents import judge
from ...agents.judge import pairwise
from ..outcome import Unscored
from .base import Judged, add_up, as_text, trial_of
from .rubric import Rubric

__all__ = ("Pairwise",)


@dataclass
class Pairwise(Judged):
    """The judge prefers the output to another one's, asked in both orders.

    A win is 1, a tie 0.5, a loss 0. Where the winner changes with the order it is a tie, and
    `<name>/flipped` is 1: the rate of these tells how far the place decides, not the text.

    Args:
        against: A stored run's id, or a model's name that the same task is run with.
        criteria: What the two are compared by: sentences, or `{id, text}`.
    """

    against: str
    criteria: Sequence[str | Mapping[str, Any] | judge.Criterion] = (
        "It does what the inputs ask for, correctly and completely.",
    )

    def __post_init__(self) -> None:
        self.name = self.name or "pairwise"
        self._rubric = Rubric(self.criteria)

    @property
    def mode(self) -> tuple[str, type[Any]]:
        return pairwise.INSTRUCTIONS, pairwise.Preference

    async def judged(
        self, ctx: EvaluatorContext[Any, Any, Any], deps: judge.Deps
    ) -> Mapping[str, EvaluationReason]:
        peers = trial_of(ctx).peers
        if peers is None:
            raise Unscored(f"only an evaluation by assay can compare with {self.against!r}")
        usage = RunUsage()
        try:
            other = await peers.output(self.against, usage)
        finally:
            add_up(ctx.metrics, usage)
        found = await judge.prefer(
            as_text(ctx.output),
            as_text(other),
            self._rubric.parsed(),
            deps,
            inputs=as_text(ctx.inputs),
            model=self.model,
        )
        value = {"a": 1.0, "tie": 0.5, "b": 0.0}[found.winner]
        reason = " | ".join(found.reasons)
        return {
            self.name: EvaluationReason(value, reason),
            f"{self.name}/flipped": EvaluationReason(float(found.flipped), ""),
        }
