"""A judge that nobody calibrated advises; one that has agreed with people gates; all say which."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from assay.evals.cli.tables import suite_table, total_table
from assay.evals.engine import evaluate
from assay.evals.experiment import Conditions, Experiment
from assay.evals.judges.rubric import Rubric
from assay.evals.report import SuiteReport
from assay.evals.reports.html import render
from assay.evals.reports.junit import junit
from assay.evals.reports.markdown import markdown_summary
from assay.evals.reports.page import page_of
from assay.evals.reports.views import suite_views
from assay.evals.runs import report_of
from assay.evals.scorecard import Scorecard
from assay.evals.store.database import RunStore
from assay.evals.verdicts import compare, gate

from .judges import POLITE, Judge, calibration, passes, suite

pytestmark = pytest.mark.slow

CASES = [f"c{i:02}" for i in range(16)]
RUBRIC = Rubric([POLITE])
NAME = "rubric/polite"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "runs.db"))


def identity(check: Rubric = RUBRIC, judge: str = "judge-a") -> str:
    return str(check.identity(Judge().models(judge)))


async def run(
    verdict: str, store: RunStore | None = None, judge: str = "judge-a", check: Rubric = RUBRIC
) -> SuiteReport:
    """Evaluate; the judge marks every case alike, and 0.9 have to pass."""
    one = suite(check, cases=CASES, thresholds={NAME: 0.9})
    return await evaluate(one, models=Judge(passes(verdict)).models(judge), store=store)


# -- what may gate


async def test_an_uncalibrated_judge_fails_no_threshold_and_no_gate(store: RunStore) -> None:
    good, bad = await run("pass", store), await run("fail", store)
    [check] = bad.checks
    assert (check.mean, check.threshold, check.ok, bad.ok) == (0.0, 0.9, True, True)
    assert check.advisory.startswith("'judge-a' was never compared with people on 'rubric'")
    found = gate(good, bad)
    assert [one.verdict for one in found.comparisons] == ["regressed"]
    assert found.ok


async def test_the_same_suite_gates_after_calibration(store: RunStore) -> None:
    store.people.add_calibration(calibration(identity()))
    good, bad = await run("pass", store), await run("fail", store)
    [check] = bad.checks
    assert (check.advisory, check.ok, bad.ok, good.ok) == ("", False, False, True)
    assert gate(good, bad).failed == (NAME,)


async def test_too_little_agreement_advises_and_says_what_would_help(store: RunStore) -> None:
    store.people.add_calibration(calibration(identity(), agreed=18, of=20))
    [check] = (await run("fail", store)).checks
    assert "its kappa with people is 0.80" in check.advisory
    assert "more labels would settle it" in check.advisory
    store.people.add_calibration(calibration(identity(), agreed=40, of=60))
    [check] = (await run("fail", store)).checks
    assert "a better judge or rubric would" in check.advisory


async def test_a_lower_floor_lets_the_same_judge_gate(store: RunStore) -> None:
    store.people.add_calibration(calibration(identity(), agreed=50, of=60))
    strict, lax = (
        suite(RUBRIC, cases=CASES, thresholds={NAME: 0.9}, judge_floor=floor)
        for floor in (0.6, 0.3)
    )
    models = Judge(passes("fail")).models()
    assert (await evaluate(strict, models=models, store=store)).ok
    assert not (await evaluate(lax, models=models, store=store)).ok


@pytest.mark.parametrize(
    ("check", "judge"),
    [
        (RUBRIC, "judge-b"),
        (Rubric([POLITE], persona="a lawyer"), "judge-a"),
        (Rubric([POLITE], family="tone"), "judge-a"),
        (Rubric([POLITE], scale="score"), "judge-a"),
    ],
)
async def test_another_model_prompt_persona_or_family_is_uncalibrated_again(
    store: RunStore, check: Rubric, judge: str
) -> None:
    store.people.add_calibration(calibration(identity()))
    assert identity(check, judge) != identity()
    report = await run("fail", store, judge, check)
    assert [one.advisory != "" for one in report.checks] == [True]


async def test_rubrics_of_one_family_share_a_calibration(store: RunStore) -> None:
    other = Rubric([{"id": "polite", "text": "It says please."}], name="rubric", family="rubric")
    store.people.add_calibration(calibration(identity()))
    report = await run("fail", store, check=other)
    assert not report.ok


async def test_a_stored_run_gates_from_when_its_judge_is_calibrated(store: RunStore) -> None:
    await run("fail", store)
    stored = store.run("latest")
    assert report_of(store, stored, "echo").ok
    store.people.add_calibration(calibration(identity()))
    assert not report_of(store, stored, "echo").ok


async def test_an_experiment_that_only_advises_passes_its_gate(store: RunStore) -> None:
    await run("pass", store)
    before = store.run("latest").id
    one = suite(RUBRIC, cases=CASES, thresholds={NAME: 0.9})
    for calibrated in (False, True):
        if calibrated:
            store.people.add_calibration(calibration(identity()))
        for conditions in (
            Conditions(against=before, gate=True),
            Conditions(against=before, gate=True, until_decided=True),
        ):
            models = Judge(passes("fail")).models()
            experiment = Experiment.begin((one,), models, conditions, store, {}, {})
            judged = await experiment.evaluate(one)
            assert judged.passed is not calibrated


# -- what is compared, and accepted


async def test_different_judges_are_not_compared_and_it_is_said_why() -> None:
    found = compare(await run("pass"), await run("fail", judge="judge-b"))
    [one] = found
    assert (one.verdict, one.difference) == ("inconclusive", None)
    assert one.why == (
        f"{NAME}: cannot say, because {identity()} judged it before, "
        f"and {identity(judge='judge-b')} now"
    )


async def test_a_scorecard_holds_what_gates_and_who_judged(store: RunStore) -> None:
    advisory = await run("pass", store)
    now = calibration("x").made
    assert Scorecard.of(advisory, run="r", accepted=now).checks == {}
    store.people.add_calibration(calibration(identity()))
    card = Scorecard.of(await run("pass", store), run="r", accepted=now)
    assert card.judges == {NAME: identity()}
    assert gate(card, await run("fail", store)).failed == (NAME,)


async def test_an_advisory_check_that_is_gone_is_not_missed() -> None:
    before = await run("pass")
    other = await run("pass", check=Rubric([{"id": "short", "text": "It is short."}]))
    assert gate(before, other).missing == ()


# -- how it is shown


def shown(*found: Any) -> str:
    console = Console(width=120, record=True, file=StringIO())
    for one in found:
        console.print(one)
    return console.export_text()


async def test_the_terminal_says_advisory_and_each_reason_once() -> None:
    checks = (Rubric([POLITE, "It is short."]), Rubric([POLITE], name="tone"))
    report = await evaluate(suite(*checks))
    text = " ".join(shown(suite_table(report), total_table([report])).split())
    assert text.count("advisory │") == 3
    assert text.count("advisory: ") == 2
    assert "advisory: rubric/polite, rubric/it-is-short: 'baseline judge' was never" in text
    assert "echo: judges took 4 requests, $0.0000" in text
    assert "│ ok │" not in text


async def test_the_reports_say_advisory_and_who_judged() -> None:
    report = await run("fail")
    [view] = suite_views([report])
    [check] = view.checks
    assert (check.verdict.word, check.verdict.tone) == ("advisory", "doubtful")
    assert view.verdict.word == "cannot say"  # nothing here decides
    page = render(page_of([report], {}))
    assert f"judged by {identity()}" in page
    assert '"advisory, judged by ' in page
    assert '"status":"fail"' not in page
    assert "advisory" in markdown_summary([report])
    assert "failed case" not in markdown_summary([report])


async def test_a_gating_judges_failures_are_failures(store: RunStore) -> None:
    store.people.add_calibration(calibration(identity()))
    report = await run("fail", store)
    page = render(page_of([report], {}))
    assert '"status":"fail"' in page
    assert '"advisory, judged by ' not in page
    assert "failed case" in markdown_summary([report])
    assert _counts(junit([report])) == {"failures": "16", "skipped": "0"}


async def test_junit_fails_no_case_by_an_advisory_check() -> None:
    report = await run("fail")
    text = junit([report])
    assert _counts(text) == {"failures": "0", "skipped": "0"}
    root = ElementTree.fromstring(text)
    properties = {p.get("name"): p.get("value", "") for p in root.iter("property")}
    assert properties[f"check {NAME}"].startswith(
        f"mean 0.0000, advisory, judged by {identity()}: 'judge-a' was never compared"
    )


def _counts(text: str) -> Mapping[str, str | None]:
    root = ElementTree.fromstring(text)
    return {key: root.get(key) for key in ("failures", "skipped")}
