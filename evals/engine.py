"""Evaluate a suite: in memory, or into a store, where an interrupted run goes on where it was."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any, Protocol

from opentelemetry import trace

from ..deps.batches import asking
from ..deps.models import NOT_AN_LLM, Models
from ..deps.replay.tape import Mode
from .batched import as_measured
from .cases import Cases, Unit
from .env import Env, Wrap
from .judges.standing import Standing
from .outcome import TrialResult
from .peers import StoredOutputs
from .report import SuiteReport, Tally
from .runner import run_trial
from .runs import StoredResults, begin, marked, note_identity, note_seconds
from .store.database import RunStore
from .store.rows import Content, Record, Run
from .store.writer import StoreWriter
from .suite import Suite
from .workers import schedule

__all__ = ("OnResult", "Steering", "evaluate")

AnySuite = Suite[Any, Any]
OnResult = Callable[[TrialResult], Awaitable[None] | None]

_tracer = trace.get_tracer("assay")


class Steering(Protocol):
    """Decides which trials are worth running, while results come in."""

    def order(self, cases: Cases, trials: int) -> Iterable[Unit]:
        """Return all units that may be run, in the order in which they are begun."""
        ...

    def add(self, result: TrialResult) -> None:
        """Hear of a finished trial; those of an earlier, interrupted part of the run come first."""
        ...

    @property
    def settled(self) -> bool:
        """Whether nothing more need be begun."""
        ...


async def evaluate(
    suite: AnySuite,
    *,
    models: Models | None = None,
    trials: int = 1,
    max_concurrency: int = 10,
    store: RunStore | None = None,
    run: Run | None = None,
    replay: Mode = "off",
    wrap: tuple[Wrap, ...] = (),
    steering: Steering | None = None,
    stop: Callable[[], object] = lambda: None,
    on_result: OnResult | None = None,
) -> SuiteReport:
    """Run every case of a suite `trials` times and return what came of it.

    With a store, each trial is in it before `on_result` hears of it. Trials that the store has
    already are reported and not run again, except those that a provider failed: they were never
    answered.

    Args:
        suite: What to run.
        models: What model names mean; the embedded baselines by default.
        trials: Executions per case.
        max_concurrency: How many trials are under way at once; where models are asked in batches,
            it is for these to say.
        store: Where trials are kept; in memory alone by default.
        run: The run in the store that this belongs to, new or resumed; one is begun by default.
        replay: Whether responses are recorded and replayed; see `replay.tape.Mode`.
        wrap: What every model is wrapped in, for all trials together: a limiter, a budget's meter.
        steering: Which trials are worth running; all by default.
        stop: Asked before each trial; anything true ends the run early, what is under way excepted.
        on_result: Called, and awaited, with each result as it is finished.

    Raises:
        BadDataset: the cases cannot be read.
        ConfigError: a model name or key is wrong; no result could be had from any case.
    """
    models = models or Models()
    cases = Cases.of(suite)
    env = Env(
        suite=suite,
        models=models,
        replay=replay,
        shared=wrap,
        stored=StoredOutputs(store, suite.name),
    )
    if models.clients.batches is not None and suite.answers(models) != NOT_AN_LLM:
        max_concurrency = max(1, min(models.clients.batches.under_way, len(cases) * trials))
    with ExitStack() as stack:
        if store is not None and run is None:
            run = begin(store, [suite], models=models, trials=trials)
            stack.enter_context(marked(store, run))
        kept = _InMemory() if store is None or run is None else _InStore(store, run, suite.name)
        tally, seconds = await _run(
            cases, trials, env, kept, max_concurrency, steering, stop, on_result
        )
    return SuiteReport.of(
        kept.results(),
        suite=suite.name,
        about=suite.about,
        model=suite.answers(models),
        thresholds=suite.thresholds,
        seconds=seconds,
        tally=tally,
        dataset=cases.hash,
        standing=Standing(None if store is None else store.people, suite.judge_floor),
    )


async def _run(
    cases: Cases,
    trials: int,
    env: Env,
    kept: "_Kept",
    max_concurrency: int,
    steering: Steering | None,
    stop: Callable[[], object],
    on_result: OnResult | None,
) -> tuple[Tally, float]:
    """Run what is missing; return the sum of everything, and the seconds it took now."""
    tally, done = Tally(), set[tuple[str, int]]()

    def count(result: TrialResult) -> None:
        tally.add(result)
        if steering is not None:
            steering.add(result)

    async def work(unit: Unit) -> None:
        with asking(f"{kept.run}/{env.suite.name}/{unit.key}/{unit.trial}") as asker:
            result = await run_trial(env.suite, unit, env.of(unit), cases.evaluators)
        result = as_measured(result, asker, (*env.suite.checks, *cases.evaluators))
        await kept.add(unit, result)
        count(result)
        if on_result is not None and (told := on_result(result)) is not None:
            await told

    def missing() -> Iterator[Unit]:
        units = cases.units(trials) if steering is None else steering.order(cases, trials)
        for unit in units:
            if stop() or (steering is not None and steering.settled):
                return
            if (unit.key, unit.trial) not in done:
                yield unit

    for result in await kept.earlier(cases, trials):
        done.add((result.key, result.trial))
        count(result)
    started = perf_counter()
    attributes = {"assay.suite": env.suite.name, "assay.model": env.suite.answers(env.models)}
    with _tracer.start_as_current_span(f"eval {env.suite.name}", attributes=attributes):
        try:
            await schedule(missing(), work, max_concurrency)
        finally:
            seconds = perf_counter() - started
            await kept.close(cases, env.observer.identity, seconds)
    return tally, seconds


class _Kept(Protocol):
    """Where finished trials go. `run` is the id of the run that they belong to, if one does."""

    run: str

    async def earlier(self, cases: Cases, trials: int) -> Sequence[TrialResult]:
        """Return the trials that are finished already, without what they wrote."""
        ...

    async def add(self, unit: Unit, result: TrialResult) -> None: ...

    async def close(self, cases: Cases, agent: str | None, seconds: float) -> None: ...

    def results(self) -> Sequence[TrialResult]: ...


class _InMemory:
    run = ""

    def __init__(self) -> None:
        self._found: list[TrialResult] = []

    async def earlier(self, cases: Cases, trials: int) -> Sequence[TrialResult]:
        return ()

    async def add(self, unit: Unit, result: TrialResult) -> None:
        self._found.append(result)

    async def close(self, cases: Cases, agent: str | None, seconds: float) -> None:
        self._found.sort(key=lambda result: (result.position, result.trial))

    def results(self) -> Sequence[TrialResult]:
        return tuple(self._found)


class _InStore:
    def __init__(self, store: RunStore, run: Run, suite: str) -> None:
        self.run = run.id
        self._store, self._run, self._suite = store, run, suite
        self._writer = StoreWriter(store, run.id)

    async def earlier(self, cases: Cases, trials: int) -> Sequence[TrialResult]:
        return await asyncio.to_thread(self._earlier, frozenset(cases.keys), trials)

    def _earlier(self, keys: frozenset[str], trials: int) -> list[TrialResult]:
        """Read the results that still count: of cases that have not changed since."""
        self._store.forget_provider_failures(self._run.id, self._suite)
        return [
            record.result
            for record in self._store.results(self._run.id, self._suite, outputs=False)
            if record.result.key in keys and record.result.trial < trials
        ]

    async def add(self, unit: Unit, result: TrialResult) -> None:
        case = unit.case
        content = (
            Content(inputs=case.inputs, expected=case.expected_output) if unit.trial == 0 else None
        )
        await self._writer.add(Record(suite=self._suite, result=result, content=content))

    async def close(self, cases: Cases, agent: str | None, seconds: float) -> None:
        """Write what is handed in, and what ran: the dataset's hash and the agent's, the time."""
        await self._writer.aclose()
        await asyncio.to_thread(self._note, cases.hash, agent, seconds)

    def _note(self, dataset: str, agent: str | None, seconds: float) -> None:
        note_identity(self._store, self._run, "datasets", self._suite, dataset)
        if agent is not None:
            note_identity(self._store, self._run, "agents", self._suite, agent)
        note_seconds(self._store, self._run, self._suite, seconds)

    def results(self) -> Sequence[TrialResult]:
        return StoredResults(self._store, self._run, self._suite)
