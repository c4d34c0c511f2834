"""Stopping early: boundaries against published tables, and validity by simulation.

The limits on simulated rates allow two Monte Carlo standard errors: with 2,000 runs 5% is accepted
up to 5.97%.
"""

from math import sqrt
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from assay.deps.errors import InputError
from assay.evals.statistics.betting import confidence_sequence
from assay.evals.statistics.boundaries import Spending, boundaries, crossing, plan, spent
from assay.evals.statistics.comparison import Verdict
from assay.evals.statistics.sequential import GATE, Codes, Decider, Looks, trials_needed
from assay.evals.statistics.trials import Floats, Trials

pytestmark = pytest.mark.slow

RUNS = 2000
LIMIT = 0.05 + 2 * sqrt(0.05 * 0.95 / RUNS)
EVERYTHING: tuple[Verdict, ...] = ("improved", "no worse", "regressed")
FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

# mean, trials per case and side, between-case spread of the rates (0: all alike), seed
SHAPES = {
    "near 0": (0.03, 1, 0.0, 1),
    "half": (0.5, 1, 0.0, 2),
    "near 1": (0.97, 1, 0.0, 3),
    "near 0, clustered": (0.03, 4, 0.5, 4),
    "half, clustered": (0.5, 4, 0.7, 5),
    "near 1, clustered": (0.97, 4, 0.5, 6),
}


def differences(shape: str, cases: int, effect: float = 0.0, runs: int = RUNS) -> Floats:
    """Draw the differences of cases' means; trials of a case share its rate."""
    mean, trials, spread, seed = SHAPES[shape]
    random = np.random.default_rng(seed)
    rates = np.full((runs, cases, 1), mean)
    if spread:
        total = 1 / spread - 1  # of a beta distribution with this intra-class correlation
        rates = random.beta(mean * total, (1 - mean) * total, rates.shape)
    a = random.random((runs, cases, trials)) < rates
    b = random.random((runs, cases, trials)) < rates
    if effect > 0:
        b |= random.random(b.shape) < effect / (1 - mean)
    elif effect < 0:
        b &= random.random(b.shape) >= -effect / mean
    return b.mean(axis=2) - a.mean(axis=2)


def run(looks: Looks, d: Floats) -> tuple[Codes, Floats, Floats, Floats]:
    """Return each run's verdict code, interval when it stopped, and cases used."""
    codes = np.zeros(len(d), dtype=np.int8)
    low, high, stop = np.empty(len(d)), np.empty(len(d)), np.empty(len(d))
    times: tuple[float, ...] = ()
    for n in looks.sizes():
        times = (*times, min(1.0, n / looks.horizon))
        going = codes == 0
        found, new = looks.at(d[:, :n], times)
        codes[going] = new[going]
        low[going], high[going], stop[going] = found.low[going], found.high[going], n
    return codes, low, high, stop


# -- Boundaries


def test_obrien_fleming_spending_meets_the_published_values() -> None:
    # Lan and DeMets 1983; ldbounds and Jennison and Turnbull 2000, table 7.1 (K = 5).
    published = [4.877, 3.357, 2.680, 2.290, 2.031]
    assert boundaries(FIFTHS) == pytest.approx(published, abs=6e-4)


def test_pocock_spending_meets_the_published_values() -> None:
    published = [2.438, 2.427, 2.410, 2.397, 2.386]
    found = boundaries(FIFTHS, spending="pocock")
    assert found == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(
    "bounds",
    [
        [4.562, 3.226, 2.634, 2.281, 2.040],  # O'Brien and Fleming 1979
        [2.413] * 5,  # Pocock 1977
    ],
)
def test_the_exact_designs_have_an_error_of_5_percent(bounds: list[float]) -> None:
    left = crossing(FIFTHS, [-b for b in bounds], bounds)
    assert sum(left.above) + sum(left.below) == pytest.approx(0.05, abs=1e-4)
    assert left.above == pytest.approx(left.below)


def test_the_recursion_agrees_with_the_multivariate_normal() -> None:
    times, bounds = np.array([0.3, 0.55, 1.0]), np.array([2.6, 2.3, 2.1])
    covariance = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    drift = 1.3
    normal = cast(Any, stats).multivariate_normal(drift * np.sqrt(times), covariance)
    inside = float(normal.cdf(bounds, lower_limit=-bounds))
    left = crossing(times.tolist(), (-bounds).tolist(), bounds.tolist(), drift)
    assert 1 - sum(left.above) - sum(left.below) == pytest.approx(inside, abs=1e-4)


@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6, unique=True))
@settings(max_examples=20, deadline=None)
def test_any_looks_spend_what_is_due_and_no_more(times: list[float]) -> None:
    looks = tuple(sorted({round(t, 2) for t in times}))
    for spending in ("obrien-fleming", "pocock", "linear"):
        bounds = boundaries(looks, 0.05, spending)
        left = crossing(looks, [-b for b in bounds], bounds)
        due = spent(looks[-1], 0.05, spending)
        assert sum(left.above) + sum(left.below) == pytest.approx(due, abs=1e-6)
        assert spent(0, 0.05, spending) == 0
        assert spent(1, 0.05, spending) == pytest.approx(0.05)


def test_looks_must_advance() -> None:
    with pytest.raises(ValueError, match="looks must advance"):
        boundaries((0.5, 0.5))


@pytest.mark.parametrize("looks", [1, 2, 5, 20])
def test_a_plan_has_its_power_and_futility_is_free(looks: int) -> None:
    found = plan(looks, spending="linear")
    with_futility = crossing(found.times, found.futile, found.upper, found.drift)
    assert sum(with_futility.above) == pytest.approx(0.8, abs=1e-6)
    without = crossing(found.times, [-b for b in found.upper], found.upper)
    assert sum(without.above) + sum(without.below) <= 0.05 + 1e-9
    assert all(f <= u for f, u in zip(found.futile, found.upper, strict=True))
    if looks == 1:
        assert found.inflation() == pytest.approx(1.0, abs=1e-6)
    else:
        assert 1 < found.inflation() < 1.6


# -- Validity


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("horizon", [40, 200])
def test_aa_false_alarms_with_a_horizon(shape: str, horizon: int) -> None:
    # Nothing but a difference or the horizon stops these runs: the most looks there can be.
    looks = Looks(horizon=horizon, margin=0.0, seek=EVERYTHING)
    codes, low, high, _ = run(looks, differences(shape, horizon))
    assert ((low > 0) | (high < 0)).mean() <= LIMIT
    assert np.isin(codes, (1, 3)).mean() <= LIMIT
    assert ((low <= 0) & (high >= 0)).mean() >= 0.94


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seek", [GATE, ("improved",)])
def test_coverage_when_stopped(shape: str, seek: tuple[Verdict, ...]) -> None:
    away = 0.08 if SHAPES[shape][0] <= 0.5 else -0.08
    for effect in (0.0, away):
        looks = Looks(horizon=200, margin=0.05, seek=seek)
        codes, low, high, _ = run(looks, differences(shape, 200, effect))
        assert ((low <= effect) & (effect <= high)).mean() >= 0.94
        assert (codes > 0).all()
        wrong = (3,) if effect > 0 else (1, 2) if effect < -0.05 else (1, 3)
        assert np.isin(codes, wrong).mean() <= LIMIT


@pytest.mark.parametrize("shape", SHAPES)
def test_aa_false_alarms_without_a_horizon(shape: str) -> None:
    low, high = confidence_sequence(differences(shape, 120), points=101)
    assert ((low > 0) | (high < 0)).any(axis=1).mean() <= LIMIT
    assert ((low <= 0) & (high >= 0)).all(axis=1).mean() >= 0.94
    away = 0.2 if SHAPES[shape][0] <= 0.5 else -0.2
    d = differences(shape, 120, away, runs=500)
    low, high = confidence_sequence(d, points=101)
    stop = np.where(
        ((low > 0) | (high < 0)).any(axis=1), ((low > 0) | (high < 0)).argmax(axis=1), 119
    )
    rows = np.arange(len(d))
    assert ((low[rows, stop] <= away) & (away <= high[rows, stop])).mean() >= 0.94


def test_it_saves_calls_at_the_fixed_designs_power() -> None:
    looks = Looks(horizon=200, margin=0.1, seek=("improved",))
    fixed = looks.fixed_cases
    d = differences("half", 200)
    effect = 2.8016 * d.std() / sqrt(fixed)
    codes, _, _, stop = run(looks, differences("half", 200, effect))
    assert (codes == 1).mean() >= 0.78
    assert stop.mean() <= 0.8 * fixed
    _, _, _, stop = run(looks, d)
    assert stop.mean() <= 0.55 * fixed


# -- The confidence sequence


def test_the_sequence_is_nested_and_holds_the_estimate() -> None:
    d = differences("half, clustered", 200, 0.1, runs=200)
    low, high = confidence_sequence(d, points=201)
    assert (np.diff(low, axis=1) >= 0).all()
    assert (np.diff(high, axis=1) <= 0).all()
    means = np.cumsum(d, axis=1) / np.arange(1, 201)
    assert ((low <= means) & (means <= high)).mean() >= 0.99
    assert ((low[:, -1] <= means[:, -1]) & (means[:, -1] <= high[:, -1])).mean() >= 0.99


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_sequence_is_nested_and_mirrors(values: list[float]) -> None:
    d = np.array([values])
    low, high = confidence_sequence(d, points=101)
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert (low <= high).all()
    assert low.min() >= -1
    assert high.max() <= 1
    mirrored = confidence_sequence(-d, points=101)
    np.testing.assert_allclose(mirrored[0], -high, atol=0.05)


def test_a_sequence_refuses_what_is_out_of_bounds() -> None:
    for value in (1.5, float("nan")):
        with pytest.raises(ValueError, match="outside"):
            confidence_sequence(np.array([[0.0, value]]))


# -- The decider


@pytest.mark.parametrize("horizon", [None, 2, 5, 60])
@pytest.mark.parametrize("seek", [GATE, ("improved",), EVERYTHING])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.25])
def test_degenerate_input_is_never_nan(
    horizon: int | None, seek: tuple[Verdict, ...], value: float
) -> None:
    for margin in (0.0, 0.05):
        decider = Decider(margin=margin, horizon=horizon, seek=seek)
        decision = decider.decision
        for _ in range(60):
            decision = decider.feed([value])
            assert -1 <= decision.low <= decision.high <= 1
            assert decision.difference == pytest.approx(value)
            assert "nan" not in decision.why
        assert decision.settled or horizon is None
        wrong = "regressed" if value >= 0 else "improved"
        assert decision.verdict != wrong
        assert value != 0 or decision.verdict != "improved"


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock", "linear"])
def test_no_bound_is_too_far_for_an_interval(spending: Spending) -> None:
    looks = Looks(horizon=500, margin=0.1, looks=100, spending=spending)
    for value in (0.0, 1.0):
        found, _ = looks.at(np.full((1, 10), value), (0.001,))
        assert np.isfinite([found.low, found.high, found.z, found.z_margin]).all()


def test_large_differences_are_settled_early() -> None:
    for horizon in (None, 100):
        assert Decider(margin=0.05, horizon=horizon).feed([1.0] * 30).verdict == "improved"
        assert Decider(margin=0.05, horizon=horizon).feed([-1.0] * 30).verdict == "regressed"
    found = Decider(margin=0.1, horizon=100).feed([0.0] * 100)
    assert found.verdict == "no worse"
    assert Decider(margin=0.1).feed([0.0] * 1000).verdict == "no worse"


@pytest.mark.parametrize("seek", [GATE, ("improved",)])
def test_the_decider_does_what_the_arrays_do(seek: tuple[Verdict, ...]) -> None:
    d = differences("half", 60, runs=40)
    looks = Looks(horizon=60, margin=0.1, looks=6, seek=seek)
    codes, low, high, stop = run(looks, d)
    names = (None, "improved", "no worse", "regressed", "inconclusive")
    for i, row in enumerate(d):
        decider = Decider(margin=0.1, horizon=60, looks=6, seek=seek)
        decision = decider.decision
        for value in row:
            decision = decider.feed([float(value)])
        assert decision.verdict == names[codes[i]]
        assert (decision.low, decision.high, decision.n_cases) == (low[i], high[i], stop[i])


def test_batches_of_any_size_reach_a_verdict_and_late_cases_change_nothing() -> None:
    row = differences("half", 300, runs=1)[0].tolist()
    for size in (1, 7, 64, 300):
        decider = Decider(margin=0.1, horizon=100)
        decision = decider.decision
        for start in range(0, 300, size):
            decision = decider.feed(row[start : start + size])
        assert decision.settled
        assert decider.feed([1.0] * 50) is decision
        assert f"after {decision.n_cases} of 100 cases" in decision.why
        assert decider.fixed_cases is not None
        assert 60 < decider.fixed_cases < 100
    assert Decider(margin=0.1).fixed_cases is None
    assert not Decider(margin=0.1).feed([]).settled


def test_futility_stops_before_the_horizon() -> None:
    decider = Decider(margin=0.01, horizon=200, seek=("improved",))
    decision = decider.feed([0.5, -0.6] * 50)
    assert decision.verdict == "inconclusive"
    assert "no verdict is likely" in decision.why


def test_the_decider_says_what_is_wrong_with_its_input() -> None:
    with pytest.raises(InputError, match="margin is -1"):
        Decider(margin=-1)
    with pytest.raises(InputError, match="give 2 or more"):
        Decider(margin=0, horizon=1)
    with pytest.raises(InputError, match="give 1 to 100"):
        Decider(margin=0, horizon=500, looks=500)
    with pytest.raises(InputError, match="give one or more of"):
        Decider(margin=0, seek=("inconclusive",))
    for value in (2.0, float("nan")):
        with pytest.raises(InputError, match=r"outside \[-1, 1\]"):
            Decider(margin=0).feed([value])


# -- Which trials to pay for


def test_settled_cases_need_one_trial() -> None:
    reference = Trials.of("aabbccd", [1, 1, 0, 1, 0, 0, 1])
    assert trials_needed(reference, 4) == {"a": 1, "b": 4, "c": 1, "d": 4}


def test_choosing_by_the_reference_alone_is_unbiased() -> None:
    random = np.random.default_rng(8)
    rates = random.beta(0.5, 0.5, (100_000, 1))
    a = random.random((100_000, 2)) < rates
    b = (random.random((100_000, 4)) < rates) | (random.random((100_000, 4)) < 0.1)
    once = a[:, 0] == a[:, 1]
    d = np.where(once, b[:, 0], b.mean(axis=1)) - a.mean(axis=1)
    assert abs(d.mean() - 0.05) <= 3 * d.std() / sqrt(len(d))
