"""The gate: a regression fails, no worse passes, and what cannot be told is said."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps import BadDataset
from assay.evals.scorecard import CheckValues, Scorecard, gate
from assay.evals.statistics.trials import Trials

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def trials(values: Sequence[float]) -> Trials:
    return Trials.of([f"c{i}" for i in range(len(values))], values)


def card(values: Trials) -> Scorecard:
    checks = {"label": CheckValues.of(values)}
    return Scorecard(suite="s", model="m", run="r", accepted=NOW, checks=checks)


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


def test_the_same_results_pass_however_few() -> None:
    same = {"label": trials([1, 0, 1])}
    assert gate("s", same, same, inconclusive="fail").ok


def test_a_regression_fails() -> None:
    before, after = trials([1] * 60), trials([1] * 30 + [0] * 30)
    found = gate("s", {"label": before}, {"label": after})
    assert not found.ok
    assert found.comparisons[0].verdict == "regressed"


def test_an_open_comparison_is_as_the_user_says() -> None:
    before, after = {"label": trials([1, 1, 0, 1])}, {"label": trials([1, 0, 1, 1])}
    assert gate("s", before, after).comparisons[0].verdict == "inconclusive"
    assert gate("s", before, after).ok
    assert not gate("s", before, after, inconclusive="fail").ok


def test_only_unchanged_cases_are_compared() -> None:
    after = Trials.of([f"c{i}" for i in range(50, 110)], [1.0] * 60)
    (found,) = gate("s", {"label": trials([1] * 60)}, {"label": after}).comparisons
    assert (found.n_cases, found.only_a, found.only_b) == (10, 50, 50)


@pytest.mark.parametrize("text", [None, "{", '{"suite": 1}'])
def test_no_scorecard_is_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "scorecard.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadDataset, match=r"scorecard\.json"):
        Scorecard.read(path)
