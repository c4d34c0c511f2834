"""The A/A self-check: it gives the gate's own verdicts on splits, and an honest rate of alarms."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps.errors import InputError
from assay.evals.statistics.comparison import compare, correct_for_many
from assay.evals.statistics.selfcheck import Rate, SelfCheck, check_gate
from assay.evals.statistics.trials import Trials


def trials(values: Mapping[str, list[float]], groups: Mapping[str, str] | None = None) -> Trials:
    rows = [(case, value) for case, found in values.items() for value in found]
    of = None if groups is None else [groups[case] for case, _ in rows]
    return Trials.of([case for case, _ in rows], [value for _, value in rows], of)


def drawn(seed: int, cases: int, k: int, *, size: int = 1, mean: float = 0.5) -> Trials:
    """Draw passes and fails of cases whose rates differ; groups share a rate."""
    random = np.random.default_rng(seed)
    rates = np.repeat(random.beta(2 * mean, 2 * (1 - mean), cases), size)[:cases, None]
    passed = (random.random((cases, k)) < rates).astype(np.float64)
    groups = {f"k{i}": f"g{i // size}" for i in range(cases)} if size > 1 else None
    return trials({f"k{i}": row.tolist() for i, row in enumerate(passed)}, groups)


def total(found: SelfCheck, check: str) -> int:
    return sum(rate.count for rate in found.checks[check].values())


def judged_in_full(checks: Mapping[str, Trials], draws: int, seed: int) -> Counter[tuple[str, str]]:
    """Count the gate's verdicts over the splits that the self-check draws of two trials a case."""
    first = next(iter(checks.values()))
    keys = np.random.default_rng(seed).random((draws, len(first.cases), 2))
    found = Counter[tuple[str, str]]()
    for row in keys:
        a_first = (row[:, 0] < row[:, 1]).tolist()
        sides: list[dict[str, Trials]] = []
        for at in (0, 1):
            sides.append({})
            for name, one in checks.items():
                picked = zip(one.values, a_first, strict=True)
                values = tuple((value[at if kept else 1 - at],) for value, kept in picked)
                sides[at][name] = Trials(cases=one.cases, values=values, groups=one.groups)
        judged = correct_for_many(
            compare(sides[0][name], sides[1][name], margin=0.05, name=name) for name in checks
        )
        found.update((one.name, one.verdict) for one in judged)
        found["any", "regressed"] += any(one.verdict == "regressed" for one in judged)
    return found


@pytest.mark.parametrize("size", [1, 3])
def test_its_rates_are_those_of_the_gate_itself(size: int) -> None:
    checks = {f"c{i}": drawn(i, 180 if size > 1 else 60, 2, size=size) for i in range(3)}
    found = check_gate(checks, margin=0.05, draws=200, seed=7)
    expected = judged_in_full(checks, 200, 7)
    assert found.failed.count == expected["any", "regressed"] > 0
    for check, rates in found.checks.items():
        assert {v: r.count for v, r in rates.items() if r.count} == {
            v: count for (name, v), count in expected.items() if name == check
        }


def test_a_check_that_hardly_moves_has_its_say_in_the_correction() -> None:
    # When all cases go one way, "passes" alone has p = 1/32, which two checks do not stand; but
    # "tiny" has p = 1/64 then, though its interval holds 0, so that both do.
    passes = {f"k{i}": [1.0, 0.0] if i < 6 else [1.0, 1.0] for i in range(12)}
    tiny = {f"k{i}": [0.5, 0.501] if i < 7 else [0.5, 0.5] for i in range(12)}
    checks = {"passes": trials(passes), "tiny": trials(tiny)}
    found = check_gate(checks, margin=0.05, draws=400, seed=1)
    expected = judged_in_full(checks, 400, 1)
    assert found.failed.count == expected["any", "regressed"] > 0


@pytest.mark.parametrize("size", [1, 2])
def test_an_exchangeable_gate_fails_seldom_and_both_ways_alike(size: int) -> None:
    found = check_gate({"a": drawn(3, 120, 4, size=size)}, margin=0.0, draws=500)
    lost, gained = found.checks["a"]["regressed"], found.checks["a"]["improved"]
    assert 0 < lost.count + gained.count <= 0.05 * 500 + 2 * 5
    assert abs(lost.count - gained.count) <= 15
    assert found.failed == lost
    assert found.trials == 2
    assert total(found, "a") == 500


def test_many_checks_together_raise_no_more_alarms_than_one() -> None:
    checks = {f"c{i}": drawn(10 + i, 80, 2) for i in range(5)}
    found = check_gate(checks, margin=0.0, draws=400)
    assert found.failed.share <= 0.025 + 2 * 0.0078  # of both directions, only losses count
    assert found.failed.count <= sum(rates["regressed"].count for rates in found.checks.values())


def test_copies_of_a_check_are_split_alike() -> None:
    one = drawn(6, 60, 3)
    found = check_gate({"a": one, "copy": one}, margin=0.05, draws=100)
    assert found.checks["a"] == found.checks["copy"]


def test_the_same_seed_gives_the_same_rates() -> None:
    checks = {"a": drawn(7, 60, 4)}
    found = [check_gate(checks, margin=0.1, draws=200, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_how_draws_are_batched_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {"a": drawn(8, 40, 3)}
    whole = check_gate(checks, margin=0.1, draws=50)
    monkeypatch.setattr("assay.evals.statistics.selfcheck._BATCH", 40 * 3 * 7)
    assert check_gate(checks, margin=0.1, draws=50) == whole


def test_values_that_never_vary_show_nothing_and_it_says_so() -> None:
    found = check_gate({"a": trials({f"k{i}": [i % 2] * 4 for i in range(30)})}, margin=0.05)
    assert found.failed.count == 0
    assert found.varied == 0
    assert found.why == (
        "A/A: the gate never failed, but no case's values varied (2 trials a side of 30 cases), "
        "so this shows nothing of how often it would"
    )


def test_the_sentence_gives_the_rate_and_what_it_rests_on() -> None:
    values = {f"k{i}": [1.0, 1.0, 1.0] for i in range(40)} | {"k7": [1.0, 0.0, 1.0], "lone": [1.0]}
    found = check_gate({"a": trials(values)}, margin=0.2, draws=1000)
    assert found.why == (
        "A/A: the gate would have failed 0 of 1,000 times although nothing changed (95% interval "
        "0.0% to 0.4%), and could not tell 0 times: 1 trial a side of 40 cases, of which 1 ever "
        "varied; 1 with a single value left out"
    )
    assert found.checks["a"]["no worse"].count == 1000


def test_an_odd_trial_is_left_out_at_random() -> None:
    # The fail is on the one side, on the other, or left out: each in a third of the splits. Only the
    # loss of it reaches beyond this margin.
    values = {f"k{i}": [1.0, 1.0] for i in range(9)} | {"k9": [0.0, 1.0, 1.0]}
    found = check_gate({"a": trials(values)}, margin=0.35, draws=3000)
    rates = found.checks["a"]
    assert rates["inconclusive"].low <= 1 / 3 <= rates["inconclusive"].high
    assert rates["inconclusive"].count + rates["no worse"].count == 3000


@pytest.mark.parametrize("values", [{}, {"k1": [1.0]}, {f"k{i}": [1.0] for i in range(50)}])
def test_one_trial_a_case_is_refused(values: dict[str, list[float]]) -> None:
    with pytest.raises(InputError, match="run with --trials 2 or more"):
        check_gate({"a": trials(values)}, margin=0.05)


def test_a_check_that_never_spoke_twice_is_left_out() -> None:
    checks = {"a": drawn(9, 20, 2), "judge": trials({}), "once": trials({"k1": [1.0]})}
    found = check_gate(checks, margin=0.05, draws=20)
    assert list(found.checks) == ["a"]


def test_it_says_what_is_wrong_with_its_input() -> None:
    checks = {"a": trials({"k1": [1.0, 0.0], "k2": [0.0, 0.0]})}
    with pytest.raises(InputError, match="0 splits show nothing"):
        check_gate(checks, margin=0.05, draws=0)
    with pytest.raises(InputError, match="margin is -1"):
        check_gate(checks, margin=-1)
    with pytest.raises(InputError, match="outside"):
        check_gate({"a": trials({"k1": [7.0, 1.0]})}, margin=0.05)


@pytest.mark.parametrize("groups", [None, {"k1": "g", "k2": "g"}])
def test_one_cluster_cannot_tell(groups: dict[str, str] | None) -> None:
    values = {"k1": [1.0, 0.0]} if groups is None else {"k1": [1.0, 0.0], "k2": [1.0, 0.0]}
    found = check_gate({"a": trials(values, groups)}, margin=0.05, draws=10)
    assert found.checks["a"]["inconclusive"].count == 10
    assert found.undecided.count == 10
    assert found.failed.count == 0


@given(
    st.dictionaries(
        st.sampled_from([f"k{i}" for i in range(12)]),
        st.lists(st.floats(0, 1), min_size=1, max_size=5),
        min_size=1,
    ),
    st.floats(0, 1),
)
@settings(max_examples=30, deadline=None)
def test_any_values_give_rates(values: dict[str, list[float]], margin: float) -> None:
    if all(len(found) < 2 for found in values.values()):
        return
    found = check_gate({"a": trials(values)}, margin=margin, draws=10)
    assert total(found, "a") == 10
    for rate in (found.failed, found.undecided, *found.checks["a"].values()):
        assert 0 <= rate.low <= rate.share <= rate.high <= 1
    assert "nan" not in found.why


def test_a_rate_has_wilsons_interval() -> None:
    rate = Rate.of(3, 1000)  # R: prop.test(3, 1000, correct = FALSE)
    assert (rate.low, rate.high) == pytest.approx((0.00102, 0.00878), abs=1e-5)
