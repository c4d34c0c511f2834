"""Run one trial: the task, its checks, and what came of them. Who schedules it is in `engine`."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import StatusCode
from pydantic_ai.exceptions import AgentRunError
from pydantic_evals.evaluators import (
    EvaluationReason,
    Evaluator,
    EvaluatorContext,
)
from pydantic_evals.otel import SpanTree, SpanTreeRecordingError

# Not exported, but the one way to the span tree that span-based evaluators are written against.
from pydantic_evals.otel._context_subtree import context_subtree

from ..deps.errors import ConfigError, InputError, RunTimeout, provider_fault
from .cases import Unit, group_of, tags_of
from .env import TrialEnv
from .judges.native import as_judged
from .outcome import Failure, FailureKind, Outcome, TrialResult, Unscored
from .suite import TRIAL, CaseMeta, Suite, Trial

__all__ = ("TRIAL", "run_trial")

_tracer = trace.get_tracer("assay")  # does nothing until a service or the CLI configures a provider

Spans = SpanTree | SpanTreeRecordingError
AnyContext = EvaluatorContext[Any, Any, CaseMeta]
AnyEvaluator = Evaluator[Any, Any, Any]


async def run_trial(
    suite: Suite[Any, Any],
    unit: Unit,
    env: TrialEnv,
    evaluators: Iterable[AnyEvaluator] = (),
) -> TrialResult:
    """Run one case once and check its output. A crash is a result, unless nothing could run.

    Args:
        suite: The task and its checks.
        unit: The case and the trial's number; the case's own evaluators are run too.
        env: What the trial runs in.
        evaluators: More checks, such as the dataset's own.

    Raises:
        ConfigError: a model name or key is wrong.
    """
    trial = Trial(models=env.models, peers=env.peers, once=env.once)
    attributes: dict[str, str | int] = {
        "assay.suite": suite.name,
        "assay.case": unit.name,
        "assay.trial": unit.trial,
    }
    metrics: dict[str, int | float] = {}
    with _tracer.start_as_current_span(f"case {unit.name}", attributes=attributes) as span:
        with context_subtree() as spans:
            output, failure, seconds = await _attempt(suite, unit, trial)
        seconds += env.latency
        model_seconds = env.model_seconds  # now: what a judge takes is not the task's
        outcomes: tuple[Outcome, ...] = ()
        if failure is None:
            context = _context(unit, output, trial, seconds, spans, metrics)
            checks = (*suite.checks, *evaluators, *unit.case.evaluators)
            outcomes = await _checked(checks, context, suite, trial)
        else:
            span.set_status(StatusCode.ERROR, failure.type)
        trace_id = span.get_span_context().trace_id
    usage = trial.usage
    return TrialResult(
        case=unit.name,
        trial=unit.trial,
        model=suite.answers(env.models),
        tags=tags_of(unit.case),
        group=group_of(unit.case),
        position=unit.position,
        key=unit.key,
        output=output,
        failure=failure,
        outcomes=outcomes,
        duration=seconds,
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cache_read_tokens,
        model_seconds=model_seconds,
        cost=None if usage.cost is None else float(usage.cost),
        trace_id=f"{trace_id:032x}" if trace_id else None,
        metrics=metrics,
        replayed=env.replayed,
        messages=env.messages,
    )


async def _attempt(
    suite: Suite[Any, Any], unit: Unit, trial: Trial
) -> tuple[Any, Failure | None, float]:
    """Return the output or the failure, and the seconds it took."""
    started = perf_counter()
    try:
        output = await suite.task(unit.case.inputs, trial)
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
    return "model" if isinstance(error, (AgentRunError, RunTimeout)) else "bug"


def _context(
    unit: Unit,
    output: Any,
    trial: Trial,
    seconds: float,
    spans: Spans,
    metrics: dict[str, int | float],
) -> AnyContext:
    """Return what checks see; what they add to `metrics` beside the usage is the trial's."""
    usage, case = trial.usage, unit.case
    context = EvaluatorContext(
        name=case.name,
        inputs=case.inputs,
        metadata=case.metadata,
        expected_output=case.expected_output,
        output=output,
        duration=seconds,
        _span_tree=spans,
        attributes={TRIAL: trial},
        metrics=metrics,
    )
    metrics.update(requests=usage.requests, tokens=usage.total_tokens)
    return context


async def _checked(
    checks: Iterable[AnyEvaluator], context: AnyContext, suite: Suite[Any, Any], trial: Trial
) -> tuple[Outcome, ...]:
    """Run checks, those without a judge first: what fails a hard one need not be judged."""
    judged = [(check, as_judged(check)) for check in checks]
    found: list[Outcome] = []
    for check, judge in judged:
        if judge is None:
            found += await _check(check, context, (check.get_default_evaluation_name(),))
    failed = ", ".join(o.check for o in found if o.check in suite.hard and o.status == "fail")
    for _, judge in judged:
        if judge is None:
            continue
        if failed and not judge.after_failure:
            why = f"not judged: it failed {failed}"
            outcomes = [Outcome(name, "unscored", None, why) for name in judge.names]
        else:
            outcomes = await _check(judge, context, judge.names)
        who = str(judge.identity(trial.models))
        found += [replace(outcome, judge=who) for outcome in outcomes]
    return tuple(found)


async def _check(check: AnyEvaluator, context: AnyContext, names: Sequence[str]) -> list[Outcome]:
    """Run one check, in a span of its own that says what it found."""
    with _tracer.start_as_current_span(f"check {check.get_default_evaluation_name()}") as span:
        outcomes = await _outcomes(check, names, context)
        if span.is_recording():
            for outcome in outcomes:
                said = outcome.status if outcome.value is None else outcome.value
                span.set_attribute(f"assay.check.{outcome.check}", said)
    return outcomes


async def _outcomes(
    check: AnyEvaluator, names: Sequence[str], context: AnyContext
) -> list[Outcome]:
    """Return what a check says. One that cannot, or is itself broken, leaves it unscored.

    Args:
        check: The check.
        names: What its results are called when it says nothing.
        context: What it sees.
    """
    try:
        found = await check.evaluate_async(context)
    except ConfigError:
        raise  # a judge's name or key is wrong: say it once
    except Unscored as e:
        why = str(e)
    except SpanTreeRecordingError:
        why = NO_SPANS
    except Exception as e:  # the check's failure, not the task's: shown, and counted as unscored
        why = f"the check crashed: {type(e).__name__}: {e}"
    else:
        named = found if isinstance(found, Mapping) else {names[0]: found}
        return [_outcome(name, value) for name, value in named.items()]
    return [Outcome(name, "unscored", None, why) for name in names]


NO_SPANS = (
    "it reads spans, and nothing records them; run with --trace, or call "
    "logfire.configure(send_to_logfire=False) first"
)


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
