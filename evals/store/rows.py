"""Between the run store's rows and what they stand for."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, to_json

from ..outcome import Failure, Outcome, TrialResult

__all__ = (
    "Content",
    "Record",
    "Run",
    "RunStatus",
    "content_of",
    "content_row",
    "moment",
    "record_of",
    "run_of",
    "run_row",
    "to_text",
    "trial_row",
)

RunStatus = Literal["running", "done", "interrupted", "stopped"]
"""`stopped`: it ended itself, because a budget was spent. A run whose process was killed stays
`running`: nobody was left to say otherwise."""


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
class Content:
    """What a case asks and expects. Read back, it is JSON data, no longer of its own type."""

    inputs: Any
    expected: Any = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial as it is stored.

    Attributes:
        result: What it came to, with its case's key. Read back, its output is JSON data, no longer
            of its own type.
        content: What its case asks, to be kept once for all trials and runs; one trial of a case
            need bring it. Not read back with a trial: see `RunStore.contents`.
    """

    suite: str
    result: TrialResult
    content: Content | None = None


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
        "case_key": result.key,
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
        "replayed": result.replayed,
        "tags": to_text(result.tags),
        "outcomes": to_text([_words(outcome) for outcome in result.outcomes]),
        "failure": to_text(_words(result.failure)) if result.failure else None,
        "output": to_text(result.output),
        "messages": None if result.messages is None else to_text(result.messages),
        "case_group": None if result.group is None else _plain(result.group),
        "position": result.position,
        "metrics": to_text(result.metrics) if result.metrics else None,
        "cached_tokens": result.cached_tokens,
        "model_seconds": result.model_seconds,
    }


def content_row(record: Record) -> dict[str, Any] | None:
    """Return the row of what a trial's case asks; None where the record does not say."""
    content = record.content
    if content is None:
        return None
    return {
        "key": record.result.key,
        "inputs": to_text(content.inputs),
        "expected": None if content.expected is None else to_text(content.expected),
    }


def content_of(row: Any) -> Content:
    """Return the content of a row."""
    expected = None if row.expected is None else json.loads(row.expected)
    return Content(inputs=json.loads(row.inputs), expected=expected)


def record_of(row: Any) -> Record:
    """Return the trial of a row."""
    return Record(
        suite=row.suite,
        result=TrialResult(
            key=row.case_key,
            replayed=row.replayed,
            messages=json.loads(row.messages) if row.messages else None,
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
            position=row.position,
            metrics=json.loads(row.metrics) if row.metrics else {},
            cached_tokens=row.cached_tokens,
            model_seconds=row.model_seconds,
        ),
    )


def _words(found: Outcome | Failure) -> dict[str, Any]:
    """Return the fields, texts as a column can hold them: a judge may have written anything."""
    fields = asdict(found)
    return {name: _encodable(v) if isinstance(v, str) else v for name, v in fields.items()}


def _plain(text: str) -> str:
    """Replace what a text column cannot hold: PostgreSQL takes no NUL, neither takes surrogates."""
    return _encodable(text.replace("\0", "\ufffd"))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
