"""`from assay.evals import ...` serves anybody's agents, datasets and evaluators."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import logfire
import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import (
    Contains,
    EqualsExpected,
    Evaluator,
    EvaluatorContext,
    HasMatchingSpan,
    IsInstance,
    MaxDuration,
)

from assay.deps import ConfigError, Models
from assay.evals import RunStore, Suite, compare, evaluate, gate, task_of
from assay.evals.engine import evaluate as evaluate_again

TEXTS = [f"text {i}" for i in range(20)]


def dataset(*evaluators: Evaluator[Any, Any, Any]) -> Dataset[str, str, Any]:
    cases = [Case(name=text, inputs=text, expected_output=text.upper()) for text in TEXTS]
    return Dataset[str, str, Any](name="shouting", cases=cases, evaluators=list(evaluators))


async def shout(text: str) -> str:
    return text.upper()


async def whisper(text: str) -> str:
    return text.lower()


async def test_a_plain_dataset_and_function() -> None:
    found = dataset(EqualsExpected(), IsInstance("str"), MaxDuration(5.0), Contains("TEXT"))
    report = await evaluate(Suite.of(found, shout))
    assert (report.suite, report.totals.trials) == ("shouting", 20)
    assert [(c.check, c.mean) for c in report.checks] == [
        ("EqualsExpected", 1),
        ("IsInstance", 1),
        ("MaxDuration", 1),
        ("Contains", 1),
    ]


async def test_reports_are_compared_and_gated() -> None:
    suite = dataset(EqualsExpected())
    before = await evaluate(Suite.of(suite, shout))
    after = await evaluate(Suite.of(suite, whisper))
    (comparison,) = compare(before, after)
    assert comparison.verdict == "regressed"
    assert (comparison.mean_a, comparison.mean_b, comparison.n_cases) == (1, 0, 20)
    found = gate(before, after)
    assert (found.ok, found.failed, found.same_dataset) == (False, ("EqualsExpected",), True)
    assert gate(before, before).ok


async def test_other_datasets_are_compared_on_what_they_share() -> None:
    whole = dataset(EqualsExpected())
    part = Dataset[str, str, Any](name="p", cases=whole.cases[:5], evaluators=[EqualsExpected()])
    before, after = await evaluate(Suite.of(whole, shout)), await evaluate(Suite.of(part, shout))
    found = gate(before, after)
    assert not found.same_dataset
    assert (found.comparisons[0].n_cases, found.comparisons[0].only_a) == (5, 15)


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse([TextPart(str(messages[-1].parts[-1].content).upper())])  # type: ignore[union-attr]


async def test_anybodys_agent_with_a_store(tmp_path: Path) -> None:
    agent = Agent(FunctionModel(answer), name="shouter", deps_type=int)
    suite = Suite(name="agents", task=task_of(agent, 3), data=dataset(EqualsExpected()))
    store = RunStore(tmp_path / "runs.db")
    report = await evaluate(suite, store=store, trials=2)
    assert (report.totals.requests, report.checks[0].mean) == (40, 1)
    run = store.run()
    assert run.status == "done"
    assert run.identity["agents"]["agents"]
    (conversation, *_) = [record.result.messages for record in store.results(run.id)]
    assert conversation is not None
    assert [message["kind"] for message in conversation] == ["request", "response"]


async def test_the_run_may_name_the_agents_model() -> None:
    agent = Agent(None, name="nobody")
    suite = Suite(name="agents", task=task_of(agent, None), data=dataset(EqualsExpected()))
    with pytest.raises(ConfigError, match="agent 'nobody' has no model"):
        await evaluate(suite)
    report = await evaluate(suite, models=Models(default="test"))
    assert report.totals.requests == 20


@pytest.fixture
def recording() -> Iterator[None]:
    """Spans are recorded in memory, for evaluators that read them."""
    logfire.configure(send_to_logfire=False, console=False)
    yield
    logfire.shutdown()


@pytest.mark.usefixtures("recording")
async def test_evaluators_that_read_spans() -> None:
    async def traced(text: str) -> str:
        with logfire.span("looking up"):
            return text

    looks = HasMatchingSpan(query={"name_equals": "looking up"})
    flies = HasMatchingSpan(query={"name_equals": "flying"}, evaluation_name="flies")
    report = await evaluate(Suite.of(dataset(looks, flies), traced))
    assert [(c.check, c.mean) for c in report.checks] == [("HasMatchingSpan", 1), ("flies", 0)]


@dataclass
class ReadsSpans(Evaluator[Any, Any, Any]):
    """Wants a span tree."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return bool(ctx.span_tree)


async def test_a_check_without_spans_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic_evals.otel import _context_in_memory_span_exporter as exporter

    monkeypatch.setattr(exporter, "get_tracer_provider", object)
    report = await evaluate_again(Suite.of(dataset(ReadsSpans()), shout))
    outcome = report.results[0].outcomes[0]
    assert (outcome.status, report.checks[0].mean) == ("unscored", None)
    assert "run with --trace" in outcome.reason
