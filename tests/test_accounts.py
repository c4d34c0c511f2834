"""Every run says what it took: requests, tokens, cache hits, cost, time; its span says it too."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.usage import RequestUsage, RunUsage
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected
from rich.console import Console

from assay.agents import triage
from assay.deps import BaseDeps, Models, ProviderError, Trail, by_name
from assay.deps.taxonomy import Label, Taxonomy
from assay.evals import Suite, evaluate
from assay.evals.cli.tables import suite_table
from assay.evals.suite import Trial

TAXONOMY = Taxonomy(labels=(Label(name="card"), Label(name="loan")))
SORTED = {"reason": "asks for a card", "label": "card", "confidence": 0.9, "urgency": 2}


CENT = Decimal("0.01")


def usage(cost: Decimal | None = CENT) -> RequestUsage:
    return RequestUsage(input_tokens=1000, cache_read_tokens=800, output_tokens=50, cost=cost)


def says(text: str, *, cost: Decimal | None = CENT) -> FunctionModel:
    """Return a model that says a text, at a price that is known or not."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(text)], usage=usage(cost))

    return FunctionModel(answer)


def sorts(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    call = ToolCallPart(info.output_tools[0].name, SORTED)
    return ModelResponse(parts=[call], usage=usage())


def down(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise ProviderError("down", model_name="a")


def known(monkeypatch: pytest.MonkeyPatch, **models: Model) -> Models:
    def build(name: str, *_: object) -> Model:
        return models[name]

    monkeypatch.setattr("assay.deps.models.build", build)
    first, *rest = models
    return Models(default=first, fallback=tuple(rest))


def deps_of(models: Models, trail: Trail) -> BaseDeps:
    return BaseDeps(models=models).noting(trail)


def speaker() -> Agent[BaseDeps, str]:
    return Agent("small", name="speaker", deps_type=BaseDeps, capabilities=[by_name()])


async def test_a_run_tells_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail()
    agent = speaker()

    @agent.output_validator
    def polite(ctx: RunContext[BaseDeps], output: str) -> str:
        if ctx.retry == 0:
            raise ModelRetry("once more, please")
        return output

    await agent.run("hi", deps=deps_of(known(monkeypatch, a=says("yes")), trail))
    (run,) = trail.runs
    assert (run.agent, run.asked, run.model) == ("speaker", "a", "a")
    assert (run.requests, run.retries, run.replayed) == (2, 1, 0)
    assert (run.input_tokens, run.cached_tokens, run.output_tokens) == (2000, 1600, 100)
    assert run.cost == 0.02
    assert trail.cost == run.cost
    assert 0 < run.seconds < 30


async def test_an_unknown_price_is_not_a_low_one(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail()
    models = known(monkeypatch, a=says("yes", cost=None))
    await speaker().run("hi", deps=deps_of(models, trail))
    assert trail.runs[0].cost is None
    assert trail.cost is None


async def test_a_baseline_costs_nothing() -> None:
    trail = Trail()
    deps = triage.Deps(taxonomy=TAXONOMY).noting(trail)
    await triage.run("a card, please", deps)
    (run,) = trail.runs
    assert (run.model, run.requests, run.cost, run.degraded) == ("baseline", 1, 0.0, False)


async def test_a_model_given_as_an_object_is_noted_too() -> None:
    trail = Trail()
    await speaker().run("hi", deps=deps_of(Models(), trail), model=says("yes"))
    (run,) = trail.runs
    assert run.model == run.asked
    assert (run.agent, run.requests, run.cost) == ("speaker", 1, 0.01)


async def test_runs_that_share_their_usage_tell_what_each_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail, shared = Trail(), RunUsage()
    deps = deps_of(known(monkeypatch, a=says("yes")), trail)
    await asyncio.gather(*(speaker().run("hi", deps=deps, usage=shared) for _ in range(8)))
    assert shared.requests == 8
    assert [(run.requests, run.input_tokens) for run in trail.runs] == [(1, 1000)] * 8


async def test_a_sub_agent_tells_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail()
    deps = deps_of(known(monkeypatch, a=says("yes")), trail)
    outer: Agent[BaseDeps, str] = Agent(
        "small", name="outer", deps_type=BaseDeps, capabilities=[by_name()]
    )

    @outer.tool
    async def inner(ctx: RunContext[BaseDeps]) -> str:
        return (await speaker().run("hi", deps=ctx.deps, usage=ctx.usage)).output

    def first_the_tool(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        part = ToolCallPart("inner", {}) if len(messages) == 1 else TextPart("done")
        return ModelResponse(parts=[part], usage=usage())

    result = await outer.run("hi", deps=deps, model=FunctionModel(first_the_tool))
    assert {run.agent: run.requests for run in trail.runs} == {"outer": 2, "speaker": 1}
    assert result.usage.requests == 3


async def test_who_stands_in_is_told_with_what_all_took(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail()
    models = known(monkeypatch, a=says("no output"), b=FunctionModel(sorts))
    deps = triage.Deps(taxonomy=TAXONOMY, models=models).noting(trail)
    await triage.run("a card, please", deps)
    (run,) = trail.runs
    assert (run.model, [one.why for one in run.passed]) == ("b", ["invalid"])
    assert (run.requests, run.retries, run.cost) == (3, 1, 0.03)


async def test_a_stream_tells_what_it_took() -> None:
    trail = Trail()
    deps = triage.Deps(taxonomy=TAXONOMY).noting(trail)
    async with triage.stream("a card, please", deps) as answers:
        await answers.output()
    assert (trail.runs[0].requests, trail.runs[0].cost) == (1, 0.0)


# -- spans


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is exported while every agent is instrumented."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    yield exporter
    Agent.instrument_all(False)
    provider.shutdown()


def of_run(spans: InMemorySpanExporter) -> dict[str, Any]:
    (found,) = (
        span.attributes
        for span in spans.get_finished_spans()
        if span.attributes
        and span.attributes.get("agent_name")
        and "assay.asked" in span.attributes
    )
    return dict(found)


async def test_a_runs_span_says_who_answered_and_for_how_much(
    monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    models = known(monkeypatch, a=FunctionModel(down), b=says("yes"))
    await speaker().run("hi", deps=BaseDeps(models=models))  # without a trail
    said = of_run(spans)
    assert (said["assay.asked"], said["assay.model"]) == ("a", "b")
    assert said["assay.passed"] == ("a (provider)",)
    assert (said["assay.degraded"], said["assay.retries"], said["assay.replayed"]) == (False, 0, 0)
    assert said["assay.cost_usd"] == 0.01
    cached = [value for name, value in said.items() if name.endswith("cache_read.input_tokens")]
    assert cached == [800]


async def test_a_failed_runs_span_says_who_was_asked(
    monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    models = known(monkeypatch, a=FunctionModel(down), b=FunctionModel(down))
    with pytest.raises(ProviderError):
        await speaker().run("hi", deps=BaseDeps(models=models))
    said = of_run(spans)
    assert said["assay.passed"] == ("a (provider)", "b (provider)")
    assert "assay.model" not in said


# -- trials


async def echo(text: str) -> str:
    return text


async def test_a_trial_tells_its_cache_hits_and_the_time_of_its_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = known(monkeypatch, a=says("yes"))

    async def speak(text: str, trial: Trial) -> str:
        deps = BaseDeps(models=trial.models)
        return (await speaker().run(text, deps=deps, usage=trial.usage)).output

    cases = [Case[str, str, Any](name="n", inputs="hi", expected_output="yes")]
    dataset = Dataset[str, str, Any](name="speak", cases=cases, evaluators=[EqualsExpected()])
    suite = replace(Suite.of(dataset, echo), task=speak)
    report = await evaluate(suite, models=models)
    (result,) = report.results
    assert (result.input_tokens, result.cached_tokens) == (1000, 800)
    assert result.model_seconds is not None
    assert 0 < result.model_seconds < result.duration
    assert report.totals.cache_hits == 0.8
    console = Console(record=True, width=200)
    console.print(suite_table(report))
    assert "1 requests, 80% cache hits, $0.0100" in console.export_text()
