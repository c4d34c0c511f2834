"""Which items people are shown, in which order, and what becomes of their labels."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import LLMJudge

from assay.deps.errors import BadDataset, ConfigError, InputError
from assay.evals.judges.grounded import Grounded
from assay.evals.judges.rubric import Rubric
from assay.evals.labelling.files import new_labels, read_labels, write_labels
from assay.evals.labelling.gather import entries_of, material_of
from assay.evals.labelling.queue import Entry, Queue, arranged, doubt
from assay.evals.labelling.session import Session
from assay.evals.labelling.words import criteria_of, criteria_of_run
from assay.evals.outcome import Outcome
from assay.evals.store.database import RunStore
from assay.evals.store.people import Label, standing
from assay.evals.store.rows import Run
from assay.evals.suite import Suite

from .labelling import CHECK, JUDGE, NOON, judged_run, score, stored, trial, verdict, word


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    ticks = iter(range(10**6))
    opened = RunStore(tmp_path / "runs.db", now=lambda: NOON + timedelta(seconds=next(ticks)))
    yield opened
    opened.close()


def entry(
    key: str = "k0", number: int = 0, check: str = CHECK, value: float = 1.0, doubt: float = 0.0
) -> Entry:
    return Entry(
        suite="helpdesk",
        key=key,
        case=key,
        trial=number,
        check=check,
        judge=JUDGE,
        value=value,
        scale="verdict",
        doubt=doubt,
    )


def session(store: RunStore, run: Run, **options: Any) -> Session:
    entries = entries_of(store, run, **options)
    return Session(
        store=store,
        run=run.id,
        entries=entries,
        material=material_of(store, run, entries),
        drawn=options.get("drawn", "random"),
    )


# -- the order

ENTRIES = st.builds(
    entry,
    key=st.sampled_from(["a", "b", "c", "d", "e"]),
    number=st.integers(0, 2),
    check=st.sampled_from(["x", "y"]),
    doubt=st.sampled_from([0.0, 0.5, 1.0]),
)
SEVERAL = st.lists(ENTRIES, unique_by=lambda one: one.place)


@given(SEVERAL, st.sampled_from(["random", "disagreement"]), st.text(max_size=5))
def test_every_item_comes_once_in_an_order_that_the_seed_alone_decides(
    entries: list[Entry], drawn: Any, seed: str
) -> None:
    found = arranged(entries, drawn, seed)
    assert Counter(found) == Counter(entries)
    assert found == arranged(entries, drawn, seed)
    assert len({one.id for one in found}) == len(found)
    if drawn == "disagreement":
        assert [one.doubt for one in found] == sorted((one.doubt for one in found), reverse=True)


@given(SEVERAL, st.data())
def test_a_verdict_has_no_say_in_the_random_order(
    entries: list[Entry], data: st.DataObject
) -> None:
    other = [
        replace(one, value=data.draw(st.floats(0, 1)), judge="x", doubt=0.3) for one in entries
    ]
    assert [one.place for one in arranged(entries, "random", "s")] == [
        one.place for one in arranged(other, "random", "s")
    ]


def test_checks_of_an_output_come_together_and_one_trial_of_each_case_first() -> None:
    entries = [entry(f"k{n}", t, c) for n in range(6) for t in range(2) for c in ("y", "x")]
    found = arranged(entries, "random", "seed")
    outputs = [one.place[:3] for one in found[::2]]
    assert outputs == [one.place[:3] for one in found[1::2]]
    assert {one.check for one in found[::2]} == {"y"}  # as the suite has them
    assert len({key for _, key, _ in outputs[:6]}) == 6
    assert {t for _, _, t in outputs[:6]} == {0, 1}
    assert found != arranged(entries, "random", "other")


def test_every_case_is_as_likely_to_come_first() -> None:
    entries = [entry(f"k{n}") for n in range(4)]
    first = Counter(arranged(entries, "random", f"{n}")[0].key for n in range(2000))
    assert all(abs(count - 500) < 100 for count in first.values())  # five standard deviations


@pytest.mark.parametrize(
    ("value", "alike", "trials", "people", "found"),
    [
        (1.0, [], [], [], 0.0),
        (0.5, [], [], [], 1.0),
        (0.25, [], [], [], 0.5),
        (1.0, [0.0], [], [], 1.0),
        (1.0, [], [1.0, 0.0], [], 1.0),
        (1.0, [1.0], [1.0], [1.0, 0.25], 0.75),
    ],
)
def test_what_is_disputed(
    value: float, alike: list[float], trials: list[float], people: list[float], found: float
) -> None:
    assert doubt(value, alike, trials, people) == found


def test_disputes_are_found_among_judges_trials_and_people(store: RunStore) -> None:
    others = [trial(n, verdict(CHECK, 0.0 if n == 1 else 1.0, "other")) for n in range(6)]
    stored(store, others)
    own = [trial(n, verdict(CHECK, 1.0)) for n in range(6)]
    run = stored(store, [*own, trial(2, verdict(CHECK, 0.0), trial=1)])
    plain = entries_of(store, run)
    third = next(one for one in plain if one.case == "case-3")
    store.people.add_labels([word(third, 0.0, run=run.id)])
    found = entries_of(store, run, drawn="disagreement")
    assert {one.case for one in found if one.doubt == 1} == {"case-1", "case-2", "case-3"}
    assert {one.case for one in found[:4]} == {"case-1", "case-2", "case-3"}


# -- a rater's work

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["label", "cannot", "undo", "skip"]), st.sampled_from(["ann", "bob"])
    ),
    max_size=25,
)


@given(STEPS)
def test_nobody_sees_an_item_again_that_they_answered_and_undo_is_one_step_back(
    steps: list[tuple[str, str]],
) -> None:
    entries = [entry(f"k{n}") for n in range(5)]
    history: list[Label] = []
    later: dict[str, list[str]] = {"ann": [], "bob": []}
    answered: dict[str, list[Entry]] = {"ann": [], "bob": []}
    for step, rater in steps:
        queue = Queue(entries=entries, history=history, rater=rater, later=later[rater])
        shown = queue.next
        assert shown is None or shown not in answered[rater]
        assert (shown is None) == (len(answered[rater]) == 5) == queue.progress.done
        if step == "undo" and queue.last:
            history.append(replace(queue.last, value=None, withdrawn=True))
            undone = answered[rater].pop()
            assert queue.last.key == undone.key
            later[rater] = [id for id in later[rater] if id != undone.id]
        elif step == "skip" and shown:
            later[rater] = [*(id for id in later[rater] if id != shown.id), shown.id]
        elif step in ("label", "cannot") and shown:
            history.append(word(shown, 1.0 if step == "label" else None, rater))
            answered[rater].append(shown)
        progress = Queue(entries=entries, history=history, rater=rater).progress
        assert progress.labelled + progress.unsaid == len(answered[rater])


def test_what_is_put_off_comes_last_and_again_after_an_undo(store: RunStore) -> None:
    work = session(store, judged_run(store, 3))
    first, second, third = work.entries
    work.put_off("ann", first.id)
    assert work.state("ann")["item"]["id"] == second.id
    work.put_off("ann", second.id)
    work.label("ann", third.id, 1.0)
    assert work.state("ann")["item"]["id"] == first.id
    assert work.state("ann")["progress"]["later"] == 2
    work.label("ann", first.id, 0.0)
    work.undo("ann")
    assert work.state("ann")["item"]["id"] == first.id
    assert work.state("bob")["item"]["id"] == first.id  # the same order for all, and nothing done


def test_cannot_say_is_an_answer_and_no_label(store: RunStore) -> None:
    run = judged_run(store, 2)
    work = session(store, run)
    work.label("ann", work.entries[0].id, None, "  two meanings ")
    state = work.state("ann")
    assert (state["progress"]["unsaid"], state["progress"]["labelled"]) == (1, 0)
    assert (state["item"]["id"], state["undo"]) == (work.entries[1].id, "cannot say")
    assert store.people.labels(run.id) == []
    (kept,) = standing(store.people.history(run.id))
    assert (kept.note, kept.withdrawn) == ("two meanings", False)
    work.undo("ann")
    assert standing(store.people.history(run.id)) == []
    with pytest.raises(InputError, match="nothing to undo"):
        work.undo("ann")


def test_a_label_by_dispute_is_asked_again_at_random(store: RunStore) -> None:
    run = judged_run(store, 2)
    work = session(store, run, drawn="disagreement")
    for one in work.entries:
        work.label("ann", one.id, 1.0)
    assert work.state("ann")["item"] is None
    assert session(store, run).state("ann")["item"] is not None


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, float("nan")])
def test_a_value_that_is_not_on_the_scale_is_refused(store: RunStore, value: float) -> None:
    work = session(store, judged_run(store, 1))
    with pytest.raises(InputError, match="is none of"):
        work.label("ann", work.entries[0].id, value)


def test_names_notes_and_items_are_checked(store: RunStore) -> None:
    work = session(store, judged_run(store, 1))
    id = work.entries[0].id
    for name in ("", "   ", "x" * 101):
        with pytest.raises(InputError, match="rater's name"):
            work.label(name, id, 1.0)
    with pytest.raises(InputError, match="5000 are the most"):
        work.label("ann", id, 1.0, "x" * 5001)
    with pytest.raises(InputError, match="no item is called 'nonsense'"):
        work.label("ann", "nonsense", 1.0)
    work.label(" ann \n lee ", id, 1.0, "nul \0, half \ud83d")
    (kept,) = store.people.labels(work.run)
    assert (kept.rater, kept.note) == ("ann lee", "nul \ufffd, half ?")


def test_nothing_that_a_rater_is_shown_tells_what_anybody_said(store: RunStore) -> None:
    run = stored(store, [trial(0, verdict(CHECK, 0.0)), trial(1, verdict(CHECK, 1.0))])
    work = session(store, run)
    work.label("zoe", work.entries[0].id, 1.0, "zoe's note")
    shown = [work.state("ann")]
    work.label("ann", work.entries[0].id, 0.0)
    shown.append(work.state("ann"))
    for state in shown:
        text = json.dumps(state)
        assert not [
            said for said in ("zoe", "the judge's reason", "gpt-5", '"value"') if said in text
        ]
    same = {key: {**state["item"]} for key, state in zip("ab", shown, strict=True)}
    for one in same.values():  # what differs is what the cases are
        for name in ("id", "case", "inputs", "output"):
            del one[name]
    assert same["a"] == same["b"]


# -- what there is to label


def test_what_no_person_can_judge_by_one_output_is_left_out(store: RunStore) -> None:
    outcomes = (
        Outcome("exact", "fail", 0.0),
        verdict("pairwise", 1.0),
        score("pairwise/flipped", 0.0),
        Outcome("rubric/total", "score", 0.5, "by weight", JUDGE),
        verdict("rubric/silent", None),
        score("geval", 4.0),
        score("quality/tone", 0.75),
    )
    low = (score("geval", 1.0), verdict(CHECK, 1.0))
    run = stored(store, [trial(0, *outcomes), trial(1, *low), trial(2, crashed=True)])
    assert {one.check for one in entries_of(store, run)} == {"quality/tone", CHECK}
    (tone,) = entries_of(store, run, checks=["quality/tone"])
    assert tone.scale == "score"
    with pytest.raises(ConfigError, match="there are quality/tone, rubric/polite; evaluate with"):
        entries_of(store, run, checks=["pairwise"])


def test_a_check_is_told_in_the_words_that_the_judge_was_told() -> None:
    dataset = Dataset[str, str, Any](
        name="n", cases=[Case(name="a", inputs="x", evaluators=(LLMJudge(rubric="It is short."),))]
    )

    async def echo(text: str, _: object) -> str:
        return text

    checks = (Rubric([{"id": "polite", "text": "It is polite."}]), Grounded(sources="inputs"))
    found = criteria_of(Suite[str, str](name="n", task=echo, data=dataset, checks=checks))
    assert found[CHECK] == "It is polite."
    assert found["grounded"] == "Every claim that it makes stands in the sources (inputs)."
    assert found["LLMJudge"] == "It is short."


def test_a_suite_that_is_gone_leaves_the_checks_names(store: RunStore) -> None:
    found, why = criteria_of_run(
        stored(store, [trial(0, suite="gone.py:suite")]), ["gone.py:suite"]
    )
    assert found == {}
    assert "no file" in why["gone.py:suite"]


# -- files

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LABELS = st.builds(
    Label,
    made=st.datetimes(timezones=st.just(UTC)),
    run=st.just("r"),
    suite=st.just("helpdesk"),
    key=st.sampled_from(["k0", "k1"]),
    trial=st.just(0),
    check=st.just(CHECK),
    rater=WORDS.filter(str.strip),
    value=st.none() | st.floats(0, 1),
    note=WORDS,
    drawn=st.sampled_from(["random", "disagreement"]),
)
PLACES = {entry("k0").place, entry("k1").place}


@given(st.lists(LABELS))
def test_labels_come_back_from_a_file_as_they_went(labels: list[Label]) -> None:
    file = StringIO()
    assert write_labels(labels, file) == len(labels)
    assert list(read_labels(file.getvalue(), "r", PLACES)) == labels
    assert new_labels(labels, labels) == []
    assert new_labels(labels, []) == list(dict.fromkeys(labels))


def test_labels_of_another_store_stand_by_when_they_were_made(store: RunStore) -> None:
    run = judged_run(store, 1)
    (one,) = entries_of(store, run)
    early, late = (
        word(one, value, made=NOON + timedelta(days=n), run=run.id)
        for n, value in enumerate((0.0, 1.0))
    )
    store.people.add_labels([late])
    store.people.add_labels([early])
    assert store.people.labels(run.id) == [late]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"run": "other"}, "of run 'other', not of 'r'"),
        ({"key": "nobody"}, "no verdict of a judge on"),
        ({"value": 5}, "the value 5 is not in"),
        ({"value": "good"}, "no label: value"),
        ({"made": "2026-03-02T12:00:00"}, "has no time zone"),
        ({"rater": " "}, "is no name"),
        ({"note": "\0"}, "cannot be kept"),
        ({"withdrawn": True}, "takes back what it says"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(change: Any, why: str) -> None:
    file = StringIO()
    write_labels([word(entry())], file)
    good = file.getvalue()
    bad = json.dumps({**json.loads(good), **change})
    with pytest.raises(BadDataset, match=rf"line 2.*{why}"):
        list(read_labels(good + bad, "r", PLACES))
