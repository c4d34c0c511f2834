"""The cases of a suite: read, validated and known by their content before anything runs."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator

from ..deps.errors import BadDataset
from .identity import case_key, dataset_hash, numbered
from .suite import CaseMeta, Suite

__all__ = ("AnyCase", "Cases", "Unit", "group_of", "read_dataset", "tags_of")

AnyCase = Case[Any, Any, CaseMeta]
AnySuite = Suite[Any, Any]

BATCH = 200
"""Lines of a `.jsonl` file that are validated together."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one trial is of: a case, known by its content, and the trial's number from 0."""

    case: AnyCase
    key: str
    position: int
    trial: int

    @property
    def name(self) -> str:
        return str(self.case.name)


@dataclass(frozen=True, kw_only=True)
class Cases:
    """All cases of a suite, in order; those of a `.jsonl` file are read again each time.

    Attributes:
        keys: The content hash of each case.
        groups: What each case has in common with others; None where it stands for itself.
        evaluators: The dataset's own checks, for every case.
    """

    suite: AnySuite
    keys: tuple[str, ...]
    groups: tuple[str | None, ...]
    evaluators: tuple[Evaluator[Any, Any, Any], ...] = ()
    _kept: tuple[AnyCase, ...] | None = None

    @classmethod
    def of(cls, suite: AnySuite) -> "Cases":
        """Read all cases once; what is wrong with one of them is told now, not after an hour.

        Raises:
            BadDataset: they cannot be read, do not fit the types, or two have one name.
        """
        kept: tuple[AnyCase, ...] | None = None
        evaluators: tuple[Evaluator[Any, Any, Any], ...] = ()
        if _is_stream(suite):
            found: Iterable[AnyCase] = _stream(suite)
        else:
            dataset = suite.dataset()
            found = kept = tuple(dataset.cases)
            evaluators = tuple(dataset.evaluators)
        names: set[str] = set()
        keys: list[str] = []
        groups: list[str | None] = []
        for case in found:
            _refuse(suite, case, len(keys), names)
            keys.append(case_key(case))
            groups.append(group_of(case))
        return cls(
            suite=suite,
            keys=tuple(numbered(keys)),
            groups=tuple(groups),
            evaluators=evaluators,
            _kept=kept,
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[AnyCase]:
        return iter(_stream(self.suite) if self._kept is None else self._kept)

    @property
    def hash(self) -> str:
        """The hash of the dataset, with the files that its cases refer to.

        Raises:
            BadDataset: one of these cannot be read.
        """
        try:
            return dataset_hash(self.keys, self.suite.beside)
        except OSError as e:
            raise BadDataset(f"cannot read what the cases of {self.suite.name!r} need: {e}") from e

    def units(self, trials: int) -> Iterator[Unit]:
        """Yield trial 0 of every case, then trial 1: a run cut short has seen most cases."""
        for number in range(trials):
            for position, (case, key) in enumerate(zip(self, self.keys, strict=True)):
                yield Unit(case=case, key=key, position=position, trial=number)


def group_of(case: AnyCase) -> str | None:
    """Return what a case has in common with others that stand or fall with it."""
    found = (case.metadata or {}).get("group")
    return None if found is None else str(found)


def tags_of(case: AnyCase) -> tuple[str, ...]:
    """Return a case's tags."""
    return tuple(map(str, (case.metadata or {}).get("tags", ())))


def read_dataset(suite: AnySuite) -> Dataset[Any, Any, CaseMeta]:
    """Read a suite's dataset whole.

    Raises:
        BadDataset: the file is absent or malformed, its cases do not fit the types, or have no
            name of their own.
    """
    if suite.data is not None:
        dataset = cast(Dataset[Any, Any, CaseMeta], suite.data)
    elif _is_stream(suite):
        cases = list(_stream(suite))
        dataset = Dataset[Any, Any, CaseMeta](name=suite.name, cases=cases)
    else:
        dataset = _read(suite)
    names: set[str] = set()
    for position, case in enumerate(dataset.cases):
        _refuse(suite, case, position, names)
    return dataset


def _is_stream(suite: AnySuite) -> bool:
    return suite.path is not None and suite.path.suffix == ".jsonl"


def _read(suite: AnySuite) -> Dataset[Any, Any, CaseMeta]:
    try:
        found = suite.kind().from_file(suite.path, custom_evaluator_types=suite.custom())
    except (OSError, ValueError, yaml.YAMLError, ExceptionGroup) as e:
        raise BadDataset(f"cannot read the cases of {suite.name!r}: {_why(e)}") from e
    return cast(Dataset[Any, Any, CaseMeta], found)


def _stream(suite: AnySuite) -> Iterator[AnyCase]:
    """Yield the cases of a `.jsonl` file without keeping them."""
    assert suite.path is not None
    try:
        with suite.path.open(encoding="utf-8") as file:
            lines = ((n, line) for n, line in enumerate(file, start=1) if line.strip())
            while batch := list(islice(lines, BATCH)):
                yield from _validated(suite, suite.path, batch)
    except OSError as e:
        raise BadDataset(f"cannot read the cases of {suite.name!r}: {e}") from e


def _validated(suite: AnySuite, path: Path, batch: list[tuple[int, str]]) -> list[AnyCase]:
    try:
        rows = [_row(path, number, line) for number, line in batch]
        found = suite.kind().from_dict({"name": suite.name, "cases": rows}, suite.custom())
    except ValidationError as e:
        first = e.errors()[0]
        _, index, *rest = first["loc"]
        where = ".".join(map(str, rest))
        raise BadDataset(
            f"{str(path)!r}, line {batch[int(index)][0]}: {where}: {first['msg']}"
        ) from e
    except (ValueError, ExceptionGroup) as e:  # an evaluator that nobody knows
        raise BadDataset(f"{str(path)!r}, from line {batch[0][0]}: {_why(e)}") from e
    return cast(list[AnyCase], found.cases)


def _row(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as e:
        raise BadDataset(f"{str(path)!r}, line {number}: not JSON: {e}") from e


def _refuse(suite: AnySuite, case: AnyCase, position: int, names: set[str]) -> None:
    where = repr(str(suite.path)) if suite.path else f"suite {suite.name!r}"
    if not case.name:
        raise BadDataset(f"{where}: case {position + 1} has no name; add one")
    if case.name in names:
        raise BadDataset(f"{where}: two cases are called {case.name!r}; rename one")
    names.add(case.name)


def _why(error: BaseException) -> str:
    """Say in a line what is wrong with a file and where."""
    if isinstance(error, ExceptionGroup):
        return "; ".join(_why(e) for e in cast("ExceptionGroup[Exception]", error).exceptions)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{error.error_count()} problems, the first at {where}: {first['msg']}"
    return str(error)
