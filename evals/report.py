"""What a suite's run came to: plain data, for terminals, files and gates."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..deps.models import Models
from .outcome import TrialResult
from .statistics.estimates import Estimate, mean_interval
from .statistics.trials import UNIT, Trials
from .suite import Suite

__all__ = (
    "CheckSummary",
    "SuiteReport",
    "estimate_of",
    "summarise",
    "trials_by_check",
    "trials_of",
)


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

    @property
    def ok(self) -> bool:
        """Whether the threshold is met; a check that could say nothing fails nothing."""
        return self.mean is None or self.mean >= self.threshold


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """One suite's run.

    Attributes:
        model: What answered, in words; a baseline is said to be "not an LLM".
        seconds: Wall time.
        cost: US dollars; None where the price of a request is unknown.
    """

    suite: str
    about: str
    model: str
    checks: tuple[CheckSummary, ...]
    results: tuple[TrialResult, ...]
    seconds: float

    @classmethod
    def of(
        cls,
        suite: Suite[Any, Any],
        models: Models,
        results: Sequence[TrialResult],
        seconds: float,
    ) -> "SuiteReport":
        """Sum up results."""
        return cls(
            suite=suite.name,
            about=suite.about,
            model=models.describe(),
            checks=tuple(summarise(results, suite.thresholds)),
            results=tuple(results),
            seconds=seconds,
        )

    @property
    def cases(self) -> int:
        return len({result.case for result in self.results})

    @property
    def failures(self) -> tuple[TrialResult, ...]:
        """Trials whose task crashed."""
        return tuple(result for result in self.results if result.failure is not None)

    @property
    def provider_failed(self) -> bool:
        return any(r.failure and r.failure.kind == "provider" for r in self.results)

    @property
    def requests(self) -> int:
        return sum(result.requests for result in self.results)

    @property
    def cost(self) -> float | None:
        costs = [result.cost for result in self.results if result.requests]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def ok(self) -> bool:
        """Whether every check meets its threshold."""
        return all(check.ok for check in self.checks)


def summarise(
    results: Iterable[TrialResult], thresholds: Mapping[str, float]
) -> list[CheckSummary]:
    """Return a summary per check, in the order in which checks first spoke."""
    results = list(results)
    # A check that never spoke is shown, not forgotten.
    checks = dict.fromkeys([*_checks(results, thresholds)])
    return [_summary(results, check, thresholds.get(check, 1.0)) for check in checks]


def trials_by_check(results: Iterable[TrialResult]) -> dict[str, Trials]:
    """Gather every check's values for statistics; see `trials_of`."""
    results = list(results)
    return {check: trials_of(results, check) for check in dict.fromkeys(_checks(results, ()))}


def _checks(results: Sequence[TrialResult], expected: Iterable[str]) -> Iterator[str]:
    """Yield the checks that spoke and those expected to, some of them more than once."""
    spoke = [outcome.check for result in results for outcome in result.outcomes]
    yield from spoke
    yield from expected
    if not spoke and not expected and any(result.failure for result in results):
        yield "completed"  # nothing ran at all: still a figure, and it is 0


def trials_of(results: Iterable[TrialResult], check: str) -> Trials:
    """Gather a check's values for statistics.

    A crash is 0 for every check, except for one that never said a value: a judge that never spoke
    gets no mean out of crashes alone. Trials to which the check does not apply are left out.
    """
    results = list(results)
    said = [(r, o.value) for r in results for o in r.outcomes if o.check == check]
    if not said or any(value is not None for _, value in said):
        said += [(result, 0.0) for result in results if result.failure is not None]
    grouped = any(result.group for result, _ in said)
    return Trials.of(
        [result.case for result, _ in said],
        [value for _, value in said],
        [result.group or result.case for result, _ in said] if grouped else None,
    )


def estimate_of(trials: Trials) -> Estimate:
    """Return the mean and its interval; scores outside [0, 1] have no known bounds."""
    unit = all(0 <= value <= 1 for values in trials.values for value in values)
    return mean_interval(trials, UNIT if unit else None)


def _summary(results: Sequence[TrialResult], check: str, threshold: float) -> CheckSummary:
    outcomes = [o for result in results for o in result.outcomes if o.check == check]
    statuses = [outcome.status for outcome in outcomes]
    estimate = estimate_of(trials_of(results, check))
    return CheckSummary(
        check=check,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        passed=statuses.count("pass"),
        failed=statuses.count("fail"),
        scored=sum(outcome.value is not None for outcome in outcomes),
        unscored=statuses.count("unscored"),
        errors=sum(result.failure is not None for result in results),
        threshold=threshold,
    )
