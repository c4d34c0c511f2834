"""Evaluate into a store: what is finished is kept, and an interrupted run goes on where it was."""

from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..deps.models import Models
from .identity import case_keys, commit, dataset_hash, package_versions
from .outcome import TrialResult
from .replay.recordings import Recordings
from .replay.tape import Mode, Replay, Tape
from .report import SuiteReport, trials_by_check
from .runner import evaluate
from .statistics.trials import Trials
from .store.database import RunStore
from .store.rows import Record, Run
from .store.writer import StoreWriter
from .suite import Suite

__all__ = (
    "RECORDINGS",
    "AnySuite",
    "OnResult",
    "Taping",
    "begin",
    "evaluate_stored",
    "marked",
    "report_of",
    "stored_trials",
)

RECORDINGS = Path(".assay/replay")
"""Where recordings are kept when nothing else is said, from the working directory."""

AnySuite = Suite[Any, Any]
OnResult = Callable[[TrialResult], Awaitable[None] | None]


def begin(
    store: RunStore, suites: Sequence[AnySuite], *, models: Models, trials: int, model: str | None
) -> Run:
    """Note in the store that a run begins, with the identity of all that will run.

    Args:
        store: Where to.
        suites: What will run.
        models: What model names mean.
        trials: Executions per case.
        model: The model that was asked for by name, to resume with.
    """
    found = commit(Path.cwd())
    identity = {
        "datasets": {s.name: dataset_hash(case_keys(s.dataset().cases)) for s in suites},
        "packages": package_versions(),
        "commit": found and found.sha,
        "dirty": found and found.dirty,
    }
    return store.create_run(
        model=models.describe(),
        suites=[suite.name for suite in suites],
        trials=trials,
        identity=identity,
        options={"model": model},
    )


@dataclass(frozen=True, kw_only=True)
class Taping:
    """Gives each trial of a suite a tape of its own, between its models and the provider."""

    suite: AnySuite
    models: Models
    mode: Mode = "off"
    folder: Path = RECORDINGS
    tapes: dict[tuple[str, int], Tape] = field(default_factory=dict[tuple[str, int], Tape])

    def models_for(self, case: str, trial: int) -> Models:
        """Return the models of one trial, recorded and replayed.

        The tape is outermost: what it replays takes no slot, no budget and no request.
        """
        tape = self._replay().tape(case, trial)
        self.tapes[case, trial] = tape
        return replace(self.models, wrap=(*self.models.wrap, tape))

    def replayed(self, result: TrialResult) -> bool:
        """Tell, once, whether every response of a finished trial came from a recording."""
        tape = self.tapes.pop((result.case, result.trial), None)
        return tape is not None and tape.all_replayed

    def _replay(self) -> Replay:
        committed = Recordings(self.suite.path.parent / "replay")
        secrets = (self.models.endpoint.api_key,) if self.models.endpoint else ()
        return Replay(
            mode=self.mode,
            write=Recordings(self.folder / self.suite.name),
            read=(committed,),
            secrets=secrets,
        )


async def evaluate_stored(
    store: RunStore,
    run: Run,
    suite: AnySuite,
    *,
    models: Models,
    max_concurrency: int = 10,
    replay: Mode = "off",
    on_result: OnResult | None = None,
) -> SuiteReport:
    """Evaluate one suite of a run; each trial is in the store before `on_result` hears of it.

    Trials that the store has already are reported and not run again, except those that a provider
    failed: they were never answered.

    Args:
        store: Where trials are kept.
        run: The run, new or resumed.
        suite: One of its suites.
        models: What model names mean.
        max_concurrency: How many trials are under way at once.
        replay: Whether responses are recorded and replayed; see `replay.Mode`.
        on_result: Called, and awaited, with each result as it is finished.
    """
    cases = suite.dataset().cases
    keys = {str(case.name): key for case, key in zip(cases, case_keys(cases), strict=True)}
    store.forget_provider_failures(run.id, suite.name)
    finished = list(_finished(store, run, suite, keys))
    taping = Taping(suite=suite, models=models, mode=replay)
    async with StoreWriter(store, run.id) as writer:

        async def keep(result: TrialResult) -> None:
            key, replayed = keys[result.case], taping.replayed(result)
            await writer.add(
                Record(suite=suite.name, case_key=key, result=result, replayed=replayed)
            )
            if on_result is not None and (told := on_result(result)) is not None:
                await told

        return await evaluate(
            suite,
            models=models,
            trials=run.trials,
            max_concurrency=max_concurrency,
            on_result=keep,
            finished=finished,
            models_for=taping.models_for,
        )


def _finished(
    store: RunStore, run: Run, suite: AnySuite, keys: dict[str, str]
) -> Iterator[TrialResult]:
    """Yield the results that still count: of cases that have not changed since."""
    for record in store.results(run.id, suite.name):
        result = record.result
        if keys.get(result.case) == record.case_key and result.trial < run.trials:
            yield result


def report_of(
    store: RunStore, run: Run, suite: AnySuite, only: Collection[str] | None = None
) -> SuiteReport:
    """Sum up what a store has of a suite's run; of the cases with the keys `only`, if given."""
    results = [
        record.result
        for record in store.results(run.id, suite.name)
        if only is None or record.case_key in only
    ]
    seconds = sum(result.duration for result in results)
    return replace(SuiteReport.of(suite, Models(), results, seconds), model=run.model)


def stored_trials(store: RunStore, run: Run, suite: str) -> dict[str, Trials]:
    """Gather each check's values of a stored run, for statistics.

    A case is known by its content, not by its name: one that has changed is another case.
    """
    return trials_by_check(
        replace(record.result, case=record.case_key) for record in store.results(run.id, suite)
    )


@contextmanager
def marked(store: RunStore, run: Run) -> Generator[None]:
    """Note how a run ends: done, or interrupted by whatever stops it."""
    store.update_run(run.id, status="running")
    try:
        yield
    except BaseException:
        store.update_run(run.id, status="interrupted")
        raise
    store.update_run(run.id, status="done")
