"""The gate: a regression fails, no worse passes, and what cannot be told is said."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps import BadDataset
from assay.evals.outcome import Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.scorecard import CheckValues, Scorecard
from assay.evals.statistics.trials import Trials
from assay.evals.verdicts import gate

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def trials(values: Sequence[float]) -> Trials:
    return Trials.of([f"c{i}" for i in range(len(values))], values)


def card(values: Trials, dataset: str = "") -> Scorecard:
    checks = {"label": CheckValues.of(values)}
    return Scorecard(suite="s", model="m", run="r", accepted=NOW, checks=checks, dataset=dataset)


@given(
    values=st.dictionaries(st.text(min_size=1), st.lists(st.floats(0, 1), min_size=1, max_size=3)),
    grouped=st.booleans(),
)
def test_a_scorecard_keeps_every_value(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, list[float]], grouped: bool
) -> None:
    rows = [(case, value) for case, found in sorted(values.items()) for value in found]
    before = Trials.of(
        [case for case, _ in rows],
        [value for _, value in rows],
        [case[0] for case, _ in rows] if grouped and rows else None,
    )
    path = tmp_path_factory.mktemp("card") / "scorecard.json"
    card(before).write(path)
    assert Scorecard.read(path).trials() == {"label": before}


def test_what_is_accepted_is_what_a_run_came_to(tmp_path: Path) -> None:
    results = [
        TrialResult(
            case=f"c{n}",
            key=f"key{n}",
            trial=trial,
            model="m",
            group="g" if n else None,
            outcomes=(Outcome("label", "pass", 1.0), Outcome("score", "score", n / 2)),
        )
        for n in range(2)
        for trial in range(2)
    ]
    report = SuiteReport.of(results, suite="s", model="m", dataset="hash")
    path = tmp_path / "scorecard.json"
    Scorecard.of(report, run="r", accepted=NOW).write(path)
    found = Scorecard.read(path)
    assert (found.suite, found.run, found.accepted, found.dataset) == ("s", "r", NOW, "hash")
    assert found.trials() == report.trials()
    assert found.trials()["score"].cases == ("key0", "key1")
    same = gate(found, report, inconclusive="fail")
    assert (same.ok, same.suite, same.same_dataset) == (True, "s", True)


def test_the_same_results_pass_however_few() -> None:
    same = card(trials([1, 0, 1]))
    assert gate(same, same, inconclusive="fail").ok


def test_a_regression_fails() -> None:
    found = gate(card(trials([1] * 60)), card(trials([1] * 30 + [0] * 30)))
    assert not found.ok
    assert found.failed == ("label",)
    assert found.comparisons[0].verdict == "regressed"


def test_an_open_comparison_is_as_the_user_says() -> None:
    before, after = card(trials([1, 1, 0, 1])), card(trials([1, 0, 1, 1]))
    assert gate(before, after).comparisons[0].verdict == "inconclusive"
    assert gate(before, after).ok
    assert not gate(before, after, inconclusive="fail").ok


def test_only_unchanged_cases_are_compared() -> None:
    after = Trials.of([f"c{i}" for i in range(50, 110)], [1.0] * 60)
    found = gate(card(trials([1] * 60), "one"), card(after, "another"))
    assert not found.same_dataset
    (one,) = found.comparisons
    assert (one.n_cases, one.only_a, one.only_b) == (10, 50, 50)


@pytest.mark.parametrize("text", [None, "{", '{"suite": 1}'])
def test_no_scorecard_is_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "scorecard.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadDataset, match=r"scorecard\.json"):
        Scorecard.read(path)
