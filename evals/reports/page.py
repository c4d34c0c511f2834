"""What the HTML report shows, as plain data: suites and checks, and every case for the browser."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, TypeAlias, TypeGuard

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..outcome import Outcome, TrialResult
from ..report import SuiteReport
from .views import Reference, SuiteView, suite_views

__all__ = ("Case", "CaseKey", "Page", "RunInfo", "page_of", "plain_data")

CaseKey: TypeAlias = tuple[str, str]
"""A suite's name and a case's name."""

MAX_TEXT = 50_000
"""Characters of one text that are kept; what is cut is said in its place."""

MAX_MESSAGES = 40_000_000
"""Characters of all conversations together: a browser has to read the file at once."""

SAFE_INTEGER = 2**53 - 1
"""Greater ones lose digits in JavaScript, so they are shown as texts."""

MAX_DEPTH = 60


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The run that is reported.

    Attributes:
        facts: More to show of it, name to value: package versions, hashes, how it was called.
    """

    id: str
    created: datetime | None = None
    commit: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of a case beside its results. Values of any type; they are shown as JSON.

    Attributes:
        messages: Trial to its conversation: Pydantic AI's messages as JSON data, or other dicts.
        replayed: Trials whose answers all came from a recording.
    """

    inputs: Any = None
    expected: Any = None
    messages: Mapping[int, Sequence[Mapping[str, Any]]] = field(
        default_factory=dict[int, Sequence[Mapping[str, Any]]]
    )
    replayed: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a report shows.

    Attributes:
        cases: Every case as JSON data, in the form that templates/report_*.js reads.
        reference: What the run is compared with, in words.
        trace_url: Where a trace is found, with `{trace_id}` in it; empty when nowhere.
        left_out: Conversations that were left out to keep the file small.
    """

    title: str
    suites: tuple[SuiteView, ...]
    cases: tuple[Mapping[str, Any], ...]
    run: RunInfo | None = None
    reference: str = ""
    trace_url: str = ""
    left_out: int = 0

    @property
    def reports(self) -> tuple[SuiteReport, ...]:
        return tuple(suite.report for suite in self.suites)

    @property
    def models(self) -> tuple[str, ...]:
        """What answered, in words."""
        return tuple(dict.fromkeys(report.model for report in self.reports))

    @property
    def trials(self) -> int:
        return sum(len(report.results) for report in self.reports)

    @property
    def errors(self) -> int:
        return sum(len(report.failures) for report in self.reports)

    @property
    def unscored(self) -> int:
        return sum(suite.unscored for suite in self.suites)

    @property
    def cost(self) -> float | None:
        """US dollars; None where a price is unknown."""
        costs = [report.cost for report in self.reports]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def seconds(self) -> float:
        return sum(report.seconds for report in self.reports)

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens."""
        results = [result for report in self.reports for result in report.results]
        return sum(r.input_tokens for r in results), sum(r.output_tokens for r in results)


def page_of(
    reports: Sequence[SuiteReport],
    cases: Mapping[CaseKey, Case],
    *,
    reference: Reference | None = None,
    title: str = "Evaluation report",
    run: RunInfo | None = None,
    trace_url: str = "",
    max_messages: int = MAX_MESSAGES,
) -> Page:
    """Gather what a report shows.

    Args:
        reports: The run's suites.
        cases: (suite, case) to what the case asks; a case that is absent is shown without.
        reference: What the run is compared with.
        title: The page's title.
        run: The run's id, time and commit.
        trace_url: Such as `https://example.org/trace/{trace_id}`.
        max_messages: Characters of conversations to keep; those of failed trials are kept first.
    """
    kept, left_out = _messages(reports, cases, max_messages)
    before = None if reference is None else _reference_cases(reference)
    rows = [
        _case((report.suite, name), trials, cases, kept, before)
        for report in reports
        for name, trials in _by_case(report.results).items()
    ]
    return Page(
        title=title,
        suites=suite_views(reports, reference),
        cases=tuple(rows),
        run=run,
        reference=reference.label if reference else "",
        trace_url=trace_url,
        left_out=left_out,
    )


def plain_data(value: object) -> Any:
    """Return any value as JSON data that Python and JavaScript read alike.

    Numbers that JavaScript would change and NaN become texts, half surrogate pairs become U+FFFD;
    texts that are longer than `MAX_TEXT` and what is nested too deeply are cut, and say so.
    """
    return _plain(_jsonable(value, ()), 0)


def _jsonable(value: object, inside: tuple[int, ...]) -> Any:
    """Return a value as JSON data; where Pydantic refuses a part, only that part is described.

    It refuses cycles, and texts with half a surrogate pair: a model can produce either.
    """
    try:
        return to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64")
    except (PydanticSerializationError, ValueError, RecursionError):
        here = (*inside, id(value))
        if isinstance(value, str):
            return value
        if id(value) in inside or len(inside) >= MAX_DEPTH:
            return ascii(value)
        if _is_dict(value):
            return {str(key): _jsonable(inner, here) for key, inner in value.items()}
        if _is_list(value):
            return [_jsonable(inner, here) for inner in value]
        return ascii(value)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if depth >= MAX_DEPTH:
        return "… nested too deeply to be shown"
    if _is_dict(value):
        return {_text(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if _is_list(value):
        return [_plain(inner, depth + 1) for inner in value]
    return _text(str(value))


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT} more characters are not shown"
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def _by_case(results: Iterable[TrialResult]) -> dict[str, list[TrialResult]]:
    found: dict[str, list[TrialResult]] = {}
    for result in results:
        found.setdefault(result.case, []).append(result)
    return found


def _case(
    key: CaseKey,
    results: Sequence[TrialResult],
    cases: Mapping[CaseKey, Case],
    messages: Mapping[tuple[str, str, int], Any],
    before: Mapping[CaseKey, Sequence[TrialResult]] | None,
) -> dict[str, Any]:
    suite, name = key
    case = cases.get(key, Case())
    row: dict[str, Any] = {
        "suite": suite,
        "name": name,
        "tags": list(dict.fromkeys(tag for result in results for tag in result.tags)),
        "status": _status(results),
        "passed": sum(result.ok for result in results),
        "score": _score(results),
        "seconds": sum(result.duration for result in results) / len(results),
        "cost": _cost(results),
        "inputs": case.inputs,
        "expected": case.expected,
        "trials": [_trial(result, case) for result in results],
    }
    if before is not None:
        row["before"] = _before(before[key]) if key in before else None
    found: dict[str, Any] = plain_data(row)
    for trial in found["trials"]:
        conversation = messages.get((suite, name, trial["trial"]))
        if conversation is not None:
            trial["messages"] = conversation
        elif trial["trial"] in case.messages:
            trial["left_out"] = True
    return found


def _trial(result: TrialResult, case: Case) -> dict[str, Any]:
    return {
        "trial": result.trial,
        "ok": result.ok,
        "model": result.model,
        "output": result.output,
        "failure": result.failure and vars(result.failure),
        "checks": [[o.check, o.status, o.value, o.reason] for o in result.outcomes],
        "seconds": result.duration,
        "cost": result.cost,
        "requests": result.requests,
        "tokens": [result.input_tokens, result.output_tokens],
        "trace": result.trace_id,
        "replayed": result.trial in case.replayed,
    }


def _reference_cases(reference: Reference) -> dict[CaseKey, list[TrialResult]]:
    return {
        (report.suite, name): results
        for report in reference.reports
        for name, results in _by_case(report.results).items()
    }


def _before(results: Sequence[TrialResult]) -> dict[str, Any]:
    return {
        "score": _score(results),
        "status": _status(results),
        "output": results[0].output,
        "failure": results[0].failure and vars(results[0].failure),
    }


def _status(results: Sequence[TrialResult]) -> str:
    """Return the gravest of a case's trials; `unscored` only when no check could say anything."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    if any(result.failure is not None for result in results):
        return "error"
    if any(outcome.status == "fail" for outcome in outcomes):
        return "fail"
    return "pass" if any(outcome.value is not None for outcome in outcomes) else "unscored"


def _score(results: Sequence[TrialResult]) -> float | None:
    """Return the mean over checks and trials; a crash counts as 0."""
    values = [value for result in results for value in _values(result)]
    return sum(values) / len(values) if values else None


def _values(result: TrialResult) -> list[float]:
    if result.failure is not None:
        return [0.0]
    return [v for v in map(_finite, result.outcomes) if v is not None]


def _finite(outcome: Outcome) -> float | None:
    return outcome.value if outcome.value is not None and isfinite(outcome.value) else None


def _cost(results: Sequence[TrialResult]) -> float | None:
    costs = [result.cost if result.requests else 0.0 for result in results]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _messages(
    reports: Sequence[SuiteReport], cases: Mapping[CaseKey, Case], most: int
) -> tuple[dict[tuple[str, str, int], Any], int]:
    """Return the conversations that fit, and how many do not: failed trials' are taken first."""
    kept: dict[tuple[str, str, int], Any] = {}
    left_out = 0
    found = sorted(_conversations(reports, cases), key=lambda row: row[1].ok)
    for suite, result, messages in found:
        data = plain_data(messages)
        most -= len(str(data))
        if most < 0:
            left_out += 1
        else:
            kept[suite, result.case, result.trial] = data
    return kept, left_out


def _conversations(
    reports: Sequence[SuiteReport], cases: Mapping[CaseKey, Case]
) -> Iterator[tuple[str, TrialResult, Sequence[Mapping[str, Any]]]]:
    for report in reports:
        for result in report.results:
            case = cases.get((report.suite, result.case))
            if case is not None and result.trial in case.messages:
                yield report.suite, result, case.messages[result.trial]
