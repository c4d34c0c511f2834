"""What one check says of one trial, and what one trial came to."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ("Failure", "FailureKind", "Outcome", "Status", "TrialResult", "Unscored")

Status = Literal["pass", "fail", "score", "unscored", "error"]
"""`unscored`: nobody could say. `error`: the task crashed; it counts as 0 in every mean."""


FailureKind = Literal["provider", "model", "input", "bug"]
"""`model`: it answered, but never validly, or spent its budget. `input`: no answer was honest."""


class Unscored(Exception):
    """Raised by a check that cannot say: a judge that did not answer, no judge configured."""


@dataclass(frozen=True)
class Outcome:
    """One check's word on one trial.

    Attributes:
        check: The check's name.
        status: See `Status`.
        value: 1 for pass, 0 for fail and error, the score in [0, 1]; None when unscored.
        reason: Why, for people.
        judge: Who judged, as `judges.base.JudgeId` writes it; empty for a deterministic check.
    """

    check: str
    status: Status
    value: float | None
    reason: str = ""
    judge: str = ""


@dataclass(frozen=True)
class Failure:
    """A crashed task: what it raised, and whose fault that was."""

    type: str
    message: str
    kind: FailureKind


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One execution of one case.

    Attributes:
        duration: Seconds that the task took; for a replayed response, those it took when recorded.
        model_seconds: Of these, those that models took to answer, retries included, one after
            another; None for trials stored before it was kept.
        cached_tokens: Of `input_tokens`, those that the provider had in its cache.
        cost: US dollars; None where a price is unknown.
        model: The name of the model that was asked for.
        group: What cases that stand or fall together have in common, from the case's metadata.
        metrics: Figures that checks have noted, such as a judge's requests and cost.
        position: The case's place in the dataset, from 0.
        key: The hash of the case's content (see `identity.case_key`), by which runs are compared.
        replayed: Whether every model response came from a recording.
        messages: The conversations with models as JSON data, where they were kept.
    """

    case: str
    trial: int
    model: str
    outcomes: tuple[Outcome, ...] = ()
    output: Any = None
    failure: Failure | None = None
    duration: float = 0.0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    model_seconds: float | None = None
    cost: float | None = None
    trace_id: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    position: int = 0
    key: str = ""
    replayed: bool = False
    messages: Sequence[Mapping[str, Any]] | None = None

    @property
    def ok(self) -> bool:
        """Whether the task ran and no deterministic check failed; judges are not asked here."""
        return self.failure is None and all(o.judge for o in self.failed())

    def failed(self, advisory: Container[str] = ()) -> tuple[Outcome, ...]:
        """Return the outcomes that fail this trial.

        Args:
            advisory: Checks that fail nothing, whatever they say.
        """
        return tuple(
            one for one in self.outcomes if one.status == "fail" and one.check not in advisory
        )
