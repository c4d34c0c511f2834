"""How many model calls stopping early saves: `python benchmarks/sequential.py`.

Against a fixed design of 5% two-sided error and 80% power, at equal error. Model calls are given as
a share of the fixed design's, for no effect, the effect it finds with 80% power, and twice that.

Of all tests with these errors one-sided, Wald's sequential one needs the fewest calls: 37% where
there is no effect and 63% at the effect (without a bound on its length, nor an interval).

- improve: seeks "improved", stops when that is shown or futile.
- gate: seeks "no worse" (margin: that effect) or "regressed"; the effects are losses.

The recorded data is not part of this repository: it is looked for in `../shared/data` beside the
checkout, and skipped with a line that says so.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from assay.evals.statistics.betting import confidence_sequence
from assay.evals.statistics.boundaries import Spending
from assay.evals.statistics.comparison import Verdict
from assay.evals.statistics.distributions import t_quantile
from assay.evals.statistics.sequential import GATE, Codes, Looks, interval
from assay.evals.statistics.trials import Floats

REWARDS = Path(__file__).parents[2] / "shared/data/taubench_gpt4o_airline/rewards.csv"
RUNS, RUNS_ANYTIME, PILOT = 2000, 200, 40_000
IMPROVE: tuple[Verdict, ...] = ("improved",)

Draw = Callable[[np.random.Generator, tuple[int, int], float, bool], tuple[Floats, Floats]]
"""(random, (runs, cases), effect, save) -> differences, and candidate's calls as a share of all.

`save` gives one trial only to cases where the reference's trials all agree (`trials_needed`)."""


@dataclass(frozen=True)
class Scenario:
    """Where differences come from, and the fixed design's size."""

    name: str
    cases: int  # of the fixed design
    draw: Draw
    repeats: bool = True  # whether a case has several trials


@dataclass(frozen=True)
class Found:
    """Calls as a share of the fixed design's, and the runs' verdict codes."""

    calls: float
    codes: Codes

    def share(self, *codes: int) -> float:
        return float(np.isin(self.codes, codes).mean())


def moved(random: np.random.Generator, passed: Floats, effect: float, mean: float) -> Floats:
    """Turn fails into passes, or passes into fails, to move the mean by `effect`."""
    if effect >= 0:
        return np.maximum(passed, random.random(passed.shape) < effect / (1 - mean))
    return np.minimum(passed, random.random(passed.shape) >= -effect / mean)


def paired(a: Floats, b: Floats, save: bool) -> tuple[Floats, Floats]:
    """Return differences of case means over the last axis, and the share of b's trials used."""
    k = a.shape[-1]
    if not save:
        return b.mean(axis=-1) - a.mean(axis=-1), np.ones(a.shape[:-1])
    agreed = a.min(axis=-1) == a.max(axis=-1)
    mean_b = np.where(agreed, b[..., 0], b.mean(axis=-1))
    return mean_b - a.mean(axis=-1), np.where(agreed, 1 / k, 1.0)


def simulated(k: int, alpha: float, beta: float) -> Draw:
    """Return a draw of k trials a side, the cases' rates Beta distributed."""

    def draw(
        random: np.random.Generator, shape: tuple[int, int], effect: float, save: bool
    ) -> tuple[Floats, Floats]:
        rates = random.beta(alpha, beta, (*shape, 1))
        a = (random.random((*shape, k)) < rates).astype(np.float64)
        b = (random.random((*shape, k)) < rates).astype(np.float64)
        return paired(a, moved(random, b, effect, alpha / (alpha + beta)), save)

    return draw


def recorded(path: Path) -> Draw:
    """Return a draw of recorded cases with replacement, their four trials split into two arms."""
    rewards: dict[str, list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rewards.setdefault(row["task_id"], []).append(float(row["reward"]))
    table = np.array(list(rewards.values()))

    def draw(
        random: np.random.Generator, shape: tuple[int, int], effect: float, save: bool
    ) -> tuple[Floats, Floats]:
        cases = table[random.integers(len(table), size=shape)]
        cases = random.permuted(cases, axis=-1)
        b = moved(random, cases[..., 2:], effect, float(table.mean()))
        return paired(cases[..., :2], b, save)

    return draw


def deviation(scenario: Scenario, effect: float, save: bool = False) -> float:
    """Return the standard deviation of a case's difference."""
    return float(scenario.draw(np.random.default_rng(7), (1, PILOT), effect, save)[0].std())


def target(scenario: Scenario, sign: int) -> float:
    """Return the effect that the fixed design finds with 80% power."""
    effect = 0.0
    for _ in range(4):
        t = t_quantile(0.975, scenario.cases - 1) + t_quantile(0.8, scenario.cases - 1)
        effect = sign * t * deviation(scenario, effect) / sqrt(scenario.cases)
    return effect


def fixed(scenario: Scenario, effect: float, margin: float) -> Found:
    """Run the fixed design."""
    d, _ = scenario.draw(np.random.default_rng(1), (RUNS, scenario.cases), effect, False)
    found = interval(d, t_quantile(0.975, scenario.cases - 1), margin)
    shown = [found.low > 0, found.low > -margin, found.high < 0]
    return Found(1.0, np.select(shown, [1, 2, 3], default=4).astype(np.int8))


def sequential(
    scenario: Scenario,
    effect: float,
    margin: float,
    seek: tuple[Verdict, ...],
    spending: Spending,
    save: bool = False,
) -> Found:
    """Run the group-sequential design; its horizon gives it the fixed design's power."""
    shape = Looks(horizon=scenario.cases, margin=margin, seek=seek, spending=spending)
    larger = (deviation(scenario, -margin, save) / deviation(scenario, -margin)) ** 2
    horizon = ceil(scenario.cases * shape.plan.inflation() * larger)
    looks = Looks(horizon=horizon, margin=margin, seek=seek, spending=spending)
    d, cost = scenario.draw(np.random.default_rng(2), (RUNS, horizon), effect, save)
    codes, stop = np.zeros(RUNS, np.int8), np.full(RUNS, horizon)
    times: tuple[float, ...] = ()
    for n in looks.sizes():
        times = (*times, min(1.0, n / horizon))
        going = codes == 0
        if not going.any():
            break
        codes[going] = looks.at(d[going, :n], times)[1]
        stop[going] = n
    return Found(spent_calls(cost, stop) / scenario.cases, codes)


def anytime(scenario: Scenario, effect: float, margin: float, seek: tuple[Verdict, ...]) -> Found:
    """Run the confidence sequence for at most four times the fixed design."""
    shape = (RUNS_ANYTIME, 4 * scenario.cases)
    d, cost = scenario.draw(np.random.default_rng(3), shape, effect, False)
    low, high = confidence_sequence(d, points=201)
    shown, given_up = (low > -margin, high < 0) if seek == GATE else (low > 0, high < margin)
    settled = shown | given_up
    stop = np.where(settled.any(axis=1), settled.argmax(axis=1) + 1, shape[1])
    rows = np.arange(len(d))
    ends = low[rows, stop - 1], high[rows, stop - 1]
    codes = np.select([ends[0] > 0, ends[0] > -margin, ends[1] < 0], [1, 2, 3], default=4)
    return Found(spent_calls(cost, stop) / scenario.cases, codes.astype(np.int8))


def spent_calls(cost: Floats, stop: NDArray[np.int64]) -> float:
    """Return the mean over runs of the calls made until the run stopped, in cases."""
    return float(np.cumsum(cost, axis=1)[np.arange(len(stop)), stop - 1].mean())


def table(scenario: Scenario, seek: tuple[Verdict, ...]) -> None:
    """Print every design's calls and error rates."""
    sign, wanted = (1, (1,)) if seek == IMPROVE else (-1, (3,))
    effect = target(scenario, sign)
    margin = abs(effect)
    designs: dict[str, Callable[[float], Found]] = {
        "fixed": lambda e: fixed(scenario, e, margin),
        "O'Brien-Fleming spending": lambda e: sequential(
            scenario, e, margin, seek, "obrien-fleming"
        ),
        "Pocock spending": lambda e: sequential(scenario, e, margin, seek, "pocock"),
        "linear spending (ours)": lambda e: sequential(scenario, e, margin, seek, "linear"),
        "confidence sequence": lambda e: anytime(scenario, e, margin, seek),
    }
    if scenario.repeats:
        designs["ours, settled cases once"] = lambda e: sequential(
            scenario, e, margin, seek, "linear", save=True
        )
    kind = "improve" if seek == IMPROVE else "gate"
    print(f"\n{scenario.name}; {kind}; effect {effect:+.3f}, {scenario.cases} cases fixed")
    print(f"{'design':26}{'calls: none':>12}{'effect':>8}{'twice':>8}", end="")
    print(f"{'false alarm':>13}{'no worse|none':>15}{'power':>8}{'power x2':>10}")
    for name, design in designs.items():
        none, once, twice = (design(size * effect) for size in (0, 1, 2))
        print(f"{name:26}{none.calls:12.0%}{once.calls:8.0%}{twice.calls:8.0%}", end="")
        print(f"{none.share(1, 3):13.1%}{none.share(1, 2):15.1%}", end="")
        print(f"{once.share(*wanted):8.1%}{twice.share(*wanted):10.1%}", flush=True)


def main() -> None:
    """Print a table for each scenario and question."""
    started = perf_counter()
    scenarios = [
        Scenario("simulated, 1 trial a side, mean 0.5", 200, simulated(1, 2, 2), repeats=False),
        Scenario("simulated, 4 trials a side, mean 0.5, U-shaped", 100, simulated(4, 0.3, 0.3)),
    ]
    if REWARDS.is_file():
        name = "tau-bench recorded rewards, cases resampled, 2 of 4 trials a side"
        scenarios.append(Scenario(name, 200, recorded(REWARDS)))
    else:
        print(f"skipped: the recorded rewards are not at ../shared/data ({REWARDS.name})")
    print(f"{RUNS} runs each ({RUNS_ANYTIME} of the confidence sequence); Monte Carlo error of a")
    print("rate of 5%: 0.5 points, of 80%: 0.9 points. Calls as a share of the fixed design's;")
    print("'settled cases once' counts the candidate's (the reference is stored).")
    for scenario in scenarios:
        for seek in (IMPROVE, GATE):
            table(scenario, seek)
    print(f"\n{perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
