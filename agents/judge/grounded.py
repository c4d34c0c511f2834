"""Say of each claim in a candidate whether the given sources support it, and quote where."""

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.models import Model

from ...deps.baseline import BaselineModel
from ...deps.models import by_name
from ...tools.quotes import not_there, verbatim
from .frame import FAIRNESS, Deps, ask, fenced, persona, texts_of

__all__ = ("INSTRUCTIONS", "Claim", "Grounding", "agent", "ground")


class Claim(BaseModel):
    """One thing that a candidate says is so."""

    text: str = Field(description="the claim as it stands in the candidate, word by word")
    evidence: str | None = Field(
        description="the words of the sources that decide, copied exactly; null if not_found"
    )
    reason: str = Field(description="one sentence: what follows from the evidence, or lacks")
    verdict: Literal["supported", "contradicted", "not_found"]


class Grounding(BaseModel):
    """Every claim of a candidate, in its order; none where it says nothing that could be wrong."""

    claims: tuple[Claim, ...]

    @property
    def share(self) -> float | None:
        """The share of claims that the sources support; None where there are none."""
        if not self.claims:
            return None
        return sum(claim.verdict == "supported" for claim in self.claims) / len(self.claims)


INSTRUCTIONS = f"""\
You are a strict, fair examiner. You get sources and a candidate that somebody else wrote. Take \
the candidate apart into its claims, each a single thing that it says is so, and decide for each:

- `supported`: the sources say it, or it follows from them without further knowledge.
- `contradicted`: the sources say otherwise.
- `not_found`: the sources leave it open. That it is true elsewhere does not count.

A claim is copied from the candidate, its evidence from the sources, word by word. Numbers, dates, \
names and negations must agree. Questions, greetings, opinions marked as such and what the \
candidate says of itself are no claims.

{FAIRNESS}"""


def _baseline(deps: Deps) -> BaselineModel:
    from ..baselines.judge import grounding

    return BaselineModel("judge", grounding)


agent = Agent(
    "judge",
    name="judge_grounded",
    deps_type=Deps,
    output_type=Grounding,
    instructions=INSTRUCTIONS,
    retries={"output": 2},
    capabilities=[by_name(_baseline)],
)
agent.instructions(persona)


@agent.output_validator
def check_claims(ctx: RunContext[Deps], output: Grounding) -> Grounding:
    """Send back a claim that the candidate does not make, and evidence that no source holds."""
    texts = texts_of(ctx.prompt)
    wrong = [_wrong(claim, texts["sources"], texts["candidate"]) for claim in output.claims]
    if any(wrong):
        raise ModelRetry("\n".join(filter(None, wrong)))
    return output


def _wrong(claim: Claim, sources: str, candidate: str) -> str:
    if verbatim(candidate, claim.text) is None:
        return f"Copy claims from the candidate: {not_there(candidate, claim.text)}"
    if claim.verdict == "not_found":
        return ""
    if claim.evidence is None:
        return f"{claim.text!r} is {claim.verdict}: quote the evidence."
    if verbatim(sources, claim.evidence) is None:
        return f"Copy evidence from the sources: {not_there(sources, claim.evidence)}"
    return ""


async def ground(
    candidate: str, sources: str, deps: Deps, *, model: Model | str | None = None
) -> Grounding:
    """Say of each claim in `candidate` whether `sources` support it.

    Args:
        candidate: The text to check; fenced, like the sources, so it cannot give orders.
        sources: All that counts as known.
        deps: The world.
        model: A model or its name, instead of the one `deps` stands for.
    """
    return await ask(agent, fenced(sources=sources, candidate=candidate), deps, model)
