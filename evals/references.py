"""What a run of a suite is judged by: its baseline, its accepted scorecard, or another run."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..deps.models import BASELINE, Models
from .engine import AnySuite, OnResult, evaluate
from .outcome import TrialResult
from .report import SuiteReport
from .resources import compare_resources
from .runs import figures, report_of
from .scorecard import Scorecard, path_of
from .statistics.comparison import Comparison
from .store.database import RunStore
from .store.rows import Run
from .verdicts import MARGIN, Measured, compare

__all__ = ("SCORECARD", "Reference", "accepted", "baseline_of", "stored")

SCORECARD = "scorecard"
"""The name by which a suite's accepted scorecard is asked for."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a suite's run is compared with.

    Attributes:
        label: What it is, in words.
        measured: Its values.
        results: Its trials, for cost and latency; a scorecard has none.
        run: The id of the run that it is; None for a scorecard.
        lift: Whether it is the baseline, so that the difference is the lift over it.
    """

    label: str
    measured: Measured
    run: str | None = None
    results: Iterable[TrialResult] = ()
    lift: bool = False

    def compare(self, report: SuiteReport, margin: float = MARGIN) -> tuple[Comparison, ...]:
        """Compare a run's checks with this."""
        return compare(self.measured, report, margin=margin)

    def compare_resources(self, report: SuiteReport) -> tuple[Comparison, ...]:
        """Compare what a run cost, and how long it took, with this."""
        return compare_resources(figures(self.results), figures(report.results))


async def baseline_of(
    suite: AnySuite,
    *,
    models: Models,
    store: RunStore | None = None,
    run: Run | None = None,
    max_concurrency: int = 10,
    on_result: OnResult | None = None,
) -> Reference:
    """Run a suite's non-LLM solver on its cases, once each: it is deterministic.

    Args:
        suite: A suite with a baseline.
        models: What model names mean; the judge's stays who it is.
        store: Where trials are kept.
        run: The run in the store that this belongs to.
        max_concurrency: How many trials are under way at once.
        on_result: Called with each result.

    Raises:
        ConfigError: the suite has no baseline.
    """
    report = await evaluate(
        suite.with_baseline(),
        models=models.using(BASELINE),
        store=store,
        run=run,
        max_concurrency=max_concurrency,
        on_result=on_result,
    )
    return Reference(
        label="the baseline",
        measured=report,
        run=None if run is None else run.id,
        results=report.results,
        lift=True,
    )


def accepted(suite: AnySuite) -> Reference:
    """Return a suite's scorecard.

    Raises:
        BadDataset: there is none, or the file is no scorecard.
        ConfigError: the suite's cases are in no file to keep it beside.
    """
    card = Scorecard.read(path_of(suite))
    return Reference(label=f"the scorecard of {card.run} ({card.model})", measured=card)


def stored(store: RunStore, name: str, suite: str) -> Reference | None:
    """Return what another run came to; None if it did not run this suite.

    Raises:
        UnknownRun: there is no such run.
    """
    run = store.run(name)
    if suite not in run.suites:
        return None
    report = report_of(store, run, suite)
    label = f"run {run.id} ({run.model})"
    return Reference(label=label, measured=report, run=run.id, results=report.results)
