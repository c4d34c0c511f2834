"""Accepted results of a suite, kept in the repository: what a later run must be no worse than."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..deps.errors import BadDataset, ConfigError
from .report import SuiteReport
from .statistics.trials import Trials
from .suite import Suite

__all__ = ("CheckValues", "Scorecard", "path_of")


class CheckValues(BaseModel):
    """One check's values: case key to a value per trial, and the groups of grouped cases."""

    model_config = ConfigDict(frozen=True)

    values: dict[str, tuple[float, ...]]
    groups: dict[str, str] = {}
    judge: str = ""

    @classmethod
    def of(cls, trials: Trials, judge: str = "") -> "CheckValues":
        """Keep a check's values, sorted by case so that a diff shows what changed."""
        groups = dict(zip(trials.cases, trials.groups or (), strict=False))
        values = dict(zip(trials.cases, trials.values, strict=True))
        values, groups = dict(sorted(values.items())), dict(sorted(groups.items()))
        return cls(values=values, groups=groups, judge=judge)

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
    dataset: str = ""
    checks: dict[str, CheckValues]

    @classmethod
    def of(cls, report: SuiteReport, *, run: str, accepted: datetime) -> "Scorecard":
        """Accept what a run came to, without the checks that only advise.

        Args:
            report: One of its suites.
            run: The run's id.
            accepted: When.
        """
        return cls(
            suite=report.suite,
            model=report.model,
            run=run,
            accepted=accepted,
            dataset=report.dataset,
            checks={
                check: CheckValues.of(found, report.judges.get(check, ""))
                for check, found in report.trials().items()
                if check not in report.advisory
            },
        )

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
            path.write_text(
                self.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8"
            )
        except OSError as e:
            raise ConfigError(f"cannot write the scorecard {str(path)!r}: {e}") from e

    @property
    def judges(self) -> dict[str, str]:
        """Who judged, by check; deterministic checks are not in it."""
        return {check: found.judge for check, found in self.checks.items() if found.judge}

    @property
    def advisory(self) -> dict[str, str]:
        """What only advises is in no scorecard."""
        return {}

    def trials(self) -> dict[str, Trials]:
        """Return each check's values for statistics."""
        return {check: values.trials() for check, values in self.checks.items()}


def path_of(suite: Suite[Any, Any]) -> Path:
    """Return where a suite's scorecard is kept: beside its cases.

    Raises:
        ConfigError: its cases are in no file.
    """
    if suite.path is None:
        raise ConfigError(f"suite {suite.name!r} has no file of cases to keep a scorecard beside")
    return suite.path.with_name("scorecard.json")
