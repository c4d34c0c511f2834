"""Suites, checks, and the runner that scores agents with them.

The names below are imported when first used: this package is also home to a pytest plugin and a
command line, which must start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import Check, MaxRequests, MaxSeconds, verdict
    from .outcome import Failure, Outcome, TrialResult, Unscored
    from .report import CheckSummary, SuiteReport
    from .rubric import Rubric
    from .runner import evaluate
    from .suite import Suite, Trial, plain

__all__ = (
    "Check",
    "CheckSummary",
    "Failure",
    "MaxRequests",
    "MaxSeconds",
    "Outcome",
    "Rubric",
    "Suite",
    "SuiteReport",
    "Trial",
    "TrialResult",
    "Unscored",
    "evaluate",
    "plain",
    "verdict",
)

_HOME = {
    "checks": ("Check", "MaxRequests", "MaxSeconds", "verdict"),
    "outcome": ("Failure", "Outcome", "TrialResult", "Unscored"),
    "report": ("CheckSummary", "SuiteReport"),
    "rubric": ("Rubric",),
    "runner": ("evaluate",),
    "suite": ("Suite", "Trial", "plain"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
