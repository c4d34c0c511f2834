"""pydantic-evals' own judges, `LLMJudge` and `GEval`, under the same accounting as ours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic_ai.models import Model
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext, GEval, LLMJudge

from ...deps.models import BASELINE, Models
from ..outcome import Unscored
from .base import Judged, JudgeId

if TYPE_CHECKING:
    from ...agents import judge

__all__ = ("as_judged",)


def as_judged(check: Evaluator[Any, Any, Any]) -> Judged | None:
    """Return a check as a judged one; None for a check without a judge."""
    if isinstance(check, Judged):
        return check
    return _Native(check=check) if isinstance(check, (LLMJudge, GEval)) else None


@dataclass(kw_only=True)
class _Native(Judged):
    """Asks through the run's models, so that budgets, limits, replay and usage are the run's."""

    check: LLMJudge | GEval

    def __post_init__(self) -> None:
        model = self.check.model
        self.model = model if isinstance(model, str) else "judge"
        self.name = self.check.get_default_evaluation_name()

    @property
    def mode(self) -> tuple[str, type[Any]]:
        told: Any = replace(self.check, model=None)
        name = type(self.check).__name__
        return f"{name} {told.build_serialization_arguments()!r}", bool

    def identity(self, models: Models) -> JudgeId:
        found, own = super().identity(models), self.check.model
        return replace(found, model=own.model_id) if isinstance(own, Model) else found

    async def judged(
        self, ctx: EvaluatorContext[Any, Any, Any], deps: "judge.Deps"
    ) -> Mapping[str, EvaluationReason]:
        found = await replace(self.check, model=self._asked(deps.models)).evaluate(ctx)
        named = found if isinstance(found, Mapping) else {self.name: found}
        return {
            name: one if isinstance(one, EvaluationReason) else EvaluationReason(one)
            for name, one in named.items()
        }

    def _asked(self, models: Models) -> Model:
        if isinstance(self.check.model, Model):
            return models.wrapped(self.check.model)
        named = models.named(self.model)
        if named == BASELINE:
            raise Unscored("no LLM is configured as judge; set ASSAY_JUDGE_MODEL")
        return models.resolve(named)
