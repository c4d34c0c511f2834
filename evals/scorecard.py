"""Accepted results of a suite, kept in the repository: what a later run must be no worse than."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..deps.errors import BadDataset, ConfigError
from .statistics.comparison import Comparison, compare, correct_for_many
from .statistics.trials import Trials
from .suite import Suite

__all__ = ("MARGIN", "CheckValues", "Gate", "Scorecard", "compare_trials", "gate", "path_of")

MARGIN = 0.05
"""How much worse a mean may be and still be no worse, when nothing else is said."""


class CheckValues(BaseModel):
    """One check's values: case key to a value per trial, and the groups of grouped cases."""

    model_config = ConfigDict(frozen=True)

    values: dict[str, tuple[float, ...]]
    groups: dict[str, str] = {}

    @classmethod
    def of(cls, trials: Trials) -> "CheckValues":
        """Keep a check's values, sorted by case so that a diff shows what changed."""
        groups = dict(zip(trials.cases, trials.groups or (), strict=False))
        values = dict(zip(trials.cases, trials.values, strict=True))
        return cls(values=dict(sorted(values.items())), groups=dict(sorted(groups.items())))

    def trials(self) -> Trials:
        """Return the values for statistics."""
        rows = [(case, value) for case, values in self.values.items() for value in values]
        return Trials.of(
            [case for case, _ in rows],
            [value for _, value in rows],
            [self.groups[case] for case, _ in rows] if self.groups else None,
        )


class Scorecard(BaseModel):
    """The accepted results of one suite. Cases are known by content, not by name."""

    model_config = ConfigDict(frozen=True)

    suite: str
    model: str
    run: str
    accepted: datetime
    checks: dict[str, CheckValues]

    @classmethod
    def read(cls, path: Path) -> "Scorecard":
        """Read a scorecard.

        Raises:
            BadDataset: it is absent, or no scorecard.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as e:
            raise BadDataset(f"{str(path)!r} is not there; write it with `assay accept`") from e
        except (OSError, UnicodeDecodeError, ValidationError) as e:
            raise BadDataset(f"{str(path)!r} is no scorecard: {e}") from e

    def write(self, path: Path) -> None:
        """Write the scorecard as JSON that diffs well.

        Raises:
            ConfigError: the file cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as e:
            raise ConfigError(f"cannot write the scorecard {str(path)!r}: {e}") from e

    def trials(self) -> dict[str, Trials]:
        """Return each check's values for statistics."""
        return {check: values.trials() for check, values in self.checks.items()}


@dataclass(frozen=True)
class Gate:
    """Whether a run may pass, and the comparisons that say why."""

    suite: str
    comparisons: tuple[Comparison, ...]
    ok: bool


def path_of(suite: Suite[Any, Any]) -> Path:
    """Return where a suite's scorecard is kept: beside its cases."""
    return suite.path.with_name("scorecard.json")


def compare_trials(
    reference: Mapping[str, Trials], run: Mapping[str, Trials], margin: float = MARGIN
) -> tuple[Comparison, ...]:
    """Compare the checks that both sides have, corrected together for being several."""
    return correct_for_many(
        compare(reference[check], run[check], margin=margin, name=check)
        for check in reference
        if check in run
    )


def gate(
    suite: str,
    reference: Mapping[str, Trials],
    run: Mapping[str, Trials],
    *,
    margin: float = MARGIN,
    inconclusive: Literal["pass", "fail"] = "pass",
) -> Gate:
    """Judge a run by a reference: a regression fails, no worse passes.

    A run that is the same as its reference, trial by trial, passes however few cases it has.

    Args:
        suite: Its name.
        reference: What was accepted, by check.
        run: What came of the run, by check.
        margin: How much worse a mean may be and still be no worse.
        inconclusive: What becomes of a comparison that could not tell.
    """
    comparisons = compare_trials(reference, run, margin)
    bad = {"regressed"} if inconclusive == "pass" else {"regressed", "inconclusive"}
    failed = [
        one
        for one in comparisons
        if one.verdict in bad and not _same(reference[one.name], run[one.name])
    ]
    return Gate(suite=suite, comparisons=comparisons, ok=not failed)


def _same(a: Trials, b: Trials) -> bool:
    """Tell whether every case has the same values on both sides."""
    return dict(zip(a.cases, a.values, strict=True)) == dict(zip(b.cases, b.values, strict=True))
