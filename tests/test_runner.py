"""The runner: every trial is accounted for, whatever becomes of it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from assay.deps import BadDataset, BaselineModel, ConfigError, ProviderError, Unsolvable
from assay.evals import Check, MaxRequests, Suite, SuiteReport, Trial, Unscored, evaluate, plain
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import summarise
from assay.evals.workers import schedule

CASES = """\
name: shout
cases:
- {name: one, inputs: hello, expected_output: HELLO, metadata: {tags: [easy]}}
- {name: two, inputs: world, expected_output: W0RLD}
- {name: three, inputs: crash, expected_output: CRASH}
- {name: four, inputs: provider}
evaluators: [EqualsExpected]
"""


@dataclass
class Long(Check):
    """A score."""

    def evaluate(self, ctx: EvaluatorContext[str, str, Any]) -> EvaluatorOutput:
        return len(ctx.output) / 10


@dataclass
class Mute(Check):
    """Cannot say."""

    def evaluate(self, ctx: EvaluatorContext[str, str, Any]) -> EvaluatorOutput:
        raise Unscored("nobody asked")


@dataclass
class Broken(Check):
    """Crashes."""

    def evaluate(self, ctx: EvaluatorContext[str, str, Any]) -> EvaluatorOutput:
        raise AttributeError("a bug in the check")


async def shout(text: str) -> str:
    if text == "crash":
        raise Unsolvable("'crash' cannot be shouted")
    if text == "provider":
        raise RuntimeError("wrapped") from ProviderError("503")
    return text.upper()


def suite_of(tmp_path: Path, text: str = CASES, **more: Any) -> Suite[str, str]:
    path = tmp_path / "cases.yaml"
    path.write_text(text)
    defaults: dict[str, Any] = {"task": plain(shout), "types": (str, str)}
    return Suite(name="shout", about="shout", path=path, **(defaults | more))


async def test_a_crash_stays_in_the_denominator(tmp_path: Path) -> None:
    report = await evaluate(suite_of(tmp_path, checks=(Long(), Mute(), Broken())), trials=2)
    assert [(r.case, r.trial) for r in report.results][:3] == [("one", 0), ("one", 1), ("two", 0)]
    by_name = {check.check: check for check in report.checks}
    equals = by_name["EqualsExpected"]
    assert (equals.passed, equals.failed, equals.errors, equals.mean) == (2, 2, 4, 2 / 8)
    assert by_name["long"].mean == pytest.approx(2 * (0.5 + 0.5) / 8)
    assert (by_name["mute"].mean, by_name["mute"].unscored, by_name["mute"].ok) == (None, 4, True)
    assert by_name["broken"].unscored == 4
    assert not report.ok


async def test_failures_say_whose_they_are(tmp_path: Path) -> None:
    report = await evaluate(suite_of(tmp_path))
    kinds = {r.case: r.failure.kind for r in report.failures if r.failure}
    assert kinds == {"three": "input", "four": "provider"}
    assert report.totals.provider_errors


async def test_a_task_that_gives_itself_up_does_not_vanish(tmp_path: Path) -> None:
    async def give_up(text: str) -> str:
        raise asyncio.CancelledError

    report = await evaluate(suite_of(tmp_path, task=plain(give_up)))
    assert [r.failure.type for r in report.failures if r.failure] == ["CancelledError"] * 4


async def test_a_broken_check_names_its_error(tmp_path: Path) -> None:
    report = await evaluate(suite_of(tmp_path, checks=(Broken(),)))
    outcome = report.results[0].outcomes[0]
    assert outcome.status == "unscored"
    assert outcome.reason.startswith("the check crashed: AttributeError")


async def test_tags_and_results_reach_the_listener(tmp_path: Path) -> None:
    heard: list[TrialResult] = []
    await evaluate(suite_of(tmp_path), on_result=heard.append)
    assert {r.case: r.tags for r in heard}["one"] == ("easy",)


async def test_a_wrong_model_name_stops_the_run_once(tmp_path: Path) -> None:
    async def task(text: str, trial: Trial) -> str:
        raise ConfigError("no key")

    with pytest.raises(ConfigError, match="no key"):
        await evaluate(suite_of(tmp_path, task=task))


async def test_usage_reaches_the_report(tmp_path: Path) -> None:
    async def task(text: str, trial: Trial) -> str:
        agent = Agent(BaselineModel("x", lambda prompt: prompt.upper()))
        return (await agent.run(text, usage=trial.usage)).output

    report = await evaluate(suite_of(tmp_path, task=task, checks=(MaxRequests(1),)))
    assert report.totals.requests == 4
    assert report.totals.cost == 0
    assert next(c for c in report.checks if c.check == "max_requests").mean == 1


async def test_everything_crashing_is_no_pass(tmp_path: Path) -> None:
    text = "cases:\n- {name: one, inputs: crash}\n"
    report = await evaluate(suite_of(tmp_path, text))
    assert [(c.check, c.mean, c.ok) for c in report.checks] == [("completed", 0.0, False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases: [", "cannot read the cases of 'shout'"),
        ("cases:\n- {name: a, inputs: [1]}\n", "cases.0.inputs"),
        ("cases:\n- {name: a, inputs: x}\n- {name: a, inputs: y}\n", "'a'"),
        ("cases:\n- {inputs: x}\n", "case 1 has no name"),
        ("cases:\n- {name: a, inputs: x, evaluators: [NoSuch]}\n", "NoSuch"),
    ],
)
def test_a_bad_dataset_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadDataset, match=message):
        suite_of(tmp_path, text).dataset()


def test_a_missing_dataset_is_told(tmp_path: Path) -> None:
    suite: Suite[str, str] = Suite(
        name="s", about="", task=plain(shout), path=tmp_path / "no.yaml", types=(str, str)
    )
    with pytest.raises(BadDataset, match=r"no\.yaml"):
        suite.dataset()


async def test_case_evaluators_of_pydantic_evals_run_too(tmp_path: Path) -> None:
    text = "cases:\n- {name: a, inputs: x, evaluators: [{Equals: X}]}\n"
    report: SuiteReport = await evaluate(suite_of(tmp_path, text))
    assert [(c.check, c.mean) for c in report.checks] == [("Equals", 1.0)]


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
async def test_each_unit_is_done_once_and_no_more_than_allowed_at_once(
    units: list[int], limit: int
) -> None:
    done, now, most = list[int](), 0, 0

    async def work(unit: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        done.append(unit)

    await schedule(units, work, limit)
    assert sorted(done) == sorted(units)
    assert most <= limit


OUTCOMES = st.sampled_from(
    [
        Outcome("c", "pass", 1.0),
        Outcome("c", "fail", 0.0),
        Outcome("c", "score", 0.25),
        Outcome("c", "unscored", None),
        None,
    ]
)


@given(st.lists(OUTCOMES, min_size=1, max_size=30))
def test_every_trial_is_counted_once(outcomes: list[Outcome | None]) -> None:
    results = [
        TrialResult(
            case=str(i),
            trial=0,
            model="m",
            outcomes=(o,) if o else (),
            failure=None if o else Failure(type="E", message="", kind="bug"),
        )
        for i, o in enumerate(outcomes)
    ]
    (summary,) = summarise(results, {})
    assert summary.scored + summary.unscored + summary.errors == len(outcomes)
    values = [(o.value or 0.0) if o else 0.0 for o in outcomes if not (o and o.value is None)]
    if any(o and o.value is not None for o in outcomes) or not any(outcomes):
        assert summary.mean == pytest.approx(sum(values) / len(values))
    else:
        assert summary.mean is None


@given(st.permutations(range(4)))
def test_checks_are_shown_in_the_suites_order_whatever_finishes_first(order: list[int]) -> None:
    spoken = [("a", "b", "c", "d"), ("a", "c", "d"), ("b", "d"), ("d",)]
    results = [
        TrialResult(
            case=f"c{i}",
            trial=0,
            model="m",
            outcomes=tuple(Outcome(check, "pass", 1.0) for check in spoken[i]),
        )
        for i in order
    ]
    assert [summary.check for summary in summarise(results, {"e": 1.0})] == [*"abcde"]
