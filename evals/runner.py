"""Run suites. The unit of work is `(case, trial) -> result`; whoever schedules it knows no more."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any, TypeVar

from opentelemetry import trace
from pydantic_ai.exceptions import AgentRunError
from pydantic_evals import Case
from pydantic_evals.evaluators import (
    EvaluationReason,
    Evaluator,
    EvaluatorContext,
    EvaluatorOutput,
)
from pydantic_evals.otel import SpanTreeRecordingError

from ..deps.errors import ConfigError, InputError, provider_fault
from ..deps.models import Models
from .outcome import Failure, FailureKind, Outcome, TrialResult, Unscored
from .report import SuiteReport
from .suite import CaseMeta, Suite, Trial

__all__ = ("TRIAL", "evaluate", "run_trial", "schedule")

TRIAL = "assay.trial"
"""Where a check finds the trial it judges: `ctx.attributes[TRIAL]`."""

_tracer = trace.get_tracer("assay")  # does nothing until a service or the CLI configures a provider

UnitT = TypeVar("UnitT")
AnyCase = Case[Any, Any, CaseMeta]


async def evaluate(
    suite: Suite[Any, Any],
    *,
    models: Models | None = None,
    trials: int = 1,
    max_concurrency: int = 10,
    on_result: Callable[[TrialResult], Awaitable[None] | None] | None = None,
    finished: Iterable[TrialResult] = (),
    models_for: Callable[[str, int], Models] | None = None,
) -> SuiteReport:
    """Run every case of a suite `trials` times and return what came of it.

    Args:
        suite: What to run.
        models: What model names mean; the embedded baselines by default.
        trials: Executions per case.
        max_concurrency: How many trials are under way at once.
        on_result: Called, and awaited, with each result as it is finished.
        finished: Results of an earlier, interrupted run: reported, and not run again.
        models_for: From a case's name and the trial's number to that trial's own models, where
            they differ from `models` by a wrapper, such as a recording.

    Raises:
        BadDataset: the cases cannot be read.
        ConfigError: a model name or key is wrong; no result could be had from any case.
    """
    models = models or Models()
    dataset = suite.dataset()
    results = list(finished)
    done = {(result.case, result.trial) for result in results}

    async def unit(job: tuple[AnyCase, int]) -> None:
        case, number = job
        own = models_for(str(case.name), number) if models_for else models
        result = await run_trial(suite, case, number, own, tuple(dataset.evaluators))
        results.append(result)
        if on_result is not None and (told := on_result(result)) is not None:
            await told

    started = perf_counter()
    units = [job for job in _units(dataset.cases, trials) if (job[0].name, job[1]) not in done]
    with _tracer.start_as_current_span(f"eval {suite.name}"):
        await schedule(units, unit, max_concurrency)
    order = {case.name: i for i, case in enumerate(dataset.cases)}
    results.sort(key=lambda r: (order[r.case], r.trial))
    return SuiteReport.of(suite, models, results, perf_counter() - started)


async def schedule(
    units: Iterable[UnitT], work: Callable[[UnitT], Awaitable[None]], max_concurrency: int
) -> None:
    """Do `work` on every unit, `max_concurrency` at a time; the first exception stops the rest."""
    queue = iter(units)

    async def worker() -> None:
        for unit in queue:
            await work(unit)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max_concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None


async def run_trial(
    suite: Suite[Any, Any],
    case: AnyCase,
    number: int,
    models: Models,
    evaluators: tuple[Evaluator[Any, Any, Any], ...] = (),
) -> TrialResult:
    """Run one case once and check its output. A crash is a result, unless nothing could run.

    Args:
        suite: The task and its checks.
        case: The case; its own evaluators are run too.
        number: Which trial this is, from 0.
        models: What model names mean.
        evaluators: More checks, such as the dataset's own.

    Raises:
        ConfigError: a model name or key is wrong.
    """
    trial = Trial(models=models)
    name = str(case.name)
    with _tracer.start_as_current_span(
        f"case {name}", attributes={"assay.case": name, "assay.trial": number}
    ) as span:
        output, failure, seconds = await _attempt(suite, case, trial)
        outcomes: tuple[Outcome, ...] = ()
        if failure is None:
            context = _context(case, output, trial, seconds)
            checks = (*suite.checks, *evaluators, *case.evaluators)
            outcomes = tuple([o for check in checks for o in await _check(check, context)])
        trace_id = span.get_span_context().trace_id
    usage, meta = trial.usage, case.metadata or {}
    return TrialResult(
        case=name,
        trial=number,
        model=models.describe(),
        tags=tuple(map(str, meta.get("tags", ()))),
        group=None if meta.get("group") is None else str(meta["group"]),
        output=output,
        failure=failure,
        outcomes=outcomes,
        duration=seconds,
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost=None if usage.cost is None else float(usage.cost),
        trace_id=f"{trace_id:032x}" if trace_id else None,
    )


def _units(cases: Iterable[AnyCase], trials: int) -> Iterator[tuple[AnyCase, int]]:
    """Yield trial 0 of every case, then trial 1: a run cut short has seen most cases."""
    cases = list(cases)
    return ((case, number) for number in range(trials) for case in cases)


async def _attempt(
    suite: Suite[Any, Any], case: AnyCase, trial: Trial
) -> tuple[Any, Failure | None, float]:
    """Return the output or the failure, and the seconds it took."""
    started = perf_counter()
    try:
        output = await suite.task(case.inputs, trial)
    except ConfigError:
        raise  # every case would fail alike: say it once
    except Exception as e:  # a crashed case is a result: it stays in the denominator
        return None, _failure(e), perf_counter() - started
    except asyncio.CancelledError as e:
        if (running := asyncio.current_task()) is None or running.cancelling():
            raise  # someone stops the run
        return None, _failure(e), perf_counter() - started  # the task gave itself up
    return output, None, perf_counter() - started


def _failure(error: BaseException) -> Failure:
    return Failure(type=type(error).__name__, message=str(error), kind=_whose(error))


def _whose(error: BaseException) -> FailureKind:
    if provider_fault(error):
        return "provider"
    if isinstance(error, InputError):
        return "input"
    return "model" if isinstance(error, AgentRunError) else "bug"


def _context(
    case: AnyCase, output: Any, trial: Trial, seconds: float
) -> EvaluatorContext[Any, Any, CaseMeta]:
    usage = trial.usage
    return EvaluatorContext(
        name=case.name,
        inputs=case.inputs,
        metadata=case.metadata,
        expected_output=case.expected_output,
        output=output,
        duration=seconds,
        _span_tree=SpanTreeRecordingError("this runner does not record span trees"),
        attributes={TRIAL: trial},
        metrics={"requests": usage.requests, "tokens": usage.total_tokens},
    )


async def _check(
    check: Evaluator[Any, Any, Any], context: EvaluatorContext[Any, Any, CaseMeta]
) -> list[Outcome]:
    """Run one check. One that cannot say, or that is itself broken, leaves the trial unscored."""
    name = check.get_default_evaluation_name()
    try:
        found = await check.evaluate_async(context)
    except ConfigError:
        raise  # a judge's name or key is wrong: say it once
    except Unscored as e:
        return [Outcome(name, "unscored", None, str(e))]
    except Exception as e:  # the check's failure, not the task's: shown, and counted as unscored
        return [Outcome(name, "unscored", None, f"the check crashed: {type(e).__name__}: {e}")]
    return [_outcome(key, value) for key, value in _named(found, name).items()]


def _named(found: EvaluatorOutput, name: str) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {name: found}


def _outcome(name: str, found: EvaluationReason | bool | float | str) -> Outcome:
    """Make an outcome of a pydantic-evals result; a label grades nothing, so it is unscored."""
    value, reason = (
        (found.value, found.reason or "") if isinstance(found, EvaluationReason) else (found, "")
    )
    if isinstance(value, bool):
        return Outcome(name, "pass" if value else "fail", float(value), reason)
    if isinstance(value, (int, float)):
        return Outcome(name, "score", float(value), reason)
    return Outcome(name, "unscored", None, f"{value}: {reason}" if reason else value)
