"""Between the run store's rows and what they stand for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, to_json

from ..outcome import Failure, Outcome, TrialResult

__all__ = (
    "Record",
    "Run",
    "RunStatus",
    "moment",
    "record_of",
    "run_of",
    "run_row",
    "to_text",
    "trial_row",
)

RunStatus = Literal["running", "done", "interrupted"]
"""A run whose process was killed stays `running`: nobody was left to say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One evaluation of one or several suites.

    Attributes:
        id: Begins with the moment it was begun.
        model: What answered, in words.
        trials: Executions per case that were asked for.
        identity: Hashes and versions of what ran, from `evals.identity`.
        options: How it was called, so that it can be resumed.
    """

    id: str
    created: datetime
    model: str
    suites: tuple[str, ...]
    trials: int = 1
    status: RunStatus = "running"
    finished: datetime | None = None
    identity: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial as it is stored.

    Attributes:
        case_key: The case's content hash, from `identity.case_keys`.
        result: What it came to. Read back, its output is JSON data, no longer of its own type.
        replayed: Whether every model response came from a recording.
        messages: The conversation as JSON data, where it was kept.
    """

    suite: str
    case_key: str
    result: TrialResult
    replayed: bool = False
    messages: Any = None


def to_text(value: object) -> str:
    """Return any value as JSON text; what JSON cannot hold is described, so no trial is lost."""
    try:
        return to_json(value, serialize_unknown=True, bytes_mode="base64").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as e:
        # A cycle, or half a surrogate pair that a model has produced.
        described = ascii(value)[:10_000]
        return json.dumps({"not_json": type(value).__name__, "why": str(e), "repr": described})


def moment(when: datetime) -> str:
    """Return a moment as stored: ISO 8601 in UTC."""
    return when.astimezone(UTC).isoformat()


def run_row(run: Run) -> dict[str, Any]:
    """Return the row of a run."""
    return {
        "id": run.id,
        "created": moment(run.created),
        "finished": moment(run.finished) if run.finished else None,
        "status": run.status,
        "model": _plain(run.model),
        "trials": run.trials,
        "suites": to_text(run.suites),
        "identity": to_text(run.identity),
        "options": to_text(run.options),
    }


def run_of(row: Any) -> Run:
    """Return the run of a row."""
    return Run(
        id=row.id,
        created=datetime.fromisoformat(row.created),
        finished=datetime.fromisoformat(row.finished) if row.finished else None,
        status=row.status,
        model=row.model,
        trials=row.trials,
        suites=tuple(json.loads(row.suites)),
        identity=json.loads(row.identity),
        options=json.loads(row.options),
    )


def trial_row(run_id: str, record: Record, finished: str) -> dict[str, Any]:
    """Return the row of a trial that finished at a moment."""
    result = record.result
    return {
        "run": run_id,
        "suite": record.suite,
        "case_key": record.case_key,
        "trial": result.trial,
        "case_name": _plain(result.case),
        "finished": finished,
        "model": _plain(result.model),
        "ok": result.ok,
        "duration": result.duration,
        "requests": result.requests,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost": result.cost,
        "trace_id": result.trace_id,
        "replayed": record.replayed,
        "tags": to_text(result.tags),
        "outcomes": to_text(result.outcomes),
        "failure": to_text(result.failure) if result.failure else None,
        "output": to_text(result.output),
        "messages": None if record.messages is None else to_text(record.messages),
        "case_group": None if result.group is None else _plain(result.group),
    }


def record_of(row: Any) -> Record:
    """Return the trial of a row."""
    return Record(
        suite=row.suite,
        case_key=row.case_key,
        replayed=row.replayed,
        messages=json.loads(row.messages) if row.messages else None,
        result=TrialResult(
            case=row.case_name,
            trial=row.trial,
            model=row.model,
            outcomes=tuple(Outcome(**found) for found in json.loads(row.outcomes)),
            output=json.loads(row.output),
            failure=Failure(**json.loads(row.failure)) if row.failure else None,
            duration=row.duration,
            requests=row.requests,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost=row.cost,
            trace_id=row.trace_id,
            tags=tuple(json.loads(row.tags)),
            group=row.case_group,
        ),
    )


def _plain(text: str) -> str:
    """Replace what a text column cannot hold: PostgreSQL takes no NUL, neither takes surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
