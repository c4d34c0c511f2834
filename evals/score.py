"""Statistics for results that exist already: any harness's rewards, passes and outputs.

A file holds one row per trial, as CSV with a header line or as JSON Lines, gzipped or not.
No model is called.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from inspect import isfunction
from pathlib import Path
from typing import Any, TextIO, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ..deps.errors import BadDataset, InputError
from ..deps.models import Models
from .cases import AnyCase, Cases
from .checks import MaxRequests, MaxSeconds
from .env import TrialEnv
from .judges.native import as_judged
from .outcome import TrialResult
from .report import trials_by_check
from .runner import AnyEvaluator, run_trial
from .statistics.estimates import (
    Estimate,
    FlakyCase,
    Spread,
    flaky_cases,
    mean_interval,
    pass_at_k,
    pass_hat_k,
    spread,
)
from .statistics.trials import UNIT, Trials
from .suite import Suite, Trial

__all__ = ("Columns", "Score", "read_trials", "score", "score_outputs")

WORDS = {"true": 1.0, "pass": 1.0, "passed": 1.0, "false": 0.0, "fail": 0.0, "failed": 0.0}
"""What a value may be besides a number, in any case."""

MISSING = ("", "nan", "none", "null")
"""Values that say nothing: the trial is unscored."""

Row = tuple[int, Mapping[str, Any]]
"""A row and the line it begins on, from 1."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what.

    Attributes:
        case: The case's name.
        trial: What tells trials of one case apart; None when the order of rows does.
        value: A number, true or false, pass or fail; or the output, to be checked.
        group: What several cases have in common, such as a document or a user.
    """

    case: str
    value: str
    trial: str | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a column of results comes to.

    Attributes:
        mean: The mean over cases, with its interval.
        pass_at_k: By k: the chance that one of k trials passes; empty unless all values are 0 or 1.
        pass_hat_k: By k: the chance that k of k trials pass.
        spread: The variance between cases and between trials.
        flaky: Cases that surely neither always pass nor always fail.
        unscored_cases: Cases without any value; in no figure.
        notes: What a reader should know of these figures.
    """

    mean: Estimate
    pass_at_k: Mapping[int, Estimate]
    pass_hat_k: Mapping[int, Estimate]
    spread: Spread
    flaky: tuple[FlakyCase, ...]
    unscored_cases: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain data: numbers keyed by k as text, intervals beside them."""
        mean = self.mean
        return {
            "n_cases": mean.n_cases,
            "n_trials": mean.n_trials,
            "n_clusters": mean.n_clusters,
            "unscored": mean.unscored,
            "unscored_cases": self.unscored_cases,
            "mean": mean.mean,
            "ci": mean.ci,
            "se": mean.se,
            "method": mean.method,
            "reason": mean.reason,
            "pass_at_k": {str(k): found.mean for k, found in self.pass_at_k.items()},
            "pass_at_k_ci": {str(k): found.ci for k, found in self.pass_at_k.items()},
            "pass_hat_k": {str(k): found.mean for k, found in self.pass_hat_k.items()},
            "pass_hat_k_ci": {str(k): found.ci for k, found in self.pass_hat_k.items()},
            "spread": asdict(self.spread),
            "flaky": [asdict(case) for case in self.flaky],
            "notes": self.notes,
        }


def score(trials: Trials) -> Score:
    """Return every figure that one column of results supports."""
    bounded = all(0 <= value <= 1 for scored in trials.values for value in scored)
    return Score(
        mean=mean_interval(trials, UNIT if bounded else None),
        pass_at_k=pass_at_k(trials) if trials.binary else {},
        pass_hat_k=pass_hat_k(trials) if trials.binary else {},
        spread=spread(trials),
        flaky=flaky_cases(trials),
        unscored_cases=trials.unscored_cases,
        notes=tuple(_notes(trials, bounded)),
    )


def read_trials(path: Path, columns: Columns) -> Trials:
    """Read results: a row per trial.

    Raises:
        BadDataset: the file cannot be read, a column is absent, a value is no number, pass or
            fail, a trial is there twice, or a case is in two groups.
    """
    cases: list[str] = []
    values: list[float | None] = []
    groups: list[str] = []
    for line, row, case, _ in _trials_of(path, columns):
        cases.append(case)
        values.append(_value(path, line, columns.value, _cell(path, line, row, columns.value)))
        if columns.group is not None:
            groups.append(_name(path, line, row, columns.group))
    try:
        return Trials.of(cases, values, groups if columns.group is not None else None)
    except InputError as e:
        raise BadDataset(f"{str(path)!r}, column {columns.group!r}: {e}") from e


async def score_outputs(
    path: Path, columns: Columns, suite: Suite[Any, Any]
) -> Mapping[str, Score]:
    """Check recorded outputs with a suite's checks; return a score per check.

    Rows are matched to the suite's cases by name. An output is read as the type that the suite's
    task returns, from JSON where it is text; one that does not fit that type is a failed trial,
    0 for every check. Left out are checks of time and requests, for nothing of those was recorded,
    and judged ones, for no model is called.

    Raises:
        BadDataset: the file or the suite's cases cannot be read, or a case is not the suite's.
    """
    known = Cases.of(suite)
    units = {unit.name: unit for unit in known.units(1)}
    suite = replace(suite, checks=_recorded(suite.checks))
    read = _reader(suite)
    results: list[TrialResult] = []
    for line, row, name, number in _trials_of(path, columns):
        if name not in units:
            near = get_close_matches(name, units, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadDataset(
                f"{_at(path, line, columns.case)}: {suite.name} has no case {name!r}{hint}"
            )
        output = _cell(path, line, row, columns.value)

        async def recorded(inputs: Any, trial: Trial, output: Any = output) -> Any:
            return read(output)

        replayed = replace(suite, task=recorded)
        unit = replace(units[name], case=_unjudged(units[name].case), trial=number)
        env = TrialEnv(models=Models())
        result = await run_trial(replayed, unit, env, _recorded(known.evaluators))
        if columns.group is not None:
            result = replace(result, group=_name(path, line, row, columns.group))
        results.append(result)
    return {check: score(trials) for check, trials in trials_by_check(results).items()}


def _recorded(checks: Iterable[AnyEvaluator]) -> tuple[AnyEvaluator, ...]:
    """Return the checks that a recorded output is enough for."""
    kinds = (MaxRequests, MaxSeconds)
    return tuple(c for c in checks if not isinstance(c, kinds) and as_judged(c) is None)


def _unjudged(case: AnyCase) -> AnyCase:
    found = copy(case)
    found.evaluators = list(_recorded(case.evaluators))
    return found


def _notes(trials: Trials, bounded: bool) -> Iterator[str]:
    counts = sorted(set(trials.counts.tolist()))
    if len(counts) > 1:
        yield (
            f"cases have {counts[0]} to {counts[-1]} trials; each case weighs the same, "
            f"and k ends at {counts[0]}"
        )
    if trials.unscored:
        yield f"{trials.unscored} trials have no value; they are in no figure"
    if trials.unscored_cases:
        yield f"{trials.unscored_cases} cases have no value at all; they are in no figure"
    if not bounded:
        yield "values lie outside 0 to 1, so the interval assumes no bounds"
    if not trials.binary:
        yield "values are not all 0 or 1, so there is no pass@k, pass^k or flaky case"


def _trials_of(path: Path, columns: Columns) -> Iterator[tuple[int, Mapping[str, Any], str, int]]:
    """Yield line, row, case and the trial's number among the case's, from 0."""
    seen: dict[str, dict[str, int]] = {}
    for line, row in _rows(path):
        case = _name(path, line, row, columns.case)
        trials = seen.setdefault(case, {})
        label = _name(path, line, row, columns.trial) if columns.trial else str(len(trials))
        if label in trials:
            raise BadDataset(
                f"{_at(path, line, columns.trial or '')}: case {case!r} has trial {label!r} "
                f"on line {trials[label]} already; name the column that tells them apart"
            )
        number = len(trials)
        trials[label] = line
        yield line, row, case, number


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV or JSON Lines file."""
    kind = "".join(path.suffixes[-2:]).removesuffix(".gz").rpartition(".")[2].lower()
    if kind not in ("csv", "jsonl", "ndjson"):
        raise BadDataset(
            f"cannot tell the format of {str(path)!r}; call it .csv or .jsonl, with or without .gz"
        )
    try:
        with _open(path) as file:
            yield from (_csv_rows if kind == "csv" else _json_rows)(path, file)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as e:
        raise BadDataset(f"cannot read {str(path)!r}: {e}") from e


def _open(path: Path) -> TextIO:
    # utf-8-sig: spreadsheets put a mark before the first column's name
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _csv_rows(path: Path, file: TextIO) -> Iterator[Row]:
    reader = csv.DictReader(file)
    line = 2  # a quoted cell may hold line ends, so count where each row begins
    for row in reader:
        cells = cast(dict[str | None, Any], row)
        if None in cells or None in cells.values():
            raise BadDataset(
                f"{str(path)!r}, line {line}: the row has more or fewer cells than the header, "
                f"which has {len(reader.fieldnames or ())}"
            )
        yield line, row
        line = reader.line_num + 1


def _json_rows(path: Path, file: TextIO) -> Iterator[Row]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as e:
            raise BadDataset(f"{str(path)!r}, line {line}: not JSON: {e}") from e
        if not isinstance(row, dict):
            raise BadDataset(f"{str(path)!r}, line {line}: not a JSON object but {text.strip()!r}")
        yield line, cast(dict[str, Any], row)


def _cell(path: Path, line: int, row: Mapping[str, Any], column: str) -> Any:
    try:
        return row[column]
    except KeyError:
        raise BadDataset(
            f"{_at(path, line, column)}: there is no such column; "
            f"there are {', '.join(map(repr, row))}"
        ) from None


def _name(path: Path, line: int, row: Mapping[str, Any], column: str) -> str:
    found = _cell(path, line, row, column)
    if found is None or found == "" or isinstance(found, (dict, list)):
        raise BadDataset(f"{_at(path, line, column)}: {found!r} names nothing; give a text")
    return str(found)


def _value(path: Path, line: int, column: str, found: Any) -> float | None:
    if found is None or (isinstance(found, str) and found.strip().lower() in MISSING):
        return None
    text = found.strip().lower() if isinstance(found, str) else found
    try:
        return WORDS[text] if isinstance(text, str) and text in WORDS else float(text)
    except (TypeError, ValueError):
        raise BadDataset(
            f"{_at(path, line, column)}: {found!r} is no number, true, false, pass or fail; "
            "leave it empty when nobody could say"
        ) from None


def _at(path: Path, line: int, column: str) -> str:
    return f"{str(path)!r}, line {line}, column {column!r}"


def _reader(suite: Suite[Any, Any]) -> Callable[[Any], Any]:
    """Return what reads a recorded output as the type that the suite's task returns."""
    task = getattr(suite.task, "__wrapped__", suite.task)
    kind = get_type_hints(task).get("return", Any) if isfunction(task) else Any
    known = isinstance(kind, type) and kind is not str
    adapter = TypeAdapter[Any](kind if known else Any)

    def read(output: Any) -> Any:
        if not known:  # a text, or nobody said what it is
            return output
        try:
            text = isinstance(output, str)
            return adapter.validate_json(output) if text else adapter.validate_python(output)
        except ValidationError as e:
            raise InputError(f"the recorded output is no {kind.__name__}: {e}") from e

    return read
