"""What judged checks have in common: who judges, when, at whose cost, and what becomes of silence.

A judge that does not answer leaves a check unscored: it is counted and shown, never made up, and
never fails a run. One that nobody has calibrated is advisory (see `standing`).
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter
from pydantic_ai.usage import RunUsage
from pydantic_core import to_json
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext, EvaluatorOutput

from ...deps.models import BASELINE, Models
from ...deps.replay.requests import canonical, digest
from ...deps.resilience.causes import unanswered
from ..checks import Check
from ..outcome import Unscored
from ..suite import TRIAL, Trial
from .counted import judging

if TYPE_CHECKING:  # a service's own suites load none of our agents
    from ...agents import judge

__all__ = ("UNDECIDED", "JudgeId", "Judged", "add_up", "as_text", "identity", "trial_of")

UNDECIDED = "cannot_say"
"""What an undecided criterion comes to: a label, so neither pass, fail nor score."""


@dataclass(frozen=True, kw_only=True)
class JudgeId:
    """Who judges: what a calibration holds for, and ends with.

    Attributes:
        model: The model's name.
        family: What kind of rubric; rubrics of one family share a calibration.
        prompt: The hash of the judge's instructions, its output's schema, persona and settings.
    """

    model: str
    family: str
    prompt: str

    def __str__(self) -> str:
        return f"{self.family}@{self.model}#{self.prompt}"


def identity(
    mode: tuple[str, type[Any]], model: str, family: str, persona: str, models: Models
) -> JudgeId:
    """Return who judges.

    Args:
        mode: The judge's instructions and the type it answers with.
        model: A role or a model's name.
        family: What kind of rubric.
        persona: Whose eyes it judges with.
        models: What names mean.
    """
    instructions, kind = mode
    named, modes = models.named(model), models.clients.modes
    told = {
        "instructions": instructions,
        "schema": _schema(cast(object, kind)),
        "persona": persona,
        "mode": dict(modes.by_model).get(named) or modes.default,
    }
    return JudgeId(
        model="baseline judge" if named == BASELINE else named,
        family=family,
        prompt=digest(canonical(told))[:12],
    )


@dataclass(kw_only=True)
class Judged(Check):
    """Base of judged checks. What the judge spends is kept apart from the task's usage.

    It is in the metrics `judge_requests` and, where prices are known, `judge_cost` (USD).

    Args:
        model: A role (`judge`) or a model name such as `openai:gpt-5`.
        name: What the results are called, or begin with.
        family: What kind of rubric this is; the name by default. A judge is calibrated by family.
        persona: Whose eyes it judges with.
        after_failure: Whether to judge an output that a hard check of the suite has failed.
    """

    model: str = "judge"
    name: str = ""
    family: str = ""
    persona: str = ""
    after_failure: bool = False

    def get_default_evaluation_name(self) -> str:
        return self.name or super().get_default_evaluation_name()

    @property
    def names(self) -> tuple[str, ...]:
        """What its results are called, where it is known before they are there."""
        return (self.get_default_evaluation_name(),)

    @property
    @abstractmethod
    def mode(self) -> tuple[str, type[Any]]:
        """The judge's instructions and the type it answers with."""

    @abstractmethod
    async def judged(
        self, ctx: EvaluatorContext[Any, Any, Any], deps: "judge.Deps"
    ) -> Mapping[str, EvaluationReason]:
        """Ask the judge, and return what it found by name."""

    def identity(self, models: Models) -> JudgeId:
        """Return who judges under these models."""
        family = self.family or self.get_default_evaluation_name()
        return identity(self.mode, self.model, family, self.persona, models)

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        """Ask the judge.

        Raises:
            Unscored: it failed to answer.
            ConfigError: its model is named wrongly or lacks its key or library.
        """
        from ...agents import judge

        usage = RunUsage()
        deps = judge.Deps(models=judging(trial_of(ctx), usage), persona=self.persona)
        try:
            return dict(await self.judged(ctx, deps))
        except Exception as e:
            if unanswered(e):
                raise Unscored(f"the judge did not answer: {e}") from e
            raise
        finally:
            add_up(ctx.metrics, usage)


@cache
def _schema(kind: object) -> dict[str, Any]:
    return TypeAdapter[Any](cast(type[Any], kind)).json_schema()


def trial_of(ctx: EvaluatorContext[Any, Any, Any]) -> Trial:
    """Return the trial that is judged; a bare one in plain pydantic-evals."""
    trial = ctx.attributes.get(TRIAL)
    return trial if isinstance(trial, Trial) else Trial()


def as_text(value: object) -> str:
    """Return what a judge is shown of a value: texts as they are, all else as JSON."""
    if isinstance(value, str):
        return value
    return to_json(value, indent=2, serialize_unknown=True).decode()


def add_up(metrics: dict[str, int | float], usage: RunUsage) -> None:
    """Note what judging took beside what is noted already."""
    metrics["judge_requests"] = metrics.get("judge_requests", 0) + usage.requests
    if usage.cost is not None:
        metrics["judge_cost"] = metrics.get("judge_cost", 0.0) + float(usage.cost)
