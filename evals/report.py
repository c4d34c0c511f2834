"""What a suite's run came to: plain data, for terminals, files and gates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..deps.models import Models
from .outcome import Outcome, TrialResult
from .suite import Suite

__all__ = ("CheckSummary", "SuiteReport", "summarise")


@dataclass(frozen=True, kw_only=True)
class CheckSummary:
    """One check over all trials.

    Attributes:
        mean: Over scored and crashed trials; a crash counts as 0. None if there were none.
        passed: Trials it passed (0 for checks that give scores).
        failed: Trials it failed.
        scored: Trials it gave a score.
        unscored: Trials of which it could not say; not in the mean.
        errors: Crashed trials; in the mean, as 0.
        threshold: What the mean must reach.
    """

    check: str
    mean: float | None
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
    errors = sum(result.failure is not None for result in results)
    by_check: dict[str, list[Outcome]] = {}
    for result in results:
        for outcome in result.outcomes:
            by_check.setdefault(outcome.check, []).append(outcome)
    for check in thresholds:  # one that never spoke is shown, not forgotten
        by_check.setdefault(check, [])
    if errors and not by_check:  # nothing ran at all: still a row, and a failed one
        by_check = {"completed": []}
    return [
        _summary(check, outcomes, errors, thresholds.get(check, 1.0))
        for check, outcomes in by_check.items()
    ]


def _summary(check: str, outcomes: list[Outcome], errors: int, threshold: float) -> CheckSummary:
    values = [outcome.value for outcome in outcomes if outcome.value is not None]
    statuses = [outcome.status for outcome in outcomes]
    # A judge that never spoke gets no mean out of crashes alone.
    n = len(values) + errors if values or not outcomes else 0
    return CheckSummary(
        check=check,
        mean=sum(values) / n if n else None,
        passed=statuses.count("pass"),
        failed=statuses.count("fail"),
        scored=len(values),
        unscored=statuses.count("unscored"),
        errors=errors,
        threshold=threshold,
    )
