"""Suites, checks, and the engine that scores agents with them.

The names below are imported when first used: this package is also home to a pytest plugin and a
command line, which must start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import Check, MaxRequests, MaxSeconds, verdict
    from .engine import evaluate
    from .judges.grounded import Grounded
    from .judges.pairwise import Pairwise
    from .judges.rubric import Rubric
    from .outcome import Failure, Outcome, TrialResult, Unscored
    from .plugin import Evaluate
    from .report import CheckSummary, SuiteReport, Totals
    from .scorecard import Scorecard
    from .store.database import RunStore
    from .suite import Suite, Trial, plain, task_of
    from .verdicts import Gate, compare, gate

__all__ = (
    "Check",
    "CheckSummary",
    "Evaluate",
    "Failure",
    "Gate",
    "Grounded",
    "MaxRequests",
    "MaxSeconds",
    "Outcome",
    "Pairwise",
    "Rubric",
    "RunStore",
    "Scorecard",
    "Suite",
    "SuiteReport",
    "Totals",
    "Trial",
    "TrialResult",
    "Unscored",
    "compare",
    "evaluate",
    "gate",
    "plain",
    "task_of",
    "verdict",
)

_HOME = {
    "checks": ("Check", "MaxRequests", "MaxSeconds", "verdict"),
    "engine": ("evaluate",),
    "plugin": ("Evaluate",),
    "judges.grounded": ("Grounded",),
    "judges.pairwise": ("Pairwise",),
    "judges.rubric": ("Rubric",),
    "outcome": ("Failure", "Outcome", "TrialResult", "Unscored"),
    "report": ("CheckSummary", "SuiteReport", "Totals"),
    "scorecard": ("Scorecard",),
    "store.database": ("RunStore",),
    "suite": ("Suite", "Trial", "plain", "task_of"),
    "verdicts": ("Gate", "compare", "gate"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
