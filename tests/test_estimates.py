"""Means, pass@k, pass^k and their intervals: laws, hand-worked examples, simulated coverage."""

from fractions import Fraction
from importlib import import_module
from itertools import combinations, pairwise
from math import isfinite, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.deps.errors import InputError
from assay.evals.statistics.distributions import clopper_pearson, mcnemar_p, t_quantile, wilson
from assay.evals.statistics.estimates import (
    Estimate,
    flaky_cases,
    mean_interval,
    pass_at_k,
    pass_hat_k,
    spread,
)
from assay.evals.statistics.trials import Trials

scipy_stats = import_module("scipy.stats")  # by name, for they have no types
regression = import_module("statsmodels.regression.linear_model")
tables = import_module("statsmodels.stats.contingency_tables")
proportion = import_module("statsmodels.stats.proportion")

Rows = list[list[float | None]]

binary = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=5), max_size=8)
anything = st.lists(
    st.lists(st.none() | st.just(nan) | st.floats(0, 1), min_size=1, max_size=4), max_size=7
)


def trials(rows: Any, groups: list[str] | None = None) -> Trials:
    """One list of values per case."""
    flat = [(f"c{i}", value) for i, row in enumerate(rows) for value in row]
    per_row = (
        None if groups is None else [g for g, row in zip(groups, rows, strict=True) for _ in row]
    )
    return Trials.of([case for case, _ in flat], [value for _, value in flat], per_row)


def everything(t: Trials) -> list[Estimate]:
    found = [mean_interval(t), mean_interval(t, None)]
    return [*found, *pass_at_k(t).values(), *pass_hat_k(t).values()] if t.binary else found


def sound(found: Estimate) -> None:
    """No NaN; an interval that holds its estimate, or a reason why there is none."""
    numbers = [found.mean, found.low, found.high, found.se]
    assert all(isfinite(number) for number in numbers if number is not None)
    assert (found.ci is None) == bool(found.reason)
    if found.ci is not None:
        assert found.mean is not None
        assert found.ci[0] <= found.mean + 1e-12
        assert found.mean - 1e-12 <= found.ci[1]


@settings(deadline=None)
@example([[5e-324], [5e-324]], False)
@given(anything, st.booleans())
def test_degenerate_data_give_no_nan(rows: Rows, grouped: bool) -> None:
    t = trials(rows, [f"g{i % 2}" for i in range(len(rows))] if grouped else None)
    for found in everything(t):
        sound(found)
    assert all(value is None or isfinite(value) for value in vars(spread(t)).values())


@settings(deadline=None)
@given(binary.filter(bool), st.randoms())
def test_order_of_cases_and_trials_does_not_matter(rows: Rows, random: Any) -> None:
    flat = [(f"c{i}", value) for i, row in enumerate(rows) for value in row]
    shuffled = random.sample(flat, len(flat))
    before = everything(Trials.of(*zip(*flat, strict=True)))
    after = everything(Trials.of(*zip(*shuffled, strict=True)))
    for x, y in zip(before, after, strict=True):
        assert (x.mean, x.low, x.high) == pytest.approx((y.mean, y.low, y.high))


@settings(deadline=None)
@given(binary.filter(bool))
def test_pass_at_k_rises_and_pass_hat_k_falls_from_the_mean(rows: Rows) -> None:
    t = trials(rows)
    rising = [found.mean for found in pass_at_k(t).values()]
    falling = [found.mean for found in pass_hat_k(t).values()]
    assert len(rising) == len(falling) == min(map(len, rows))
    assert all(x <= y + 1e-12 for x, y in pairwise(rising) if x and y)
    assert all(x >= y - 1e-12 for x, y in pairwise(falling) if x and y)
    assert rising[0] == pytest.approx(falling[0])
    assert rising[0] == pytest.approx(np.mean([np.mean(np.array(row)) for row in rows]))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 1]), min_size=4, max_size=4), min_size=2, max_size=6))
def test_pass_k_is_the_share_of_subsets(rows: list[list[int]]) -> None:
    """The estimators, by their definition: the mean over all ways to draw k of the trials."""
    t = trials(rows)
    for k in range(1, 5):
        every = [
            Fraction(sum(map(all, c)), len(c)) for c in (list(combinations(r, k)) for r in rows)
        ]
        some = [
            Fraction(sum(map(any, c)), len(c)) for c in (list(combinations(r, k)) for r in rows)
        ]
        assert pass_hat_k(t)[k].mean == pytest.approx(float(sum(every) / len(rows)))
        assert pass_at_k(t)[k].mean == pytest.approx(float(sum(some) / len(rows)))


def test_a_hand_worked_example() -> None:
    """Three cases of 4 trials with 4, 2 and 0 passes; n-1 standard error of 1, 1/2, 0."""
    t = trials([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert [pass_hat_k(t)[k].mean for k in (1, 2, 3, 4)] == pytest.approx(
        [1 / 2, 7 / 18, 1 / 3, 1 / 3]
    )
    assert [pass_at_k(t)[k].mean for k in (1, 2, 3, 4)] == pytest.approx(
        [1 / 2, 11 / 18, 2 / 3, 2 / 3]
    )
    assert mean_interval(t).se == pytest.approx(0.5 / sqrt(3))
    assert spread(t).within == pytest.approx(1 / 9)  # 0, 1/3, 0 on average
    assert spread(t).between == pytest.approx(1 / 4 - 1 / 36)
    assert spread(t).rerun_sd == pytest.approx(sqrt(1 / 9 / 4 / 3))


def test_one_trial_a_case_gives_wilson() -> None:
    found = mean_interval(trials([[1]] * 7 + [[0]] * 3))
    assert found.method == "Wilson"
    assert found.ci == pytest.approx(proportion.proportion_confint(7, 10, method="wilson"))


def test_all_pass_is_not_certainty() -> None:
    alone = mean_interval(trials([[1]] * 20))
    assert alone.ci == pytest.approx((20 / (20 + 1.959964**2), 1.0))
    repeated = mean_interval(trials([[1] * 5] * 20))  # five trials of a case may be one
    assert repeated.low == pytest.approx(20 / (20 + t_quantile(0.975, 19) ** 2))
    grouped = mean_interval(trials([[1]] * 20, [f"g{i // 4}" for i in range(20)]))
    assert grouped.low is not None
    assert repeated.low is not None
    assert grouped.low < repeated.low


@pytest.mark.parametrize(
    ("rows", "groups", "reason"),
    [
        ([], None, "nothing was scored"),
        ([[nan, None]], None, "nothing was scored"),
        ([[1, 0, 1]], None, "one case says nothing of how cases differ; add more"),
        ([[1], [0]], ["g", "g"], "one group says nothing of how groups differ; add more"),
    ],
)
def test_what_cannot_be_said_is_said(rows: Rows, groups: list[str] | None, reason: str) -> None:
    found = mean_interval(trials(rows, groups))
    assert (found.ci, found.reason) == (None, reason)


def test_equal_values_without_bounds_have_no_interval() -> None:
    assert "nothing bounds" in mean_interval(trials([[3.0], [3.0]]), None).reason
    bounded = mean_interval(trials([[3.0], [3.0]]), (1, 5))
    assert bounded.low is not None
    assert 1 < bounded.low < 3


def test_what_is_not_scored_is_counted() -> None:
    t = trials([[1, None, 0], [nan], [1, 1, 1]])
    assert (t.unscored, t.unscored_cases, t.n_trials) == (2, 1, 5)
    assert mean_interval(t).mean == pytest.approx(0.75)
    assert list(pass_hat_k(t)) == [1, 2]


def test_wrong_data_are_refused() -> None:
    with pytest.raises(InputError, match=r"'c1' has the value 2, outside \[0.0, 1.0\]"):
        mean_interval(trials([[1], [2]]))
    with pytest.raises(InputError, match="not 0 or 1"):
        pass_hat_k(trials([[0.5]]))
    with pytest.raises(InputError, match="'a' is in groups 'x' and 'y'"):
        Trials.of(["a", "a"], [1, 0], ["x", "y"])
    with pytest.raises(InputError, match="2 cases but 1 values"):
        Trials.of(["a", "a"], [1])
    with pytest.raises(InputError, match="1 cases but 0 groups"):
        Trials.of(["a"], [1], [])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=6, max_size=30).filter(
        lambda rows: len({g for _, g in rows}) > 1 and len({x for x, _ in rows}) > 1
    )
)
def test_the_clustered_error_is_that_of_statsmodels(rows: list[tuple[float, int]]) -> None:
    x = np.array([value for value, _ in rows])
    groups = np.array([group for _, group in rows])
    fit = regression.OLS(x, np.ones(len(x))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    found = mean_interval(trials([[v] for v in x.tolist()], [str(g) for g in groups]), None)
    assert found.se == pytest.approx(float(fit.bse[0]), rel=1e-6, abs=1e-9)


def test_flaky_cases_are_those_with_both_outcomes() -> None:
    t = trials([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 0], [1]])
    assert [(c.case, c.rate) for c in flaky_cases(t)] == [("c3", 0.5), ("c1", pytest.approx(2 / 3))]
    assert flaky_cases(t, tolerance=0.1) == ()
    assert flaky_cases(trials([[0.5, 1]])) == ()
    often = flaky_cases(trials([[1, 0] * 20]), tolerance=0.1)
    assert (often[0].low, often[0].high) == clopper_pearson(20, 40)


def test_library_functions_say_what_scipy_and_statsmodels_say() -> None:
    for passed, n in ((0, 9), (3, 9), (9, 9), (0, 1)):
        exact: Any = proportion.proportion_confint(passed, n, method="beta")
        assert clopper_pearson(passed, n) == pytest.approx(exact)
        score: Any = proportion.proportion_confint(passed, n, method="wilson")
        assert wilson(passed / n, n, t_quantile(0.975, float("inf"))) == pytest.approx(score)
    for gained, lost in ((0, 0), (1, 0), (7, 1), (3, 3), (12, 30)):
        p = tables.mcnemar(np.array([[5, gained], [lost, 5]]), exact=True).pvalue
        assert mcnemar_p(gained, lost) == pytest.approx(p)
        if gained + lost:
            assert mcnemar_p(gained, lost) == pytest.approx(
                scipy_stats.binomtest(gained, gained + lost).pvalue
            )


def rates(rng: np.random.Generator, p: float, icc: float, shape: tuple[int, ...]) -> NDArray[Any]:
    """True rates of cases: beta with mean p and this correlation between trials of a case."""
    total = 1 / icc - 1
    return rng.beta(p * total, (1 - p) * total, shape)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("cases", "k", "icc"), [(25, 4, 0.3), (30, 2, 0.7), (60, 8, 0.9)])
def test_coverage_of_repeated_trials(p: float, cases: int, k: int, icc: float) -> None:
    rng = np.random.default_rng(7)
    runs = 600
    x = rng.binomial(k, rates(rng, p, icc, (runs, cases))) / k
    assert covers(x, p) >= 0.94


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_coverage_of_grouped_cases(p: float) -> None:
    rng = np.random.default_rng(11)
    theta = np.repeat(rates(rng, p, 0.5, (600, 20)), 3, axis=1)
    x = rng.binomial(2, theta) / 2
    assert covers(x, p, [f"g{i // 3}" for i in range(60)]) >= 0.94


def covers(x: NDArray[Any], p: float, groups: list[str] | None = None) -> float:
    """The share of runs whose interval holds p. A case's mean stands for its trials."""
    names = tuple(map(str, range(x.shape[1])))
    held = 0
    for row in x.tolist():
        # Two halves of each mean: the case has been repeated, so the plain Wilson is not taken.
        t = Trials(
            cases=names,
            values=tuple((v, v) for v in row),
            groups=None if groups is None else tuple(groups),
        )
        found = mean_interval(t)
        assert found.ci is not None
        held += found.ci[0] <= p <= found.ci[1]
    return held / len(x)
