"""What decides whether a run may stop: whole cases and groups, in the order of the plan."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evals.statistics.comparison import compare
from assay.evals.until import UntilDecided

from .planned import EVERYTHING, begun, crash, keys, only, reference, result, run


def test_the_difference_is_of_means_over_trials_and_crashes_count_as_0() -> None:
    checks = {"a": reference({key: [1, 0, 1, 0] for key in keys(2)})}
    until = begun(checks, trials=4)
    for key in keys(2):
        for trial, value in enumerate([1.0, None, nan]):
            until.add(result(key, {"a": value}, trial))
        until.add(crash(key, 3))
    assert only(until).n_cases == 2
    assert only(until).difference == pytest.approx(0.0)  # (1 + 0) / 2 - 1 / 2


def test_a_case_waits_for_its_trials_and_for_those_before_it() -> None:
    checks = {"a": reference({key: [1, 0] for key in keys(3)})}
    until = begun(checks, trials=2)
    first, second, third = until.plan.order
    for key in (third, second):
        for trial in (1, 0):
            until.add(result(key, {"a": 1}, trial))
    until.add(result(first, {"a": 1}, 1))
    assert only(until).n_cases == 0
    until.add(result(first, {"a": 1}, 0))
    assert only(until).n_cases == 3
    assert until.settled


def test_trials_beyond_the_plan_and_strange_cases_are_not_its_business() -> None:
    checks = {"a": reference({"k1": [1, 1], "k2": [1, 0]})}
    until = begun(checks, trials=2)
    for stray in (result("k1", {"a": 0}, 1), result("k2", {"a": 0}, 2), result("new", {"a": 0})):
        until.add(stray)
    assert until.calls.used == 0


def test_a_resumed_run_counts_what_it_heard_before_its_plan() -> None:
    checks = {"a": reference({key: [1, 0] for key in keys(50)})}
    results = {key: [result(key, {"a": t}, t) for t in (0, 1)] for key in keys(50)}
    whole = begun(checks, trials=2, margin=0.3)
    run(whole, results)
    resumed = UntilDecided(checks, margin=0.3)
    for key in keys(50)[:30]:
        for one in results[key]:
            resumed.add(one)
    assert not resumed.settled
    resumed.begin(whole.plan)
    run(resumed, {k: results[k] if k in keys(50)[30:] else [] for k in keys(50)})
    assert resumed.decisions == whole.decisions
    assert resumed.settled


def test_groups_are_fed_whole_and_count_by_their_size() -> None:
    sizes = [1, 2, 3, 6] * 6
    cases = {f"k{g:02}-{i}": f"g{g}" for g, size in enumerate(sizes) for i in range(size)}
    random = np.random.default_rng(0)
    shift = {
        f"g{g}": float(random.integers(0, 3)) / 4 + (size == 6) / 4 for g, size in enumerate(sizes)
    }
    checks = {"a": reference({case: [0.1] for case in cases}, cases)}
    until = begun(checks, groups=cases, margin=0.0, seek=("improved",))
    first = until.plan.groups[0]
    results = {key: [result(key, {"a": 0.1 + shift[cases[key]] / 2})] for key in cases}
    for key in first[:-1]:
        until.add(results[key][0])
    assert only(until).n_cases == 0
    run(until, results)
    assert "groups" in only(until).why
    assert only(until).verdict == "improved"
    fed = [key for group in until.plan.groups[: only(until).n_cases] for key in group]
    over_cases = sum(shift[cases[key]] / 2 for key in fed) / len(fed)
    assert only(until).difference == pytest.approx(over_cases)
    assert only(until).low <= over_cases <= only(until).high


def test_large_groups_weigh_more_than_small_ones() -> None:
    cases = {f"k{g:02}-{i}": f"g{g:02}" for g in range(40) for i in range(1 + 4 * (g % 2))}
    checks = {"a": reference({case: [0.5] for case in cases}, cases)}
    large = {case: int(group[1:]) % 2 == 1 for case, group in cases.items()}
    until = begun(checks, groups=cases, margin=0.0, seek=EVERYTHING)
    run(until, {key: [result(key, {"a": float(large[key])})] for key in cases})
    assert only(until).verdict == "improved"  # over groups the mean difference would be 0


@given(st.lists(st.integers(1, 6), min_size=12, max_size=30), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_a_verdict_is_what_its_interval_says(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    cases = {f"k{g:02}-{i}": f"g{g}" for g, size in enumerate(sizes) for i in range(size)}
    checks = {"a": reference({case: [0.5] for case in cases}, cases)}
    margin = float(random.choice([0.05, 0.1, 0.2]))
    until = begun(checks, groups=cases, margin=margin)
    shift = float(random.uniform(-0.1, 0.1))
    values = {key: 0.5 + shift + float(random.uniform(-0.3, 0.3)) for key in cases}
    run(until, {key: [result(key, {"a": value})] for key, value in values.items()})
    found = only(until)
    assert (found.verdict in ("improved", "no worse")) == (found.low > -margin)
    assert (found.verdict == "improved") == (found.low > 0)
    assert (found.verdict == "regressed") == (found.high < 0 and found.low <= -margin)


def test_with_all_cases_the_estimate_is_that_of_compare() -> None:
    random = np.random.default_rng(3)
    cases = {f"k{i:02}": f"g{int(i**0.5)}" for i in range(64)}  # groups of 1, 3, 5 to 15
    before = {case: [float(random.random() < 0.5)] for case in cases}
    after = {case: [float(random.random() < 0.5)] for case in cases}
    checks = {"a": reference(before, cases)}
    until = begun(checks, groups=cases, margin=0.0, seek=EVERYTHING)
    run(until, {key: [result(key, {"a": after[key][0]})] for key in cases})
    fixed = compare(checks["a"], reference(after, cases), margin=0.0)
    assert only(until).n_cases == 8
    assert only(until).difference == pytest.approx(fixed.difference)
    assert fixed.low is not None
    assert only(until).low <= fixed.low  # looking on the way costs width
