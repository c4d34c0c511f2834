"""Suites as pytest has them: a collector, and an item per case."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest

from ..deps.errors import AssayError, ConfigError
from .cases import AnyCase, Cases, Unit, tags_of
from .env import Env
from .judges.standing import Standing
from .outcome import TrialResult
from .peers import StoredOutputs
from .plugin import PROPERTY
from .pytest_store import begin_session_run, begins, models_of, session_run, store_of
from .pytest_verdicts import ItemRecord
from .runner import run_trial
from .runs import note_identity
from .scorecard import path_of
from .store.rows import Content, Record
from .suite import Suite

__all__ = ("CaseItem", "SuiteCollector", "begin_run")

_LOOP = pytest.StashKey["asyncio.Runner"]()
_PROBLEM = pytest.StashKey[AssayError]()


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
            pairs = list(zip(self.cases, self.cases.keys, strict=True))
        except AssayError as e:
            raise self.CollectError(str(e)) from e
        for position, (case, key) in enumerate(pairs):
            yield cast(Any, CaseItem).from_parent(
                self, name=str(case.name), case=case, key=key, position=position
            )

    @cached_property
    def cases(self) -> Cases:
        return Cases.of(self.suite)

    @cached_property
    def env(self) -> Env:
        option = self.config.option
        return Env(
            suite=self.suite,
            models=models_of(self.config),
            replay=option.assay_replay,
            stored=StoredOutputs(store_of(self.config), self.suite.name),
        )

    @cached_property
    def standing(self) -> Standing:
        """What its judges may do: of the whole session, for a store is asked once per judge."""
        store = store_of(self.config)
        return Standing(None if store is None else store.people, self.suite.judge_floor)

    @property
    def where(self) -> str:
        """The name by which the command line loads the suite: `tests/test_evals.py:suite`."""
        start = self.config.invocation_params.dir
        module = self.getparent(pytest.Module)
        attribute = self.nodeid.removeprefix(module.nodeid if module else "").strip(":")
        return f"{_from(start, self.path)}:{attribute.replace('::', '.')}"

    @property
    def scorecard(self) -> str | None:
        """Where its scorecard is kept; None if its cases are in no file to keep it beside."""
        return None if self.suite.path is None else str(path_of(self.suite).absolute())


class CaseItem(pytest.Item):
    """One case of a suite; runs `--assay-trials` times, and fails if one of those does."""

    parent: SuiteCollector

    def __init__(self, *, case: AnyCase, key: str, position: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType] - pytest's is untyped
        self.case = case
        self.key = key
        self.position = position
        self.extra_keyword_matches.update(tags_of(case))  # so that -k hard selects by tag

    def runtest(self) -> None:
        # Not in setup(): of what is raised there pytest shows the traceback.
        if (problem := self.config.stash.get(_PROBLEM, None)) is not None:
            raise problem
        results = [self._trial(number) for number in range(self.config.option.assay_trials)]
        self.user_properties.append((PROPERTY, self._record(results).to_json()))
        if problems := [line for result in results for line in self._problems(result)]:
            raise CaseFailed("\n".join(problems))

    def _problems(self, result: TrialResult) -> Iterator[str]:
        if result.failure is not None:
            yield f"trial {result.trial}: {result.failure.type}: {result.failure.message}"
        judges = {outcome.check: outcome.judge for outcome in result.outcomes}
        advisory = [check for check, why in self.parent.standing.of_checks(judges).items() if why]
        for outcome in result.failed(advisory):
            yield f"trial {result.trial}: {outcome.check}: {outcome.reason}"

    def _trial(self, number: int) -> TrialResult:
        """Run one trial; when this returns, it is in the store."""
        of, config = self.parent, self.config
        unit = Unit(case=self.case, key=self.key, position=self.position, trial=number)
        store, run = store_of(config), session_run(config)
        trial = run_trial(of.suite, unit, of.env.of(unit), of.cases.evaluators)
        result = _loop_of(config).run(trial)
        if store is not None and run is not None:
            content = Content(inputs=self.case.inputs, expected=self.case.expected_output)
            record = Record(suite=of.suite.name, result=result, content=content)
            store.add(run.id, [record])
            if number == self.position == 0 and (agent := of.env.observer.identity):
                note_identity(store, run, "agents", of.suite.name, agent)
        return result

    def _record(self, results: list[TrialResult]) -> ItemRecord:
        of = self.parent
        run = session_run(self.config)
        return ItemRecord.of(
            of.suite,
            results,
            dataset=of.cases.hash,
            cases=len(of.cases),
            scorecard=of.scorecard,
            run=run and run.id,
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (CaseFailed, AssayError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.parent.suite.path or self.path, None, f"{self.parent.suite.name}::{self.name}"


def begin_run(session: pytest.Session) -> None:
    """Begin the run in the store, if there are cases to run; what is wrong fails each of them."""
    config = session.config
    suites = dict.fromkeys(item.parent for item in session.items if isinstance(item, CaseItem))
    if not suites:
        return
    try:
        _refuse_twins(suites)
        if begins(config):
            one_each = {one.suite.name: one for one in suites}.values()
            begin_session_run(config, {one.where: one.cases for one in one_each})
    except AssayError as e:
        config.stash[_PROBLEM] = e


def _refuse_twins(suites: Iterable[SuiteCollector]) -> None:
    """Refuse two suites of one name; one that several modules import is the same."""
    known: dict[str, SuiteCollector] = {}
    for one in suites:
        other = known.setdefault(one.suite.name, one)
        if other.suite is not one.suite:
            raise ConfigError(
                f"two suites are called {one.suite.name!r}: {other.where} and {one.where}; "
                "rename one, their results would be mixed"
            )


def _loop_of(config: pytest.Config) -> asyncio.Runner:
    """Return the one event loop of all cases: HTTP clients outlive a case, loops must too."""
    if _LOOP not in config.stash:
        runner = config.stash[_LOOP] = asyncio.Runner()
        config.add_cleanup(runner.close)
        config.add_cleanup(lambda: runner.run(models_of(config).aclose()))
    return config.stash[_LOOP]


def _from(start: Path, path: Path) -> str:
    """Return a path as one below `start`, if it is, with forward slashes."""
    if path.is_relative_to(start):
        return path.relative_to(start).as_posix()
    return os.fspath(path)
