"""Runs that may stop early: made of values, and fed case by case."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.statistics.comparison import Verdict
from assay.evals.statistics.sequential import Decision
from assay.evals.statistics.trials import Trials
from assay.evals.until import Plan, UntilDecided

EVERYTHING: tuple[Verdict, ...] = ("improved", "no worse", "regressed")
CRASH = Failure(type="ValueError", message="no", kind="bug")

Values = Mapping[str, float | None]


def keys(n: int) -> list[str]:
    return [f"k{i:03}" for i in range(n)]


def reference(
    values: Mapping[str, Sequence[float]], groups: Mapping[str, str] | None = None
) -> Trials:
    rows = [(case, value) for case, found in values.items() for value in found]
    of = None if groups is None else [groups[case] for case, _ in rows]
    return Trials.of([case for case, _ in rows], [value for _, value in rows], of)


def result(key: str, values: Values, trial: int = 0) -> TrialResult:
    outcomes = tuple(
        Outcome(check, "unscored" if value is None else "score", value)
        for check, value in values.items()
    )
    return TrialResult(case=f"case {key}", key=key, trial=trial, model="m", outcomes=outcomes)


def crash(key: str, trial: int = 0) -> TrialResult:
    return replace(result(key, {}, trial), failure=CRASH)


def begun(
    checks: Mapping[str, Trials],
    *,
    groups: Mapping[str, str] | None = None,
    trials: int = 1,
    margin: float = 0.1,
    seek: tuple[Verdict, ...] = ("no worse", "regressed"),
) -> UntilDecided:
    cases = list(dict.fromkeys(case for one in checks.values() for case in one.cases))
    until = UntilDecided(checks, margin=margin, seek=seek)
    of = [(groups or {}).get(case) for case in cases]
    until.begin(Plan.of(cases, of, checks, trials=trials))
    return until


def run(until: UntilDecided, results: Mapping[str, Iterable[TrialResult]]) -> UntilDecided:
    """Feed case by case until it stops, as an engine that runs one trial at a time does."""
    for key in until.plan.order:
        if until.settled:
            break
        for one in results[key]:
            until.add(one)
    return until


def only(until: UntilDecided) -> Decision:
    (decision,) = until.decisions.values()
    return decision
