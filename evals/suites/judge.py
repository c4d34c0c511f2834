"""How far the judge can be trusted: candidates of which anybody can see what is true of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from ...agents import judge
from ...deps.models import BASELINE
from ..checks import Check, verdict
from ..suite import DATASETS, Suite, Trial

__all__ = (
    "ClaimsEqual",
    "Expected",
    "Judged",
    "OrderHolds",
    "ScoresInRange",
    "ToJudge",
    "VerdictEquals",
    "WinnerEquals",
    "suite",
)

Mode = Literal["rubric", "score", "pairwise", "grounded"]
Judged = judge.Judgement | judge.Grades | judge.Preferred | judge.Grounding


class Expected(BaseModel):
    """What is plainly right; what a mode does not give is left out.

    Attributes:
        verdicts: By criterion.
        scores: By criterion, the lowest and the highest score that a reasonable person might give.
        winner: Whether `candidate` (a) or `other` (b) is better.
        claims: By words that only one of the candidate's claims holds.
    """

    verdicts: dict[str, Literal["pass", "fail", "cannot_say"]] = Field(
        default_factory=dict[str, Literal["pass", "fail", "cannot_say"]]
    )
    scores: dict[str, tuple[int, int]] = Field(default_factory=dict[str, tuple[int, int]])
    winner: Literal["a", "b", "tie"] | None = None
    claims: dict[str, Literal["supported", "contradicted", "not_found"]] = Field(
        default_factory=dict[str, Literal["supported", "contradicted", "not_found"]]
    )


class ToJudge(BaseModel):
    """What a judge is given; `other` is compared with the candidate, `sources` ground it."""

    mode: Mode = "rubric"
    candidate: str
    criteria: list[judge.Criterion] = Field(default_factory=list[judge.Criterion])
    inputs: str | None = None
    reference: str | None = None
    other: str | None = None
    sources: str | None = None

    @model_validator(mode="after")
    def check_mode(self) -> Self:
        """Refuse what a mode cannot do without."""
        needed = {"pairwise": self.other, "grounded": self.sources}.get(self.mode, "")
        if needed is None or (self.mode != "grounded" and not self.criteria):
            raise ValueError(f"{self.mode} needs criteria, pairwise `other`, grounded `sources`")
        return self


@dataclass
class VerdictEquals(Check):
    """Every criterion has the expected verdict."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        got, expected = ctx.output, ctx.expected_output
        if expected is None or not isinstance(got, judge.Judgement):
            return {}
        right = expected.verdicts
        wrong = (m for m in got.marks if m.verdict != right[m.id])
        return _all_right(f"{m.id}: {m.verdict}, not {right[m.id]}: {m.reason}" for m in wrong)


@dataclass
class ScoresInRange(Check):
    """Every score is one that a reasonable person might give."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        got, expected = ctx.output, ctx.expected_output
        if expected is None or not isinstance(got, judge.Grades):
            return {}
        ends = expected.scores
        wrong = (g for g in got.grades if not ends[g.id][0] <= g.score <= ends[g.id][1])
        return _all_right(f"{g.id}: {g.score}, not in {ends[g.id]}: {g.reason}" for g in wrong)


@dataclass
class WinnerEquals(Check):
    """The better one wins, or neither where they are equally good."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        got, expected = ctx.output, ctx.expected_output
        if expected is None or not isinstance(got, judge.Preferred):
            return {}
        why = f"{got.winner}, not {expected.winner}: {' | '.join(got.reasons)}"
        return verdict(got.winner == expected.winner, why)


@dataclass
class OrderHolds(Check):
    """The winner does not change with the order in which the two are shown."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        if not isinstance(ctx.output, judge.Preferred):
            return {}
        return verdict(not ctx.output.flipped, " | ".join(ctx.output.reasons))


@dataclass
class ClaimsEqual(Check):
    """Each claim that is known has the expected verdict, in however many parts it was taken."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        got, expected = ctx.output, ctx.expected_output
        if expected is None or not isinstance(got, judge.Grounding):
            return {}
        return _all_right(_wrong_claims(expected, got))


def _wrong_claims(expected: Expected, got: judge.Grounding) -> Iterator[str]:
    for words, right in expected.claims.items():
        said = {one.verdict for one in got.claims if words.casefold() in one.text.casefold()}
        if said != {right}:
            yield f"{words!r}: {', '.join(sorted(said)) or 'no claim'}, not {right}"


def _all_right(wrong: Iterable[str]) -> EvaluatorOutput:
    found = [*wrong]
    return verdict(not found, "; ".join(found))


async def task(given: ToJudge, trial: Trial) -> Judged:
    """Judge one candidate."""
    deps = judge.Deps(models=trial.models, usage=trial.usage)
    text, criteria = given.candidate, given.criteria
    shown = {"inputs": given.inputs, "reference": given.reference}
    if given.mode == "score":
        return await judge.score(text, criteria, deps, **shown)
    if given.mode == "pairwise":
        return await judge.prefer(text, given.other or "", criteria, deps, **shown)
    if given.mode == "grounded":
        return await judge.ground(text, given.sources or "", deps)
    return await judge.run(text, criteria, deps, **shown)


async def by_baseline(given: ToJudge, trial: Trial) -> Judged:
    """Judge by counting, whoever is configured as judge."""
    counting = replace(trial.models, default=BASELINE, roles={})
    return await task(given, replace(trial, models=counting))


suite = Suite(
    name="judge",
    about="grade outputs: by a rubric, by scores, in pairs, by their sources",
    task=task,
    baseline=by_baseline,
    path=DATASETS / "judge" / "cases.yaml",
    types=(ToJudge, Expected),
    checks=(VerdictEquals(), ScoresInRange(), WinnerEquals(), OrderHolds(), ClaimsEqual()),
    thresholds={
        "verdict_equals": 0.43,
        "scores_in_range": 0.2,
        "winner_equals": 0.28,
        "claims_equal": 0.7,
    },
)
