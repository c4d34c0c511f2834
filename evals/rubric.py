"""A judge as an evaluator: outputs graded by criteria in plain words.

Verdicts come from an LLM, or from nobody. Where nobody can say, a check is unscored: it is counted
and shown, never made up, and never fails a run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.usage import RunUsage
from pydantic_core import to_json
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext, EvaluatorOutput

from ..agents import judge
from ..agents.judge import Criterion
from ..deps.errors import ConfigError, provider_fault
from ..deps.models import BASELINE, Models
from .checks import Check
from .outcome import Unscored
from .runner import TRIAL
from .suite import Trial

__all__ = ("UNDECIDED", "Rubric")

UNDECIDED = "cannot_say"
"""What an undecided criterion comes to: a label, so neither pass, fail nor score."""

ID_LENGTH = 40


@dataclass
class Rubric(Check):
    """The judge finds each criterion met.

    Its results are called `<name>/<criterion's id>`. What the judge spends is kept apart from the
    task's usage, in the metrics `judge_requests` and, where prices are known, `judge_cost` (USD).

    Args:
        criteria: What an output is graded by: sentences, or `{id, text}` where the result's name
            should not follow the sentence.
        model: A role (`judge`) or a model name such as `openai:gpt-5`.
        name: What the results' names begin with.
    """

    criteria: Sequence[str | Mapping[str, str] | Criterion]
    model: str = "judge"
    name: str = "rubric"

    def __post_init__(self) -> None:
        self.parsed()  # a wrong rubric is told when it is read, not when it is used

    def get_default_evaluation_name(self) -> str:
        return self.name

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        """Ask the judge.

        Raises:
            Unscored: no LLM is configured as judge, or it failed to answer.
            ConfigError: the judge's model is named wrongly or lacks its key or library.
        """
        trial = ctx.attributes.get(TRIAL)  # absent in plain pydantic-evals
        models = trial.models if isinstance(trial, Trial) else Models()
        if models.named(self.model) == BASELINE:
            raise Unscored("no LLM is configured as judge; set ASSAY_JUDGE_MODEL")
        deps = judge.Deps(models=models, usage=(usage := RunUsage()))
        try:
            judgement = await judge.run(
                _text(ctx.output), self.parsed(), deps, inputs=_text(ctx.inputs), model=self.model
            )
        except Exception as e:
            if isinstance(e, AgentRunError) or provider_fault(e):
                raise Unscored(f"the judge did not answer: {e}") from e
            raise
        finally:
            _add_up(ctx.metrics, usage)
        return {f"{self.name}/{mark.id}": _result(mark) for mark in judgement.marks}

    def parsed(self) -> tuple[Criterion, ...]:
        """Return the criteria with their ids.

        Raises:
            ConfigError: there are none, one is malformed, or two have one id.
        """
        try:
            found = tuple(
                Criterion(id=_slug(item), text=item)
                if isinstance(item, str)
                else Criterion.model_validate(item)
                for item in self.criteria
            )
        except ValidationError as e:
            raise ConfigError(f"criteria are sentences or {{id, text}}: {e}") from e
        ids = [criterion.id for criterion in found]
        if not ids or len(set(ids)) < len(ids):
            raise ConfigError(f"a rubric needs criteria with distinct ids; got {ids}")
        return found


def _slug(text: str) -> str:
    """Return a short id made of a sentence's first words."""
    words = re.findall(r"\w+", text.casefold())
    while len(words) > 1 and len("-".join(words)) > ID_LENGTH:
        words.pop()
    return "-".join(words)


def _text(value: object) -> str:
    return to_json(value, indent=2, serialize_unknown=True).decode()


def _result(mark: judge.Mark) -> EvaluationReason:
    return EvaluationReason(UNDECIDED if mark.met is None else mark.met, mark.reason)


def _add_up(metrics: dict[str, int | float], usage: RunUsage) -> None:
    metrics["judge_requests"] = metrics.get("judge_requests", 0) + usage.requests
    if usage.cost is not None:
        metrics["judge_cost"] = metrics.get("judge_cost", 0.0) + float(usage.cost)
