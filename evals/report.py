"""What a suite's run came to: plain data, for terminals, files and gates."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

from .judges.standing import Standing
from .outcome import Outcome, Status, TrialResult
from .statistics.estimates import Estimate, mean_interval
from .statistics.trials import UNIT, Trials

__all__ = (
    "CheckSummary",
    "SuiteReport",
    "Tally",
    "Totals",
    "added",
    "estimate_of",
    "summarise",
    "trials_by_check",
    "trials_of",
)

MAX_FAILURES = 5
"""Crashed trials that a tally keeps as examples; the results have them all."""


@dataclass(frozen=True, kw_only=True)
class CheckSummary:
    """One check over all trials.

    Attributes:
        mean: Over cases, of their scored and crashed trials; a crash counts as 0. None if there
            were none.
        low: The lower end of the mean's 95% interval, clustered by case, and by group where cases
            have one. None where none can be had.
        high: Its upper end.
        passed: Trials it passed (0 for checks that give scores).
        failed: Trials it failed.
        scored: Trials it gave a score.
        unscored: Trials of which it could not say; not in the mean.
        errors: Crashed trials; in the mean, as 0.
        threshold: What the mean must reach.
        judge: Who judged, where somebody did.
        advisory: Why the check fails nothing, whatever it says: its judge has not earned that yet.
    """

    check: str
    mean: float | None
    low: float | None
    high: float | None
    passed: int
    failed: int
    scored: int
    unscored: int
    errors: int
    threshold: float
    judge: str = ""
    advisory: str = ""

    @property
    def ok(self) -> bool:
        """Whether the threshold is met; what says nothing, or only advises, fails nothing."""
        return bool(self.advisory) or self.mean is None or self.mean >= self.threshold


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What all trials of a suite add up to.

    Attributes:
        replayed: Trials of which every model response came from a recording.
        errors: Trials whose task crashed.
        provider_errors: Of these, those that a provider failed.
        cached_tokens: Of `input_tokens`, those that providers had in their caches.
        cost: US dollars; None where the price of a request is unknown.
        judge_requests: Requests of judges, which are in no other figure.
        judge_cost: US dollars of these; None where the price of a request is unknown.
    """

    cases: int = 0
    trials: int = 0
    replayed: int = 0
    errors: int = 0
    provider_errors: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = 0.0
    judge_requests: int = 0
    judge_cost: float | None = 0.0

    @property
    def cache_hits(self) -> float:
        """The share of input tokens that providers had in their caches."""
        return self.cached_tokens / self.input_tokens if self.input_tokens else 0.0


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """One suite's run.

    Attributes:
        model: What answered, in words; a baseline is said to be "not an LLM".
        failures: The first crashed trials.
        results: Every trial. Of a stored run they are read from the store when they are asked for.
        seconds: Wall time; of a run that nobody timed, its trials' together.
        dataset: The hash of the dataset, where it is known.
        tally: The numbers behind `checks`.
    """

    suite: str
    about: str
    model: str
    checks: tuple[CheckSummary, ...]
    totals: Totals
    failures: tuple[TrialResult, ...]
    results: Sequence[TrialResult]
    seconds: float
    dataset: str = ""
    tally: "Tally" = field(repr=False, compare=False)

    @classmethod
    def of(
        cls,
        results: Sequence[TrialResult],
        *,
        suite: str,
        model: str,
        about: str = "",
        thresholds: Mapping[str, float] | None = None,
        seconds: float = 0.0,
        tally: "Tally | None" = None,
        dataset: str = "",
        standing: Standing | None = None,
    ) -> "SuiteReport":
        """Sum up results.

        Args:
            results: All trials.
            suite: The suite's name.
            model: What answered, in words.
            about: What the agent does.
            thresholds: Check name to the mean it must reach.
            seconds: Wall time.
            tally: Has the results already, if given.
            dataset: The dataset's hash.
            standing: Which judges may gate; none by default.
        """
        tally = tally or Tally(results)
        return cls(
            suite=suite,
            about=about,
            model=model,
            checks=tuple(tally.summaries(thresholds or {}, standing)),
            totals=tally.totals(),
            failures=tuple(tally.failures),
            results=results,
            seconds=seconds,
            dataset=dataset,
            tally=tally,
        )

    @property
    def ok(self) -> bool:
        """Whether every check meets its threshold."""
        return all(check.ok for check in self.checks)

    @property
    def judges(self) -> dict[str, str]:
        """Who judged, by check; deterministic checks are not in it."""
        return {check.check: check.judge for check in self.checks if check.judge}

    @property
    def advisory(self) -> dict[str, str]:
        """Why a check gates nothing, by check; those that do are not in it."""
        return {check.check: check.advisory for check in self.checks if check.advisory}

    def trials(self) -> dict[str, Trials]:
        """Return each check's values for statistics; cases are known by their content."""
        return {check: self.tally.trials(check, by_key=True) for check in self.tally.checks}

    def as_json(self) -> dict[str, Any]:
        """Return everything, each trial included, as plain data."""
        shown = ("suite", "about", "model", "dataset", "checks", "totals", "seconds")
        return {name: getattr(self, name) for name in shown} | {"results": list(self.results)}


class Tally:
    """Adds results up as they come. It keeps their numbers, not their outputs.

    So a run of any length needs some hundred bytes a case here, whatever its agents write.
    """

    def __init__(self, results: Iterable[TrialResult] = ()) -> None:
        self.failures: list[TrialResult] = []
        self._index: dict[str, int] = {}
        self._keys: list[str] = []
        self._groups: list[str | None] = []
        self._columns: dict[str, _Column] = {}
        self._crashed = array("l")
        self._counts = Counter[str]()
        self._cost: float | None = 0.0
        self._judge_cost: float | None = 0.0
        for result in results:
            self.add(result)

    def add(self, result: TrialResult) -> None:
        """Add one trial."""
        case = self._case(result)
        for place, outcome in enumerate(result.outcomes):
            if outcome.check not in self._columns:
                self._columns[outcome.check] = _Column()
            self._columns[outcome.check].add(case, place, outcome)
        if result.failure is not None:
            self._crashed.append(case)
            self._counts["provider_errors"] += result.failure.kind == "provider"
            if len(self.failures) < MAX_FAILURES:
                self.failures.append(result)
        self._count(result)

    def totals(self) -> Totals:
        """Return what everything added so far comes to."""
        counts = {name: self._counts[name] for name in _COUNTED}
        return Totals(
            cases=len(self._index),
            errors=len(self._crashed),
            cost=self._cost,
            judge_cost=self._judge_cost,
            **counts,
        )

    def summaries(
        self, thresholds: Mapping[str, float], standing: Standing | None = None
    ) -> list[CheckSummary]:
        """Return a summary per check; one that has a threshold and never spoke is not forgotten.

        Where no threshold is named it is 1; for a judged check, 0.
        """
        checks = [*dict.fromkeys([*self._spoke, *thresholds])]
        if not checks and self._crashed:
            checks = ["completed"]  # nothing ran at all: still a figure, and it is 0
        standing = standing or Standing()
        return [self._summary(check, thresholds, standing) for check in checks]

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that spoke, in the order in which the suite has them."""
        return tuple(self._spoke) or (("completed",) if self._crashed else ())

    @property
    def _spoke(self) -> list[str]:
        # By their last place in any trial: where all applied, that is the suite's order, and it
        # does not depend on which trial finished first.
        return sorted(self._columns, key=lambda check: (self._columns[check].place, check))

    def trials(self, check: str, *, by_key: bool = False) -> Trials:
        """Gather a check's values for statistics.

        A crash is 0 for every check, except for one that never said a value: a judge that never
        spoke gets no mean out of crashes alone. Trials to which the check does not apply are left
        out.

        Args:
            check: Its name.
            by_key: Know cases by their content rather than by their name.
        """
        column = self._columns.get(check, _Column())
        cases, values = [*column.cases], [*column.values]
        if not values or any(value == value for value in values):
            cases += self._crashed
            values += [0.0] * len(self._crashed)
        names = self._keys if by_key else list(self._index)
        grouped = any(self._groups[case] for case in set(cases))
        return Trials.of(
            [names[case] for case in cases],
            values,
            [self._groups[case] or names[case] for case in cases] if grouped else None,
        )

    def _case(self, result: TrialResult) -> int:
        if result.case not in self._index:
            self._index[result.case] = len(self._index)
            self._keys.append(result.key or result.case)
            self._groups.append(result.group)
        return self._index[result.case]

    def _count(self, result: TrialResult) -> None:
        counts = self._counts
        counts["trials"] += 1
        counts["replayed"] += result.replayed
        counts["requests"] += result.requests
        counts["input_tokens"] += result.input_tokens
        counts["output_tokens"] += result.output_tokens
        counts["cached_tokens"] += result.cached_tokens
        if judged := int(result.metrics.get("judge_requests", 0)):
            counts["judge_requests"] += judged
            self._judge_cost = added(self._judge_cost, result.metrics.get("judge_cost"))
        if result.requests:
            self._cost = added(self._cost, result.cost)

    def _summary(
        self, check: str, thresholds: Mapping[str, float], standing: Standing
    ) -> CheckSummary:
        column = self._columns.get(check)
        judge = column.judge if column else ""
        statuses = column.statuses if column else Counter[Status]()
        estimate = estimate_of(self.trials(check))
        return CheckSummary(
            check=check,
            mean=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            passed=statuses["pass"],
            failed=statuses["fail"],
            scored=statuses["pass"] + statuses["fail"] + statuses["score"],
            unscored=statuses["unscored"],
            errors=len(self._crashed),
            threshold=thresholds.get(check, 0.0 if judge else 1.0),
            judge=judge,
            advisory=standing(judge) if judge else "",
        )


_COUNTED = (
    "trials",
    "replayed",
    "provider_errors",
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "judge_requests",
)


class _Column:
    """One check's values: flat arrays of numbers, NaN where it could not say."""

    def __init__(self) -> None:
        self.cases = array("l")
        self.values = array("d")
        self.statuses = Counter[Status]()
        self.place = 0
        self.judge = ""

    def add(self, case: int, place: int, outcome: Outcome) -> None:
        self.place = max(self.place, place)
        self.cases.append(case)
        self.values.append(nan if outcome.value is None else outcome.value)
        self.statuses[outcome.status] += 1
        self.judge = outcome.judge or self.judge


def added(cost: float | None, more: float | None) -> float | None:
    """Return the sum of two costs; None where one of them is unknown."""
    return None if cost is None or more is None else cost + more


def summarise(
    results: Iterable[TrialResult], thresholds: Mapping[str, float]
) -> list[CheckSummary]:
    """Return a summary per check; see `Tally.summaries`."""
    return Tally(results).summaries(thresholds)


def trials_by_check(results: Iterable[TrialResult], *, by_key: bool = False) -> dict[str, Trials]:
    """Gather every check's values for statistics; see `Tally.trials`."""
    tally = Tally(results)
    return {check: tally.trials(check, by_key=by_key) for check in tally.checks}


def trials_of(results: Iterable[TrialResult], check: str) -> Trials:
    """Gather one check's values for statistics; see `Tally.trials`."""
    return Tally(results).trials(check)


def estimate_of(trials: Trials) -> Estimate:
    """Return the mean and its interval; scores outside [0, 1] have no known bounds."""
    unit = all(0 <= value <= 1 for values in trials.values for value in values)
    return mean_interval(trials, UNIT if unit else None)
