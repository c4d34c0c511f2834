"""What a judge has said of one trial it is not asked again for the next one of the same output."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps import BaselineModel
from assay.evals.engine import evaluate
from assay.evals.judges import counted
from assay.evals.judges.counted import Once
from assay.evals.judges.pairwise import Pairwise
from assay.evals.judges.rubric import Rubric
from assay.evals.suite import Trial

from .asking import ask
from .judges import POLITE, PRICE, Judge, asking, passes, places, suite


async def test_equal_outputs_are_judged_once_and_counted_once() -> None:
    judge = Judge()
    report = await evaluate(suite(Rubric([POLITE])), models=judge.models(), trials=3)
    assert len(judge.shown) == 2  # one for each case
    totals = report.totals
    assert (totals.judge_requests, totals.judge_cost) == (2, pytest.approx(2 * PRICE))
    [summary] = report.checks
    assert (summary.passed, summary.unscored) == (6, 0)


async def test_other_outputs_criteria_and_inputs_are_judged_apart() -> None:
    judge, said = Judge(), iter("abcd")

    async def differs(text: str, trial: Trial) -> str:
        return next(said)

    checks = (Rubric([POLITE]), Rubric(["It is short."], name="short"))
    await evaluate(suite(*checks, task=differs), models=judge.models(), trials=2)
    assert len(judge.shown) == 8


async def test_two_checks_that_ask_the_same_ask_once() -> None:
    judge = Judge()
    checks = (Rubric([POLITE]), Rubric([POLITE], name="again"))
    report = await evaluate(suite(*checks, cases=["a"]), models=judge.models())
    assert len(judge.shown) == 1
    assert [check.passed for check in report.checks] == [1, 1]


async def test_another_persona_is_another_judge() -> None:
    judge = Judge()
    checks = (Rubric([POLITE]), Rubric([POLITE], name="again", persona="a lawyer"))
    await evaluate(suite(*checks, cases=["a"]), models=judge.models())
    assert len(judge.shown) == 2


async def test_a_pair_of_equal_texts_is_one_question() -> None:
    judge = Judge(places("tie"))
    models = judge.models(default="task-a")
    await evaluate(suite(Pairwise("task-a"), task=asking, cases=["a"]), models=models, trials=2)
    assert len(judge.shown) == 1


async def test_the_task_itself_is_asked_for_every_trial() -> None:
    judge = Judge()
    models = judge.models(default="task-a")
    report = await evaluate(suite(Rubric([POLITE]), task=asking), models=models, trials=3)
    assert (report.totals.requests, report.totals.judge_requests) == (6, 2)


async def test_recordings_stay_those_of_one_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    judge = Judge()
    await evaluate(suite(Rubric([POLITE])), models=judge.models(), trials=2, replay="auto")
    assert len(judge.shown) == 4


async def test_what_failed_is_asked_again() -> None:
    judge = Judge(error=ModelHTTPError(503, "m"))

    def recovers(shown: Mapping[str, str]) -> Mapping[str, Any]:
        return passes()(shown)

    judge.said = recovers
    one = suite(Rubric([POLITE]), cases=["a"])

    def after_two(result: object) -> None:
        if len(judge.shown) == 2:
            judge.error = None

    report = await evaluate(
        one, models=judge.models(), trials=4, max_concurrency=1, on_result=after_two
    )
    [summary] = report.checks
    assert (summary.unscored, summary.passed, len(judge.shown)) == (2, 2, 3)


class Gated:
    """A model that answers when it is let; counts who is waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.reached = asyncio.Event()
        self.error: Exception | None = None
        self.model: Model = FunctionModel(self._answer)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        self.reached.set()
        await self.open.wait()
        if self.error is not None and self.asked == 1:
            raise self.error
        return ModelResponse(parts=[TextPart(f"answer {self.asked}")])


def begun(model: Model) -> asyncio.Task[str]:
    return asyncio.create_task(ask(model))


async def test_equal_requests_at_one_moment_are_asked_once() -> None:
    gated = Gated()
    model = Once()(gated.model)
    tasks = [begun(model) for _ in range(5)]
    await gated.reached.wait()
    gated.open.set()
    assert await asyncio.gather(*tasks) == ["answer 1"] * 5


async def test_who_is_cancelled_is_succeeded_by_who_waits() -> None:
    gated = Gated()
    model = Once()(gated.model)
    first, second = begun(model), begun(model)
    await gated.reached.wait()
    first.cancel()
    gated.open.set()
    assert await second == "answer 2"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_told_to_one_and_asked_again_by_the_next() -> None:
    gated = Gated()
    gated.error = ModelHTTPError(503, "m")
    model = Once()(gated.model)
    first, second = begun(model), begun(model)
    await gated.reached.wait()
    gated.open.set()
    with pytest.raises(ModelHTTPError):
        await first
    assert await second == "answer 2"


async def test_an_answer_is_everybodys_own() -> None:
    once = Once()
    response = ModelResponse(parts=[TextPart("kept")])
    once.keep("request", response)
    response.parts = []
    for _ in range(2):
        found = once.find("request")
        assert found is not None
        assert [vars(part)["content"] for part in found.parts] == ["kept"]
        found.parts = []


async def test_the_oldest_answer_goes_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counted, "MOST", 2)
    once = Once()
    for name in "abc":
        once.keep(name, ModelResponse(parts=[TextPart(name)]))
    assert [once.find(name) is None for name in "abc"] == [True, False, False]


def test_a_baseline_is_left_alone() -> None:
    baseline = BaselineModel("judge", str.upper)
    assert Once()(baseline) is baseline
