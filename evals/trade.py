"""What a route buys, weighed from the trials of the same cases on a small and a large model."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..deps.errors import ConfigError
from .outcome import TrialResult
from .report import estimate_of, trials_by_check
from .resources import COST, SHARE, ResourceUse, trials_by_resource
from .statistics.comparison import Comparison, compare, correct_for_many
from .statistics.estimates import Estimate
from .statistics.routes import Coin, Pair, routed
from .statistics.trials import UNIT, Bounds, Trials
from .verdicts import MARGIN

__all__ = ("Side", "Trade", "weigh")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What all cases came to in one way: all on small, all on large, or as a route sends them.

    Attributes:
        model: What answered, in words.
        checks: Check to its mean, with the 95% interval.
        use: Dollars, tokens and seconds.
        errors: Trials whose task crashed; they count as 0 in every check.
        provider_errors: Of these, those that a provider failed.
    """

    model: str
    checks: Mapping[str, Estimate]
    use: ResourceUse
    errors: int
    provider_errors: int

    @property
    def cost_per_1000(self) -> float | None:
        """US dollars of 1,000 trials; None where a price is unknown or a trial was replayed."""
        use = self.use
        if use.cost is None or use.replayed or not use.trials:
            return None
        return 1000 * use.cost / use.trials

    @property
    def tokens_per_trial(self) -> float:
        """Input and output tokens."""
        return self.use.tokens / self.use.trials if self.use.trials else 0.0


@dataclass(frozen=True, kw_only=True)
class Trade:
    """What a route buys, and for what.

    Attributes:
        route: The route's name.
        cases: That both runs have; nothing else is counted.
        left_out: Cases that only one of them has.
        share: Of the cases that the route sends to large.
        coin: The route compared with a coin that sends the same share, check by check; a check
            that does not apply to all cases is compared on those to which it does, with the
            share of these. Empty where the route sends all cases to one model.
        coin_resources: The same of cost, latency and tokens.
        coin_of_same_cost: The route compared with a coin that costs as much; empty where there is
            none, or prices are unknown.
        always_large: The route compared with large for every case; empty where it is that.
        runs: The ids of the two runs, where they are stored: on small, and on large.
    """

    suite: str
    route: str
    cases: int
    left_out: int
    share: float
    small: Side
    large: Side
    routed: Side
    coin: tuple[Comparison, ...]
    coin_resources: tuple[Comparison, ...]
    coin_of_same_cost: tuple[Comparison, ...]
    always_large: tuple[Comparison, ...]
    runs: tuple[str, ...] = ()

    @property
    def sides(self) -> Mapping[str, Side]:
        return {"small": self.small, "large": self.large, "routed": self.routed}


def weigh(
    small: Iterable[TrialResult],
    large: Iterable[TrialResult],
    sent: Collection[str],
    *,
    suite: str = "",
    route: str = "",
    models: tuple[str, str] = ("small", "large"),
    margin: float = MARGIN,
    runs: tuple[str, ...] = (),
) -> Trade:
    """Weigh what a route buys, from the trials of the same cases on two models.

    Args:
        small: The trials on the small model.
        large: The trials on the large one.
        sent: The cases that the route sends to large, by their keys (else their names).
        suite: The suite's name.
        route: The route's name.
        models: What answered on small and on large, in words.
        margin: How much worse a mean may be and still be no worse.
        runs: The ids of the two runs.

    Raises:
        ConfigError: the two sides have no case in common.
    """
    left, right = list(small), list(large)
    common = set(map(_key, left)) & set(map(_key, right))
    if not common:
        raise ConfigError(
            f"the runs on {models[0]!r} and {models[1]!r} have no case in common, unchanged; "
            "run both again"
        )
    alone = (set(map(_key, left)) | set(map(_key, right))) - common
    left, right = ([r for r in side if _key(r) in common] for side in (left, right))
    mixed = [r for r in left if _key(r) not in sent] + [r for r in right if _key(r) in sent]
    checks = _pairs(*(trials_by_check(side, by_key=True) for side in (left, right)))
    used = _pairs(*map(trials_by_resource, (left, right)))
    on_small = _side(models[0], left, {name: pair.small for name, pair in checks.items()})
    on_large = _side(models[1], right, {name: pair.large for name, pair in checks.items()})
    if on_small.cost_per_1000 is None or on_large.cost_per_1000 is None:
        del used[COST]
    values = {name: routed(pair, sent) for name, pair in checks.items()}
    return Trade(
        suite=suite,
        route=route,
        cases=len(common),
        left_out=len(alone),
        share=len(common.intersection(sent)) / len(common),
        small=on_small,
        large=on_large,
        routed=_side("; ".join(models), mixed, values),
        coin=_against_coin(checks, sent, margin),
        coin_resources=_against_coin_in(used, sent),
        coin_of_same_cost=_against_coin(checks, sent, margin, used[COST]) if COST in used else (),
        always_large=correct_for_many(
            compare(pair.large, values[name], margin=margin, bounds=_bounds(pair), name=name)
            for name, pair in checks.items()
            if not common.issubset(sent)
        ),
        runs=runs,
    )


def _key(result: TrialResult) -> str:
    return result.key or result.case


def _pairs(small: Mapping[str, Trials], large: Mapping[str, Trials]) -> dict[str, Pair]:
    """Return what both sides have."""
    return {n: Pair(small=small[n], large=large[n]) for n in small if n in large}


def _side(model: str, results: list[TrialResult], checks: Mapping[str, Trials]) -> Side:
    failures = [result.failure for result in results if result.failure is not None]
    return Side(
        model=model,
        checks={name: estimate_of(trials) for name, trials in checks.items()},
        use=ResourceUse.of(results),
        errors=len(failures),
        provider_errors=sum(failure.kind == "provider" for failure in failures),
    )


def _bounds(pair: Pair) -> Bounds | None:
    """Return what values are possible; scores outside [0, 1] have no known bounds."""
    values = (*pair.small.values, *pair.large.values)
    return UNIT if all(0 <= value <= 1 for scored in values for value in scored) else None


def _against_coin(
    checks: Mapping[str, Pair], sent: Collection[str], margin: float, prices: Pair | None = None
) -> tuple[Comparison, ...]:
    coins = {name: Coin.of(pair, sent, prices) for name, pair in checks.items()}
    return correct_for_many(
        coin.compared(name, margin=margin, bounds=_bounds(checks[name]))
        for name, coin in coins.items()
        if coin is not None
    )


def _against_coin_in(
    resources: Mapping[str, Pair], sent: Collection[str]
) -> tuple[Comparison, ...]:
    coins = {name: Coin.of(pair, sent) for name, pair in resources.items()}
    return correct_for_many(
        coin.compared(name, margin=SHARE * abs(coin.coin), better="lower", bounds=None)
        for name, coin in coins.items()
        if coin is not None
    )
