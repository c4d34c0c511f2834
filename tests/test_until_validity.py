"""Stopping early raises no more false alarms than a run to its end, and finds real losses."""

from math import sqrt
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evals.statistics.trials import Floats

from .planned import EVERYTHING, begun, crash, keys, only, reference, result, run


def drawn(
    random: np.random.Generator, mean: float, cases: int, trials: int, size: int
) -> tuple[dict[str, str] | None, Floats, Floats]:
    """Draw both sides of a null: cases of a group share a rate, and so do a case's trials."""
    groups = {key: f"g{i // size}" for i, key in enumerate(keys(cases))} if size > 1 else None
    total = 3.0
    rates = random.beta(mean * total, (1 - mean) * total, -(-cases // size))
    rate = np.repeat(rates, size)[:cases, None]
    a = random.random((cases, trials)) < rate
    b = random.random((cases, trials)) < rate
    return groups, a.astype(np.float64), b.astype(np.float64)


def alarms(mean: float, size: int, runs: int) -> int:
    """Count the runs under a null that end in a difference.

    Nothing but that or the end of the plan settles them: the most looks there can be.
    """
    random = np.random.default_rng(int(100 * mean) + size)
    found = 0
    for _ in range(runs):
        groups, a, b = drawn(random, mean, 45, 1 if size == 1 else 2, size)
        before = {key: row.tolist() for key, row in zip(keys(45), a, strict=True)}
        checks = {"a": reference(before, groups)}
        until = begun(checks, groups=groups, trials=b.shape[1], margin=0.0, seek=EVERYTHING)
        results = {
            key: [result(key, {"a": value}, t) for t, value in enumerate(row[:needed].tolist())]
            for key, row in zip(keys(45), b, strict=True)
            if (needed := until.plan.trials[key])
        }
        run(until, results)
        assert until.settled
        found += only(until).verdict in ("improved", "regressed")
    return found


def test_aa_false_alarms_of_the_whole() -> None:
    runs = 70
    shapes = [(mean, size) for mean in (0.05, 0.5, 0.95) for size in (1, 3)]
    found = [alarms(mean, size, runs) for mean, size in shapes]
    assert max(found) / runs <= 0.05 + 2.5 * sqrt(0.05 * 0.95 / runs)  # the worst of six
    assert sum(found) / (runs * len(found)) <= 0.05 + 2 * sqrt(0.05 * 0.95 / (runs * len(found)))


def test_a_real_loss_is_found() -> None:
    random = np.random.default_rng(5)
    found = 0
    for _ in range(30):
        _, a, _ = drawn(random, 0.9, 100, 1, 1)
        checks = {"a": reference({k: row.tolist() for k, row in zip(keys(100), a, strict=True)})}
        worse = {k: float(random.random() < 0.5) for k in keys(100)}
        until = run(begun(checks), {k: [result(k, {"a": v})] for k, v in worse.items()})
        found += only(until).verdict == "regressed"
    assert found >= 27


@given(st.randoms(), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_the_order_of_finishing_decides_nothing(finishing: Random, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups, a, b = drawn(random, 0.7, 60, 2, 2)
    checks = {
        "a": reference({k: row.tolist() for k, row in zip(keys(60), a, strict=True)}, groups),
        "b": reference({k: [0.0] for k in keys(60)}, groups),
    }
    results = [
        result(key, {"a": value, "b": None if random.random() < 0.1 else value}, t)
        if random.random() > 0.05
        else crash(key, t)
        for key, row in zip(keys(60), b, strict=True)
        for t, value in enumerate(row.tolist())
    ]
    in_order = begun(checks, groups=groups, trials=2)
    at = {key: i for i, key in enumerate(in_order.plan.order)}
    for one in sorted(results, key=lambda r: at[r.key]):
        in_order.add(one)
    shuffled = begun(checks, groups=groups, trials=2)
    finishing.shuffle(results)
    for one in results:
        shuffled.add(one)
    assert shuffled.decisions == in_order.decisions
    assert shuffled.settled == in_order.settled
