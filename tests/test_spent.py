"""A resumed run goes on from what it had spent: it has one budget, however often it is stopped."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import BaselineModel, Models
from assay.deps.spending.budget import Budget, Meter, Spent
from assay.evals import RunStore, Suite, task_of
from assay.evals.experiment import Conditions, Experiment
from assay.evals.spent import spent_by

from .stores import begin, record

N = 40


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    usage = RequestUsage(input_tokens=90, output_tokens=10, cost=Decimal("0.001"))
    return ModelResponse([TextPart("right")], usage=usage)


def suite_of(model: Any) -> Suite[str, str]:
    cases = [Case(name=f"c{i}", inputs=str(i), expected_output="right") for i in range(N)]
    data = Dataset[str, str, Any](name="d", cases=cases, evaluators=[EqualsExpected()])
    agent = Agent(model, name="a", deps_type=type(None))
    return Suite(name="s", task=task_of(agent, None), data=data)


def begun(folder: Path, suite: Suite[str, str], **budget: Any) -> Experiment:
    conditions = Conditions(budget=Budget(**budget), max_concurrency=2)
    return Experiment.begin((suite,), Models(), conditions, RunStore(folder / "s"), {}, {})


def again(found: Experiment, **budget: Any) -> Experiment:
    conditions = Conditions(budget=Budget(**budget), max_concurrency=2)
    return Experiment.resume(found.suites, found.models, conditions, found.store, found.run)


@pytest.mark.parametrize(
    "caps", [({"requests": 10}, {"requests": 20}), ({"usd": 0.01}, {"usd": 0.02})]
)
async def test_a_resumed_run_does_not_spend_its_budget_twice(
    tmp_path: Path, caps: tuple[dict[str, float], dict[str, float]]
) -> None:
    first, larger = caps
    suite = suite_of(FunctionModel(answer))
    found = begun(tmp_path, suite, **first)
    assert 10 <= (await found.evaluate(suite)).report.totals.trials <= 11
    same = again(found, **first)
    why = same.meter.reached()
    assert why is not None
    assert why == found.meter.reached()
    stopped = (await same.evaluate(suite)).report.totals.trials
    assert stopped <= 11
    more = await again(found, **larger).evaluate(suite)
    assert 20 <= more.report.totals.trials <= 21
    found.store.close()


async def test_the_store_tells_what_the_meter_had_counted(tmp_path: Path) -> None:
    suite = suite_of(FunctionModel(answer))
    found = begun(tmp_path, suite, requests=10)
    await found.evaluate(suite)
    told, counted = spent_by(found.store, found.run), found.meter.spent
    assert told.usd == pytest.approx(counted.usd)
    assert (told.tokens, told.requests) == (counted.tokens, counted.requests)
    assert told.unpriced == told.unmeasured == frozenset()
    found.store.close()


async def test_a_baseline_has_spent_nothing(tmp_path: Path) -> None:
    suite = suite_of(BaselineModel("a", lambda text: "right"))
    found = begun(tmp_path, suite, requests=10)
    assert (await found.evaluate(suite)).report.totals.trials == N
    assert spent_by(found.store, found.run) == Spent()
    found.store.close()


def test_judges_are_counted_and_what_was_replayed_is_not(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "s")
    run_id = begin(store)
    took: Any = {"requests": 2, "input_tokens": 80, "output_tokens": 20, "cost": 0.5}
    judged = {"judge_requests": 3.0, "judge_cost": 0.25}
    store.add(
        run_id,
        [
            record(0, **took, metrics=judged),
            record(1, **took, metrics=judged, replayed=True),
            record(2, requests=1, input_tokens=5),  # whose price nobody knows
            record(3, requests=1, metrics={"judge_requests": 1.0}),
            record(4),  # it crashed before it asked
        ],
    )
    found = spent_by(store, store.run(run_id))
    assert found == Spent(
        usd=0.75,
        tokens=105,
        requests=2 + 3 + 1 + 2,
        unpriced=frozenset({"m", "the judge of s"}),
        unmeasured=frozenset({"m"}),
    )
    meter = Meter(Budget(usd=5), before=found)
    assert "the price of 'm', 'the judge of s' is unknown" in str(meter.reached())
    store.close()


def test_of_a_baseline_only_its_judge_is_counted(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "s")
    run_id = begin(store)
    kept = record(0, requests=4, cost=0.0, metrics={"judge_requests": 1.0, "judge_cost": 0.1})
    said = "baseline, not an LLM (judge: openai:gpt-5)"
    store.add(run_id, [replace(kept, result=replace(kept.result, model=said))])
    assert spent_by(store, store.run(run_id)) == Spent(usd=0.1, requests=1)
    store.close()


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.decimals("0", "10", places=6)), max_size=20),
    st.integers(0, 20),
)
def test_a_meter_that_is_stopped_and_goes_on_counts_as_one_that_was_not(
    answers: list[tuple[int, Any]], at: int
) -> None:
    def said(tokens: int, cost: Any) -> ModelResponse:
        return ModelResponse([], usage=RequestUsage(output_tokens=tokens, cost=cost))

    whole, first = Meter(Budget(), lambda: 0.0), Meter(Budget(), lambda: 0.0)
    for one in answers:
        whole.add(said(*one), "m")
    for one in answers[:at]:
        first.add(said(*one), "m")
    second = Meter(Budget(), lambda: 0.0, before=first.spent)
    for one in answers[at:]:
        second.add(said(*one), "m")
    assert second.spent.usd == pytest.approx(whole.spent.usd)
    assert second.spent.tokens == whole.spent.tokens
    assert second.spent.requests == whole.spent.requests
