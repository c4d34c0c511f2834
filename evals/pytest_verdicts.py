"""What the process that hears of all results makes of them: reports, verdicts, a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

from ..deps.errors import AssayError, BadDataset
from .judges.standing import FLOOR, Calibrations, Standing
from .outcome import Failure, TrialResult
from .pytest_store import store_of
from .report import SuiteReport
from .scorecard import Scorecard
from .suite import Suite
from .verdicts import MARGIN, Gate, gate

__all__ = ("ItemRecord", "Judged", "close_run", "judge", "summary_lines")


@dataclass(frozen=True, kw_only=True)
class ItemRecord:
    """What travels from an item, maybe from another process.

    Attributes:
        dataset: The hash of the suite's dataset.
        cases: How many cases the suite has.
        scorecard: Where its scorecard is kept; None if its cases are in no file.
        run: The run in the store, if there is one.
        judge_floor: What the lower end of a judge's kappa must reach for its checks to gate.
    """

    suite: str
    about: str
    thresholds: dict[str, float]
    dataset: str
    cases: int
    scorecard: str | None
    run: str | None
    results: list[TrialResult]
    judge_floor: float = FLOOR

    @classmethod
    def of(cls, suite: Suite[Any, Any], results: Iterable[TrialResult], **rest: Any) -> ItemRecord:
        """Take along the numbers; outputs, messages and reasons stay behind, for the store."""
        return cls(
            suite=suite.name,
            about=suite.about,
            thresholds=dict(suite.thresholds),
            results=[_lean(result) for result in results],
            judge_floor=suite.judge_floor,
            **rest,
        )

    def to_json(self) -> str:
        return to_json(asdict(self), inf_nan_mode="constants").decode()


_RECORD = TypeAdapter(ItemRecord)


def _lean(result: TrialResult) -> TrialResult:
    failure = result.failure and Failure(result.failure.type, "", result.failure.kind)
    outcomes = tuple(replace(outcome, reason="") for outcome in result.outcomes)
    return replace(
        result, output=None, messages=None, metrics={}, failure=failure, outcomes=outcomes
    )


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A suite's results, and what they were judged by.

    Attributes:
        first: The first record of the suite.
        label: What it was compared with; empty where thresholds decide.
        gate: The comparison with the scorecard, where there was one.
        problem: Why there was none, although there should be.
        note: What else to know of how it was judged.
    """

    report: SuiteReport
    first: ItemRecord
    label: str = ""
    gate: Gate | None = None
    problem: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        if self.problem:
            return False
        return self.report.ok if self.gate is None else self.gate.ok


def judge(config: pytest.Config, found: Iterable[str]) -> tuple[Judged, ...]:
    """Sum up what items sent, and judge each suite, by its scorecard under `--assay-gate`."""
    by_suite: dict[str, list[ItemRecord]] = {}
    for record in map(_RECORD.validate_json, found):
        by_suite.setdefault(record.suite, []).append(record)
    store = store_of(config)
    kept = None if store is None else store.people
    judged = tuple(_summed_up(records, kept) for records in by_suite.values())
    if not config.option.assay_gate:
        return judged
    return tuple(_gated(one, config) for one in judged)


def _summed_up(records: Sequence[ItemRecord], kept: Calibrations | None) -> Judged:
    first = records[0]
    # A case may have run twice, such as for a suite that two modules import: the first one counts.
    once: dict[tuple[str, int], TrialResult] = {}
    for result in (result for record in records for result in record.results):
        once.setdefault((result.key, result.trial), result)
    results = sorted(once.values(), key=lambda result: (result.position, result.trial))
    report = SuiteReport.of(
        tuple(results),
        suite=first.suite,
        about=first.about,
        model=results[0].model,
        thresholds=first.thresholds,
        seconds=sum(result.duration for result in results),
        dataset=first.dataset,
        standing=Standing(kept, first.judge_floor),
    )
    return Judged(report=report, first=first)


def _gated(judged: Judged, config: pytest.Config) -> Judged:
    """Compare a suite with its scorecard; thresholds decide where there is no place for one."""
    if judged.first.scorecard is None:
        note = "its cases are in no file to keep a scorecard beside, so its thresholds decide"
        return replace(judged, note=note)
    try:
        card = Scorecard.read(Path(judged.first.scorecard))
        if card.suite != judged.report.suite:
            raise BadDataset(
                f"{judged.first.scorecard!r} is of suite {card.suite!r}; "
                "give each suite a folder of its own"
            )
    except AssayError as e:
        return replace(judged, problem=str(e))
    option = config.option
    found = gate(
        card,
        judged.report,
        margin=MARGIN if option.assay_margin is None else option.assay_margin,
        inconclusive=option.assay_inconclusive,
    )
    nothing = "" if found.comparisons else "no check of the scorecard said anything in this run"
    label = f"the scorecard of {card.run} ({card.model})"
    return replace(judged, gate=found, label=label, problem=nothing)


def close_run(config: pytest.Config, judged: Sequence[Judged], whole: bool) -> None:
    """Note in the store whether the run came to its end."""
    store, run = store_of(config), judged[0].first.run
    if store is not None and run is not None:
        store.update_run(run, status="done" if whole else "interrupted")


def summary_lines(judged: Sequence[Judged], own_runs: Sequence[str], whole: bool) -> Iterator[str]:
    """Yield what each suite came to, what decided, and where it is kept."""
    for one in judged:
        report = one.report
        failed = len({r.case for r in report.results if r.failure or r.failed(report.advisory)})
        yield f"{report.suite}: {report.totals.cases} cases, {failed} failed{_how(report)}"
        yield from _gate_lines(one) if one.gate or one.problem else _threshold_lines(report)
        if one.note:
            yield f"  {one.note}"
    if judged and (run := judged[0].first.run):
        yield f"run {run}: assay show {run}, assay report {run} -o report.html"
        if not whole:
            yield f"what is done is kept; go on with: assay eval --resume {run}"
    for run in own_runs:
        yield f"run {run}: assay show {run} (by assay_evaluate)"


def _how(report: SuiteReport) -> str:
    totals = report.totals
    said = f"; model: {report.model}"
    if totals.requests:
        said += "; cost unknown" if totals.cost is None else f"; cost ${totals.cost:.4f}"
    return said + (f"; {totals.replayed} replayed" if totals.replayed else "")


def _threshold_lines(report: SuiteReport) -> Iterator[str]:
    for check in report.checks:
        mean = "unscored" if check.mean is None else f"{check.mean:.3f}"
        if check.advisory:
            yield f"  advisory {check.check}: {mean}, {check.unscored} unscored: {check.advisory}"
            continue
        word = "ok" if check.ok else "BELOW"
        notes = f", {check.unscored} unscored" if check.unscored else ""
        notes += f", {check.errors} errors" if check.errors else ""
        yield f"  {word:5} {check.check}: {mean} (threshold {check.threshold:g}{notes})"


def _gate_lines(judged: Judged) -> Iterator[str]:
    against = f" against {judged.label}" if judged.label else ""
    yield f"  gate{against}: {'pass' if judged.ok else 'FAIL'}"
    if judged.problem:
        run = f" --run {judged.first.run}" if judged.first.run else ""
        yield f"  {judged.problem}; accept a run: assay accept {judged.report.suite}{run}"
    if judged.gate is None:
        return
    ran, cases = judged.report.totals.cases, judged.first.cases
    if ran < cases:
        yield f"  only {ran} of {cases} cases ran; they alone are compared"
    if not judged.gate.same_dataset:
        yield "  the dataset has changed since; the cases that have not are compared"
    for check in judged.gate.missing:
        yield f"  FAIL  {check}: the scorecard has it, and this run said nothing of it"
    for one in judged.gate.comparisons:
        yield f"  {'FAIL' if one.name in judged.gate.failed else 'ok':5} {one.why}"
