"""Corrected means: they cover what people would have said, and a judge can only make them better."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps import InputError
from assay.evals.statistics.corrected import corrected_difference, corrected_mean, rogan_gladen

values = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=80)


def world(n: int, wrong: float, seed: int, rate: float = 0.7) -> tuple[dict[str, float], Any]:
    """Return a judge's verdicts that are wrong so often, and the truth."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < rate).astype(float)
    said = np.where(rng.random(n) < wrong, 1 - truth, truth)
    return {f"c{i}": float(v) for i, v in enumerate(said)}, truth


def drawn(truth: Any, n: int, seed: int) -> dict[str, float]:
    """Return people's labels of cases that chance has drawn."""
    picks = np.random.default_rng(seed).choice(len(truth), n, replace=False)
    return {f"c{i}": float(truth[i]) for i in picks}


@pytest.mark.parametrize("wrong", [0.05, 0.2, 0.4])
def test_the_interval_covers_what_people_would_have_said(wrong: float) -> None:
    covered, narrower = 0, 0
    for seed in range(300):
        judged, truth = world(2000, wrong, seed)
        found = corrected_mean(judged, drawn(truth, 60, seed))
        covered += found.low <= 0.7 <= found.high
        assert found.only_labels is not None
        low, high = found.only_labels
        narrower += found.high - found.low < high - low
    assert covered / 300 > 0.92
    assert narrower / 300 > {0.05: 0.99, 0.2: 0.95, 0.4: 0.4}[wrong]


def test_a_lenient_judge_is_put_right() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random(1000) < 0.5).astype(float)
    said = np.where((truth == 0) & (rng.random(1000) < 0.4), 1.0, truth)
    judged = {f"c{i}": float(v) for i, v in enumerate(said)}
    found = corrected_mean(judged, drawn(truth, 150, 3))
    assert found.raw == pytest.approx(0.7, abs=0.04)
    assert found.low < 0.5 < found.high < found.raw


@given(values)
def test_with_a_label_on_every_case_it_is_the_labels_mean(pairs: list[tuple[bool, bool]]) -> None:
    judged = {f"c{i}": float(said) for i, (said, _) in enumerate(pairs)}
    labelled = {f"c{i}": float(true) for i, (_, true) in enumerate(pairs)}
    found = corrected_mean(judged, labelled)
    assert found.mean == pytest.approx(sum(labelled.values()) / len(pairs))
    assert (found.low, found.high) == pytest.approx(found.only_labels)


@given(values)
def test_a_judge_that_always_says_the_same_is_worth_nothing(pairs: list[tuple[bool, bool]]) -> None:
    judged = {f"c{i}": 1.0 for i in range(len(pairs))}
    labelled = {f"c{i}": float(true) for i, (_, true) in enumerate(pairs[:20])}
    found = corrected_mean(judged, labelled)
    assert found.power == 0
    assert found.mean == pytest.approx(sum(labelled.values()) / 20)


@given(values)
def test_swapping_two_runs_turns_the_difference_round(pairs: list[tuple[bool, bool]]) -> None:
    one = {f"c{i}": float(a) for i, (a, _) in enumerate(pairs)}
    two = {f"c{i}": float(b) for i, (_, b) in enumerate(pairs)}
    gold_one, gold_two = dict(list(one.items())[:15]), dict(list(two.items())[5:20])
    there = corrected_difference((one, two), (gold_one, gold_two))
    back = corrected_difference((two, one), (gold_two, gold_one))
    assert there.labels == 10
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def test_what_cannot_correct_is_refused_by_name() -> None:
    judged = {f"c{i}": 1.0 for i in range(50)}
    with pytest.raises(InputError, match="9 labels cannot correct a mean; label 10 or more"):
        corrected_mean(judged, dict(list(judged.items())[:9]))
    with pytest.raises(InputError, match=r"not judged: \['elsewhere'\]"):
        corrected_mean(judged, {"elsewhere": 1.0})


def test_known_errors_of_a_judge_are_taken_out_of_its_pass_rate() -> None:
    found = rogan_gladen(700, 1000, (90, 100), (60, 100))
    assert found.mean == pytest.approx((0.7 + 0.6 - 1) / (0.9 + 0.6 - 1))
    assert found.low < found.mean < found.high
    sure = rogan_gladen(700, 1000, (9000, 10000), (6000, 10000))
    assert sure.high - sure.low < (found.high - found.low) / 2


def test_rogan_gladen_covers_what_is_true() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        hits, rejects = rng.binomial(80, 0.9), rng.binomial(80, 0.8)
        passed = rng.binomial(400, 0.6 * 0.9 + 0.4 * 0.2)
        found = rogan_gladen(int(passed), 400, (int(hits), 80), (int(rejects), 80))
        covered += found.low <= 0.6 <= found.high
    assert covered / 300 > 0.92


def test_a_judge_no_better_than_chance_corrects_nothing() -> None:
    with pytest.raises(InputError, match="no better than chance"):
        rogan_gladen(5, 10, (5, 10), (5, 10))
