"""Judged checks in a suite: who is asked, when, at whose cost, and what becomes of silence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext, GEval, LLMJudge

from assay.deps import ConfigError, Models
from assay.deps.spending.budget import Budget, Meter
from assay.evals.checks import Check
from assay.evals.engine import evaluate
from assay.evals.judges.grounded import Grounded
from assay.evals.judges.native import as_judged
from assay.evals.judges.pairwise import Pairwise
from assay.evals.judges.rubric import Rubric
from assay.evals.outcome import Outcome
from assay.evals.report import SuiteReport
from assay.evals.score import Columns, score_outputs
from assay.evals.store.database import RunStore
from assay.evals.suite import Suite, Trial

from .judges import POLITE, PRICE, Judge, asking, passes, places, suite


@dataclass
class IsA(Check):
    """The input is a."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return bool(ctx.inputs == "a")


def outcomes(report: SuiteReport, check: str) -> dict[str, Outcome]:
    """Return a check's outcomes by case."""
    return {r.case: o for r in report.results for o in r.outcomes if o.check == check}


def claims(*verdicts: str) -> Judge:
    """A judge that takes the whole candidate for a claim, once for each verdict."""

    def said(shown: Mapping[str, str]) -> Mapping[str, Any]:
        text, evidence = shown["candidate"], shown["sources"]
        made = {"text": text, "evidence": evidence, "reason": "because"}
        return {"claims": [{**made, "verdict": verdict} for verdict in verdicts]}

    return Judge(said)


# -- when a judge is asked


async def test_what_fails_a_hard_check_is_not_sent_to_the_judge() -> None:
    judge = Judge()
    report = await evaluate(suite(Rubric([POLITE]), IsA(), hard=["is_a"]), models=judge.models())
    assert [shown["inputs"] for shown in judge.shown] == ["a"]
    found = outcomes(report, "rubric/polite")
    assert found["a"].status == "pass"
    assert (found["b"].status, found["b"].value) == ("unscored", None)
    assert found["b"].reason == "not judged: it failed is_a"
    assert found["b"].judge == found["a"].judge
    [_, summary] = report.checks
    assert (summary.mean, summary.scored, summary.unscored) == (1.0, 1, 1)


async def test_a_check_that_is_not_hard_keeps_nothing_from_the_judge() -> None:
    judge = Judge()
    await evaluate(suite(IsA(), Rubric([POLITE])), models=judge.models())
    assert len(judge.shown) == 2


async def test_a_judged_check_may_ask_for_failures_too() -> None:
    judge = Judge()
    checks = (IsA(), Rubric([POLITE], after_failure=True))
    await evaluate(suite(*checks, hard=["is_a"]), models=judge.models())
    assert len(judge.shown) == 2


# -- silence and cost


async def test_a_silent_judge_leaves_its_checks_unscored_and_the_totals_right() -> None:
    judge = Judge(error=ModelHTTPError(500, "m"))
    checks = (IsA(), Rubric([POLITE, "It is short."]), Grounded())
    report = await evaluate(suite(*checks, thresholds={"is_a": 0.5}), models=judge.models())
    judged = {check.check: check for check in report.checks[1:]}
    assert list(judged) == ["rubric/polite", "rubric/it-is-short", "grounded"]
    for one in judged.values():
        assert (one.mean, one.unscored, one.errors, one.ok) == (None, 2, 0, True)
    totals = report.totals
    assert (totals.trials, totals.errors, totals.provider_errors) == (2, 0, 0)
    assert (totals.requests, totals.judge_requests, totals.judge_cost) == (0, 0, 0)
    assert report.ok
    assert outcomes(report, "grounded")["a"].reason.startswith("the judge did not answer: ")


async def test_a_crash_is_0_for_a_judged_check_too() -> None:
    async def crashes_on_b(text: str, trial: Trial) -> str:
        return {"a": "fine"}[text]

    report = await evaluate(suite(Rubric([POLITE]), task=crashes_on_b), models=Judge().models())
    [summary] = report.checks
    assert (summary.mean, summary.errors) == (0.5, 1)


async def test_what_a_judge_takes_is_in_no_figure_of_the_task() -> None:
    judge = Judge()
    models = judge.models(default="task-a")
    report = await evaluate(suite(Rubric([POLITE]), task=asking), models=models)
    totals = report.totals
    assert (totals.requests, totals.cost) == (2, pytest.approx(2 * PRICE))
    assert (totals.judge_requests, totals.judge_cost) == (2, pytest.approx(2 * PRICE))
    for result in report.results:
        assert result.model_seconds is not None
        assert result.model_seconds <= result.duration  # the judge came after


async def test_a_trial_fails_by_its_deterministic_checks_alone() -> None:
    report = await evaluate(suite(Rubric([POLITE])), models=Judge(passes("fail")).models())
    assert [result.ok for result in report.results] == [True, True]
    assert [[o.check for o in r.failed()] for r in report.results] == [["rubric/polite"]] * 2
    assert [r.failed(report.advisory) for r in report.results] == [(), ()]


async def test_recorded_outputs_are_scored_without_any_judge(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text('{"case": "a", "output": "x"}\n{"case": "b", "output": "y"}\n')
    own: list[Evaluator[Any, Any, Any]] = [Rubric([POLITE], name="own", model="no-such:model")]
    cases = [
        Case[str, Any, Any](name="a", inputs="a", evaluators=tuple(own)),
        Case[str, Any, Any](name="b", inputs="b"),
    ]
    data = Dataset[str, Any, Any](name="echo", cases=cases, evaluators=own)
    judged = replace(suite(IsA(), Rubric([POLITE])), data=data)
    found = await score_outputs(path, Columns(case="case", value="output"), judged)
    assert list(found) == ["is_a"]


# -- pydantic-evals' own judges


GRADED = {"reason": "kind", "pass": True, "score": 0.75}
STEPS = GEval(criteria="kindness", evaluation_steps=["Look for kind words."])


@pytest.mark.parametrize(
    ("check", "said", "value"),
    [(LLMJudge(rubric="It is kind."), GRADED, 1.0), (STEPS, {"reason": "kind", "score": 4}, 4.0)],
)
async def test_llm_judge_and_g_eval_run_under_the_runs_models(
    check: LLMJudge | GEval, said: dict[str, Any], value: float
) -> None:
    judge, meter = Judge(lambda _: said), Meter(Budget(requests=100))
    report = await evaluate(suite(check), models=judge.models(), wrap=(meter,))
    found = outcomes(report, check.get_default_evaluation_name())
    assert [(o.value, o.reason) for o in found.values()] == [(value, "kind")] * 2
    assert {o.judge.partition("@")[2].partition("#")[0] for o in found.values()} == {"judge-a"}
    totals = report.totals
    assert (totals.judge_requests, totals.judge_cost) == (2, pytest.approx(2 * PRICE))
    assert (meter.spent.requests, meter.spent.usd) == (2, pytest.approx(2 * PRICE))


async def test_llm_judge_is_replayed_trial_by_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check, judge = LLMJudge(rubric="It is kind."), Judge(lambda _: GRADED)
    first = await evaluate(suite(check), models=judge.models(), trials=2, replay="auto")
    again = await evaluate(suite(check), models=judge.models(), trials=2, replay="only")
    assert len(judge.shown) == 4  # two cases, two trials: a recording is of one trial alone
    assert again.totals.replayed == 4
    assert again.totals.judge_cost == 0
    assert [r.outcomes for r in again.results] == [r.outcomes for r in first.results]


async def test_llm_judge_without_an_llm_is_unscored() -> None:
    report = await evaluate(suite(LLMJudge(rubric="It is kind.")))
    [summary] = report.checks
    assert (summary.mean, summary.unscored) == (None, 2)
    assert "set ASSAY_JUDGE_MODEL" in outcomes(report, "LLMJudge")["a"].reason


def test_a_model_that_a_native_judge_brings_along_is_who_judges() -> None:
    model = Judge().models().resolve("judge")
    judged = as_judged(LLMJudge(rubric="It is kind.", model=model))
    assert judged is not None
    assert judged.identity(Models()).model == "openai:gpt-4o"
    named = as_judged(LLMJudge(rubric="It is kind.", model="openai:gpt-5"))
    assert named is not None
    assert named.identity(Models()).model == "openai:gpt-5"


# -- pairs


async def test_the_output_is_compared_with_a_stored_runs(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "runs.db"))

    async def shout(text: str, trial: Trial) -> str:
        return text.upper()

    await evaluate(suite(task=shout, cases=["a"]), store=store)
    run = store.run("latest")
    judge = Judge(lambda shown: {"reason": "r", "better": _place(shown, "A")})
    report = await evaluate(suite(Pairwise(run.id)), models=judge.models(), store=store)
    found = outcomes(report, "pairwise")
    assert (found["a"].status, found["a"].value) == ("score", 0.0)
    assert outcomes(report, "pairwise/flipped")["a"].value == 0.0
    assert (found["b"].status, found["b"].reason) == (
        "unscored",
        f"run {run.id} has no output for this case",
    )
    assert {judge.shown[0]["first"], judge.shown[0]["second"]} == {"A", "You said: a"}


def _place(shown: Mapping[str, str], text: str) -> str:
    return "first" if shown["first"] == text else "second"


async def test_the_output_is_compared_with_another_models() -> None:
    judge = Judge(lambda shown: {"reason": "r", "better": _place(shown, "task-a")})
    check = Pairwise("task-b", name="duel")
    models = judge.models(default="task-a")
    report = await evaluate(suite(check, task=asking, cases=["a"]), models=models)
    assert outcomes(report, "duel")["a"].value == 1.0
    totals = report.totals
    assert totals.requests == 1
    assert totals.judge_requests == 3  # the other model once, the judge in both orders
    assert totals.judge_cost == pytest.approx(3 * PRICE)


async def test_a_preference_for_a_place_is_a_tie_that_is_told() -> None:
    judge = Judge(places("first"))
    models = judge.models(default="task-a")
    report = await evaluate(suite(Pairwise("task-b"), task=asking), models=models)
    assert {o.value for o in outcomes(report, "pairwise").values()} == {0.5}
    assert {o.value for o in outcomes(report, "pairwise/flipped").values()} == {1.0}


async def test_a_peer_that_crashes_leaves_the_pair_unscored() -> None:
    async def only_a(text: str, trial: Trial) -> str:
        if trial.models.default == "task-b":
            raise ZeroDivisionError("no")
        return text

    judge = Judge(places())
    models = judge.models(default="task-a")
    report = await evaluate(suite(Pairwise("task-b"), task=only_a), models=models)
    [summary] = report.checks
    assert (summary.unscored, report.totals.errors) == (2, 0)
    reason = outcomes(report, "pairwise")["a"].reason
    assert reason == "task-b has no output for this case: ZeroDivisionError: no"


async def test_plain_pydantic_evals_has_nothing_to_compare_with() -> None:
    async def same(text: str) -> str:
        return text

    cases = [Case[str, str, Any](name="c", inputs="x")]
    data = Dataset[str, str, Any](name="echo", cases=cases, evaluators=[Pairwise("some-run")])
    report = await data.evaluate(same, progress=False)
    [failure] = report.cases[0].evaluator_failures
    assert "only an evaluation by assay can compare with 'some-run'" in failure.error_message


# -- claims


async def grounded(check: Grounded, judge: Judge) -> Outcome:
    async def answer(inputs: Any, trial: Trial) -> dict[str, Any]:
        return {"reason": "the reason", "rest": {"note": "the note"}}

    case = Case[Any, Any, Any](
        name="c",
        inputs={"document": {"text": "the document"}},
        expected_output="the expected",
        metadata={"facts": ["one", "two"]},
    )
    data = Dataset[Any, Any, Any](name="g", cases=[case])
    one = Suite[Any, Any](name="g", task=answer, data=data, checks=(check,))
    report = await evaluate(one, models=judge.models())
    return outcomes(report, check.name)["c"]


@pytest.mark.parametrize(
    ("check", "sources", "candidate"),
    [
        (Grounded(sources="inputs.document.text", output="reason"), "the document", "the reason"),
        (Grounded(sources="expected", output="rest.note"), "the expected", "the note"),
        (Grounded(sources="metadata.facts", output="reason"), '"one"', "the reason"),
    ],
)
async def test_sources_and_output_are_found_by_their_paths(
    check: Grounded, sources: str, candidate: str
) -> None:
    judge = claims("supported", "not_found")
    found = await grounded(check, judge)
    assert (found.status, found.value) == ("score", 0.5)
    assert found.reason == f"not_found: {candidate!r}, because"
    assert sources in judge.shown[0]["sources"]


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (Grounded(sources="inputs.letter"), "this case has no 'inputs.letter'"),
        (Grounded(output="verdict"), "this case has no 'output.verdict'"),
    ],
)
async def test_what_is_at_no_path_leaves_it_unscored(check: Grounded, why: str) -> None:
    judge = claims("supported")
    found = await grounded(check, judge)
    assert (found.status, found.reason, judge.shown) == ("unscored", why, [])


async def test_an_output_without_claims_is_unscored() -> None:
    found = await grounded(Grounded(), claims())
    assert (found.status, found.reason) == ("unscored", "the output makes no claim")


def test_sources_from_nowhere_are_told_when_read() -> None:
    with pytest.raises(ConfigError, match="begin with none of inputs, expected, metadata"):
        Grounded(sources="answer.document")
