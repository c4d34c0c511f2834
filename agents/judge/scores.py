"""Score one candidate by a rubric: per criterion a reason, then a number from 1 to 5."""

from collections.abc import Sequence

from pydantic import BaseModel, Field
from pydantic_ai import Agent, RunContext
from pydantic_ai.models import Model

from ...deps.baseline import BaselineModel
from ...deps.models import by_name
from .frame import FAIRNESS, Criterion, Deps, ask, check_ids, framed, persona

__all__ = ("BEST", "INSTRUCTIONS", "WORST", "Grade", "Grades", "agent", "score")

WORST, BEST = 1, 5


class Grade(BaseModel):
    """The score on one criterion."""

    id: str = Field(description="the criterion's id, exactly")
    reason: str = Field(description="the deciding words, quoted, then what follows")
    score: int = Field(
        ge=WORST,
        le=BEST,
        description="5 fully met, 4 but for a trifle, 3 in its main part, 2 in a lesser one, 1 not",
    )


class Grades(BaseModel):
    """One grade for each criterion."""

    grades: tuple[Grade, ...]

    def total(self, criteria: Sequence[Criterion] = ()) -> float:
        """Return the weighted mean score, from 1 to 5.

        Args:
            criteria: Where the weights are; without them all count alike.
        """
        weights = {one.id: one.weight for one in criteria}
        weighed = [(weights.get(grade.id, 1.0), grade.score) for grade in self.grades]
        return sum(weight * score for weight, score in weighed) / sum(w for w, _ in weighed)


INSTRUCTIONS = f"""\
You are a strict, fair examiner. You get criteria, a candidate that somebody else wrote and, \
perhaps, the inputs it was made from. Score how well the candidate meets each criterion.

Give every criterion exactly one grade, under its id: the reason, then the score.
- 5: fully met. 4: met but for a trifle. 3: its main part is met. 2: a lesser part is. 1: it is \
not met, or what it asks for is absent.
- Between two scores, the lower one.

Score each criterion by itself.

{FAIRNESS}"""


def _baseline(deps: Deps) -> BaselineModel:
    from ..baselines.judge import scores

    return BaselineModel("judge", scores)


agent = Agent(
    "judge",
    name="judge_scores",
    deps_type=Deps,
    output_type=Grades,
    instructions=INSTRUCTIONS,
    retries={"output": 2},
    capabilities=[by_name(_baseline)],
)
agent.instructions(persona)


@agent.output_validator
def check_grades(ctx: RunContext[Deps], output: Grades) -> Grades:
    """Send back grades that miss, repeat or invent a criterion; put them in order."""
    wanted = check_ids(ctx, (grade.id for grade in output.grades))
    return Grades(grades=tuple(sorted(output.grades, key=lambda grade: wanted.index(grade.id))))


async def score(
    candidate: str,
    criteria: Sequence[Criterion],
    deps: Deps,
    *,
    inputs: str | None = None,
    reference: str | None = None,
    model: Model | str | None = None,
) -> Grades:
    """Score `candidate` from 1 to 5 by each of `criteria`, in their order.

    Arguments and errors are those of `run`.
    """
    prompt = framed(criteria, inputs=inputs, reference=reference, candidate=candidate)
    return await ask(agent, prompt, deps, model)
