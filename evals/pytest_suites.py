"""What the pytest plugin does once there is a suite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from pydantic_evals import Case
from pydantic_evals.evaluators import Evaluator

from ..deps.errors import AssayError, ConfigError
from ..deps.models import Models
from ..deps.settings import Settings
from .outcome import TrialResult
from .plugin import PROPERTY
from .report import SuiteReport, summarise
from .runner import run_trial
from .suite import CaseMeta, Suite

__all__ = ("CaseItem", "SuiteCollector", "models_of", "reports_of", "summary_lines")

_MODELS = pytest.StashKey[Models]()
_LOOP = pytest.StashKey["asyncio.Runner"]()


class CaseFailed(Exception):
    """A case's task crashed or one of its checks failed."""


class SuiteCollector(pytest.Collector):
    """A suite as a collector: one item per case."""

    def __init__(self, *, suite: Suite[Any, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.suite = suite
        self.add_marker("eval")

    def collect(self) -> Iterable[pytest.Item]:
        try:
            dataset = self.suite.dataset()
        except AssayError as e:
            raise self.CollectError(str(e)) from e
        for case in dataset.cases:
            yield cast(Any, CaseItem).from_parent(
                self, name=str(case.name), case=case, evaluators=tuple(dataset.evaluators)
            )


class CaseItem(pytest.Item):
    """One case of a suite; runs `--assay-trials` times, and fails if one of those does."""

    parent: SuiteCollector

    def __init__(
        self,
        *,
        case: Case[Any, Any, CaseMeta],
        evaluators: tuple[Evaluator[Any, Any, CaseMeta], ...],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType] - pytest's is untyped
        self.case = case
        self.evaluators = evaluators
        for tag in (case.metadata or {}).get("tags", ()):
            self.extra_keyword_matches.add(str(tag))  # so that -k hard selects by tag

    def runtest(self) -> None:
        suite, models = self.parent.suite, models_of(self.config)
        runner = _loop_of(self.config)
        results = [
            runner.run(run_trial(suite, self.case, number, models, self.evaluators))
            for number in range(int(self.config.option.assay_trials))
        ]
        record = _Record(suite.name, suite.about, dict(suite.thresholds), results)
        self.user_properties.append((PROPERTY, record.to_json()))
        if problems := [line for result in results for line in _problems(result)]:
            raise CaseFailed("\n".join(problems))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (CaseFailed, AssayError)):
            return f"{self.name}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.parent.suite.path, None, f"{self.parent.suite.name}::{self.name}"


@dataclass(frozen=True)
class _Record:
    """What travels from an item, maybe in another process, to the tally."""

    suite: str
    about: str
    thresholds: dict[str, float]
    results: list[TrialResult]

    def to_json(self) -> str:
        # The outputs stay behind: a tally needs none, and they may hold anything.
        lean = replace(self, results=[replace(result, output=None) for result in self.results])
        return to_json(asdict(lean)).decode()


_RECORD = TypeAdapter(_Record)


def models_of(config: pytest.Config) -> Models:
    """Return what model names mean in this run, and turn traces on if asked to, once.

    Raises:
        ConfigError: a setting is wrong.
    """
    if _MODELS not in config.stash:
        try:
            settings = Settings()
        except ValidationError as e:
            raise ConfigError(f"a setting is wrong: {e}") from e
        if trace := config.option.assay_trace or settings.trace:
            from .trace import configure

            configure(trace)
        name = config.option.assay_model
        models = settings.models()
        config.stash[_MODELS] = models.using(name) if name else models
    return config.stash[_MODELS]


def _loop_of(config: pytest.Config) -> asyncio.Runner:
    """Return the one event loop of all cases: HTTP clients outlive a case, loops must too."""
    if _LOOP not in config.stash:
        runner = config.stash[_LOOP] = asyncio.Runner()
        config.add_cleanup(runner.close)
        config.add_cleanup(lambda: runner.run(models_of(config).aclose()))
    return config.stash[_LOOP]


def _problems(result: TrialResult) -> Iterator[str]:
    if result.failure is not None:
        yield f"trial {result.trial}: {result.failure.type}: {result.failure.message}"
    for outcome in result.outcomes:
        if outcome.status == "fail":
            yield f"trial {result.trial}: {outcome.check}: {outcome.reason}"


def reports_of(records: Iterable[str]) -> list[SuiteReport]:
    """Sum up what items sent, a report per suite."""
    by_suite: dict[str, list[_Record]] = {}
    for record in map(_RECORD.validate_json, records):
        by_suite.setdefault(record.suite, []).append(record)
    return [_report(found) for found in by_suite.values()]


def _report(records: list[_Record]) -> SuiteReport:
    results = tuple(result for record in records for result in record.results)
    return SuiteReport(
        suite=records[0].suite,
        about=records[0].about,
        model=results[0].model,
        checks=tuple(summarise(results, records[0].thresholds)),
        results=results,
        seconds=sum(result.duration for result in results),
    )


def summary_lines(reports: Iterable[SuiteReport]) -> Iterator[str]:
    """Yield a line per suite and check: the mean, its threshold, and what decides."""
    for report in reports:
        failed = len({result.case for result in report.results if not result.ok})
        yield f"{report.suite}: {report.cases} cases, {failed} failed; model: {report.model}"
        for check in report.checks:
            mean = "unscored" if check.mean is None else f"{check.mean:.3f}"
            word = "ok" if check.ok else "BELOW"
            notes = f", {check.unscored} unscored" if check.unscored else ""
            notes += f", {check.errors} errors" if check.errors else ""
            yield f"  {word:5} {check.check}: {mean} (threshold {check.threshold:g}{notes})"
