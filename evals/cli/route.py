"""`assay route`: what a route between two models buys, and whether a coin would do as well."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...deps.errors import ConfigError
from ...deps.models import Models
from ...deps.replay.tape import Mode
from ..cases import Cases
from ..engine import AnySuite
from ..reports.words import Verdict, dollars, number, seconds, signed
from ..routing import Route, retrade, trade
from ..statistics.comparison import Comparison
from ..statistics.estimates import Estimate
from ..store.database import RunStore
from ..suites import imported, load
from ..trade import Side, Trade
from .door import FAILED, PASS, PROVIDER, err, out, start, wait_for
from .progress import RunProgress

__all__ = ("RouteOptions", "weigh_route")

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class RouteOptions:
    """How a route is weighed; the command line's help says more."""

    small: str
    large: str
    runs: tuple[str, str] | None
    trials: int
    max_concurrency: int
    replay: Mode
    margin: float
    json: Path | None
    store: str


def weigh_route(suite: str, by: str, options: RouteOptions) -> None:
    """Weigh the route that `by` names on a suite's cases, and exit with what came of it."""
    route, weighed = _route(by), load(suite)
    store = RunStore(options.store)
    if options.runs is None:
        models = start(None, None)
        found = wait_for(_run(weighed, suite, route, models, store, options), models)
    else:
        small, large = map(store.run, options.runs)
        found = retrade(
            weighed, route, store=store, small=small, large=large, margin=options.margin
        )
    _print(err() if options.json == STDOUT else out(), found, suite)
    if options.json is not None:
        _write(options.json, to_json(found, indent=2).decode() + "\n")
    raise typer.Exit(_exit_code(found))


def _route(by: str) -> Route:
    place, colon, attribute = by.rpartition(":")
    if not colon:
        raise ConfigError(
            f"the route {by!r} is no place; give package.module:function or "
            "path/to/file.py:function"
        )
    found: object = vars(imported(place, f"the route {by!r}")).get(attribute)
    if not callable(found):
        said = "nothing of that name" if found is None else f"a {type(found).__name__}"
        raise ConfigError(f"the route {by!r} is no function: there is {said} in {place!r}")
    return cast(Route, found)


async def _run(
    suite: AnySuite,
    where: str,
    route: Route,
    models: Models,
    store: RunStore,
    options: RouteOptions,
) -> Trade:
    """Run the suite on both models, with live progress on stderr."""
    with RunProgress(err()) as progress:
        progress.start(suite.name, 2 * len(Cases.of(suite)) * options.trials)
        return await trade(
            suite,
            route,
            models=models,
            small=options.small,
            large=options.large,
            trials=options.trials,
            max_concurrency=options.max_concurrency,
            store=store,
            where=where,
            replay=options.replay,
            margin=options.margin,
            on_result=progress.advance,
        )


def _exit_code(found: Trade) -> int:
    if found.small.provider_errors or found.large.provider_errors:
        return PROVIDER
    return FAILED if any(one.verdict == "regressed" for one in found.coin) else PASS


# -- for people


def _print(console: Console, found: Trade, suite: str) -> None:
    console.print(_table(found))
    for line in _sentences(found):
        console.print(line, markup=False, soft_wrap=True)
    if found.runs:
        runs = " ".join(found.runs)
        console.print(
            f"another route, for nothing: assay route {suite} --by ... --runs {runs}",
            style="dim",
            markup=False,
            soft_wrap=True,
        )


def _table(found: Trade) -> Table:
    """Return a row per check, then what a trial takes; a column per way to answer."""
    table = Table(
        title=escape(
            f"{found.suite} by {found.route}: {found.share:.0%} of {found.cases} cases to large"
        ),
        title_justify="left",
        caption=escape("\n".join(_caption(found))),
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    for heading in (*found.sides, "coin", "routed - coin"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    coins = {one.name: one for one in found.coin}
    for check in found.routed.checks:
        means = (_mean(side.checks[check]) for side in found.sides.values())
        table.add_row(escape(check), *means, *_coin(coins.get(check)))
    for name, cells in _taken(found.sides.values()):
        table.add_row(name, *cells)
    return table


def _caption(found: Trade) -> Iterator[str]:
    yield f"small: {found.small.model}; large: {found.large.model}"
    for name in ("small", "large"):
        side = found.sides[name]
        if side.errors:
            yield f"{side.errors} trials on {name} crashed; they count as 0"
        if side.cost_per_1000 is None:
            why = "trials were replayed" if side.use.replayed else "its price is unknown"
            yield f"cost on {name} is unknown: {why}"
    if found.left_out:
        yield f"{found.left_out} cases are left out: only one of the runs has them"


def _mean(estimate: Estimate) -> str:
    ends = "" if estimate.ci is None else f"\n{estimate.low:.3f}–{estimate.high:.3f}"
    return number(estimate.mean) + ends


def _coin(one: Comparison | None) -> tuple[str, str, str]:
    if one is None:
        return "–", "–", ""
    ends = "" if one.low is None else f"\n{signed(one.low)}…{signed(one.high)}"
    return number(one.mean_a), signed(one.difference) + ends, one.verdict


def _taken(sides: Iterable[Side]) -> Iterator[tuple[str, list[str]]]:
    sides = list(sides)
    yield "cost per 1,000 cases", [dollars(side.cost_per_1000) for side in sides]
    yield "tokens a case", [f"{side.tokens_per_trial:,.0f}" for side in sides]
    latencies = [side.use.mean_latency for side in sides]
    yield "latency, mean", ["–" if one is None else seconds(one) for one in latencies]
    latencies = [side.use.p95_latency for side in sides]
    yield "latency, 95%", ["–" if one is None else seconds(one) for one in latencies]


def _sentences(found: Trade) -> Iterator[str]:
    if not found.coin:
        to = "large" if found.share else "small"
        yield f"the route sends all cases to {to}: there is no coin to compare it with"
    else:
        yield f"beside a coin that sends {found.share:.0%} of the cases to large:"
        yield from _verdicts(found.coin)
        for one in found.coin_resources:
            yield f"  {one.name}: {Verdict.of(one).sentence}"
    if found.coin_of_same_cost:
        yield f"beside a coin that costs as much, {dollars(found.routed.cost_per_1000)}:"
        yield from _verdicts(found.coin_of_same_cost)
    if found.always_large:
        yield f"beside large for every case{_price(found)}:"
        yield from _verdicts(found.always_large)


def _verdicts(comparisons: Sequence[Comparison]) -> Iterator[str]:
    return (f"  {one.why}" for one in comparisons)


def _price(found: Trade) -> str:
    routed, large = found.routed.cost_per_1000, found.large.cost_per_1000
    return "" if routed is None or not large else f", at {routed / large:.0%} of its cost"


def _write(path: Path, text: str) -> None:
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
