"""Terminal tables: what they say, in words, and within the width of a terminal."""

from io import StringIO
from typing import Any

from rich.console import Console, RenderableType

from assay.evals.cli.tables import (
    Against,
    comparison_table,
    print_comparisons,
    suite_table,
    total_table,
)
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.resources import compare_resources
from assay.evals.verdicts import compare

from .report_pages import HOSTILE, failed, passed, result, suite_report


def recorder() -> Console:
    return Console(width=100, record=True, file=StringIO())


def shown(found: RenderableType) -> str:
    console = recorder()
    console.print(found)
    return console.export_text()


def run(good: int, of: int = 40, *, trials: int = 1, **more: Any) -> SuiteReport:
    """A run that passes its first `good` cases."""
    return suite_report(
        *(
            result(f"c{i:02}", passed() if i < good else failed(), trial=t, **more)
            for i in range(of)
            for t in range(trials)
        ),
        label=0.5,
    )


def against(before: SuiteReport, after: SuiteReport, *, lift: bool = False) -> Against:
    return Against(
        label="the baseline" if lift else "run a",
        comparisons=compare(before, after),
        resources=compare_resources(before.results, after.results),
        lift=lift,
    )


def test_without_a_reference_and_with_one_trial_the_columns_are_as_ever() -> None:
    lines = shown(suite_table(run(30))).splitlines()
    assert lines[0].rstrip() == "triage: sort a message"
    headings = [cell.strip() for cell in lines[2].strip("┃").split("┃")]
    assert headings == [
        "check",
        "mean",
        "95%",
        "threshold",
        "pass",
        "fail",
        "unscored",
        "error",
        "",
    ]
    assert "lift" not in "".join(lines)
    assert "pass^k" not in "".join(lines)


def test_a_check_that_does_not_beat_the_baseline_says_so() -> None:
    text = shown(suite_table(run(31), against(run(30), run(31), lift=True)))
    assert "lift (95%)" in text
    assert "label does not beat the baseline: +0.025 (" in text
    assert "+0.025 (" in text.split("label")[1]


def test_a_check_that_beats_the_baseline_says_by_how_much() -> None:
    text = shown(suite_table(run(38), against(run(10), run(38), lift=True)))
    assert "label beats the baseline by +0.700 (" in text
    assert "improved" in text


def test_a_check_that_is_worse_than_the_baseline_says_so() -> None:
    text = shown(suite_table(run(10), against(run(38), run(10), lift=True)))
    assert "label does not beat the baseline, and is worse: -0.700 (" in text


def test_a_regression_from_a_run_is_explained() -> None:
    text = shown(suite_table(run(10), against(run(38), run(10))))
    assert "difference (95%)" in text
    assert "compared with run a:" in text
    assert "label: regressed by -0.7 (95% interval" in text


def test_a_check_that_only_this_run_has_is_shown_as_not_compared() -> None:
    text = shown(suite_table(run(30), Against(label="run a")))
    assert "not compared" in text


def test_cost_and_latency_stand_beside_what_they_were() -> None:
    spent: dict[str, Any] = {"requests": 1, "input_tokens": 10, "cost": 0.02, "duration": 1.5}
    before: dict[str, Any] = {"requests": 1, "input_tokens": 10, "cost": 0.01, "duration": 1.0}
    found = against(run(30, **before), run(30, **spent))
    text = shown(suite_table(run(30, **spent), found))
    assert "cost (USD): regressed: $0.0200 a trial, $0.0100 before (+100%)" in text
    assert "1.5 s a trial, 1 s before (+50%)" in text
    table = shown(comparison_table("triage", found.comparisons, found.resources))
    assert "$0.0100" in table
    assert "+500 ms" in table


def test_several_trials_add_pass_k_and_name_the_flakiest_cases() -> None:
    mixed = [
        result(f"c{i}", passed() if t < i % 4 else failed(), trial=t)
        for i in range(16)
        for t in range(3)
    ]
    text = shown(suite_table(suite_report(*mixed)))
    row = next(line for line in text.split("reliability")[1].splitlines() if "label" in line)
    # Of each 4 cases 0, 1, 2 and 3 of 3 trials pass: 3 pass at least once, 1 always.
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:4] == ["label", "3", "0.750", "0.250"]
    assert cells[5] == "8"
    assert "flaky in label: c10 0.67 of 3 (0.09 to 0.99)" in text.replace("\n", " ")
    assert "; and 3 more" in text.replace("\n", " ")


def test_scores_have_a_spread_between_trials_and_no_pass_k() -> None:
    scores = [
        result(f"c{i}", Outcome("f1", "score", 0.4 + 0.1 * t), trial=t)
        for i in range(9)
        for t in range(3)
    ]
    text = shown(suite_table(suite_report(*scores)))
    row = next(line for line in text.split("reliability")[1].splitlines() if "f1" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [*["f1", "-", "-", "-", "-", "-"], "0.019"]  # fmt: skip
    assert "flaky in" not in text


def test_replayed_trials_and_judges_are_told_where_there_are_any() -> None:
    judged: dict[str, Any] = {
        "metrics": {"judge_requests": 2, "judge_cost": 0.01},
        "replayed": True,
    }
    text = shown(total_table([run(3, 4, **judged), run(3, 4)]))
    assert "triage: 4 of 4 trials were replayed" in text
    assert "triage: judges took 8 requests, $0.0400" in text
    unpriced = shown(total_table([run(3, 4, metrics={"judge_requests": 1})]))
    assert "judges took 4 requests, cost unknown" in unpriced
    plain = shown(total_table([run(3, 4)]))
    assert "replayed" not in plain
    assert "judges" not in plain


def test_all_crashes_are_counted_and_the_first_are_named() -> None:
    crashes = [result(f"c{i}", failure=Failure("E", "broken", "bug")) for i in range(9)]
    text = shown(suite_table(suite_report(*crashes)))
    assert text.count("error in c") == 5
    assert "and 4 more" in text


def test_the_tables_keep_within_100_columns_and_cut_nothing() -> None:
    name = "a_check_with_a_name_of_some_length"
    before = suite_report(*(result(f"c{i}", Outcome(name, "pass", 1.0)) for i in range(30)))
    after = suite_report(
        *(result(f"c{i}", Outcome(name, "fail", 0.0), duration=0.1) for i in range(30))
    )
    found = against(before, after)
    for table in (
        suite_table(after, found),
        comparison_table("triage", found.comparisons, found.resources),
    ):
        text = shown(table)
        assert max(map(len, text.splitlines())) <= 100
        assert "…" not in text.replace("…-", "").replace("…+", "")


def test_texts_are_no_markup() -> None:
    for text in (*HOSTILE, "[red]x[/red]", "[/]"):
        results = [
            TrialResult(case=text, trial=0, model=text, outcomes=(passed(text, text),)),
            TrialResult(case=text, trial=1, model=text, outcomes=(failed(text, text),)),
        ]
        crash = TrialResult(case="x", trial=0, model=text, failure=Failure(text, text, "bug"))
        report = SuiteReport.of([*results, crash], suite=text, model=text, about=text)
        found = Against(label=text, comparisons=compare(report, report), lift=True)
        console = recorder()
        console.print(suite_table(report))
        console.print(suite_table(report, found), total_table([report]))
        print_comparisons(console, text, found.comparisons)
        if text == "[red]x[/red]":
            assert "[red]x[/red]" in console.export_text()
