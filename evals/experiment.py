"""Run suites and judge what comes of them: by a reference, until decided, within a budget."""

from asyncio import to_thread
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..deps.batches import Batches
from ..deps.errors import ConfigError
from ..deps.models import BASELINE, NOT_AN_LLM, Models
from ..deps.replay.tape import Mode
from ..deps.resilience.limiter import Limiter
from ..deps.spending.budget import Budget, Meter, Spent
from .engine import AnySuite, OnResult, evaluate
from .env import Wrap
from .references import SCORECARD, Reference, accepted, baseline_of, stored
from .report import SuiteReport
from .runs import begin, model_of, note_sequential, note_stopped
from .spent import spent_by
from .statistics.comparison import Comparison, Verdict
from .statistics.selfcheck import SelfCheck, check_gate
from .store.database import RunStore
from .store.rows import Run
from .until import UntilDecided
from .verdicts import MARGIN, Inconclusive, gate

__all__ = ("Conditions", "Experiment", "Judged")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How suites are run and judged.

    Attributes:
        trials: Executions per case.
        max_concurrency: How many trials are under way at once, and how many requests a provider
            is asked at most.
        replay: Whether responses are recorded and replayed.
        against: `baseline`, `scorecard`, or a run's id; None compares an LLM with the baseline
            where there is one, and a baseline with nothing.
        gate: Whether the verdicts decide, not the thresholds; by the scorecard, if `against` names
            nothing else.
        margin: How much worse a mean may be and still be no worse.
        inconclusive: What a gate makes of a comparison that could not tell.
        until_decided: Whether to stop when every verdict is settled.
        aa: Whether to measure the gate's own false alarms; takes two trials per case or more.
        budget: What may be spent.
    """

    trials: int = 1
    max_concurrency: int = 10
    replay: Mode = "off"
    against: str | None = None
    gate: bool = False
    margin: float = MARGIN
    inconclusive: Inconclusive = "pass"
    until_decided: bool = False
    aa: bool = False
    budget: Budget = field(default_factory=Budget)

    def reference(self, suite: AnySuite, models: Models) -> str | None:
        """Return the name of what to compare a suite with; see `against`."""
        if self.against is not None:
            return self.against
        if self.gate or self.until_decided:
            return SCORECARD
        lifted = suite.baseline is not None and not suite.answers(models).startswith(NOT_AN_LLM)
        return BASELINE if lifted else None

    def as_options(self) -> dict[str, Any]:
        """Return what a resumed run must have as it was."""
        kept = ("trials", "against", "margin", "until_decided", "aa")
        return {name: getattr(self, name) for name in kept}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A suite's run, and what it was judged by.

    Attributes:
        reference: None where there was nothing to compare with.
        comparisons: Of its checks; where the run was to end when decided, by the intervals that
            allow for it.
        resources: Of cost and latency.
        sequential: The verdicts that ended the run, where it was to end when decided.
        aa: How often the gate fails although nothing has changed.
        passed: What the gate says; None without one.
        missing: Checks that the reference has and the run says nothing of: they fail the gate.
    """

    report: SuiteReport
    reference: Reference | None = None
    comparisons: tuple[Comparison, ...] = ()
    resources: tuple[Comparison, ...] = ()
    sequential: UntilDecided | None = None
    aa: SelfCheck | None = None
    passed: bool | None = None
    missing: tuple[str, ...] = ()

    @property
    def verdicts(self) -> Mapping[str, Verdict | None]:
        """Check to verdict; None where the run ended before there was one."""
        if self.sequential is not None:
            return {check: one.verdict for check, one in self.sequential.decisions.items()}
        return {one.name: one.verdict for one in self.comparisons}

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        shown = self.report.as_json() | {"gate": self.passed, "aa": self.aa}
        if self.reference is not None:
            shown["against"] = self.reference.label
            shown["comparisons"] = [*self.comparisons, *self.resources]
        if self.sequential is not None:
            shown["decisions"] = self.sequential.decisions
        return shown


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run of one or several suites in a store.

    Attributes:
        run: The run.
        baseline: The run of the baselines that it is compared with, if it is.
        meter: What it has spent.
        limiter: Keeps providers from being asked more than they take.
    """

    suites: tuple[AnySuite, ...]
    models: Models
    conditions: Conditions
    store: RunStore
    run: Run
    baseline: Run | None
    meter: Meter
    limiter: Limiter

    @classmethod
    def begin(
        cls,
        suites: tuple[AnySuite, ...],
        models: Models,
        conditions: Conditions,
        store: RunStore,
        options: Mapping[str, Any],
        where: Mapping[str, str],
    ) -> "Experiment":
        """Note in the store that a run begins.

        Args:
            suites: What will run.
            models: What model names mean.
            conditions: How.
            store: Where trials are kept.
            options: How it was called, to resume it with.
            where: Suite name to the name by which it is loaded again.
        """
        baseline: Run | None = None
        if any(conditions.reference(suite, models) == BASELINE for suite in suites):
            having = [suite.with_baseline() for suite in suites if suite.baseline is not None]
            baseline = begin(store, having, models=models.using(BASELINE))
        run = begin(
            store,
            suites,
            models=models,
            trials=conditions.trials,
            where=where,
            options={
                **options,
                "conditions": conditions.as_options(),
                "baseline": baseline and baseline.id,
            },
        )
        return cls._of(suites, models, conditions, store, run, baseline)

    @classmethod
    def resume(
        cls,
        suites: tuple[AnySuite, ...],
        models: Models,
        conditions: Conditions,
        store: RunStore,
        run: Run,
    ) -> "Experiment":
        """Go on with a run; what it has spent counts.

        Raises:
            ConfigError: another model would answer than the one that began it.
        """
        for suite in suites:
            begun, now = model_of(run, suite.name), suite.answers(models)
            if begun != now:
                raise ConfigError(
                    f"run {run.id} was begun with {begun!r}, and {now!r} would go on; "
                    "set the same model, or begin a new run"
                )
        named = run.options.get("baseline")
        baseline = store.run(named) if named else None
        before = spent_by(store, run)
        return cls._of(suites, models, conditions, store, run, baseline, before)

    @classmethod
    def _of(
        cls,
        suites: tuple[AnySuite, ...],
        models: Models,
        conditions: Conditions,
        store: RunStore,
        run: Run,
        baseline: Run | None,
        before: Spent | None = None,
    ) -> "Experiment":
        return cls(
            suites=suites,
            models=models,
            conditions=conditions,
            store=store,
            run=run,
            baseline=baseline,
            meter=Meter(conditions.budget, before=before or Spent()),
            limiter=Limiter(conditions.max_concurrency),
        )

    async def reference(self, suite: AnySuite) -> Reference | None:
        """Return what a suite is compared with; the baselines are run for it."""
        against = self.conditions.reference(suite, self.models)
        if against is None:
            return None
        if against == SCORECARD:
            return accepted(suite)
        if against != BASELINE:
            return stored(self.store, against, suite.name)
        return await baseline_of(
            suite,
            models=self.models,
            store=self.store,
            run=self.baseline,
            max_concurrency=self.conditions.max_concurrency,
        )

    async def evaluate(self, suite: AnySuite, on_result: OnResult | None = None) -> Judged:
        """Run one suite, and judge what came of it; a spent budget is noted with the run."""
        asked = self.conditions
        reference = await self.reference(suite)
        sequential = None
        if asked.until_decided and reference is not None:
            found = reference.measured  # what only advises is not worth waiting for
            gating = _without(found.advisory, found.trials())
            sequential = UntilDecided(gating, margin=asked.margin) if gating else None
        report = await evaluate(
            suite,
            models=self.models,
            trials=asked.trials,
            max_concurrency=asked.max_concurrency,
            store=self.store,
            run=self.run,
            replay=asked.replay,
            wrap=self._around(),
            steering=sequential,
            stop=self.meter.reached,
            on_result=on_result,
        )
        if why := self.meter.reached():
            await to_thread(note_stopped, self.store, self.run, why)
        judged = self._judged(report, reference, sequential)
        if sequential is not None and reference is not None:
            await to_thread(
                note_sequential,
                self.store,
                self.run,
                suite.name,
                reference.run,
                judged.comparisons,
            )
        return judged

    def _around(self) -> tuple[Wrap, ...]:
        """Return what all trials share; two limiters would wait for the same refusal twice."""
        limited = any(isinstance(wrap, (Limiter, Batches)) for wrap in self.models.wrap)
        return (self.meter,) if limited else (self.limiter, self.meter)

    def _judged(
        self, report: SuiteReport, reference: Reference | None, sequential: UntilDecided | None
    ) -> Judged:
        asked = self.conditions
        gating = _without(report.advisory, report.trials())
        aa = check_gate(gating, margin=asked.margin) if asked.aa else None
        if reference is None:
            return Judged(report=report, aa=aa)
        judged = Judged(
            report=report,
            reference=reference,
            comparisons=sequential.comparisons
            if sequential
            else reference.compare(report, asked.margin),
            resources=reference.compare_resources(report),
            sequential=sequential,
            aa=aa,
        )
        return self._gated(judged, reference) if asked.gate else judged

    def _gated(self, judged: Judged, reference: Reference) -> Judged:
        asked = self.conditions
        if judged.sequential is None:
            found = gate(
                reference.measured,
                judged.report,
                margin=asked.margin,
                inconclusive=asked.inconclusive,
            )
            return replace(judged, passed=found.ok, missing=found.missing)
        bad: set[Verdict | None] = {"regressed"}
        if asked.inconclusive == "fail":
            bad |= {"inconclusive", None}
        gating = _without(judged.report.advisory, judged.verdicts)
        return replace(judged, passed=not bad.intersection(gating.values()))


def _without(advisory: Container[str], by_check: Mapping[str, T]) -> dict[str, T]:
    """Return what is there of checks that may gate."""
    return {check: value for check, value in by_check.items() if check not in advisory}
