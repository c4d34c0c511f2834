"""Stopping a run when its verdicts are settled: what is fed, when it stops, and that it is valid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import nan, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_evals import Case, Dataset

from assay.deps.errors import InputError
from assay.evals.cases import Cases
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.statistics.comparison import Verdict, compare
from assay.evals.statistics.sequential import Decision
from assay.evals.statistics.trials import Floats, Trials
from assay.evals.suite import CaseMeta, Suite
from assay.evals.until import Plan, UntilDecided

EVERYTHING: tuple[Verdict, ...] = ("improved", "no worse", "regressed")
CRASH = Failure(type="ValueError", message="no", kind="bug")

Values = Mapping[str, float | None]


def keys(n: int) -> list[str]:
    return [f"k{i:03}" for i in range(n)]


def reference(
    values: Mapping[str, Sequence[float]], groups: Mapping[str, str] | None = None
) -> Trials:
    rows = [(case, value) for case, found in values.items() for value in found]
    of = None if groups is None else [groups[case] for case, _ in rows]
    return Trials.of([case for case, _ in rows], [value for _, value in rows], of)


def result(key: str, values: Values, trial: int = 0) -> TrialResult:
    outcomes = tuple(
        Outcome(check, "unscored" if value is None else "score", value)
        for check, value in values.items()
    )
    return TrialResult(case=f"case {key}", key=key, trial=trial, model="m", outcomes=outcomes)


def crash(key: str, trial: int = 0) -> TrialResult:
    return replace(result(key, {}, trial), failure=CRASH)


def begun(
    checks: Mapping[str, Trials],
    *,
    groups: Mapping[str, str] | None = None,
    trials: int = 1,
    margin: float = 0.1,
    seek: tuple[Verdict, ...] = ("no worse", "regressed"),
) -> UntilDecided:
    cases = list(dict.fromkeys(case for one in checks.values() for case in one.cases))
    until = UntilDecided(checks, margin=margin, seek=seek)
    of = [(groups or {}).get(case) for case in cases]
    until.begin(Plan.of(cases, of, checks, trials=trials))
    return until


def run(until: UntilDecided, results: Mapping[str, Iterable[TrialResult]]) -> UntilDecided:
    """Feed case by case until it stops, as an engine that runs one trial at a time does."""
    for key in until.plan.order:
        if until.settled:
            break
        for one in results[key]:
            until.add(one)
    return until


def only(until: UntilDecided) -> Decision:
    (decision,) = until.decisions.values()
    return decision


# -- The plan


def test_a_plan_has_the_cases_of_the_reference_and_the_trials_that_they_deserve() -> None:
    a = reference({"k1": [1, 1], "k2": [1, 0], "gone": [1, 1]})
    b = reference({"k1": [1, 1], "k3": [0.5]})
    plan = Plan.of(["k0", "k1", "k2", "k3"], [None] * 4, {"a": a, "b": b}, trials=4)
    assert plan.trials == {"k1": 1, "k2": 4, "k3": 4}
    assert sorted(plan.order) == ["k1", "k2", "k3"]
    assert plan.calls == 9


@given(st.integers(0, 1000), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_rests_on_the_seed_and_the_cases_alone(seed: int, random: Random) -> None:
    found = [(key, None if i % 3 else f"g{i % 2}") for i, key in enumerate(keys(30))]
    checks = {"a": reference({key: [1.0] for key, _ in found})}
    plan = Plan.of([k for k, _ in found], [g for _, g in found], checks, trials=1, seed=seed)
    random.shuffle(found)
    same = Plan.of([k for k, _ in found], [g for _, g in found], checks, trials=1, seed=seed)
    assert plan == same
    assert sorted(plan.order) == keys(30)
    assert sorted(map(len, plan.groups)) == [1] * 20 + [5, 5]


def test_another_seed_gives_another_order() -> None:
    checks = {"a": reference({key: [1.0] for key in keys(30)})}
    orders = {Plan.of(keys(30), [None] * 30, checks, trials=1, seed=s).order for s in range(5)}
    assert len(orders) == 5


def test_a_case_called_like_a_group_is_not_of_it() -> None:
    checks = {"a": reference({"x": [1.0], "y": [1.0]})}
    plan = Plan.of(["x", "y"], [None, "x"], checks, trials=1)
    assert sorted(plan.groups) == [("x",), ("y",)]


def test_without_common_cases_nothing_can_be_planned() -> None:
    with pytest.raises(InputError, match=r"none of the 2 cases is in the reference.*--until"):
        Plan.of(["k1", "k2"], [None, None], {"a": reference({"other": [1]})}, trials=1)


def test_what_is_wrong_with_the_margin_is_told_before_the_first_case() -> None:
    with pytest.raises(InputError, match="margin is -1"):
        UntilDecided({}, margin=-1)
    with pytest.raises(InputError, match="give one or more of"):
        UntilDecided({}, margin=0, seek=("inconclusive",))


def test_it_steers_an_engine_through_whole_cases_in_the_plans_order() -> None:
    async def task(inputs: int, trial: object) -> int:
        return inputs

    data = Dataset[int, int, CaseMeta](
        name="d", cases=[Case[int, int, CaseMeta](name=f"n{i}", inputs=i) for i in range(6)]
    )
    cases = Cases.of(Suite(name="s", task=task, data=data))
    checks = {"a": reference({key: [1.0] for key in cases.keys[:4]})}
    until = UntilDecided(checks, margin=0.1)
    units = list(until.order(cases, 2))
    assert [(u.key, u.trial) for u in units] == [(k, t) for k in until.plan.order for t in (0, 1)]
    assert {unit.key for unit in units} == set(cases.keys[:4])
    assert all(cases.keys[unit.position] == unit.key for unit in units)
    assert all(unit.name == f"n{unit.position}" for unit in units)


# -- When it stops


def test_it_stops_early_for_no_worse_and_counts_what_was_saved() -> None:
    checks = {"a": reference({key: [0.0] for key in keys(200)})}
    until = run(begun(checks), {key: [result(key, {"a": 1})] for key in keys(200)})
    assert until.settled
    assert only(until).verdict in ("improved", "no worse")
    calls = until.calls
    assert calls.planned == 200
    assert calls.used < 40 < (calls.fixed or 0) < 200
    assert until.saved.startswith(f"settled after {calls.used} of 200 planned trials")
    assert f"so {(calls.fixed or 0) - calls.used} were saved" in until.saved


def test_one_regression_stops_the_run_whatever_the_others_say() -> None:
    checks = {
        "bad": reference({key: [1.0] for key in keys(100)}),
        "open": reference({key: [i % 2] for i, key in enumerate(keys(100))}),
    }
    values = {key: {"bad": 0.0, "open": (i // 2) % 2} for i, key in enumerate(keys(100))}
    until = run(begun(checks, margin=0.01), {key: [result(key, values[key])] for key in keys(100)})
    assert until.settled
    assert until.calls.used < 50
    assert until.decisions["bad"].verdict == "regressed"
    assert until.decisions["open"].verdict is None
    assert until.saved.startswith("stopped because bad regressed, after")
    before = until.decisions
    for key in until.plan.order[until.calls.used :]:  # those under way
        until.add(result(key, values[key]))
    assert until.decisions == before


def test_all_checks_must_be_settled_otherwise_and_share_the_error() -> None:
    clear = reference({key: [0.0] for key in keys(200)})
    checks = {"clear": clear, "open": reference({key: [0.5] for key in keys(200)})}
    until = begun(checks, margin=0.05)
    run(until, {key: [result(key, {"clear": 1, "open": 0.5})] for key in keys(200)})
    assert until.decisions["clear"].n_cases < until.decisions["open"].n_cases
    assert until.decisions["open"].verdict == "no worse"
    assert all("97.5% interval" in one.why for one in until.decisions.values())


def test_late_trials_change_nothing_and_are_counted() -> None:
    checks = {"a": reference({key: [1.0] for key in keys(60)})}
    until = run(begun(checks), {key: [crash(key)] for key in keys(60)})
    before, used = only(until), until.calls.used
    assert before.verdict == "regressed"
    for key in until.plan.order[used : used + 5]:
        until.add(result(key, {"a": 1}))
    assert only(until) == before
    assert until.calls.used == used + 5


def test_a_run_that_ends_before_its_plan_is_undecided() -> None:
    checks = {"a": reference({key: [i % 2] for i, key in enumerate(keys(100))})}
    until = begun(checks, margin=0.0)
    assert until.saved.startswith("undecided after 0 of 100 planned trials")
    assert only(until).why == "nothing was seen"
    for key in until.plan.order[:15]:
        until.add(result(key, {"a": 1}))
    assert not until.settled
    assert only(until).verdict is None
    assert only(until).why.startswith("undecided after 15 of 100 cases")
    assert UntilDecided(checks, margin=0).saved == "nothing has run yet"


def test_at_the_end_of_the_plan_there_is_a_verdict_though_cases_were_left_out() -> None:
    checks = {"a": reference({key: [1.0] for key in keys(40)})}
    sought: list[tuple[Verdict, ...]] = [EVERYTHING, ("improved",), ("no worse", "regressed")]
    for seek in sought:
        until = begun(checks, margin=0.0, seek=seek)
        order = until.plan.order
        # Every third says nothing, so the horizon is never met; nothing differs.
        results = {
            key: [result(key, {"a": None if i % 3 == 2 else 1.0})] for i, key in enumerate(order)
        }
        run(until, results)
        assert until.settled
        assert only(until).verdict == "inconclusive"
        assert only(until).low < 0 < only(until).high
        assert "without a value left out" in only(until).why


def test_the_last_look_uses_all_the_error_that_is_left() -> None:
    checks = {"a": reference({key: [0.0] for key in keys(30)})}
    until = begun(checks, margin=0.0, seek=EVERYTHING)
    order = until.plan.order
    # Ten cases say nothing. Six wins in 20 are too few for a look at 20 of 30, not for the last.
    wins = (2, 5, 9, 12, 16, 19)
    values = [None if i >= 20 else float(i in wins) for i in range(30)]
    run(until, {k: [result(k, {"a": v})] for k, v in zip(order, values, strict=True)})
    assert only(until).verdict == "improved"
    assert only(until).n_cases == 20


# -- What is fed


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


# -- Checks that cannot be decided


@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_values_out_of_bounds_are_told_and_stop_nothing_else(side: str) -> None:
    wide = 7.0 if side == "reference" else 1.0
    checks = {
        "wide": reference({key: [wide] for key in keys(80)}),
        "fine": reference({key: [0.0] for key in keys(80)}),
    }
    until = run(begun(checks), {key: [result(key, {"wide": 7, "fine": 1})] for key in keys(80)})
    assert until.settled
    assert until.calls.used < 80
    assert until.decisions["wide"].verdict == "inconclusive"
    assert "wide cannot be decided: it has the value 7, outside [0, 1]" in until.saved
    level = "95%" if side == "reference" else "97.5%"  # known before the error is shared, or not
    assert f"sequential {level} interval" in until.decisions["fine"].why


def test_a_check_that_says_nothing_does_not_keep_the_run_going() -> None:
    checks = {
        "judge": reference({key: [1.0] for key in keys(80)}),
        "fine": reference({key: [0.0] for key in keys(80)}),
    }
    results = {k: [result(k, {"judge": None, "fine": 1})] for k in keys(80)}
    for i, key in enumerate(keys(80)):
        if i % 2:
            results[key] = [crash(key)]
    until = run(begun(checks), results)
    assert until.settled
    assert until.decisions["judge"].verdict == "inconclusive"
    assert "it said nothing of the first 10 cases" in until.saved


def test_crashes_are_no_values_of_a_check_that_only_ever_was_speechless() -> None:
    checks = {"judge": reference({key: [1.0] for key in keys(40)})}
    until = begun(checks)
    first, *rest = until.plan.order
    until.add(result(first, {"judge": None}))
    for key in rest[:30]:
        until.add(crash(key))
    assert not until.settled
    assert only(until).n_cases == 0
    until.add(result(rest[30], {"judge": 1.0}))  # it speaks: crashes are worth 0 after all
    assert only(until).verdict == "regressed"


def test_when_no_check_can_be_decided_the_run_goes_through() -> None:
    for checks in ({"a": reference({"k1": [1.0]})}, {"a": reference({k: [3.0] for k in keys(9)})}):
        until = begun(checks)
        run(until, {key: [result(key, {"a": 1})] for key in checks["a"].cases})
        assert not until.settled
        assert until.calls.used == until.calls.planned
        assert until.calls.fixed is None
        assert until.saved.startswith("undecided")
        assert "cannot be decided" in only(until).why


def test_a_check_with_one_value_is_told_at_the_end() -> None:
    checks = {"a": reference({key: [1.0] for key in keys(5)})}
    until = begun(checks)
    first = until.plan.order[0]
    run(until, {k: [result(k, {"a": 1.0 if k == first else None})] for k in keys(5)})
    assert only(until).why == (
        "cannot be decided: 1 cases had a value on both sides, and 2 are the least"
    )


def test_a_case_that_one_check_lacks_is_fed_to_the_others() -> None:
    checks = {
        "all": reference({key: [0.5] for key in keys(20)}),
        "some": reference({key: [0.5] for key in keys(20)[:12]}),
    }
    until = begun(checks, margin=0.0)
    for key in until.plan.order[:9]:
        until.add(result(key, {"all": 0.5, "some": 0.5}))
    assert until.decisions["all"].n_cases == 9
    both = sum(key in keys(20)[:12] for key in until.plan.order[:9])
    assert until.decisions["some"].n_cases == both < 9


# -- Validity of the whole


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
