"""What can be said of a trial whose requests went out in batches: not how long its models took."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic_evals.evaluators import Evaluator, MaxDuration

from ..deps.batches import Asker
from .checks import MaxSeconds
from .outcome import Outcome, TrialResult

__all__ = ("BATCHED", "as_measured")

BATCHED = "batched"
"""The metric that counts a trial's requests that were answered in batches."""

WAITED = "batch_seconds"
"""The metric of the seconds in which a trial waited for batches."""

WHY = (
    "its models were asked in batches: {:,.0f} s of waiting say nothing of how fast they answer; "
    "evaluate without --batch for that"
)


def as_measured(
    result: TrialResult, asker: Asker, checks: Iterable[Evaluator[Any, Any, Any]]
) -> TrialResult:
    """Return a trial as it can be compared with others, if any of it was asked in batches.

    Its duration is what it took itself, the waiting is told apart, and checks of time are unscored.

    Args:
        result: The trial.
        asker: Who waited.
        checks: Those that the trial had, from which the ones of time are known.
    """
    if not asker.requests:
        return result
    timed = {
        check.get_default_evaluation_name()
        for check in checks
        if isinstance(check, (MaxSeconds, MaxDuration))
    }
    why = WHY.format(asker.waited)
    return replace(
        result,
        duration=max(0.0, result.duration - asker.waited),
        model_seconds=None,
        outcomes=tuple(
            Outcome(one.check, "unscored", None, why) if one.check in timed else one
            for one in result.outcomes
        ),
        metrics={**result.metrics, BATCHED: asker.requests, WAITED: asker.waited},
    )
