"""Ask a judge about labelled items, several at once; one that fails is not the end of the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.usage import RunUsage

from ...agents import judge
from ...agents.judge import Criterion, grounded, pairwise, scores
from ...deps.models import Models
from ...deps.resilience.causes import unanswered
from ..statistics.agreement import Label
from ..workers import schedule
from .base import JudgeId, identity
from .items import Item, Scale, Verdict

__all__ = ("Asking", "ask_all", "judge_of")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who is asked, and how.

    Attributes:
        models: What model names mean.
        model: The judge's model, or its role.
        family: What kind of rubric the items are of.
        persona: Whose eyes it judges with.
        usage: Where requests and cost are added up.
    """

    models: Models
    model: str = "judge"
    family: str = "rubric"
    persona: str = ""
    usage: RunUsage = field(default_factory=RunUsage)

    async def __call__(self, item: Item, scale: Scale) -> Verdict:
        """Ask about one item; a judge that gives no valid answer has none.

        Raises:
            ConfigError: the judge's model is named wrongly, or lacks its key.
        """
        usage = RunUsage()  # of this item alone: limits are of a run
        deps = judge.Deps(models=self.models, usage=usage, persona=self.persona)
        try:
            return await self._verdict(item, scale, deps)
        except Exception as e:
            if not unanswered(e):
                raise
            return Verdict(label=None, reason=f"{type(e).__name__}: {e}")
        finally:
            self.usage.incr(usage)

    async def _verdict(self, item: Item, scale: Scale, deps: judge.Deps) -> Verdict:
        if scale == "pairwise":
            return await self._preferred(item, deps)
        if item.sources is not None:
            return await self._grounded(item, deps)
        shown = {"inputs": item.inputs, "reference": item.reference}
        asked = _criteria(item)
        if scale == "score":
            grades = await judge.score(item.candidate, asked, deps, model=self.model, **shown)
            reasons = "; ".join(grade.reason for grade in grades.grades)
            return Verdict(label=round(grades.total(asked)), reason=reasons)
        judgement = await judge.run(item.candidate, asked, deps, model=self.model, **shown)
        reasons = "; ".join(mark.reason for mark in judgement.marks)
        return Verdict(label=_all_met(judgement), reason=reasons)

    async def _preferred(self, item: Item, deps: judge.Deps) -> Verdict:
        found = await judge.prefer(
            item.candidate,
            item.other or "",
            _criteria(item),
            deps,
            inputs=item.inputs,
            reference=item.reference,
            model=self.model,
        )
        reason = " | ".join(found.reasons)
        return Verdict(label=found.winner, reason=reason, flipped=found.flipped)

    async def _grounded(self, item: Item, deps: judge.Deps) -> Verdict:
        found = await judge.ground(item.candidate, item.sources or "", deps, model=self.model)
        wrong = [claim for claim in found.claims if claim.verdict != "supported"]
        reason = "; ".join(f"{one.verdict}: {one.reason}" for one in wrong)
        return Verdict(label="fail" if wrong else "pass", reason=reason)


async def ask_all(
    items: Sequence[Item],
    scale: Scale,
    asking: Asking,
    *,
    max_concurrency: int = 10,
    on_verdict: Callable[[], Any] = lambda: None,
) -> Mapping[str, Verdict]:
    """Ask about every item; by id.

    Raises:
        ConfigError: the judge's model is named wrongly, or lacks its key.
    """
    found: dict[str, Verdict] = {}

    async def ask(item: Item) -> None:
        found[item.id] = await asking(item, scale)
        on_verdict()

    await schedule(items, ask, max_concurrency)
    return {item.id: found[item.id] for item in items}


def judge_of(items: Sequence[Item], scale: Scale, asking: Asking) -> JudgeId:
    """Return who judges these items: the same as the judged checks that ask alike."""
    if scale == "pairwise":
        mode: tuple[str, type[Any]] = pairwise.INSTRUCTIONS, pairwise.Preference
    elif any(item.sources is not None for item in items):
        mode = grounded.INSTRUCTIONS, grounded.Grounding
    elif scale == "score":
        mode = scores.INSTRUCTIONS, scores.Grades
    else:
        mode = judge.INSTRUCTIONS, judge.Judgement
    return identity(mode, asking.model, asking.family, asking.persona, asking.models)


def _criteria(item: Item) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(id=f"c{n}", text=one) if isinstance(one, str) else one
        for n, one in enumerate(item.criteria, start=1)
    )


def _all_met(judgement: judge.Judgement) -> Label | None:
    met = [mark.met for mark in judgement.marks]
    if any(one is False for one in met):
        return "fail"
    return None if any(one is None for one in met) else "pass"
