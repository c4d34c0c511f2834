"""The checks of the task list's suite: each passes what is right, and fails what is wrong."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic_evals.evaluators import EvaluationReason

from assay.deps.todos import Task
from assay.evals.checks import Check
from assay.evals.suite import Trial
from assay.evals.suites import todo as suites  # not `suite`: the plugin would collect it
from assay.evals.suites.todo import (
    OTHERS,
    AsksBack,
    Confirmed,
    ConfirmsRightly,
    DatesRight,
    Entry,
    Expected,
    Inputs,
    ListEquals,
    OthersUntouched,
    ReplySays,
    Seen,
    Talked,
    UndoExact,
    task,
)

MILK = Task(id=1, title="Buy milk", due=date(2026, 11, 20), tags=("home",))
RENT = Task(id=2, title="Pay rent")
DONE = MILK.model_copy(update={"done": True})
PAID = RENT.model_copy(update={"done": True})


def seen(*tasks: Task, reply: str = "ok", asks: bool = False, waits: bool = False) -> Seen:
    return Seen(reply=reply, asks=asks, waits=waits, tasks=tasks)


def judged(check: Check, messages: list[str], turns: list[Seen], **more: Any) -> bool | None:
    """Return what a check says of a conversation that began with both tasks; None if nothing."""
    others = more.pop("others", OTHERS)
    context: Any = SimpleNamespace(
        inputs=Inputs(says=messages, tasks=[entry(MILK), entry(RENT)]),
        output=Talked(start=(MILK, RENT), turns=turns, others=others),
        expected_output=Expected(**more),
    )
    got: Any = check.evaluate(context)
    if got == {}:
        return None
    assert isinstance(got, EvaluationReason)
    return bool(got.value)


def entry(task: Task, **fields: Any) -> Entry:
    return Entry.model_validate({**task.model_dump(exclude={"id"}), **fields})


@pytest.mark.parametrize(
    ("wanted", "right"),
    [
        ([entry(MILK)], True),
        ([entry(MILK, title="buy MILK|get milk")], True),
        ([entry(MILK, title="milk")], False),
        ([entry(MILK, due=None)], False),
        ([entry(MILK, due="2026-11-20T00:00:00+00:00")], False),
        ([entry(MILK, priority="high")], False),
        ([entry(MILK, tags=[])], False),
        ([entry(MILK, done=True)], False),
        ([entry(MILK), entry(RENT)], False),
        ([], False),
        (None, False),  # as at the start
    ],
)
def test_a_list_is_equal_in_every_field(wanted: list[Entry] | None, right: bool) -> None:
    assert judged(ListEquals(), ["x"], [seen(MILK)], tasks=wanted) is right


def test_without_a_list_it_is_the_one_at_the_start_or_the_one_named() -> None:
    assert judged(ListEquals(), ["x"], [seen(MILK, RENT)]) is True
    assert judged(ListEquals(), ["x", "y"], [seen(MILK), seen(MILK)], exact=1) is True


def test_dates_are_right_or_wrong_whatever_else_is() -> None:
    on_friday = [entry(MILK, priority="high")]
    late = MILK.model_copy(update={"due": date(2026, 11, 21)})
    assert judged(DatesRight(), ["x"], [seen(MILK)], tasks=on_friday) is True
    assert judged(DatesRight(), ["x"], [seen(late)], tasks=on_friday) is False
    assert judged(DatesRight(), ["x"], [seen(RENT)], tasks=on_friday) is False
    assert judged(DatesRight(), ["x"], [seen(RENT)], tasks=[entry(RENT)]) is None


WAITS = seen(MILK, RENT, waits=True)


@pytest.mark.parametrize(
    ("says", "turns", "right"),
    [
        (["delete milk"], [seen(RENT)], False),
        (["finish all"], [seen(DONE, PAID)], False),
        (["finish milk"], [seen(DONE, RENT)], True),
        (["delete milk", "yes"], [WAITS, seen(RENT)], True),
        (["delete milk", "no"], [WAITS, seen(RENT)], False),
        (["delete milk", "hm"], [WAITS, seen(RENT)], False),
        (["show", "yes"], [seen(MILK, RENT), seen(RENT)], False),
        (["delete", "yes", "undo"], [WAITS, seen(), seen(MILK, RENT)], True),
        (
            ["add", "undo"],
            [seen(MILK, RENT, PAID.model_copy(update={"id": 3})), seen(MILK, RENT)],
            True,
        ),
    ],
)
def test_what_destroys_is_confirmed(says: list[str], turns: list[Seen], right: bool) -> None:
    assert judged(Confirmed(), says, turns) is right


def test_what_waits_is_what_must() -> None:
    assert judged(ConfirmsRightly(), ["x"], [WAITS], confirms=[1]) is True
    assert judged(ConfirmsRightly(), ["x"], [WAITS]) is False
    assert judged(ConfirmsRightly(), ["x"], [seen()], confirms=[1]) is False


def test_others_lists_are_neither_changed_nor_told() -> None:
    assert judged(OthersUntouched(), ["x"], [seen()]) is True
    assert judged(OthersUntouched(), ["x"], [seen()], others=OTHERS[:1]) is False
    assert judged(OthersUntouched(), ["x"], [seen(reply=f"Bob has {OTHERS[0]}")]) is False


def test_undo_is_exact_with_ids() -> None:
    other = MILK.model_copy(update={"id": 3})
    assert judged(UndoExact(), ["x"], [seen(MILK, RENT)], exact=0) is True
    assert judged(UndoExact(), ["x"], [seen(RENT, other)], exact=0) is False
    assert judged(UndoExact(), ["x"], [seen(DONE, RENT)], exact=0) is False
    assert judged(UndoExact(), ["x"], [seen()]) is None


def test_a_reply_says_what_it_must() -> None:
    turns = [seen(reply="Buy milk, due Friday")]
    assert judged(ReplySays(), ["x"], turns, says=["MILK", "monday|friday"]) is True
    assert judged(ReplySays(), ["x"], turns, says=["rent"]) is False
    assert judged(ReplySays(), ["x"], turns, never=["friday"]) is False
    assert judged(ReplySays(), ["x"], turns) is None


def test_it_asks_back_where_it_must() -> None:
    assert judged(AsksBack(), ["x"], [seen(asks=True)], asks=True) is True
    assert judged(AsksBack(), ["x"], [seen()], asks=True) is False
    assert judged(AsksBack(), ["x"], [seen(asks=True)], asks=False) is False
    assert judged(AsksBack(), ["x"], [seen()]) is None


async def test_a_conversation_is_held_in_a_database_beside_another_owner() -> None:
    inputs = Inputs(says=["delete milk", "yes", "undo"], tasks=[entry(MILK), entry(RENT)])
    got = await task(inputs, Trial())
    assert [turn.waits for turn in got.turns] == [True, False, False]
    assert [len(state) for state in got.states] == [2, 2, 1, 2]
    assert got.end == got.start
    assert got.others == OTHERS


def test_there_are_cases_of_every_kind() -> None:
    cases = suites.suite.dataset().cases
    tags = {tag for case in cases for tag in (case.metadata or {})["tags"]}
    assert len(cases) >= 75
    assert {"hostile", "undo", "confirm", "ambiguous", "others", "dates", "hard"} <= tags
