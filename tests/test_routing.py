"""A route between two models: what it buys, paid for once, and whether a coin would do as well."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import ConfigError, Endpoint, Models
from assay.deps.models import by_name
from assay.evals import RunStore, Suite, Trial
from assay.evals.cli import main
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.resources import COST, LATENCY, TOKENS
from assay.evals.routing import retrade, trade
from assay.evals.statistics.routes import Coin, Pair, routed
from assay.evals.statistics.trials import Trials
from assay.evals.trade import Trade, weigh

from .loopback import Provider

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"  # names with a price
TEXTS = [f"text {i:02}" + " and more" * (5 * (i % 2)) for i in range(24)]


class Shout(BaseModel):
    """A text in capitals."""

    text: str


@dataclass(frozen=True)
class Deps:
    """What the agent is given."""

    models: Models = field(default_factory=Models)


shouter = Agent(
    "small", name="shouter", deps_type=Deps, output_type=Shout, capabilities=[by_name()]
)


async def shout(text: str, trial: Trial) -> str:
    done = await shouter.run(text, deps=Deps(trial.models), usage=trial.usage)
    return done.output.text


def shouting() -> Suite[str, str]:
    cases = [Case(name=text, inputs=text, expected_output=text.upper()) for text in TEXTS]
    data = Dataset[str, str, Any](name="shouting", cases=cases, evaluators=[EqualsExpected()])
    return Suite(name="shouting", task=shout, data=data)


def by_length(text: str) -> str:
    return "large" if len(text) > 20 else "small"


def by_names(text: str) -> str:
    return LARGE if len(text) > 20 else SMALL


def backwards(text: str) -> str:
    return "small" if len(text) > 20 else "large"


def forgetful(request: dict[str, Any]) -> dict[str, Any]:
    """Answer in capitals; the small model loses the end of long texts."""
    text: str = request["messages"][-1]["content"]
    return {"text": text.upper()[: 20 if request["model"] == SMALL else None]}


@pytest.fixture
def there(provider: Provider) -> Models:
    provider.answer = forgetful
    roles = {"small": SMALL, "large": LARGE}
    return Models(default=SMALL, roles=roles, endpoint=Endpoint(provider.url))


# -- over real HTTP


async def test_a_route_pays_where_it_sends_the_hard_cases_to_large(
    there: Models, provider: Provider
) -> None:
    found = await trade(shouting(), by_length, models=there)
    await there.aclose()
    asked = [request["model"] for request in provider.requests]
    assert (asked.count(SMALL), asked.count(LARGE)) == (24, 24)  # both once, the route for nothing
    means = {name: side.checks["EqualsExpected"].mean for name, side in found.sides.items()}
    assert means == {"small": 0.5, "large": 1.0, "routed": 1.0}
    assert (found.route, found.share, found.cases, found.left_out) == ("by_length", 0.5, 24, 0)
    (check,) = found.coin
    assert (check.mean_a, check.mean_b, check.verdict) == (0.75, 1.0, "improved")
    assert check.low is not None
    assert 0 < check.low < 0.25
    (beside_large,) = found.always_large
    assert (beside_large.mean_a, beside_large.mean_b) == (1.0, 1.0)


async def test_what_a_route_costs_is_told_for_1000_cases(there: Models) -> None:
    found = await trade(shouting(), by_length, models=there)
    await there.aclose()
    costs = [side.cost_per_1000 for side in found.sides.values()]
    # 100 tokens in, 10 out: $0.15 and $0.60 a million on small, $2.50 and $10 on large.
    assert costs == pytest.approx([0.021, 0.35, (0.021 + 0.35) / 2])
    assert [side.tokens_per_trial for side in found.sides.values()] == [110, 110, 110]
    by_name = {one.name: one for one in found.coin_resources}
    assert set(by_name) == {COST, LATENCY, TOKENS}
    assert by_name[COST].difference == pytest.approx(0)
    (same_cost,) = found.coin_of_same_cost  # every case costs the same: it is the same coin
    assert same_cost.difference == pytest.approx(found.coin[0].difference)


async def test_any_other_route_is_weighed_on_the_same_runs(
    there: Models, provider: Provider, tmp_path: Path
) -> None:
    store = RunStore(str(tmp_path / "runs.db"))
    first = await trade(shouting(), by_length, models=there, store=store)
    await there.aclose()
    asked = len(provider.requests)
    small, large = map(store.run, first.runs)
    assert (small.model, large.model) == (SMALL, LARGE)
    again = retrade(shouting(), by_names, store=store, small=small, large=large)
    assert again.coin == first.coin
    wrong = retrade(shouting(), backwards, store=store, small=small, large=large)
    assert [one.verdict for one in wrong.coin] == ["regressed"]
    assert wrong.routed.checks["EqualsExpected"].mean == 0.5
    assert len(provider.requests) == asked


# -- what is wrong is told before anything is paid


def elsewhere(text: str) -> str:
    return "medium"


def broken(text: str) -> str:
    return "large" if 1 / text.count("no such words") else "small"


def nowhere(text: str) -> Any:
    return None


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (elsewhere, "sends case 'text 00' to 'medium'; only 'small' and 'large' are compared"),
        (broken, "the route 'broken' fails on case 'text 00': ZeroDivisionError"),
        (nowhere, "sends case 'text 00' to None"),
    ],
)
async def test_a_route_that_is_wrong_costs_nothing(
    route: Callable[[Any], str], says: str, there: Models, provider: Provider
) -> None:
    with pytest.raises(ConfigError, match=says):
        await trade(shouting(), route, models=there)
    assert provider.requests == []


async def test_two_names_for_one_model_are_refused() -> None:
    async def whole(text: str) -> str:
        return text

    said = "both 'baseline, not an LLM' for suite 'shouting'; name two models with ASSAY_SMALL"
    with pytest.raises(ConfigError, match=said):
        await trade(shouting(), by_length)
    own = Suite.of(Dataset[str, str, Any](name="own", cases=shouting().dataset().cases), whole)
    with pytest.raises(ConfigError, match='both "whole\'s own"'):
        await trade(own, by_length, small="openai:a", large="openai:b")


async def test_runs_without_a_case_in_common_are_refused() -> None:
    with pytest.raises(ConfigError, match="no case in common"):
        weigh([result("a", 1.0)], [result("b", 1.0)], ())


# -- the command


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str


Assay = Callable[..., Said]

ROUTES = """
def by_length(text: str) -> str:
    return "large" if len(text) > 20 else "small"

def backwards(text: str) -> str:
    return "small" if len(text) > 20 else "large"

def always(text: str) -> str:
    return "large"

answer = 42
"""


@pytest.fixture
def assay(
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Assay:
    """Run `assay route` in a folder with routes, on the suite of this file."""
    provider.answer = forgetful
    (tmp_path / "routes.py").write_text(ROUTES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_BASE_URL", provider.url)

    def load(name: str) -> Suite[str, str]:
        return shouting()

    monkeypatch.setattr(import_module("assay.evals.cli.route"), "load", load)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", "route", "mine.py:suite", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
        seen = capsys.readouterr()
        return Said(int(e.value.code or 0), " ".join((seen.out + seen.err).split()))

    return run


NAMED = ("--small", SMALL, "--large", LARGE)


def test_the_command_shows_the_trade_and_how_to_try_another_route(
    assay: Assay, provider: Provider, tmp_path: Path
) -> None:
    told = assay("--by", "routes.py:by_length", *NAMED, "--json", "x.json")
    assert told.code == 0
    assert "shouting by by_length: 50% of 24 cases to large" in told.out
    assert "$0.0210" in told.out
    assert (
        "beside a coin that sends 50% of the cases to large: EqualsExpected: improved" in told.out
    )
    assert "beside large for every case, at 53% of its cost: EqualsExpected: " in told.out
    found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert found["coin"][0]["verdict"] == "improved"
    asked = len(provider.requests)
    worse = assay("--by", "routes.py:backwards", "--runs", *found["runs"])
    assert (worse.code, len(provider.requests)) == (1, asked)
    assert "EqualsExpected: regressed" in worse.out
    constant = assay("--by", "routes.py:always", "--runs", *found["runs"])
    assert constant.code == 0
    assert "sends all cases to large: there is no coin" in constant.out
    assert f"--by ... --runs {' '.join(found['runs'])}" in constant.out


def test_a_provider_that_fails_is_not_the_routes_fault(assay: Assay, provider: Provider) -> None:
    provider.dies_after = 40
    told = assay("--by", "routes.py:by_length", "--small", "a", "--large", "b")
    assert told.code == 3
    assert "trials on large crashed; they count as 0" in told.out
    assert "cost on small is unknown: its price is unknown" in told.out


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("by_length", "the route 'by_length' is no place; give package.module:function"),
        ("nowhere:by_length", "the route 'nowhere:by_length' cannot be found"),
        ("routes.py:missing", "is no function: there is nothing of that name in 'routes.py'"),
        ("routes.py:answer", "is no function: there is a int in 'routes.py'"),
    ],
)
def test_a_route_that_is_not_there_is_wrong_usage(by: str, says: str, assay: Assay) -> None:
    told = assay("--by", by, *NAMED)
    assert told.code == 2
    assert says in told.out


# -- laws, on results that nobody asked for


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
