"""Verdicts of a stored run that people have labelled, in the form that calibration reads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ...agents.judge.scores import BEST, WORST
from ...deps.errors import InputError
from ..outcome import Outcome, TrialResult
from ..statistics.agreement import Label as Said
from ..store.database import RunStore
from ..store.people import Label
from ..store.rows import Run
from .base import as_text
from .items import Item, Verdict

__all__ = ("Labelled", "RunScale", "judgeable", "labelled", "only_random", "said", "scale_of")

RunScale = Literal["verdict", "score"]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What people and one judge said of the same outputs.

    Attributes:
        judge: Who: `JudgeId` as text.
        checks: The checks that it judged.
        items: What people said.
        verdicts: What the judge said, by the item's id.
    """

    judge: str
    scale: RunScale
    checks: tuple[str, ...]
    items: tuple[Item, ...]
    verdicts: dict[str, Verdict]


def judgeable(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the judged outcomes that a person can label by looking at one output.

    Left out is what nobody judged or could, what compares the output with another one's
    (`Pairwise`), and what is made up of others (a rubric's total).
    """
    names = {one.check for one in outcomes}
    return [
        one
        for one in outcomes
        if one.judge
        and one.value is not None
        and one.status in ("pass", "fail", "score")
        and not (one.check.endswith("/flipped") or f"{one.check}/flipped" in names)
        and not (one.check.endswith("/total") and one.reason == "by weight")
    ]


def scale_of(outcome: Outcome) -> RunScale:
    """Return what a verdict is one of: pass and fail, or scores."""
    return "score" if outcome.status == "score" else "verdict"


def said(value: float, scale: RunScale) -> Said:
    """Return a value in [0, 1] as the label it stands for."""
    if scale == "verdict":
        return "pass" if value >= 0.5 else "fail"
    return round(WORST + (BEST - WORST) * value)


def only_random(labels: Sequence[Label]) -> list[Label]:
    """Return the labels of items that chance has drawn.

    Raises:
        InputError: there are labels, but none of these.
    """
    found = [one for one in labels if one.drawn == "random"]
    if labels and not found:
        raise InputError(
            f"{len(labels)} labels, none of items drawn at random: those that are in dispute do "
            "not stand for the rest; label with --order random"
        )
    return found


def labelled(
    store: RunStore, run: Run, labels: Iterable[Label], checks: Sequence[str] = ()
) -> list[Labelled]:
    """Gather the verdicts of a run that people have labelled, judge by judge.

    Args:
        store: Where the run is.
        run: The run.
        labels: What people said; see `People.labels`.
        checks: The checks to look at; all by default.
    """
    by_place: dict[tuple[str, str, int, str], dict[str, Label]] = {}
    for one in labels:
        by_place.setdefault((one.suite, *one.item), {})[one.rater] = one
    found: dict[tuple[str, RunScale], list[tuple[str, Item, Verdict]]] = {}
    for suite in dict.fromkeys(suite for suite, *_ in by_place):
        for record in store.results(run.id, suite):
            for outcome, given in _labelled(suite, record.result, by_place):
                if checks and outcome.check not in checks:
                    continue
                row = _row(suite, record.result, outcome, given)
                found.setdefault((outcome.judge, scale_of(outcome)), []).append(row)
    return [
        Labelled(
            judge=judge,
            scale=scale,
            checks=tuple(dict.fromkeys(check for check, _, _ in rows)),
            items=tuple(item for _, item, _ in rows),
            verdicts={item.id: verdict for _, item, verdict in rows},
        )
        for (judge, scale), rows in found.items()
    ]


def _labelled(
    suite: str, result: TrialResult, labels: dict[tuple[str, str, int, str], dict[str, Label]]
) -> Iterator[tuple[Outcome, dict[str, Label]]]:
    for outcome in judgeable(result.outcomes):
        given = labels.get((suite, result.key, result.trial, outcome.check))
        if given:
            yield outcome, given


def _row(
    suite: str, result: TrialResult, outcome: Outcome, given: dict[str, Label]
) -> tuple[str, Item, Verdict]:
    scale = scale_of(outcome)
    notes = [f"{rater}: {one.note}" for rater, one in given.items() if one.note]
    item = Item(
        id=f"{suite}/{result.case} #{result.trial} {outcome.check}",
        candidate=as_text(result.output),
        criteria=(outcome.check,),
        labels={r: said(one.value, scale) for r, one in given.items() if one.value is not None},
        note="; ".join(notes),
        group=result.group or result.key,  # checks and trials of a case stand or fall together
    )
    assert outcome.value is not None
    return outcome.check, item, Verdict(label=said(outcome.value, scale), reason=outcome.reason)
