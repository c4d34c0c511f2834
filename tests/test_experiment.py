"""Experiments: judged by a reference, stopped when decided or when the budget is spent."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import BadDataset, ConfigError, Models
from assay.deps.spending.budget import Budget
from assay.evals import RunStore, Scorecard, Suite, Trial, evaluate, plain, task_of
from assay.evals.differences import differences
from assay.evals.experiment import Conditions, Experiment
from assay.evals.scorecard import path_of

pytestmark = pytest.mark.slow

N = 200


def dataset(n: int = N) -> Dataset[str, str, Any]:
    cases = [Case(name=f"c{i}", inputs=str(i), expected_output="right") for i in range(n)]
    return Dataset[str, str, Any](name="d", cases=cases, evaluators=[EqualsExpected()])


def solver(share: float, seed: int = 0) -> Any:
    """A solver that is right on a share of the cases."""
    chance = random.Random(seed)
    right = {str(i): chance.random() < share for i in range(N)}

    async def solve(text: str, trial: Trial | None = None) -> str:
        return "right" if right[text] else "wrong"

    return solve


def suite_of(share: float, floor: float | None = None, **more: Any) -> Suite[str, str]:
    """A suite whose task is right on `share` of the cases, and whose baseline on `floor`."""
    baseline = None if floor is None else solver(floor, seed=1)
    task = plain(solver(share))
    return Suite(name="s", task=task, data=dataset(), baseline=baseline, **more)


def experiment(
    tmp_path: Path, suite: Suite[str, str], models: Models | None = None, **conditions: Any
) -> Experiment:
    store = RunStore(tmp_path / "runs.db")
    return Experiment.begin(
        (suite,), models or Models(), Conditions(**conditions), store, options={}, where={}
    )


async def test_lift_over_the_baseline_is_measured_unasked(tmp_path: Path) -> None:
    suite = suite_of(0.9, floor=0.5)
    found = experiment(tmp_path, suite)
    judged = await found.evaluate(suite)
    assert judged.reference is not None
    assert judged.reference.lift
    assert judged.verdicts == {"EqualsExpected": "improved"}
    assert judged.comparisons[0].difference == pytest.approx(0.4, abs=0.1)
    assert found.baseline is not None
    assert found.baseline.model == "baseline, not an LLM"
    assert found.store.run(found.run.id).options["baseline"] == found.baseline.id
    assert judged.passed is None  # nobody asked for a gate: the lift is shown, thresholds decide


async def test_one_that_does_not_beat_its_baseline_is_told_so(tmp_path: Path) -> None:
    suite = suite_of(0.5, floor=0.9)
    judged = await experiment(tmp_path, suite, gate=True, against="baseline").evaluate(suite)
    assert judged.verdicts == {"EqualsExpected": "regressed"}
    assert judged.passed is False


async def test_a_baseline_that_is_not_there_is_told(tmp_path: Path) -> None:
    suite = suite_of(0.5)
    found = experiment(tmp_path, suite, against="baseline")
    with pytest.raises(ConfigError, match="'s' has no baseline"):
        await found.evaluate(suite)


async def test_another_run_is_a_reference(tmp_path: Path) -> None:
    first = experiment(tmp_path, suite_of(0.9))
    await first.evaluate(suite_of(0.9))
    worse = experiment(tmp_path, suite_of(0.6), against=first.run.id, gate=True)
    judged = await worse.evaluate(suite_of(0.6))
    assert judged.verdicts == {"EqualsExpected": "regressed"}
    assert [one.name for one in judged.resources]
    assert judged.as_json()["against"].startswith(f"run {first.run.id}")


def in_file(suite: Suite[str, str], folder: Path) -> Suite[str, str]:
    path = folder / "cases.json"
    dataset().to_file(path, schema_path=None)
    return replace(suite, data=None, path=path, types=(str, str))


async def test_a_gate_needs_a_scorecard_and_keeps_to_it(tmp_path: Path) -> None:
    suite = in_file(suite_of(0.9), tmp_path)
    with pytest.raises(BadDataset, match="assay accept"):
        await experiment(tmp_path, suite, gate=True).evaluate(suite)
    found = experiment(tmp_path, suite)
    report = (await found.evaluate(suite)).report
    Scorecard.of(report, run=found.run.id, accepted=found.run.created).write(path_of(suite))
    assert (await experiment(tmp_path, suite, gate=True).evaluate(suite)).passed
    worse = in_file(suite_of(0.6), tmp_path)
    assert (await experiment(tmp_path, worse, gate=True).evaluate(worse)).passed is False


async def test_it_stops_when_decided_and_says_what_that_saved(tmp_path: Path) -> None:
    suite = suite_of(0.95, floor=0.3)
    judged = await experiment(
        tmp_path, suite, until_decided=True, against="baseline", gate=True
    ).evaluate(suite)
    assert judged.sequential is not None
    assert judged.verdicts == {"EqualsExpected": "improved"}
    assert judged.passed
    assert judged.report.totals.trials < N / 4
    assert "were saved" in judged.sequential.saved
    (shown,) = judged.comparisons
    assert (shown.verdict, shown.p) == ("improved", None)  # a fixed sample's p would not hold


async def test_verdicts_of_a_run_that_ended_early_are_kept_and_no_others_made(
    tmp_path: Path,
) -> None:
    suite = suite_of(0.95, floor=0.3)
    found = experiment(tmp_path, suite, until_decided=True, against="baseline")
    judged = await found.evaluate(suite)
    assert found.baseline is not None
    store, run = found.store, found.store.run(found.run.id)
    (kept,) = differences(store, found.baseline, run)
    assert kept.comparisons == judged.comparisons
    other = experiment(tmp_path, suite, against=run.id)
    await other.evaluate(suite)
    (later,) = differences(store, run, store.run(other.run.id))
    assert later.comparisons == ()
    assert "ended when its verdicts were settled" in later.notes[-1]


async def test_a_regression_stops_it_too(tmp_path: Path) -> None:
    suite = suite_of(0.3, floor=0.95)
    judged = await experiment(
        tmp_path, suite, until_decided=True, against="baseline", gate=True
    ).evaluate(suite)
    assert judged.verdicts == {"EqualsExpected": "regressed"}
    assert judged.passed is False
    assert judged.report.totals.trials < N / 2


async def test_a_sequential_run_that_was_cut_goes_on(tmp_path: Path) -> None:
    suite = suite_of(0.9, floor=0.88)
    found = experiment(tmp_path, suite, until_decided=True, against="baseline")
    whole = await found.evaluate(suite)
    cut = experiment(tmp_path, suite, until_decided=True, against="baseline")
    await evaluate(suite, store=cut.store, run=cut.run, stop=Countdown(25))
    resumed = Experiment.resume(
        (suite,), cut.models, cut.conditions, cut.store, cut.store.run(cut.run.id)
    )
    again = await resumed.evaluate(suite)
    assert again.verdicts == whole.verdicts


class Countdown:
    """Says stop after so many questions."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    usage = RequestUsage(input_tokens=90, output_tokens=10)
    return ModelResponse([TextPart("right")], usage=usage, model_name="gpt-4o")


async def test_a_spent_budget_stops_new_work_and_keeps_the_rest(tmp_path: Path) -> None:
    agent = Agent(FunctionModel(answer), name="a", deps_type=type(None))
    suite = Suite(name="s", task=task_of(agent, None), data=dataset())
    found = experiment(tmp_path, suite, budget=Budget(tokens=2_000), max_concurrency=4)
    judged = await found.evaluate(suite)
    assert 20 <= judged.report.totals.trials <= 23  # what was under way was finished
    assert "2,000 tokens" in str(found.meter.reached())
    resumed = Experiment.resume((suite,), found.models, Conditions(), found.store, found.run)
    assert (await resumed.evaluate(suite)).report.totals.trials == N


async def test_another_model_cannot_go_on(tmp_path: Path) -> None:
    suite = Suite[str, str](name="s", task=solver(0.9), data=dataset())
    found = experiment(tmp_path, suite)
    with pytest.raises(ConfigError, match=r"begun with 'baseline.*', and 'other' would go on"):
        Experiment.resume(
            (suite,), Models(default="other"), found.conditions, found.store, found.run
        )


async def test_the_gates_own_false_alarms_are_measured(tmp_path: Path) -> None:
    chance = random.Random(0)

    async def guess(text: str) -> str:
        return "right" if chance.random() < 0.7 else "wrong"

    suite = Suite(name="s", task=plain(guess), data=dataset(60))
    judged = await experiment(tmp_path, suite, trials=4, aa=True).evaluate(suite)
    assert judged.aa is not None
    assert judged.aa.failed.share <= 0.06
    assert "nothing changed" in judged.aa.why
