"""What people's labels make of a judge's mean, and of the judge."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from assay.deps.errors import InputError
from assay.evals.judges.corrections import corrected_differences, corrections, said_of
from assay.evals.judges.labelled import labelled, only_random
from assay.evals.labelling.gather import entries_of
from assay.evals.labelling.queue import Entry
from assay.evals.statistics.corrected import Corrected
from assay.evals.store.database import RunStore
from assay.evals.store.people import standing

from .labelling import CHECK, JUDGE, judged_run, label_first, score, stored, trial, verdict, word


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "runs.db")) as opened:
        yield opened


# -- what labels make of a mean


def test_people_correct_a_mean_and_crashes_stay_in_it(store: RunStore) -> None:
    records = [trial(n, verdict(CHECK, float(n % 5 > 0))) for n in range(100)]
    run = stored(store, [*records, *(trial(n, crashed=True) for n in range(100, 120))])

    def said(one: Entry) -> float:  # a fifth of what the judge passes is wrong
        return 0.0 if one.case.endswith(("1", "6")) else one.value

    label_first(store, run, 50, said)
    found = corrections(store, run, "helpdesk")[CHECK]
    assert isinstance(found, Corrected)
    assert found.raw == pytest.approx(80 / 120)
    assert found.low < 60 / 120 < found.high < found.raw + 0.05
    assert abs(found.mean - 60 / 120) < 0.12
    assert (found.labels, found.cases) == (50, 120)
    assert "raw, 0." in said_of(found)
    assert "50 cases labelled at random)" in said_of(found)


def test_the_interval_covers_what_people_would_have_said_of_all(store: RunStore) -> None:
    rng = random.Random(5)
    covered = 0
    for n in range(40):
        people = {i: float(rng.random() < 0.6) for i in range(80)}
        verdicts = {i: v if rng.random() < 0.85 else 1 - v for i, v in people.items()}
        run = stored(store, [trial(i, verdict(CHECK, verdicts[i])) for i in people])
        label_first(store, run, 30, lambda one, of=people: of[int(one.key, 16)], seed=f"{n}")
        found = corrections(store, run, "helpdesk")[CHECK]
        assert isinstance(found, Corrected)
        covered += found.low <= sum(people.values()) / 80 <= found.high
    assert covered >= 35  # 38 are 95%


def test_trials_and_raters_of_a_case_are_one_observation(store: RunStore) -> None:
    records = [trial(n, verdict(CHECK, 1.0), trial=t) for n in range(12) for t in range(2)]
    run = stored(store, [*records, trial(0, crashed=True, trial=2)])
    label_first(store, run, 24, lambda one: 1.0)
    label_first(store, run, 24, lambda one: 0.0, rater="bob")
    found = corrections(store, run, "helpdesk")[CHECK]
    assert isinstance(found, Corrected)
    assert (found.labels, found.cases) == (12, 12)
    assert found.mean == pytest.approx((11 * 0.5 + 0.5 * 2 / 3) / 12)


def test_few_labels_and_disputed_ones_correct_nothing_and_it_says_why(store: RunStore) -> None:
    run = judged_run(store)
    assert corrections(store, run, "helpdesk") == {}
    label_first(store, run, 9, lambda one: one.value)
    assert corrections(store, run, "helpdesk") == {
        CHECK: "9 of 20 cases are labelled at random; label 10 or more"
    }
    other = judged_run(store)
    for one in entries_of(store, other):
        store.people.add_labels([word(one, 1.0, run=other.id, drawn="disagreement")])
    found = corrections(store, other, "helpdesk")[CHECK]
    assert isinstance(found, str)
    assert found.startswith("20 labels, none of items drawn at random")
    assert said_of(found).startswith("no corrected mean: 20 labels")
    with pytest.raises(InputError, match="--order random"):
        only_random(store.people.labels(other.id))


def test_what_nobody_could_say_is_counted(store: RunStore) -> None:
    run = judged_run(store)
    label_first(store, run, 12, lambda one: one.value if int(one.key, 16) % 10 else None)
    found = corrections(store, run, "helpdesk")[CHECK]
    unsaid = sum(one.value is None for one in standing(store.people.history(run.id)))
    assert isinstance(found, Corrected)
    assert found.labels == 12 - unsaid
    assert ("nobody could say" in said_of(found)) == bool(unsaid)


def test_a_difference_is_corrected_where_people_labelled_both(store: RunStore) -> None:
    before, after = judged_run(store, 60), judged_run(store, 60)
    label_first(store, before, 30, lambda one: one.value, seed=before.id)
    label_first(store, after, 9, lambda one: 1.0)
    found = corrected_differences(store, before, after, "helpdesk")[CHECK]
    assert isinstance(found, str)
    assert f"with --like {before.id}" in found
    label_first(store, after, 30, lambda one: 1.0, seed=before.id)
    found = corrected_differences(store, before, after, "helpdesk")[CHECK]
    assert isinstance(found, Corrected)
    assert found.raw == 0  # the judge sees none
    assert found.low < 0.5 < found.high
    assert said_of(found, signed=True).startswith("+0.00 raw, +0.")


# -- calibration


def test_a_runs_labels_are_gathered_judge_by_judge(store: RunStore) -> None:
    records = [
        trial(n, verdict(CHECK, float(n % 2)), score("tone", n / 4, "tone@m#1")) for n in range(5)
    ]
    run = stored(store, records)
    for rater, shift in (("ann", 0.0), ("bob", 1.0)):
        label_first(store, run, 10, lambda one, by=shift: abs(by - one.value), rater)
    found = {one.judge: one for one in labelled(store, run, store.people.labels(run.id))}
    assert found.keys() == {JUDGE, "tone@m#1"}
    assert (found[JUDGE].scale, found["tone@m#1"].scale) == ("verdict", "score")
    item = next(one for one in found["tone@m#1"].items if "case-1" in one.id)
    assert item.labels == {"ann": 2, "bob": 4}
    assert found["tone@m#1"].verdicts[item.id].label == 2
    assert item.candidate == "answer 1"
    assert found[JUDGE].verdicts["helpdesk/case-1 #0 rubric/polite"].label == "pass"
