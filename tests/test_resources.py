"""Cost, latency and tokens: compared as checks are, and plain about what cannot be said."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps.errors import InputError
from assay.evals.outcome import Failure, TrialResult
from assay.evals.resources import COST, LATENCY, TOKENS, ResourceUse, compare_resources
from assay.evals.statistics.comparison import Comparison

CRASH = Failure(type="TimeoutError", message="60 s", kind="provider")


def result(i: int, seconds: float, cost: float | None = None, **changes: object) -> TrialResult:
    """Return a trial of case i; with a cost, it asked a model for 10 tokens a cent."""
    made = TrialResult(
        case=f"case {i}",
        key=f"k{i}",
        trial=0,
        model="m",
        duration=seconds,
        cost=cost,
        requests=int(cost is not None),
        input_tokens=round(900 * (cost or 0)),
        output_tokens=round(100 * (cost or 0)),
    )
    return replace(made, **changes)


def by_name(
    a: Sequence[TrialResult], b: Sequence[TrialResult], share: float = 0.1
) -> dict[str, Comparison]:
    return {one.name: one for one in compare_resources(a, b, share=share)}


def slower(factor: float, n: int = 30) -> tuple[list[TrialResult], list[TrialResult]]:
    """Return a reference, and a candidate that takes `factor` times as much of everything."""
    a = [result(i, 1 + i % 7 / 7, 0.5 + i % 5 / 5) for i in range(n)]
    b = [
        result(i, r.duration * factor * (1 + i % 3 / 50), (r.cost or 0) * factor)
        for i, r in enumerate(a)
    ]
    return a, b


def test_what_takes_half_as_much_again_has_regressed() -> None:
    found = by_name(*slower(1.5))
    assert list(found) == [COST, LATENCY, TOKENS]
    assert {one.verdict for one in found.values()} == {"regressed"}
    assert all(one.better == "lower" and one.adjusted_p is not None for one in found.values())


def test_what_takes_half_as_much_has_improved() -> None:
    assert {one.verdict for one in by_name(*slower(0.5)).values()} == {"improved"}


def test_the_margin_is_a_share_of_the_references_mean_over_common_cases() -> None:
    a = [result(0, 1.0), result(1, 3.0), result(2, 1000.0)]
    b = [result(0, 1.1), result(1, 3.2), result(3, 5.0)]
    found = by_name(a, b, share=0.25)[LATENCY]
    assert found.margin == pytest.approx(0.5)
    assert (found.n_cases, found.only_a, found.only_b) == (2, 1, 1)
    assert found.difference == pytest.approx(0.15)
    assert by_name(*slower(1.02))[LATENCY].verdict == "no worse"


def test_cases_are_matched_by_content_and_by_name_where_there_is_no_key() -> None:
    a = [result(i, 1.0 + i) for i in range(4)]
    renamed = [replace(one, case=f"new {one.case}") for one in a]
    assert by_name(a, renamed)[LATENCY].n_cases == 4
    bare = [replace(one, key="") for one in a]
    assert by_name(bare, bare)[LATENCY].n_cases == 4


def test_crashed_trials_are_left_out_of_what_is_compared() -> None:
    a = [result(i, 1.0 + i / 10, 0.01) for i in range(10)]
    b = [*a[:9], replace(a[9], duration=60.0, failure=CRASH)]
    found = by_name(a, b)
    assert all(one.n_cases == 9 and one.difference == 0 for one in found.values())
    assert all(one.verdict == "no worse" for one in found.values())


def test_trials_of_one_case_are_one_cluster() -> None:
    a = [replace(result(i % 5, 1.0 + i), trial=i // 5) for i in range(20)]
    assert by_name(a, a)[LATENCY].n_clusters == 5
    grouped = [replace(one, group="g" if one.key in ("k0", "k1") else None) for one in a]
    assert by_name(grouped, grouped)[LATENCY].n_clusters == 4


def test_an_unknown_price_is_said() -> None:
    a, b = slower(1.0, 10)
    b[3] = replace(b[3], cost=None)
    found = by_name(a, b)[COST]
    assert found.why == ("cost (USD): cannot say, because the price of 1 of 20 trials is unknown")
    assert (found.verdict, found.difference) == ("inconclusive", None)


def test_replayed_trials_cost_nothing_so_cost_is_not_compared() -> None:
    a, b = slower(1.0, 10)
    b = [replace(one, cost=0.0, replayed=True) for one in b]
    found = by_name(a, b)
    assert "10 of 20 trials were replayed, which costs nothing" in found[COST].why
    assert found[COST].verdict == "inconclusive"
    assert found[LATENCY].n_cases == 10


def test_where_nobody_paid_there_is_no_cost_and_no_tokens() -> None:
    free = [result(i, 1.0 + i) for i in range(5)]
    assert list(by_name(free, free)) == [LATENCY]
    local = [replace(one, requests=1, cost=0.0, input_tokens=9) for one in free]
    assert list(by_name(local, local)) == [LATENCY, TOKENS]


def test_a_baseline_asks_nobody_and_so_costs_nothing() -> None:
    a = [result(i, 0.01 * (i + 1)) for i in range(20)]
    b = [result(i, 1.0 + i / 9, 0.02 + i / 1000) for i in range(20)]
    assert by_name(a, b)[COST].verdict == "regressed"
    assert by_name(a, b)[COST].mean_a == 0


def test_degenerate_runs_give_plain_answers() -> None:
    one = [result(0, 1.0, 0.1)]
    assert compare_resources([], one) == compare_resources(one, []) == ()
    assert all("one case says nothing" in c.why for c in compare_resources(one, one))
    other = [result(1, 2.0, 0.1)]
    assert all("no case was scored on both sides" in c.why for c in compare_resources(one, other))
    crashed = [replace(one[0], failure=CRASH)]
    assert all(c.n_cases == 0 for c in compare_resources(one, crashed))
    alike = [result(i, 1.0, 0.1) for i in range(10)]
    assert all(c.verdict == "no worse" for c in compare_resources(alike, alike))
    later = [replace(r, duration=2.0) for r in alike]  # in every case, by the same
    assert by_name(alike, later)[LATENCY].verdict == "regressed"


def test_a_negative_share_is_refused() -> None:
    with pytest.raises(InputError, match="margin is -"):
        compare_resources(*slower(1.0), share=-0.1)


RESULTS = st.lists(
    st.builds(
        result,
        st.integers(0, 5),
        st.floats(0, 1e6),
        st.none() | st.floats(0, 1e3),
        failure=st.none() | st.just(CRASH),
        replayed=st.booleans(),
    ),
    max_size=12,
)


@given(RESULTS, RESULTS)
@settings(max_examples=60, deadline=None)
def test_no_figure_is_ever_nan(a: list[TrialResult], b: list[TrialResult]) -> None:
    for one in compare_resources(a, b):
        numbers = [value for value in asdict(one).values() if isinstance(value, float)]
        assert all(map(isfinite, numbers))
        assert "nan" not in one.why
    use = ResourceUse.of(a)
    assert all(value is None or isfinite(value) for value in asdict(use).values())
    assert use.crashed <= use.trials == len(a)


# -- Summed up


def test_a_runs_use_is_summed_up() -> None:
    a = [result(i, float(i + 1), 0.5) for i in range(20)]
    a.append(replace(result(20, 99.0, 1.0), failure=CRASH))
    use = ResourceUse.of(iter(a))
    assert use.p95_latency == pytest.approx(19.05)
    assert use == ResourceUse(
        trials=21,
        crashed=1,
        replayed=0,
        mean_latency=10.5,
        median_latency=10.5,
        p95_latency=use.p95_latency,
        mean_model_latency=None,
        cached_tokens=0,
        tokens=20 * 500 + 1000,
        cost=11.0,
    )


def test_a_run_without_finished_trials_has_no_latency() -> None:
    use = ResourceUse.of([])
    assert (use.mean_latency, use.median_latency, use.p95_latency, use.cost) == (
        None,
        None,
        None,
        0,
    )
    assert ResourceUse.of([replace(result(0, 1.0), requests=1)]).cost is None


def test_cache_hits_and_the_time_of_models_are_summed_up() -> None:
    told = [
        replace(result(i, 2.0, 0.5), cached_tokens=100, model_seconds=float(i)) for i in range(3)
    ]
    told.append(replace(result(3, 9.0, 0.5), failure=CRASH, cached_tokens=100, model_seconds=8.0))
    use = ResourceUse.of(told)
    assert (use.cached_tokens, use.mean_model_latency) == (400, 1.0)
    assert ResourceUse.of([*told, result(4, 2.0, 0.5)]).mean_model_latency is None
