"""Agreement beyond chance: against statsmodels and published figures, and as laws."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps import InputError
from assay.evals.statistics.agreement import (
    Level,
    Weights,
    agreement,
    alpha,
    between,
    labels_needed,
)

RATERS: Any = import_module("statsmodels.stats.inter_rater")

verdicts = st.lists(
    st.tuples(st.sampled_from(["pass", "fail"]), st.sampled_from(["pass", "fail"])), min_size=5
)
scores = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=5, max_size=60)


def split(pairs: list[Any]) -> tuple[list[Any], list[Any]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@settings(max_examples=25)
@given(scores)
def test_kappa_is_that_of_statsmodels_weighted_or_not(pairs: list[tuple[int, int]]) -> None:
    judge, people = split(pairs)
    table = np.array([[pairs.count((i, j)) for j in range(1, 6)] for i in range(1, 6)])
    kinds: list[tuple[Weights, str | None]] = [("nominal", None), ("quadratic", "fc")]
    for weights, theirs in kinds:
        found = agreement(judge, people, labels=range(1, 6), weights=weights)
        if found.kappa is None:
            assert len({*judge, *people}) == 1
            continue
        wanted = RATERS.cohens_kappa(table, wt=theirs, return_results=False)
        assert found.kappa.value == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=25)
@given(verdicts, st.randoms(use_true_random=False))
def test_the_order_of_items_the_names_of_labels_and_the_sides_change_nothing(
    pairs: list[tuple[str, str]], chance: Any
) -> None:
    judge, people = split(pairs)
    found = agreement(judge, people, labels=("fail", "pass"), positive="pass")
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    assert agreement(*split(shuffled), labels=("fail", "pass"), positive="pass") == found
    swapped = agreement(people, judge, labels=("fail", "pass"))
    names = {"pass": "yes", "fail": "no"}
    renamed = agreement([names[v] for v in judge], [names[v] for v in people], labels=("no", "yes"))
    for other in (swapped, renamed):
        assert other.accuracy == found.accuracy
        if found.kappa is not None:
            assert other.kappa is not None
            assert other.kappa.value == pytest.approx(found.kappa.value)


@settings(max_examples=25)
@given(verdicts)
def test_an_interval_holds_its_figure_and_stays_possible(pairs: list[tuple[str, str]]) -> None:
    judge, people = split(pairs)
    found = agreement(judge, people, labels=("fail", "pass"), positive="pass")
    for one in (found.accuracy, found.kappa, found.sensitivity, found.specificity):
        if one is not None:
            assert one.low is not None
            assert one.high is not None
            assert -1 <= one.low <= one.value <= one.high <= 1


def test_agreement_throughout_proves_only_as_much_as_there_is_of_it() -> None:
    def low(n: int) -> float:
        labels = ["pass", "fail"] * (n // 2)
        kappa = agreement(labels, labels).kappa
        assert kappa is not None
        assert kappa.value == 1
        assert kappa.low is not None
        return kappa.low

    assert low(10) < 0.6 < low(40) < 0.9 < low(400) < 1


@pytest.mark.parametrize(("n", "right"), [(40, 0.8), (40, 0.95), (150, 0.9)])
def test_the_interval_of_kappa_covers_what_is_true(n: int, right: float) -> None:
    """95% are meant; 1,000 tables leave a standard error of 0.7%."""
    rng = np.random.default_rng(7)
    share = np.array([[0.6 * right, 0.4 * (1 - right)], [0.6 * (1 - right), 0.4 * right]])
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    truth = (right - rows @ columns) / (1 - rows @ columns)
    covered = above = 0
    for table in rng.multinomial(n, share.ravel(), size=300):
        pairs = [
            pair for pair, k in zip(("pp", "pf", "fp", "ff"), table, strict=True) for _ in range(k)
        ]
        kappa = agreement([p[0] for p in pairs], [p[1] for p in pairs], labels="pf").kappa
        assert kappa is not None
        assert kappa.low is not None
        assert kappa.high is not None
        covered += kappa.low <= truth <= kappa.high
        above += kappa.low > truth
    assert covered / 300 > 0.91
    assert above / 300 < 0.05  # the side that a gate stands on


def test_sensitivity_and_specificity_are_of_what_people_said() -> None:
    judge = ["pass"] * 8 + ["fail"] * 2 + ["pass"] * 1 + ["fail"] * 4
    people = ["pass"] * 10 + ["fail"] * 5
    found = agreement(judge, people, positive="pass")
    assert found.sensitivity is not None
    assert found.specificity is not None
    assert (found.sensitivity.value, found.specificity.value) == (0.8, 0.8)
    assert found.table == ((4, 2), (1, 8))  # rows: the judge's fail and pass


def test_what_the_judge_did_not_answer_is_counted_and_in_no_figure() -> None:
    found = agreement(["pass", None, "fail", None], ["pass", "fail", "fail", "pass"])
    assert (found.items, found.unscored, found.accuracy.value) == (2, 2, 1.0)
    with pytest.raises(InputError, match="answered none of 2 items"):
        agreement([None, None], ["pass", "fail"])


def test_one_label_throughout_has_no_kappa() -> None:
    assert agreement(["pass"] * 9, ["pass"] * 9).kappa is None


def test_items_of_one_group_widen_the_intervals() -> None:
    judge, people = ["pass", "fail"] * 40, ["pass", "fail"] * 30 + ["fail", "pass"] * 10
    alone = agreement(judge, people)
    grouped = agreement(judge, people, groups=[f"g{i // 8}" for i in range(80)])
    assert alone.kappa is not None
    assert grouped.kappa is not None
    assert alone.kappa.low is not None
    assert grouped.kappa.low is not None
    assert grouped.kappa.low < alone.kappa.low
    assert (grouped.clusters, alone.clusters) == (10, 80)


def test_more_labels_lift_the_lower_end_to_the_floor_where_agreement_is_above_it() -> None:
    judge = ["pass", "fail"] * 20
    people = [*judge[:36], "fail", "pass", "fail", "pass"]
    found = agreement(judge, people)
    needed = labels_needed(found, 0.7)
    assert needed is not None
    assert found.items < needed < 1_000
    times = -(-needed // 40)
    more = agreement(judge * times, people * times).kappa
    assert more is not None
    assert more.low is not None
    assert more.low >= 0.7 - 0.01
    assert labels_needed(found, 0.9) is None  # kappa is 0.8


def test_alpha_is_the_published_one_of_four_raters_with_gaps() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), examples C."""
    gap = None
    ratings = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
        [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
    ]
    known: list[tuple[Level, float]] = [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
    for level, wanted in known:
        found = alpha(ratings, level)
        assert found is not None
        assert found.value == pytest.approx(wanted, abs=5e-4)
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
    assert alpha([[1, 1], [1, 1]]) is None


def test_people_are_compared_pair_by_pair() -> None:
    raters = [["p", "p", None], ["p", "f", "f"], ["f", None, "f"]]
    assert between(raters) == pytest.approx(2 / 5)
    assert between([["p"]]) is None


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="1 verdicts, 2 labels"):
        agreement(["pass"], ["pass", "fail"])
    with pytest.raises(InputError, match=r"labels \('maybe',\) are none of"):
        agreement(["maybe"], ["pass"], labels=("pass", "fail"))
