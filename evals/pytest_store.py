"""What the processes of a pytest session share: settings, and the run in the store.

Under xdist each worker collects all suites, and the process that hears of results collects none.
So one worker begins the run, before it says that it is ready; no item runs until all have said so,
so the others find it there, by the id that xdist has given the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import pytest
from pydantic import ValidationError

from ..deps.errors import ConfigError
from ..deps.models import Models
from ..deps.settings import Settings
from .cases import Cases
from .engine import evaluate
from .plugin import BEGINS
from .report import SuiteReport
from .runs import begin, marked, note_identity
from .store.database import DEFAULT, RunStore
from .store.rows import Run
from .suite import Suite

__all__ = (
    "SessionEvaluate",
    "begin_session_run",
    "begins",
    "models_of",
    "own_runs",
    "session_run",
    "store_of",
)

AnySuite = Suite[Any, Any]

SESSION = "pytest_session"
"""Among a run's options: what tells a session's run from all others."""

RECENT = 20
"""Among so many of the newest runs a worker looks for its session's."""

_SETTINGS = pytest.StashKey["PytestSettings"]()
_MODELS = pytest.StashKey[Models]()
_STORE = pytest.StashKey[RunStore | None]()
_RUN = pytest.StashKey[Run]()
_OWN = pytest.StashKey[list[str]]()


class PytestSettings(Settings):
    """Settings from the environment; as the command line has it, with the run store."""

    store: str = DEFAULT


def settings_of(config: pytest.Config) -> PytestSettings:
    """Return the settings, read once.

    Raises:
        ConfigError: one is wrong.
    """
    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = PytestSettings()
        except ValidationError as e:
            raise ConfigError(f"a setting is wrong: {e}") from e
    return config.stash[_SETTINGS]


def models_of(config: pytest.Config) -> Models:
    """Return what model names mean in this run, and turn traces on if asked to, once.

    Raises:
        ConfigError: a setting is wrong.
    """
    if _MODELS not in config.stash:
        settings = settings_of(config)
        models = settings.models()
        if trace := config.option.assay_trace or settings.trace:
            from ..deps.traces import configure

            configure(trace, content=settings.trace_content, secrets=models.secrets)
        name = config.option.assay_model
        config.stash[_MODELS] = models.using(name) if name else models
    return config.stash[_MODELS]


def store_of(config: pytest.Config) -> RunStore | None:
    """Return the store, opened once; None if no run is to be kept.

    Raises:
        ConfigError: a setting is wrong, or the store cannot be opened.
    """
    if _STORE not in config.stash:
        place = _place(config)
        store = config.stash[_STORE] = None if place is None else RunStore(place)
        if store is not None:
            config.add_cleanup(store.close)
    return config.stash[_STORE]


def _place(config: pytest.Config) -> str | None:
    if config.option.assay_no_store:
        return None
    given = config.option.assay_store
    place = settings_of(config).store if given is None else str(given)
    if not place or "://" in place:
        return place or None
    return str(config.invocation_params.dir / place)  # a test may change the working directory


def begins(config: pytest.Config) -> bool:
    """Tell whether this process begins the run: the only one, or the first of xdist's workers."""
    return bool(_workerinput(config).get(BEGINS, True))


def begin_session_run(config: pytest.Config, found: Mapping[str, Cases]) -> None:
    """Begin the run of all suites with items to run.

    Args:
        config: The session's.
        found: Where a suite can be loaded from, and its cases.

    Raises:
        ConfigError: a setting or the store is wrong.
    """
    store = store_of(config)
    if store is None:
        return
    option, suites = config.option, [cases.suite for cases in found.values()]
    run = begin(
        store,
        suites,
        models=models_of(config),
        trials=option.assay_trials,
        where={cases.suite.name: where for where, cases in found.items()},
        options={
            "model": option.assay_model,
            "conditions": {"trials": option.assay_trials},
            SESSION: _workerinput(config).get("testrunuid"),
        },
    )
    for cases in found.values():
        note_identity(store, run, "datasets", cases.suite.name, cases.hash)
    config.stash[_RUN] = run


def session_run(config: pytest.Config) -> Run | None:
    """Return the run that this session's trials belong to; None if none is kept.

    Raises:
        ConfigError: the store is wrong, or the worker that was to begin the run did not.
    """
    store = store_of(config)
    if store is None:
        return None
    if _RUN not in config.stash:
        session = _workerinput(config).get("testrunuid")
        known = [one.run for one in store.list_runs(RECENT)]
        mine = [run for run in known if session and run.options.get(SESSION) == session]
        if not mine:
            raise ConfigError(
                f"this session's run is not in {store.url!s}: the worker that begins it failed"
            )
        config.stash[_RUN] = mine[0]
    return config.stash[_RUN]


def own_runs(config: pytest.Config) -> list[str]:
    """Return the ids of the runs that this process's tests began by `assay_evaluate`."""
    return config.stash.setdefault(_OWN, [])


def _workerinput(config: pytest.Config) -> Mapping[str, Any]:
    """Return what xdist has told this worker; nothing where there is none."""
    return cast(Mapping[str, Any], getattr(config, "workerinput", {}))


@dataclass(frozen=True)
class SessionEvaluate:
    """What the fixture `assay_evaluate` gives; see `plugin.Evaluate`."""

    config: pytest.Config

    async def __call__(
        self, suite: AnySuite, *, models: Models | None = None, trials: int | None = None
    ) -> SuiteReport:
        option, store = self.config.option, store_of(self.config)
        asked = models or models_of(self.config)
        # Clients belong to the loop that opens them, and the next test may have another loop.
        own = Models(
            default=asked.default, roles=asked.roles, endpoint=asked.endpoint, wrap=asked.wrap
        )
        count = option.assay_trials if trials is None else trials
        async with aclosing(own):
            if store is None:
                return await evaluate(suite, models=own, trials=count, replay=option.assay_replay)
            run = begin(store, [suite], models=own, trials=count)
            own_runs(self.config).append(run.id)
            with marked(store, run):
                return await evaluate(
                    suite,
                    models=own,
                    trials=count,
                    store=store,
                    run=run,
                    replay=option.assay_replay,
                )
