"""Stopping a run when its verdicts are settled: its plan, when it stops, and what cannot be decided."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_evals import Case, Dataset

from assay.deps.errors import InputError
from assay.evals.cases import Cases
from assay.evals.statistics.comparison import Verdict
from assay.evals.suite import CaseMeta, Suite
from assay.evals.until import Plan, UntilDecided

from .planned import EVERYTHING, begun, crash, keys, only, reference, result, run

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
