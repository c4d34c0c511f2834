"""Task lists: every change is journalled and undone exactly, owners do not meet, writers queue."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from assay.deps.errors import InputError
from assay.deps.todos import MAX_TITLE, Change, MemoryTodos, Query, Task, TodoList, due_day
from assay.deps.todos.sql import SqlTodos

from .stores import postgres as postgres

BERLIN = timezone(timedelta(hours=1))
NOON = datetime(2026, 11, 18, 12, tzinfo=BERLIN)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def todos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TodoList]:
    if request.param == "memory":
        yield MemoryTodos().of("anna")
        return
    where: Any = tmp_path / "deep" / "todos.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres")
    with SqlTodos(where) as store:
        yield store.of(f"anna-{uuid4().hex}")


async def test_what_is_added_is_there(todos: TodoList) -> None:
    milk = await todos.add("Buy milk", due=NOON, priority="high", tags=["Home", "home", "shop"])
    rent = await todos.add("Pay rent", due=date(2026, 12, 1))
    assert await todos.tasks() == (milk, rent)
    assert milk == Task(id=1, title="Buy milk", due=NOON, priority="high", tags=("home", "shop"))
    assert (await todos.tasks())[1].due == date(2026, 12, 1)


async def test_a_day_stays_a_day_and_a_moment_a_moment(todos: TodoList) -> None:
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    await todos.add("a", due=midnight)
    await todos.add("b", due=date(2026, 12, 1))
    assert [type(task.due) for task in await todos.tasks()] == [datetime, date]
    await todos.delete([1, 2])
    await todos.undo()
    assert [type(task.due) for task in await todos.tasks()] == [datetime, date]


async def test_undo_restores_step_by_step_and_then_nothing(todos: TodoList) -> None:
    one, two, three = (todos.during(f"turn-{n}") for n in range(3))
    milk = await one.add("Buy milk")
    await two.update([milk.id], {"done": True})
    await two.add("Pay rent")
    await three.delete([1, 2])
    assert await todos.tasks() == ()
    back = await todos.during("back").undo()
    assert [change.before for change in back] == [None, None]
    assert [task.done for task in await todos.tasks()] == [True, False]
    await todos.undo()
    assert await todos.tasks() == (milk,)
    await todos.undo()
    assert await todos.tasks() == ()
    assert await todos.undo() == ()


async def test_ids_are_not_used_again(todos: TodoList) -> None:
    await todos.add("a")
    await todos.undo()
    assert (await todos.add("b")).id == 2
    await todos.delete([2])
    assert (await todos.add("c")).id == 3


async def test_what_changes_nothing_is_no_step(todos: TodoList) -> None:
    milk = await todos.during("a").add("Buy milk")
    assert await todos.during("b").update([milk.id], {"done": False}) == ()
    await todos.undo()
    assert await todos.tasks() == ()


async def test_a_turn_knows_what_it_made(todos: TodoList) -> None:
    milk = await todos.during("a").add("Buy milk")
    assert await todos.made() == ()  # of no turn
    now = todos.during("b")
    await now.update([milk.id], {"done": True})
    done = milk.model_copy(update={"done": True})
    assert await now.made() == (Change(task=1, before=milk, after=done),)
    await todos.during("c").undo()
    assert await now.made() == ()
    assert await todos.during("c").made() == (Change(task=1, before=done, after=milk),)


async def test_another_ones_change_ends_a_step(todos: TodoList) -> None:
    a, b = todos.during("a"), todos.during("b")
    await a.add("first")
    await b.update([1], {"title": "second"})
    await a.update([1], {"title": "third"})
    titles: list[list[str]] = []
    for _ in range(3):
        await todos.undo()
        titles.append([task.title for task in await todos.tasks()])
    assert titles == [["second"], ["first"], []]


async def test_owners_do_not_meet(todos: TodoList) -> None:
    bob = TodoList(todos.store, f"bob-{uuid4().hex}")
    await todos.add("mine")
    assert await bob.tasks() == ()
    with pytest.raises(InputError, match="no task 1 on this list"):
        await bob.delete([1])
    assert await bob.undo() == ()
    assert len(await todos.tasks()) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"title": "  \n\x00 "}, "title"),
        ({"title": "x" * (MAX_TITLE + 1)}, "title"),
        ({"due": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"due": "soon"}, "due"),
        ({"priority": "top"}, "priority"),
        ({"tags": ["two words"]}, "tags"),
    ],
)
async def test_what_is_no_task_is_refused_and_nothing_changes(
    todos: TodoList, fields: dict[str, Any], why: str
) -> None:
    milk = await todos.add("Buy milk")
    with pytest.raises(InputError, match=why):
        await todos.update([milk.id], fields)
    with pytest.raises(InputError, match="no task 7"):
        await todos.update([milk.id, 7], {"done": True})
    assert await todos.tasks() == (milk,)


async def test_titles_hold_any_text_but_no_control(todos: TodoList) -> None:
    for title in ("Robert'); DROP TABLE todo_task;--", "\u4f60\u597d \U0001f95b", "%s {x} $1 :of"):
        assert (await todos.add(title)).title == title
    odd = await todos.add("a\x00b\x07\u202ec\ud800 d\n")
    assert odd.title == "a b c d"
    assert (await todos.tasks())[-1] == odd


async def test_many_writers_lose_nothing(todos: TodoList) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(30):
            group.create_task(todos.during(f"turn-{n}").add(f"task {n}"))
    tasks = await todos.tasks()
    assert [task.id for task in tasks] == list(range(1, 31))
    assert {task.title for task in tasks} == {f"task {n}" for n in range(30)}


async def test_two_stores_of_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "todos.db"
    with SqlTodos(path) as one, SqlTodos(path) as two:
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task((one, two)[n % 2].of("anna").during(str(n)).add(f"task {n}"))
        assert len(await one.of("anna").tasks()) == 20
        for _ in range(20):
            await two.of("anna").undo()
        assert await one.of("anna").tasks() == ()


async def test_undo_works_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "todos.db"
    with SqlTodos(path) as store:
        milk = await store.of("anna").during("a").add("Buy milk", due=NOON, tags=["home"])
        await store.of("anna").during("b").delete([milk.id])
    with SqlTodos(path) as store:
        await store.of("anna").undo()
        assert await store.of("anna").tasks() == (milk,)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), [1, 2, 3]),
        (Query("MILK"), [1]),
        (Query("mil bu"), [1]),
        (Query("ilk"), []),
        (Query("home"), [1]),
        (Query(ids=[2, 9]), [2]),
        (Query(due_to=date(2026, 11, 18)), [1]),
        (Query(due_from=date(2026, 11, 19)), [2]),
        (Query(tag="#Home"), [1]),
        (Query(priority="high"), [2]),
        (Query(done=True), [3]),
        (Query("milk", done=True), []),
        (Query("' OR 1=1 --"), []),
    ],
)
async def test_a_query_finds_what_all_of_it_is_true_of(query: Query, found: list[int]) -> None:
    todos = MemoryTodos().of("anna")
    await todos.add("Buy milk", due=NOON, tags=["home"])
    await todos.add("Pay rent", due=date(2026, 12, 1), priority="high")
    await todos.add("Old thing", done=True)
    assert [task.id for task in await todos.find(query, BERLIN)] == found


def test_a_moment_is_due_on_the_owners_day() -> None:
    late = datetime(2026, 11, 18, 23, 30, tzinfo=UTC)
    assert due_day(late, BERLIN) == date(2026, 11, 19)
    assert due_day(late, UTC) == date(2026, 11, 18)


@given(st.text(max_size=400))
def test_any_text_is_a_title_or_refused(text: str) -> None:
    async def add() -> Task:
        return await MemoryTodos().of("anna").add(text)

    try:
        task = asyncio.run(add())
    except InputError:
        assert not text.strip() or len(text) > MAX_TITLE or not text.isprintable()
    else:
        assert 1 <= len(task.title) <= MAX_TITLE
        assert Task.model_validate_json(task.model_dump_json()) == task
        task.title.encode()


DUES = st.one_of(
    st.none(),
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(BERLIN)),  # noqa: DTZ001
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.text("abc ", min_size=1, max_size=5).filter(lambda t: bool(t.strip())),
        "due": DUES,
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
        "done": st.booleans(),
    },
)


class Undoing(RuleBasedStateMachine):
    """Any changes, by any turns: undoing them one by one goes back through what was there."""

    store: Any

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.open()
        self.steps: list[tuple[str, tuple[Task, ...]]] = []  # turn, and the list before it
        self.turn = 0

    def open(self) -> None:
        self.store = MemoryTodos()

    @property
    def todos(self) -> TodoList:
        found: TodoList = self.store.of("anna").during(str(self.turn))
        return found

    def now(self) -> tuple[Task, ...]:
        return self.runner.run(self.todos.tasks())

    def do(self, work: Any) -> None:
        before = self.now()
        self.runner.run(work)
        if self.now() != before and not (self.steps and self.steps[-1][0] == str(self.turn)):
            self.steps.append((str(self.turn), before))

    @rule()
    def next_turn(self) -> None:
        self.turn += 1

    @rule(fields=FIELDS)
    def add(self, fields: dict[str, Any]) -> None:
        self.do(self.todos.add(**{"title": "new", **fields}))

    @rule(fields=FIELDS, data=st.data())
    def update(self, fields: dict[str, Any], data: st.DataObject) -> None:
        self.do(self.todos.update(self.some(data), fields))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.do(self.todos.delete(self.some(data)))

    @rule()
    def undo(self) -> None:
        before = self.steps.pop()[1] if self.steps else self.now()
        self.runner.run(self.todos.undo())
        self.turn += 1
        assert self.now() == before

    @precondition(lambda self: isinstance(self.store, SqlTodos))
    @rule()
    def restart(self) -> None:
        url = self.store.url
        self.store.close()
        self.store = SqlTodos(url)

    def some(self, data: st.DataObject) -> list[int]:
        ids = [task.id for task in self.now()]
        return data.draw(st.lists(st.sampled_from(ids), max_size=3)) if ids else []

    @invariant()
    def ids_are_in_order(self) -> None:
        ids = [task.id for task in self.now()]
        assert ids == sorted(set(ids))

    def teardown(self) -> None:
        for _, before in reversed(self.steps):
            self.runner.run(self.todos.undo())
            assert self.now() == before
        assert self.runner.run(self.todos.undo()) == ()
        self.runner.close()


TestUndoing = Undoing.TestCase
TestUndoing.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_the_same_holds_in_a_database(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class InDatabase(Undoing):
        def open(self) -> None:
            self.store = SqlTodos(tmp_path / f"{uuid4().hex}.db")

        def teardown(self) -> None:
            super().teardown()
            self.store.close()

    run_state_machine_as_test(
        InDatabase, settings=settings(max_examples=6, stateful_step_count=15, deadline=None)
    )
