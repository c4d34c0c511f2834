"""What a route buys: laws, on results that nobody asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps import ConfigError
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.resources import LATENCY, TOKENS
from assay.evals.statistics.routes import Coin, Pair, routed
from assay.evals.statistics.trials import Trials
from assay.evals.trade import Trade, weigh


def result(
    case: str, value: float | None, cost: float | None = 1.0, trial: int = 0, **more: Any
) -> TrialResult:
    """Return a trial of a check called `right`; None is a crash."""
    if value is None:
        more["failure"] = Failure(type="E", message="", kind="model")
    said = () if value is None else (Outcome("right", "score", value),)
    return TrialResult(
        case=case, trial=trial, model="m", outcomes=said, requests=1, cost=cost, input_tokens=10,
        duration=1.0, **more,
    )  # fmt: skip


scores = st.sampled_from([0.0, 0.25, 1.0, None])
rows = st.lists(
    st.tuples(scores, scores, st.sampled_from([1.0, 3.0]), st.booleans()), min_size=1, max_size=7
)
Row = tuple[float | None, float | None, float, bool]


def sides(table: Sequence[Row]) -> tuple[list[TrialResult], list[TrialResult], set[str]]:
    small = [result(f"c{i}", row[0]) for i, row in enumerate(table)]
    large = [result(f"c{i}", row[1], 1 + row[2]) for i, row in enumerate(table)]
    return small, large, {f"c{i}" for i, row in enumerate(table) if row[3]}


@given(rows)
def test_a_route_to_one_model_alone_is_that_models_run(table: list[Row]) -> None:
    small, large, _ = sides(table)
    every = {one.case for one in small}
    always_small, always_large = weigh(small, large, ()), weigh(small, large, every)
    assert replace(always_small.routed, model="small") == always_small.small
    assert replace(always_large.routed, model="large") == always_large.large
    assert (always_small.share, always_large.share) == (0, 1)
    assert always_small.coin == always_large.coin == ()
    assert always_large.always_large == ()


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_trials_is_of_no_account(table: list[Row], chance: Any) -> None:
    small, large, sent = sides(table)
    before = figures(weigh(small, large, sent))
    chance.shuffle(small)
    chance.shuffle(large)
    assert figures(weigh(small, large, sent)) == pytest.approx(before)


def figures(found: Trade) -> list[float]:
    compared = (*found.coin, *found.coin_resources, *found.coin_of_same_cost, *found.always_large)
    told = [x for one in compared for x in (one.mean_a, one.mean_b, one.low, one.high, one.p)]
    means = [check.mean for side in found.sides.values() for check in side.checks.values()]
    return [-9.0 if x is None else x for x in (*told, *means, found.share)]


values = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=2,
    max_size=6,
)


def pair_of(table: Iterable[tuple[float, float]], groups: Sequence[str] | None = None) -> Pair:
    table = list(table)
    names = [f"c{i}" for i in range(len(table))]
    return Pair(
        small=Trials.of(names, [row[0] for row in table], groups),
        large=Trials.of(names, [row[1] for row in table], groups),
    )


@given(values, st.data())
def test_a_route_at_random_has_no_advantage_on_the_average(
    table: list[tuple[float, float]], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(table) - 1))
    pair = pair_of(table)
    coins = [Coin.of(pair, sent) for sent in combinations(pair.cases, size)]
    found = [coin.route - coin.coin for coin in coins if coin is not None]
    assert len(found) == len(coins)
    assert np.mean(found) == pytest.approx(0, abs=1e-12)


@given(values, st.data())
def test_the_opposite_route_loses_what_a_route_wins(
    table: list[tuple[float, float]], data: st.DataObject
) -> None:
    pair = pair_of(table)
    sent = data.draw(st.sets(st.sampled_from(pair.cases), min_size=1, max_size=len(table) - 1))
    one, other = Coin.of(pair, sent), Coin.of(pair, set(pair.cases) - sent)
    assert one is not None
    assert other is not None
    assert one.parts == pytest.approx(-other.parts)
    assert one.parts.mean() == pytest.approx(one.route - one.coin)
    assert routed(pair, sent).means.mean() == pytest.approx(one.route)
    ahead, behind = (coin.compared("x", margin=0) for coin in (one, other))
    assert (ahead.low, ahead.high) == pytest.approx((-(behind.high or 0), -(behind.low or 0)))


@given(st.integers(2, 30), st.sets(st.integers(0, 29), min_size=1))
def test_where_large_gains_the_same_everywhere_no_route_is_ahead(n: int, at: set[int]) -> None:
    pair = pair_of([(0.25, 0.75)] * n)
    coin = Coin.of(pair, {f"c{i}" for i in at})
    if coin is not None:
        found = coin.compared("x", margin=0.05)
        assert (found.difference, found.p, found.test) == (0, 1, "exact sign flip")


def test_a_coin_of_the_same_cost_is_what_a_dear_route_has_to_beat() -> None:
    # Large is right everywhere and small nowhere; the route sends the one case that costs 9 more.
    pair = pair_of([(0.0, 1.0)] * 4)
    prices = pair_of([(1.0, 10.0), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0)])
    same_share, same_cost = Coin.of(pair, {"c0"}), Coin.of(pair, {"c0"}, prices)
    assert same_share is not None
    assert same_cost is not None
    assert (same_share.coin, same_share.route) == (0.25, 0.25)
    assert (same_cost.share, same_cost.coin, same_cost.route) == (0.75, 0.75, 0.25)
    assert same_cost.parts.mean() == pytest.approx(-0.5)


def test_cases_of_one_group_count_as_one() -> None:
    table = [(0.0, 1.0), (1.0, 1.0)] * 12
    alone, grouped = pair_of(table), pair_of(table, [f"g{i // 8}" for i in range(24)])
    sent = {f"c{i}" for i in range(0, 24, 2)}
    by_case, by_group = (Coin.of(pair, sent) for pair in (alone, grouped))
    assert by_case is not None
    assert by_group is not None
    one, other = by_case.compared("x", margin=0.05), by_group.compared("x", margin=0.05)
    assert (one.n_clusters, one.verdict) == (24, "improved")
    assert (other.n_clusters, other.verdict) == (3, "inconclusive")
    assert routed(grouped, sent).groups is not None


def test_a_crash_is_no_right_answer_and_a_case_of_one_run_is_left_out() -> None:
    small = [result("a", 1.0), result("b", None), result("c", 1.0)]
    large = [result("a", 1.0), result("b", 1.0), result("d", 1.0)]
    found = weigh(small, large, {"b"})
    assert (found.cases, found.left_out, found.share) == (2, 2, 0.5)
    assert found.small.errors == 1
    assert [side.checks["right"].mean for side in found.sides.values()] == [0.5, 1, 1]
    assert found.routed.errors == 0


@pytest.mark.parametrize(
    "more", [{"cost": None}, {"replayed": True}], ids=["unknown price", "replayed"]
)
def test_without_prices_there_is_no_verdict_on_cost(more: dict[str, Any]) -> None:
    names = [f"c{i}" for i in range(4)]
    small = [replace(result(name, 0.0), **more) for name in names]
    found = weigh(small, [result(name, 1.0) for name in names], set(names[:2]))
    assert found.small.cost_per_1000 is None
    assert found.coin_of_same_cost == ()
    assert [one.name for one in found.coin_resources] == [LATENCY, TOKENS]
    assert len(found.coin) == 1


@pytest.mark.parametrize(
    ("small", "large", "share", "knows", "n"),
    [(0.5, 0.8, 0.3, 0.0, 60), (0.9, 0.98, 0.3, 1.0, 51), (0.6, 0.9, 0.3, 1.0, 60)],
)
def test_the_interval_covers_what_it_should(
    small: float, large: float, share: float, knows: float, n: int
) -> None:
    rng = np.random.default_rng(7)
    slope = 0.2 if knows else 0.0

    def drawn(n: int) -> tuple[Any, Any, Any, Any]:
        hard = rng.random(n)
        rate = small + slope * (0.5 - hard)
        return rng.random(n) < rate, rng.random(n) < large, hard > 1 - share, large - rate

    _, _, sent, gain = drawn(1_000_000)
    truth = float((gain * (sent - sent.mean())).mean()) if knows else 0.0
    covered, improved, drawings = 0, 0, 200
    for _ in range(drawings):
        left, right, sent, _ = drawn(n)
        coin = Coin.of(
            pair_of(zip(left.astype(float), right.astype(float), strict=True)),
            {f"c{i}" for i in np.flatnonzero(sent)},
        )
        assert coin is not None
        found = coin.compared("x", margin=0.05)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
        improved += found.verdict == "improved"
    assert covered / drawings >= 0.92
    assert knows or improved / drawings <= 0.05


async def test_runs_without_a_case_in_common_are_refused() -> None:
    with pytest.raises(ConfigError, match="no case in common"):
        weigh([result("a", 1.0)], [result("b", 1.0)], ())
