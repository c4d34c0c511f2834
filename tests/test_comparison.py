"""Comparisons: laws, exact examples, and what the verdicts do under simulation."""

from importlib import import_module
from math import isfinite, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.deps.errors import InputError
from assay.evals.statistics.comparison import (
    Comparison,
    compare,
    correct_for_many,
    difference_interval,
)
from assay.evals.statistics.trials import Trials, clusters

scipy_stats = import_module("scipy.stats")  # by name, for they have no types
multitest = import_module("statsmodels.stats.multitest")
power = import_module("statsmodels.stats.power")

pairs = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3),
        st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3),
    ),
    max_size=9,
)


def trials(rows: Any, groups: list[str] | None = None) -> Trials:
    """One list of values per case."""
    return Trials(
        cases=tuple(f"c{i}" for i in range(len(rows))),
        values=tuple(tuple(map(float, row)) for row in rows),
        groups=None if groups is None else tuple(groups),
    )


def singles(values: Any) -> Trials:
    return trials([[v] for v in values])


@settings(deadline=None, max_examples=60)
@given(pairs, st.booleans(), st.sampled_from([0.0, 0.05]), st.sampled_from([(0.0, 1.0), None]))
def test_swapping_sides_turns_everything_round(
    rows: list[Any], grouped: bool, margin: float, bounds: Any
) -> None:
    groups = [f"g{i % 3}" for i in range(len(rows))] if grouped else None
    a, b = trials([x for x, _ in rows], groups), trials([y for _, y in rows], groups)
    there, back = (compare(x, y, margin=margin, bounds=bounds) for x, y in ((a, b), (b, a)))
    same = compare(b, a, margin=margin, bounds=bounds, better="lower")
    assert there.verdict == same.verdict
    for c in (there, back):
        assert all(isfinite(v) for v in vars(c).values() if isinstance(v, float))
        assert "nan" not in c.why
    assert (there.p, there.mde) == pytest.approx((back.p, back.mde))
    if there.difference is not None and back.difference is not None:
        assert there.difference == pytest.approx(-back.difference)
    if there.low is not None and there.high is not None and there.difference is not None:
        assert back.low is not None
        assert back.high is not None
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
        assert there.low - 1e-12 <= there.difference <= there.high + 1e-12
    assert there.verdict != "improved" or back.verdict in ("regressed", "no worse")


@settings(deadline=None, max_examples=60)
@given(pairs.filter(lambda rows: len(rows) > 1), st.randoms())
def test_order_of_cases_does_not_matter(rows: list[Any], random: Any) -> None:
    order: list[int] = random.sample(range(len(rows)), len(rows))
    a, b = trials([x for x, _ in rows]), trials([y for _, y in rows])
    mixed = Trials(cases=tuple(b.cases[i] for i in order), values=tuple(b.values[i] for i in order))
    before, after = compare(a, b, margin=0.1), compare(a, mixed, margin=0.1)
    assert before == after


def test_mcnemar_is_exact() -> None:
    """9 gained, 1 lost of 40: p = 2 (C(10,0) + C(10,1)) / 2^10 = 22/1024."""
    a = singles([0] * 9 + [1] + [1] * 30)
    b = singles([1] * 9 + [0] + [1] * 30)
    found = compare(a, b, margin=0.05)
    assert (found.test, found.p) == ("exact McNemar", pytest.approx(22 / 1024))
    assert found.p == pytest.approx(scipy_stats.binomtest(1, 10).pvalue)
    assert (found.mean_a, found.mean_b, found.difference) == pytest.approx((0.775, 0.975, 0.2))
    assert found.verdict == "improved"
    assert found.why.startswith("mean: improved by +0.2 (95% interval +0.0")


def test_sign_flips_are_exact_where_few_cases_differ() -> None:
    """All of 8 rise: 2 of 2^8 patterns of signs are as extreme."""
    a = trials([[0, 0]] * 8)
    b = trials([[0.5, 0.25 + i / 16] for i in range(8)])
    found = compare(a, b, margin=0)
    assert (found.test, found.p) == ("exact sign flip", pytest.approx(2 / 256))
    assert found.verdict == "improved"


def test_groups_are_flipped_as_wholes() -> None:
    groups = [f"g{i // 4}" for i in range(16)]
    found = compare(trials([[0]] * 16, groups), trials([[1]] * 16), margin=0)
    assert (found.n_clusters, found.p) == (4, pytest.approx(2 / 16))
    assert found.verdict == "inconclusive"  # four groups cannot reach 5%


def test_without_bounds_it_is_the_paired_t_interval() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.gamma(2, 3, 60), rng.gamma(2, 3, 60)
    found = compare(singles(a), singles(b), margin=1, bounds=None, better="lower", name="cost")
    test = scipy_stats.ttest_1samp(b - a, 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.p, found.test) == (pytest.approx(test.pvalue), "t, clustered error")


def test_lower_is_better_for_cost() -> None:
    rng = np.random.default_rng(5)
    a = rng.gamma(4, 1, 40)
    cheaper, dearer = singles(a * 0.5), singles(a * 2)
    kwargs: Any = {"margin": 0.2, "bounds": None, "better": "lower", "name": "cost"}
    assert compare(singles(a), cheaper, **kwargs).verdict == "improved"
    assert compare(singles(a), dearer, **kwargs).verdict == "regressed"
    assert "regressed by +" in compare(singles(a), dearer, **kwargs).why


def test_a_small_loss_within_the_margin_is_no_worse() -> None:
    values = [0.5 + i / 1000 for i in range(60)]
    lower = [v - 0.01 + i % 3 / 1000 for i, v in enumerate(values)]
    found = compare(trials([[v, v] for v in values]), trials([[v, v] for v in lower]), margin=0.05)
    assert found.high is not None
    assert found.high < 0
    assert found.verdict == "no worse"
    assert "within the margin of 0.05" in found.why


def test_no_difference_at_all_is_no_certainty() -> None:
    few = compare(singles([1] * 10), singles([1] * 10), margin=0.05)
    assert few.verdict == "inconclusive"
    assert few.low is not None
    assert -0.4 < few.low < -0.3  # 10 cases without a difference leave room for a third
    many = compare(singles([1] * 100), singles([1] * 100), margin=0.05)
    assert (many.verdict, many.p) == ("no worse", 1)


def test_the_same_change_everywhere_is_judged_by_its_signs() -> None:
    kwargs: Any = {"margin": 0.5, "bounds": None, "better": "lower"}
    same = compare(singles([2] * 9), singles([2] * 9), **kwargs)
    assert (same.low, same.verdict) == (None, "no worse")
    assert compare(singles([2] * 9), singles([4] * 9), **kwargs).verdict == "regressed"
    assert compare(singles([2] * 9), singles([1] * 9), **kwargs).verdict == "improved"
    few = compare(singles([2] * 3), singles([4] * 3), **kwargs)
    assert few.verdict == "inconclusive"
    assert few.why.endswith("nor shows a loss. More cases would decide.")


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ([], [], "no case was scored on both sides"),
        ([[1]], [[0]], "one case says nothing of the others; add cases"),
    ],
)
def test_what_cannot_be_said_is_said(a: Any, b: Any, why: str) -> None:
    found = compare(trials(a), trials(b), margin=0.1)
    assert (found.verdict, found.low) == ("inconclusive", None)
    assert why in found.why


def test_only_common_cases_are_compared() -> None:
    a = Trials(cases=("x", "y", "z"), values=((1,), (0,), (1,)))
    b = Trials(cases=("z", "w", "x"), values=((0,), (1,), (1,)))
    found = compare(a, b, margin=0.1)
    assert (found.n_cases, found.only_a, found.only_b) == (2, 1, 1)
    assert (found.mean_a, found.mean_b) == (1, 0.5)


def test_wrong_use_is_refused() -> None:
    a, b = singles([1, 0]), singles([0, 1])
    for margin in (-0.1, nan):
        with pytest.raises(InputError, match="give 0 or more"):
            compare(a, b, margin=margin)
    with pytest.raises(InputError, match="outside"):
        compare(a, singles([0, 7]), margin=0.1)
    with pytest.raises(InputError, match="different groups"):
        compare(trials([[1], [0]], ["g", "h"]), trials([[1], [0]], ["h", "g"]), margin=0.1)


def test_holm_takes_back_a_lucky_find() -> None:
    lucky = compare(singles([0] * 6 + [1] * 34), singles([1] * 40), margin=0.05, name="one")
    assert (lucky.p, lucky.verdict) == (pytest.approx(2 / 64), "improved")
    dull = compare(singles([1, 0] * 20), singles([0, 1] * 20), margin=0.05, name="two")
    unknown = compare(trials([]), trials([]), margin=0.05, name="three")
    found = correct_for_many([lucky, dull, unknown])
    assert found[0].adjusted_p == pytest.approx(2 * 2 / 64)
    assert [c.verdict for c in found] == ["no worse", "inconclusive", "inconclusive"]
    assert [c.adjusted_p for c in found[:2]] == pytest.approx(
        list(multitest.multipletests([lucky.p, dull.p], method="holm")[1])
    )
    assert found[2] == unknown
    assert correct_for_many([]) == ()


@pytest.mark.parametrize("n", [10, 30, 200])
def test_the_detectable_effect_is_that_of_statsmodels(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(size=n)
    found = compare(singles(a), singles(b), margin=1, bounds=None)
    effect = power.TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert found.mde == pytest.approx(effect * float((b - a).std(ddof=1)), rel=0.03)


@pytest.mark.parametrize("seed", [6, 10])
def test_advice_is_enough(seed: int) -> None:
    """With as many more trials as it asks for, 80% of runs with such a difference are decided."""
    rng = np.random.default_rng(seed)
    theta = np.array([0.2, 0.8])[rng.integers(0, 2, 100)]
    found = compare(trials(draw(rng, theta, 2)), trials(draw(rng, theta - 0.1, 2)), margin=0.03)
    assert found.verdict == "inconclusive"
    assert found.difference is not None
    assert found.more_trials is not None
    assert f"about {found.more_trials} more trials of every case" in found.why
    k, worse = 2 + found.more_trials, theta + found.difference
    decided = sum(
        compare(trials(draw(rng, theta, k)), trials(draw(rng, worse, k)), margin=0.03).verdict
        != "inconclusive"
        for _ in range(80)
    )
    assert decided / 80 >= 0.8 - 2 * (0.8 * 0.2 / 80) ** 0.5


def draw(rng: np.random.Generator, theta: NDArray[Any], k: int) -> Any:
    """Passes and fails of k trials of each case."""
    return (rng.random((len(theta), k)) < theta[:, None]).astype(float).tolist()


def simulate(
    p: float, q: float, k: int, cases: int, runs: int, groups: list[str] | None = None
) -> list[Comparison]:
    """Compare simulated runs of cases that differ: their rates are beta with means p and q."""
    rng = np.random.default_rng(23)
    found: list[Comparison] = []
    for _ in range(runs):
        size = cases if groups is None else len(set(groups))
        theta = np.repeat(rng.beta(p, 1 - p, size), cases // size)
        a, b = draw(rng, theta, k), draw(rng, theta * (q / p), k)
        found.append(compare(trials(a, groups), trials(b, groups), margin=0.05))
    return found


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(
    ("k", "cases", "grouped"), [(1, 60, False), (4, 60, False), (2, 120, True)]
)
def test_false_alarms_between_equals(p: float, k: int, cases: int, grouped: bool) -> None:
    runs = 200
    groups = [f"g{i // 2}" for i in range(cases)] if grouped else None
    found = simulate(p, p, k, cases, runs, groups)
    alarms = sum(c.verdict in ("improved", "regressed") for c in found)
    assert alarms / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.parametrize(("p", "q"), [(0.05, 0.05), (0.5, 0.5), (0.98, 0.93), (0.9, 0.8)])
@pytest.mark.parametrize(("k", "cases", "size"), [(1, 60, 1), (4, 30, 1), (2, 90, 3)])
def test_coverage_of_a_true_difference(p: float, q: float, k: int, cases: int, size: int) -> None:
    runs = 2000
    rng = np.random.default_rng(29)
    theta = np.repeat(rng.beta(p, 1 - p, (runs, cases // size)), size, axis=1)
    differences = (rng.binomial(k, theta * (q / p)) - rng.binomial(k, theta)) / k
    groups = None if size == 1 else [f"g{i // size}" for i in range(cases)]
    held = 0
    for d in differences:
        found = difference_interval(clusters(d, groups), 1.0)
        assert found is not None
        held += found[0] <= q - p <= found[1]
    assert held / runs >= 0.94
