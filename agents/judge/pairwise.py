"""Say which of two candidates is better, asked in both orders: a winner that changes is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent
from pydantic_ai.models import Model

from ...deps.baseline import BaselineModel
from ...deps.models import by_name
from ...tools.together import together
from .frame import FAIRNESS, Criterion, Deps, ask, framed, persona

__all__ = ("INSTRUCTIONS", "Preference", "Preferred", "Winner", "agent", "prefer")

Winner = Literal["a", "b", "tie"]
Place = Literal["first", "second", "tie"]

_STRAIGHT: Mapping[Place, Winner] = {"first": "a", "second": "b", "tie": "tie"}
_SWAPPED: Mapping[Place, Winner] = {"first": "b", "second": "a", "tie": "tie"}


class Preference(BaseModel):
    """Which of two candidates is better, in the order in which they were shown."""

    reason: str = Field(description="the deciding words of both, quoted, then what follows")
    better: Place


@dataclass(frozen=True, kw_only=True)
class Preferred:
    """Which of two candidates is better, whatever their order.

    Attributes:
        winner: The one preferred in both orders; a tie where the two answers differ.
        flipped: Whether a candidate won in one order and the other one in the other: the place,
            not the text, decided.
        reasons: Of the two answers, `a` shown first, then `b`.
        orders: The winner of each.
    """

    winner: Winner
    flipped: bool
    reasons: tuple[str, str]
    orders: tuple[Winner, Winner]


INSTRUCTIONS = f"""\
You are a strict, fair examiner. You get criteria, two candidates, `first` and `second`, that \
others wrote and, perhaps, the inputs they were made from. Decide which of them meets the criteria \
better: the reason, then `first`, `second`, or `tie` where neither is better.

Which of them is shown first is chance and says nothing. A slip in substance weighs more than any \
difference in style.

{FAIRNESS}"""


def _baseline(deps: Deps) -> BaselineModel:
    from ..baselines.judge import preference

    return BaselineModel("judge", preference)


agent = Agent(
    "judge",
    name="judge_pairwise",
    deps_type=Deps,
    output_type=Preference,
    instructions=INSTRUCTIONS,
    retries={"output": 2},
    capabilities=[by_name(_baseline)],
)
agent.instructions(persona)


async def prefer(
    a: str,
    b: str,
    criteria: Sequence[Criterion],
    deps: Deps,
    *,
    inputs: str | None = None,
    reference: str | None = None,
    model: Model | str | None = None,
) -> Preferred:
    """Say which of `a` and `b` is better; the judge is asked twice, once in each order.

    Args:
        a: A text; fenced, like the rest, so it cannot give orders.
        b: Another one.
        criteria: What they are compared by, with distinct ids.
        deps: The world.
        inputs: What they were made from, if that matters.
        reference: An answer that is known to be right, if there is one.
        model: A model or its name, instead of the one `deps` stands for.

    Raises:
        InputError: there are no criteria, or two have one id.
    """

    async def shown(first: str, second: str) -> Preference:
        texts = {"inputs": inputs, "reference": reference, "first": first, "second": second}
        return await ask(agent, framed(criteria, **texts), deps, model)

    one, other = await together([shown(a, b), shown(b, a)])
    straight, swapped = _STRAIGHT[one.better], _SWAPPED[other.better]
    return Preferred(
        winner=straight if straight == swapped else "tie",
        flipped={straight, swapped} == {"a", "b"},
        reasons=(one.reason, other.reason),
        orders=(straight, swapped),
    )
