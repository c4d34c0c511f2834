"""A rubric as an evaluator: outputs graded by criteria in plain words, by verdicts or scores."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext

from ...agents import judge
from ...agents.judge import Criterion, scores
from ...deps.errors import ConfigError
from .base import UNDECIDED, Judged, as_text

__all__ = ("Rubric",)

ID_LENGTH = 40

Scale = Literal["verdict", "score"]


@dataclass
class Rubric(Judged):
    """The judge finds each criterion met.

    Its results are called `<name>/<criterion's id>`, and where criteria have weights there is
    `<name>/total` too. Scores from 1 to 5 are shown as 0 to 1.

    Args:
        criteria: What an output is graded by: sentences, or `{id, text, weight}` where the
            result's name should not follow the sentence.
        scale: Whether each criterion gets a verdict, or a score.
        reference: Whether the judge is shown the case's expected output as a right answer.
    """

    criteria: Sequence[str | Mapping[str, Any] | Criterion]
    scale: Scale = "verdict"
    reference: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or "rubric"
        self.parsed()  # a wrong rubric is told when it is read, not when it is used

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}/{criterion.id}" for criterion in self.parsed())

    @property
    def mode(self) -> tuple[str, type[Any]]:
        if self.scale == "score":
            return scores.INSTRUCTIONS, scores.Grades
        return judge.INSTRUCTIONS, judge.Judgement

    async def judged(
        self, ctx: EvaluatorContext[Any, Any, Any], deps: judge.Deps
    ) -> Mapping[str, EvaluationReason]:
        candidate, inputs, criteria = as_text(ctx.output), as_text(ctx.inputs), self.parsed()
        right = ctx.expected_output if self.reference else None
        reference = None if right is None else as_text(right)
        if self.scale == "score":
            grades = await judge.score(
                candidate, criteria, deps, inputs=inputs, reference=reference, model=self.model
            )
            found = {grade.id: _of_grade(grade) for grade in grades.grades}
            total: float | None = _unit(grades.total(criteria))
        else:
            judgement = await judge.run(
                candidate, criteria, deps, inputs=inputs, reference=reference, model=self.model
            )
            found = {mark.id: _of_mark(mark) for mark in judgement.marks}
            total = judgement.total(criteria)
        if total is not None and any(criterion.weight != 1 for criterion in criteria):
            found["total"] = EvaluationReason(total, "by weight")
        return {f"{self.name}/{id}": reason for id, reason in found.items()}

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
            raise ConfigError(f"criteria are sentences or {{id, text, weight}}: {e}") from e
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


def _of_mark(mark: judge.Mark) -> EvaluationReason:
    return EvaluationReason(UNDECIDED if mark.met is None else mark.met, mark.reason)


def _of_grade(grade: judge.Grade) -> EvaluationReason:
    return EvaluationReason(_unit(grade.score), f"{grade.score} of {scores.BEST}: {grade.reason}")


def _unit(score: float) -> float:
    return (score - scores.WORST) / (scores.BEST - scores.WORST)
