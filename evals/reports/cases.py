"""Every case as data for the browser, gathered while results are read, once."""

from array import array
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeAlias

from ..outcome import Failure, Outcome, TrialResult
from ..report import SuiteReport, added
from .plain import plain_data

__all__ = ("Case", "CaseKey", "Conversations", "Row", "Spent", "references", "rows_of")

CaseKey: TypeAlias = tuple[str, str]
"""A suite's name and a case's name."""

_GRAVITY = ("error", "fail", "pass", "unscored")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of a case beside its results. Values of any type; they are shown as JSON."""

    inputs: Any = None
    expected: Any = None


@dataclass(kw_only=True)
class Spent:
    """What a suite's trials took, and what their judges did.

    Attributes:
        seconds: Of each trial.
        costs: US dollars of each trial whose price is known.
        judge_requests: Requests of judges.
        judge_cost: US dollars of these; None where the price of a request is unknown.
    """

    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    costs: "array[float]" = field(default_factory=lambda: array("d"))
    judge_requests: int = 0
    judge_cost: float | None = 0.0

    def add(self, result: TrialResult) -> None:
        """Add one trial."""
        self.seconds.append(result.duration)
        if result.cost is not None:
            self.costs.append(result.cost)
        if judged := int(result.metrics.get("judge_requests", 0)):
            self.judge_requests += judged
            self.judge_cost = added(self.judge_cost, result.metrics.get("judge_cost"))


class Conversations:
    """Keeps conversations up to a size. Those of failed trials push out those of others.

    Args:
        most: Characters of all conversations together: a browser has to read the file at once.
    """

    def __init__(self, most: int) -> None:
        self.left_out = 0
        self._room = most
        self._passed: list[tuple[int, dict[str, Any]]] = []

    def add(self, trial: dict[str, Any], result: TrialResult, *, ok: bool) -> None:
        """Put a trial's conversation into its data, if there is room; `ok`: whether it passed."""
        if result.messages is None:
            return
        messages = plain_data(result.messages)
        size = len(str(messages))
        while not ok and size > self._room and self._passed:
            self._drop()
        if size > self._room:
            self._leave_out(trial)
            return
        self._room -= size
        trial["messages"] = messages
        if ok:
            self._passed.append((size, trial))

    def _drop(self) -> None:
        size, trial = self._passed.pop()
        self._room += size
        del trial["messages"]
        self._leave_out(trial)

    def _leave_out(self, trial: dict[str, Any]) -> None:
        self.left_out += 1
        trial["left_out"] = True


@dataclass(kw_only=True)
class Row:
    """One case's trials, added up as they come.

    Attributes:
        seen: How many trials it has.
        status: The gravest of its trials; `unscored` only when no check could say anything.
        output: That of its first trial.
        failure: The first crash.
    """

    seen: int = 0
    status: str = "unscored"
    tags: dict[str, None] = field(default_factory=dict[str, None])
    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    passed: int = 0
    total: float = 0.0
    values: int = 0
    seconds: float = 0.0
    cost: float | None = 0.0
    output: Any = None
    failure: Failure | None = None

    def add(self, result: TrialResult, advisory: Container[str] = ()) -> None:
        """Add one trial's figures; what only advises fails nothing, and is in no score."""
        self.output = self.output if self.seen else result.output
        self.seen += 1
        self.status = min(self.status, _status(result, advisory), key=_GRAVITY.index)
        self.failure = self.failure or result.failure
        self.tags |= dict.fromkeys(result.tags)
        self.passed += _ok(result, advisory)
        found = _values(result, advisory)
        self.total += sum(found)
        self.values += len(found)
        self.seconds += result.duration
        known = self.cost is not None and (result.cost is not None or not result.requests)
        self.cost = (self.cost or 0.0) + (result.cost or 0.0) if known else None

    @property
    def score(self) -> float | None:
        """The mean over checks and trials; a crash counts as 0."""
        return self.total / self.values if self.values else None

    def as_reference(self) -> dict[str, Any]:
        """Return what is shown of a case of the reference."""
        failure = self.failure and vars(self.failure)
        return {
            "score": self.score,
            "status": self.status,
            "output": plain_data(self.output),
            "failure": plain_data(failure),
        }

    def as_case(self, key: CaseKey, case: Case) -> dict[str, Any]:
        """Return what is shown of a case, but for what needs the reference."""
        head = {
            "suite": key[0],
            "name": key[1],
            "tags": list(self.tags),
            "status": self.status,
            "passed": self.passed,
            "score": self.score,
            "seconds": self.seconds / self.seen,
            "cost": self.cost,
            "inputs": case.inputs,
            "expected": case.expected,
        }
        return {**plain_data(head), "trials": self.trials}


def rows_of(
    report: SuiteReport, conversations: Conversations | None = None
) -> tuple[dict[str, Row], Spent]:
    """Read a suite's results, once: what is shown of each case, and what all trials took.

    Args:
        report: The suite's run.
        conversations: Where trials' conversations go; without it, trials are not kept themselves.
    """
    rows: dict[str, Row] = {}
    spent = Spent()
    for result in report.results:
        spent.add(result)
        row = rows.setdefault(result.case, Row())
        row.add(result, report.advisory)
        if conversations is not None:
            trial = _trial(result, report.advisory)
            conversations.add(trial, result, ok=trial["ok"])
            row.trials.append(trial)
    return rows, spent


def references(reports: Iterable[SuiteReport]) -> Mapping[CaseKey, dict[str, Any]]:
    """Return what is shown of each case of a reference."""
    return {
        (report.suite, name): row.as_reference()
        for report in reports
        for name, row in rows_of(report)[0].items()
    }


def _trial(result: TrialResult, advisory: Container[str]) -> dict[str, Any]:
    found: dict[str, Any] = plain_data(
        {
            "trial": result.trial,
            "ok": _ok(result, advisory),
            "model": result.model,
            "output": result.output,
            "failure": result.failure and vars(result.failure),
            "checks": [
                [o.check, o.status, o.value, o.reason, _judged(o, advisory)]
                for o in result.outcomes
            ],
            "seconds": result.duration,
            "cost": result.cost,
            "requests": result.requests,
            "tokens": [result.input_tokens, result.output_tokens],
            "trace": result.trace_id,
            "replayed": result.replayed,
        }
    )
    return found


def _ok(result: TrialResult, advisory: Container[str]) -> bool:
    return result.failure is None and not result.failed(advisory)


def _judged(outcome: Outcome, advisory: Container[str]) -> str:
    """Say who judged, and whether that decides anything; nothing of a deterministic check."""
    only = "advisory, " if outcome.check in advisory else ""
    return f"{only}judged by {outcome.judge}" if outcome.judge else ""


def _status(result: TrialResult, advisory: Container[str]) -> str:
    if result.failure is not None:
        return "error"
    if result.failed(advisory):
        return "fail"
    return "pass" if any(o.value is not None for o in result.outcomes) else "unscored"


def _values(result: TrialResult, advisory: Container[str]) -> list[float]:
    if result.failure is not None:
        return [0.0]
    said = ((o.check, o.value) for o in result.outcomes)
    return [v for check, v in said if v is not None and isfinite(v) and check not in advisory]
