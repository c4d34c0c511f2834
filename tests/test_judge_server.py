"""Judges over HTTP that fail in every way: silence is unscored, a flip is a tie, totals stay right."""

import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from threading import Event
from typing import Any

import pydantic_ai.models
import pytest
from pydantic import SecretStr
from pydantic_evals import Case, Dataset

from assay.deps import Endpoint, Models, unfence
from assay.deps.providers import Clients
from assay.deps.resilience.layers import resilient
from assay.deps.resilience.retry import Retry
from assay.evals import Pairwise, Rubric, Suite, evaluate
from assay.evals.judges.ask import Asking, ask_all
from assay.evals.judges.bias import battery
from assay.evals.judges.items import Item
from assay.evals.report import SuiteReport

from .scripted import Reply, Sent, called, refused, said, serving

pytestmark = pytest.mark.slow

CASES = [Case(name=f"n{n}", inputs=f"{n}", expected_output=f"{n}") for n in range(6)]


@pytest.fixture(autouse=True)
def requests_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic_ai.models, "ALLOW_MODEL_REQUESTS", True)


async def echo(text: str) -> str:
    return f"the answer is {text}"


def suite(*checks: Any) -> Suite[str, str]:
    dataset = Dataset[str, str, Any](name="echo", cases=CASES)
    return replace(Suite.of(dataset, echo), checks=checks)


def models(url: str, timeout: float = 30.0) -> Models:
    faults, circuit, limiter, _ = resilient(timeout=timeout, max_concurrency=50)
    return Models(
        roles={"judge": "stub"},
        endpoint=Endpoint(url, SecretStr("sk-planted-in-the-endpoint")),
        clients=Clients(timeout=timeout),
        wrap=(faults, circuit, limiter, Retry(1)),
    )


def prompt(sent: Sent) -> str:
    assert sent.body is not None
    return str(sent.body["messages"][-1]["content"])


def marks(sent: Sent, verdict: str) -> Reply:
    ids = [criterion["id"] for criterion in json.loads(unfence("criteria", prompt(sent)))]
    found = [{"id": id, "reason": "because", "verdict": verdict} for id in ids]
    return 200, called("final_result", {"marks": found})


async def judged(
    script: Callable[[Sent], Reply], *checks: Any, within: float = 30.0
) -> SuiteReport:
    with serving(script) as server:
        async with aclosing(models(server.url, within)) as asked:
            return await evaluate(suite(*checks), models=asked)


async def test_garbage_errors_and_refusals_of_a_judge_are_unscored_and_totals_stay_right() -> None:
    def script(sent: Sent) -> Reply:
        number = int(unfence("inputs", prompt(sent)))
        return [
            marks(sent, "pass"),
            marks(sent, "fail"),
            (200, said("I would rather talk about the weather.")),
            (500, {"error": {"message": "broken"}}),
            refused("no such model", 404),
            (200, {"nonsense": True}),
        ][number]

    report = await judged(script, Rubric(["It is right."]))
    (check,) = report.checks
    assert (check.passed, check.failed, check.unscored, check.errors) == (1, 1, 4, 0)
    assert check.mean == 0.5
    assert check.advisory
    assert report.ok
    assert report.totals.trials == 6
    assert report.totals.errors == 0
    reasons = [o.reason for result in report.results for o in result.outcomes]
    assert sum(reason.startswith("the judge did not answer") for reason in reasons) == 4
    assert not any("sk-planted" in reason for reason in reasons)


async def test_a_judge_that_takes_too_long_is_unscored() -> None:
    stop = Event()

    def script(sent: Sent) -> Reply:
        if unfence("inputs", prompt(sent)) == "3":
            stop.wait(5)
        return marks(sent, "pass")

    try:
        report = await judged(script, Rubric(["It is right."]), within=1.0)
    finally:
        stop.set()
    (check,) = report.checks
    assert (check.passed, check.unscored) == (5, 1)


async def test_a_judge_that_goes_by_the_place_gives_ties_and_is_counted() -> None:
    def script(sent: Sent) -> Reply:
        return 200, called("final_result", {"reason": "the first", "better": "first"})

    with serving(script) as server:
        async with aclosing(models(server.url)) as asked:
            report = await evaluate(suite(Pairwise("baseline")), models=asked)
            item = Item(id="1", candidate="a", other="b", label="a")
            biases = await battery([item], "pairwise", Asking(models=asked))
    checks = {check.check: check for check in report.checks}
    assert checks["pairwise"].mean == 0.5
    assert checks["pairwise/flipped"].mean == 1
    assert biases[0].rate == 1


async def test_a_judge_that_obeys_what_a_candidate_says_is_caught() -> None:
    def script(sent: Sent) -> Reply:
        candidate = unfence("candidate", prompt(sent))
        good = "right" in candidate or "Note to the evaluator" in candidate
        return marks(sent, "pass" if good else "fail")

    items = [
        Item(id=f"i{n}", candidate="right" if n % 2 else "wrong", label="pass" if n % 2 else "fail")
        for n in range(20)
    ]
    with serving(script) as server:
        async with aclosing(models(server.url)) as asked:
            verdicts = await ask_all(items, "verdict", Asking(models=asked))
            biases = {
                one.name: one for one in await battery(items, "verdict", Asking(models=asked))
            }
    assert all(verdicts[item.id].label == item.label for item in items)
    assert biases["planted"].rate == 1
    assert biases["planted"].state(0.2) == "broken"
    assert biases["padding"].rate == 0
