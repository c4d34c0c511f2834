"""What the HTML report shows: charts, verdicts, differences and facts of the run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.reports.charts import curve, histogram, interval, shift
from assay.evals.reports.html import render
from assay.evals.reports.junit import junit
from assay.evals.reports.markdown import markdown_summary
from assay.evals.reports.page import RunInfo, page_of
from assay.evals.reports.views import Against, Reference, Verdict, suite_views
from assay.evals.resources import LATENCY, compare_resources
from assay.evals.statistics.estimates import Estimate
from assay.evals.store.rows import Run
from assay.evals.verdicts import compare

from .report_pages import Reader, failed, passed, result, suite_report


def test_an_interval_lies_on_the_axis_in_order() -> None:
    report = suite_report(
        *(result(f"c{i}", passed() if i < 8 else failed()) for i in range(10)), label=0.9
    )
    check = suite_views([report])[0].checks[0]
    drawn = interval(check)
    assert drawn.span
    assert drawn.span.low is not None
    assert drawn.span.high is not None
    assert 0 < drawn.span.low < drawn.span.x < drawn.threshold < drawn.span.high < 300
    assert drawn.about == f"0.800, 95% interval {check.interval}; threshold 0.9"


@pytest.mark.parametrize(
    "values",
    [[0.0], [1.0, 1.0], [0.0, 0.0, 5.0], [1e-9, 1.0, 1.0], [0.001] * 50 + [100.0], [-2.0, -1.0]],
)
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    drawn = histogram(values, "trials", "{:g}".format)
    assert drawn
    assert sum(int(re.findall(r": (\d+) trials", bar.label)[0]) for bar in drawn.bars) == len(
        values
    )
    assert all(0 <= bar.x <= 300.5 and 0 < bar.height <= 72 for bar in drawn.bars)


def test_no_values_no_histogram() -> None:
    assert histogram([], "trials", str) is None


def test_verdicts_are_words() -> None:
    ten = [
        result(f"c{i}", passed() if i < 8 else failed(), Outcome("judge", "unscored", None))
        for i in range(10)
    ]
    label, judge = suite_views([suite_report(*ten, label=0.9)])[0].checks
    assert label.verdict == Verdict(word="below its threshold", why="the interval reaches above it")
    assert judge.verdict == Verdict(word="cannot say", why="nothing was scored")
    (label, _) = suite_views([suite_report(*ten, label=0.2)])[0].checks
    assert label.verdict.why == "with its whole interval"
    said = Verdict(word="regressed", why="by 0.1")
    reference = Reference(
        label="main", reports=(suite_report(*ten),), verdicts={("triage", "label"): said}
    )
    view = suite_views([suite_report(*ten, label=0.2)], reference)[0]
    assert view.checks[0].verdict == said
    assert view.verdict == Verdict(word="regressed", why="1 of 2 checks")


def compared(*, lift: bool = False) -> tuple[SuiteReport, Reference]:
    """A run of 40 cases in 3 trials, and what it is compared with."""
    before, after = (
        suite_report(
            *(
                result(f"c{i}", passed() if i < good + (t == 2) else failed(), trial=t, duration=d)
                for i in range(40)
                for t in range(3)
            )
        )
        for good, d in ((38, 1.0), (20, 1.5))
    )
    against = Against(
        label="run <a>",
        comparisons=compare(before, after),
        resources=compare_resources(before.results, after.results),
        lift=lift,
    )
    return after, Reference.of({"triage": against}, [before])


def test_a_reference_and_a_baseline_are_shown_at_once() -> None:
    after, reference = compared()
    _, baseline = compared(lift=True)
    (view,) = suite_views([after], reference, baseline)
    (check,) = view.checks
    words = [verdict.word for verdict in check.verdicts]
    assert words[:2] == ["regressed", "does not beat the baseline, and is worse"]
    assert view.verdict == Verdict(word="regressed", why="1 of 1 check")
    html = render(page_of([after], {}, reference=reference, baseline=baseline))
    for said in ("difference -0.450", "lift -0.450", "regressed", "beat the baseline, and is wor"):
        assert said in html
    assert "1.5 s a trial, 1 s before (+50%)" in html


def test_a_baseline_as_reference_makes_the_difference_a_lift() -> None:
    after, baseline = compared(lift=True)
    page = page_of([after], {}, reference=baseline)
    (check,) = page.suites[0].checks
    assert check.compared is None
    assert check.verdict.word == "does not beat the baseline, and is worse"
    assert page.before == "run <a>"


def test_a_scorecard_has_a_mean_and_no_cases() -> None:
    after, reference = compared()
    card = replace(reference, reports=())
    page = page_of([after], {}, reference=card)
    (check,) = page.suites[0].checks
    assert check.reference == Estimate(mean=check.compared and check.compared.before)
    assert "before" not in page.cases[0]


def test_pass_k_curves_fall_and_rise_and_flaky_cases_are_links() -> None:
    after, _ = compared()
    (check,) = suite_views([after])[0].checks
    assert check.reliability
    drawn = curve(check.reliability)
    assert drawn
    at, hat = ([y for _, y, _ in line.points] for line in drawn.lines)
    assert at == sorted(at, reverse=True)
    assert hat == sorted(hat)
    assert at[0] == hat[0]
    assert "pass^3 0.500" in drawn.about
    html = render(page_of([after], {}))
    assert '<a href="#case/triage/c20" dir="auto">c20</a>' in html
    assert "1 flaky case<" in html


def test_one_trial_has_no_reliability() -> None:
    assert "Reliability" not in render(page_of([suite_report(result("a", passed()))], {}))


@pytest.mark.parametrize(
    "ends", [(None, None), (-0.2, 0.1), (-5.0, 5.0)], ids=["none", "near", "far"]
)
def test_a_shift_lies_on_its_axis(ends: tuple[float | None, float | None]) -> None:
    low, high = ends
    said = Verdict(word="x", before=1.0, after=1.1, difference=0.1, low=low, high=high)
    drawn = shift(said, LATENCY)
    assert drawn
    places = [drawn.before, drawn.span.x, drawn.span.low, drawn.span.high]
    assert all(0 <= place <= 300 for place in places if place is not None)
    assert drawn.before < drawn.span.x
    assert shift(Verdict(word="x"), LATENCY) is None


def test_a_run_says_what_it_was_and_why_it_stopped() -> None:
    run = Run(
        id="r1",
        created=datetime(2026, 1, 2, tzinfo=UTC),
        model="m",
        suites=("triage",),
        identity={
            "commit": "0123456789abcdef",
            "dirty": True,
            "packages": {"pydantic": "2.14"},
            "datasets": {"triage": "d1"},
            "agents": {"triage": "a1"},
        },
    )
    info = RunInfo.of(run, stopped="the budget is spent")
    html = render(page_of([suite_report(result("a", passed(), replayed=True))], {}, run=info))
    for said in (
        "0123456789ab, with changes that are not committed",
        "the budget is spent",
        "2.14",
        "dataset of triage",
        "agent of triage",
        "1 of 1 (100%)",
    ):
        assert said in html
    assert RunInfo(id="r2", commit="0123456789abcdef").checked_out == "0123456789ab"


def test_judges_are_counted_apart() -> None:
    metrics = {"judge_requests": 2.0, "judge_cost": 0.01}
    report = suite_report(*(result(f"c{i}", passed(), metrics=metrics) for i in range(3)))
    assert "6 requests, $0.0300" in render(page_of([report], {}))


class ReadOnce(Sequence[TrialResult]):
    """Results that count how often they are read."""

    def __init__(self, results: Sequence[TrialResult]) -> None:
        self.results = results
        self.reads = 0

    def __iter__(self) -> Iterator[TrialResult]:
        self.reads += 1
        return iter(self.results)

    def __len__(self) -> int:
        raise AssertionError("their number is in the totals")

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("they are read in order")


def test_results_are_read_once() -> None:
    after, _ = compared()
    results = ReadOnce(after.results)
    stored = replace(after, results=results)
    render(page_of([stored], {}))
    assert results.reads == 1
    junit([stored])
    assert results.reads == 2
    markdown_summary([stored])
    assert results.reads == 3


def test_a_crash_counts_as_0_but_not_for_a_check_that_never_spoke() -> None:
    crash = result("b", failure=Failure("E", "m", "bug"))
    spoke = result("a", passed(), Outcome("judge", "unscored", None))
    label, judge = suite_views([suite_report(spoke, crash)])[0].checks
    assert label.values.values == ((1.0,), (0.0,))
    assert judge.values.values == ()


def test_odd_runs_have_a_page_too() -> None:
    assert "No suite was run" in render(page_of([], {}))
    assert "triage" in render(page_of([suite_report()], {}))
    nothing = suite_report(result("a", failure=Failure("E", "m", "provider")))
    assert "completed" in render(page_of([nothing], {}))
    odd = suite_report(
        *(
            result(f"c{i}", Outcome("bleu", "score", v))
            for i, v in enumerate([-3.0, 40.0, float("nan")])
        )
    )
    assert "nan" not in Reader(render(page_of([odd], {}))).texts.get("span#", [])
