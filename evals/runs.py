"""Runs in the store: how one begins, ends, and is read again. No agent is imported here."""

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

from ..deps.errors import ConfigError
from ..deps.models import Models
from .identity import commit, package_versions
from .judges.standing import FLOOR, Standing
from .outcome import TrialResult
from .report import SuiteReport, Tally
from .statistics.comparison import Comparison
from .store.database import RunStore
from .store.rows import Run
from .suite import Suite

__all__ = (
    "StoredResults",
    "begin",
    "figures",
    "marked",
    "model_of",
    "note_identity",
    "note_seconds",
    "note_sequential",
    "note_stopped",
    "report_of",
    "where_of",
)

AnySuite = Suite[Any, Any]


def begin(
    store: RunStore,
    suites: Sequence[AnySuite],
    *,
    models: Models,
    trials: int = 1,
    options: Mapping[str, Any] | None = None,
    where: Mapping[str, str] | None = None,
) -> Run:
    """Note in the store that a run begins.

    What is needed to show it later is noted with it, so that nobody need import the suites then.

    Args:
        store: Where to.
        suites: What will run.
        models: What model names mean.
        trials: Executions per case.
        options: How it was called, to resume it with.
        where: Suite name to what `suites.load` finds it by, where that is known.

    Raises:
        ConfigError: two suites have one name, by which their trials would be told apart.
    """
    names = [suite.name for suite in suites]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two suites are called {name!r}; rename one, or run them apart")
    found = commit(Path.cwd())
    identity = {
        "packages": package_versions(),
        "commit": found and found.sha,
        "dirty": found and found.dirty,
    }
    places = where or {}
    shown = {
        suite.name: {
            "about": suite.about,
            "thresholds": dict(suite.thresholds),
            "where": places.get(suite.name),
            "model": suite.answers(models),
            "judge_floor": suite.judge_floor,
        }
        for suite in suites
    }
    return store.create_run(
        model="; ".join(dict.fromkeys(suite.answers(models) for suite in suites)),
        suites=names,
        trials=trials,
        identity=identity,
        options={**(options or {}), "suites": shown},
    )


def where_of(run: Run, suite: str) -> str:
    """Return what `suites.load` finds a run's suite by; its name, where nothing else was noted."""
    return _noted(run, suite).get("where") or suite


def model_of(run: Run, suite: str) -> str:
    """Return in words what answered in one of a run's suites."""
    return _noted(run, suite).get("model") or run.model


def _noted(run: Run, suite: str) -> Mapping[str, Any]:
    noted: Mapping[str, Mapping[str, Any]] = run.options.get("suites", {})
    return noted.get(suite, {})


def note_identity(store: RunStore, run: Run, what: str, suite: str, value: str | None) -> None:
    """Add a suite's hash to a run's identity; `what` is `datasets` or `agents`."""
    store.merge_identity(run.id, {what: {suite: value}})


def note_seconds(store: RunStore, run: Run, suite: str, seconds: float) -> None:
    """Add the wall time that a suite took; a resumed run has that of its parts."""
    before = store.run(run.id).identity.get("seconds", {}).get(suite, 0.0)
    store.merge_identity(run.id, {"seconds": {suite: before + seconds}})


def note_stopped(store: RunStore, run: Run, why: str) -> None:
    """Note that a run ended itself before it was done, and why: a budget was spent."""
    store.merge_identity(run.id, {"stopped": why})
    store.update_run(run.id, status="stopped")


def note_sequential(
    store: RunStore, run: Run, suite: str, against: str | None, found: Sequence[Comparison]
) -> None:
    """Note the verdicts of a run that ended when it had them: no later comparison can be as valid.

    Args:
        store: Where the run is.
        run: The run.
        suite: The suite that was compared.
        against: The run that it was compared with, if it was a run.
        found: What came of it.
    """
    said = {"against": against, "comparisons": [asdict(one) for one in found]}
    store.merge_identity(run.id, {"sequential": {suite: said}})


@contextmanager
def marked(store: RunStore, run: Run) -> Generator[None]:
    """Note how a run ends: done, or interrupted by whatever stops it.

    A run that was noted to be stopped meanwhile stays so.
    """
    store.update_run(run.id, status="running")
    try:
        yield
    except BaseException:
        store.update_run(run.id, status="interrupted", was="running")
        raise
    store.update_run(run.id, status="done", was="running")


@dataclass(frozen=True)
class StoredResults(Sequence[TrialResult]):
    """A suite's trials in a run, in the dataset's order, read whenever they are asked for."""

    store: RunStore
    run: Run
    suite: str
    only: Collection[str] | None = None

    def __iter__(self) -> Iterator[TrialResult]:
        return self._read(outputs=True)

    def figures(self) -> Iterator[TrialResult]:
        """Yield the trials without their outputs and messages, which are long to read."""
        return self._read(outputs=False)

    def _read(self, *, outputs: bool) -> Iterator[TrialResult]:
        for record in self.store.results(self.run.id, self.suite, outputs=outputs):
            if self.only is None or record.result.key in self.only:
                yield record.result

    def __len__(self) -> int:
        done = self.store.done(self.run.id, self.suite)
        return len(done) if self.only is None else sum(key in self.only for key, _ in done)

    @overload
    def __getitem__(self, index: int) -> TrialResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TrialResult]: ...
    def __getitem__(self, index: int | slice) -> TrialResult | Sequence[TrialResult]:
        if isinstance(index, slice):
            return tuple(self)[index]
        at = index if index >= 0 else len(self) + index
        found = next(islice(self, at, None), None) if at >= 0 else None
        if found is None:
            raise IndexError(index)
        return found


def figures(results: Iterable[TrialResult]) -> Iterable[TrialResult]:
    """Return trials as cheaply as they can be had: without outputs, where they are in a store."""
    return results.figures() if isinstance(results, StoredResults) else results


def report_of(
    store: RunStore, run: Run, suite: str, only: Collection[str] | None = None
) -> SuiteReport:
    """Sum up what a store has of a suite's run.

    Args:
        store: Where it is.
        run: The run.
        suite: The suite's name.
        only: Keys of the cases to count; all by default.
    """
    shown = _noted(run, suite)
    results = StoredResults(store, run, suite, only)
    tally = Tally()
    trials_took = 0.0
    for result in results.figures():
        tally.add(result)
        trials_took += result.duration
    # One that was killed, or that pytest made, has noted none.
    wall = run.identity.get("seconds", {}).get(suite)
    return SuiteReport.of(
        results,
        suite=suite,
        about=shown.get("about", ""),
        thresholds=shown.get("thresholds", {}),
        model=model_of(run, suite),
        seconds=trials_took if wall is None else wall,
        tally=tally,
        dataset=run.identity.get("datasets", {}).get(suite, ""),
        standing=Standing(store.people, shown.get("judge_floor", FLOOR)),
    )
