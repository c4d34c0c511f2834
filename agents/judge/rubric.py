"""Grade one candidate by a rubric: per criterion a reason, then a verdict."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent, RunContext
from pydantic_ai.models import Model

from ...deps.baseline import BaselineModel
from ...deps.models import by_name
from .frame import FAIRNESS, Criterion, Deps, ask, check_ids, framed, persona

__all__ = ("INSTRUCTIONS", "Criterion", "Deps", "Judgement", "Mark", "Verdict", "agent", "run")


Verdict = Literal["pass", "fail", "cannot_say"]


class Mark(BaseModel):
    """The verdict on one criterion."""

    id: str = Field(description="the criterion's id, exactly")
    reason: str = Field(description="the deciding words, quoted, then what follows")
    verdict: Verdict

    @property
    def met(self) -> bool | None:
        """Whether the criterion is met; None where the judge cannot say."""
        return {"pass": True, "fail": False, "cannot_say": None}[self.verdict]


class Judgement(BaseModel):
    """One mark for each criterion."""

    marks: tuple[Mark, ...]

    def total(self, criteria: Sequence[Criterion] = ()) -> float | None:
        """Return the weighted share of criteria that are met, in [0, 1].

        Those of which the judge cannot say do not count; None where that is all of them.

        Args:
            criteria: Where the weights are; without them all count alike.
        """
        weights: Mapping[str, float] = {one.id: one.weight for one in criteria}
        decided = [(weights.get(m.id, 1.0), m.met) for m in self.marks if m.met is not None]
        whole = sum(weight for weight, _ in decided)
        return sum(weight for weight, met in decided if met) / whole if whole else None


INSTRUCTIONS = f"""\
You are a strict, fair examiner. You get criteria, a candidate that somebody else wrote and, \
perhaps, the inputs it was made from. Decide for each criterion whether the candidate meets it.

Give every criterion exactly one mark, under its id: the reason, then the verdict.
- `pass`: all that the criterion asks is met.
- `fail`: any part of it is not, or what it asks for is absent.
- `cannot_say`: neither the candidate nor the other texts hold what it takes to decide. Hard is \
not the same as impossible.

Judge each criterion by itself.

{FAIRNESS}"""


def _baseline(deps: Deps) -> BaselineModel:
    from ..baselines.judge import verdicts

    return BaselineModel("judge", verdicts)


agent = Agent(
    "judge",
    name="judge",
    deps_type=Deps,
    output_type=Judgement,
    instructions=INSTRUCTIONS,
    retries={"output": 2},
    capabilities=[by_name(_baseline)],
)
agent.instructions(persona)


@agent.output_validator
def check_marks(ctx: RunContext[Deps], output: Judgement) -> Judgement:
    """Send back a judgement that misses, repeats or invents a criterion; put marks in order."""
    wanted = check_ids(ctx, (mark.id for mark in output.marks))
    return Judgement(marks=tuple(sorted(output.marks, key=lambda mark: wanted.index(mark.id))))


async def run(
    candidate: str,
    criteria: Sequence[Criterion],
    deps: Deps,
    *,
    inputs: str | None = None,
    reference: str | None = None,
    model: Model | str | None = None,
) -> Judgement:
    """Grade `candidate` by each of `criteria`; the marks come in the order of the criteria.

    Args:
        candidate: The text to grade; fenced, like the rest, so it cannot give orders.
        criteria: What it is graded by, with distinct ids.
        deps: The world.
        inputs: What the candidate was made from, if that matters.
        reference: An answer that is known to be right, if there is one.
        model: A model or its name, instead of the one `deps` stands for.

    Raises:
        InputError: there are no criteria, or two have one id.
    """
    prompt = framed(criteria, inputs=inputs, reference=reference, candidate=candidate)
    return await ask(agent, prompt, deps, model)
