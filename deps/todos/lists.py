"""Task lists that remember what they were: every change is journalled, so it can be undone.

```python
todos = SqlTodos(".assay/todos.db").of("anna")  # or MemoryTodos(), or postgresql://...
milk = await todos.add("Buy milk")
await todos.update([milk.id], {"done": True})
await todos.undo()  # not done any more
```

A list belongs to one owner, and nothing reaches another's through it. Changes of one turn of a
conversation are undone together, as one step; a step undone is not redone. Ids count up and are
never used again, so what was said of a task that is gone is not said of another.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Annotated, Any, Literal, Protocol, TypeAlias
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import InputError

__all__ = (
    "MAX_TASKS",
    "MAX_TITLE",
    "Change",
    "Due",
    "Edit",
    "HasTodos",
    "MemoryTodos",
    "Priority",
    "Query",
    "Task",
    "TodoList",
    "Todos",
    "due_day",
    "since_last_step",
)

MAX_TITLE = 300
"""Characters of a title."""

MAX_TASKS = 5_000
"""Tasks of a list."""

Priority = Literal["low", "normal", "high"]

# They would let a title show as another one than it is.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _line(text: object) -> object:
    """Make one line of a text: without control characters, and what no encoding has."""
    if not isinstance(text, str):
        return text
    kept = (c for c in text if c not in _BIDI and unicodedata.category(c) != "Cs")
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in kept).split())


def _read_due(value: object) -> object:
    """Tell a day from a moment by how it is written, not by whether it is midnight."""
    if isinstance(value, str):
        return datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
    return value


def _aware(value: date) -> date:
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError(f"{value} has no time zone; give one, or a day without a time")
    return value


Due = Annotated[datetime | date, BeforeValidator(_read_due), AfterValidator(_aware)]
"""When a task is due: a day, or a moment that knows its zone."""

Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE), BeforeValidator(_line)]
Tag = Annotated[str, Field(pattern=r"^[\w-]{1,40}$"), BeforeValidator(_line)]


def _each_once(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({tag.casefold() for tag in tags}))


class Task(BaseModel):
    """One thing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    title: Title
    due: Due | None = None
    priority: Priority = "normal"
    tags: Annotated[tuple[Tag, ...], AfterValidator(_each_once)] = ()
    done: bool = False


class Change(BaseModel):
    """What became of a task: without `before` it is new, without `after` it is gone."""

    model_config = ConfigDict(frozen=True)

    task: int
    before: Task | None
    after: Task | None


Edit: TypeAlias = Callable[[Mapping[int, Task], int], Mapping[int, Task | None]]
"""From the tasks of a list, and the next free id, to what shall be; None deletes."""


class Todos(Protocol):
    """Keeps lists by their owner's name, and the journal of each."""

    async def tasks(self, owner: str) -> tuple[Task, ...]:
        """Return the tasks in the order in which they came."""
        ...

    async def edit(self, owner: str, turn: str, edit: Edit) -> tuple[Change, ...]:
        """Change a list, and journal what was before; return what is different now.

        Nobody else changes the list between what `edit` is shown and what it returns. It is a pure
        function; what it raises leaves the list as it is.
        """
        ...

    async def undo(self, owner: str, turn: str) -> tuple[Change, ...]:
        """Restore what was before the last step; return what that changed, nothing if none is left.

        Args:
            owner: Whose list.
            turn: In which turn it is undone.
        """
        ...

    async def made(self, owner: str, turn: str) -> tuple[Change, ...]:
        """Return the changes of a turn that stand, and those by which it undid others."""
        ...


@dataclass(frozen=True)
class Query:
    """Which tasks are looked for: those to which everything given applies.

    Args:
        words: Each must begin a word of the title, or be a tag, whatever its case.
        ids: Only these.
        due_from: Due on this day or later.
        due_to: Due on this day or earlier.
        tag: With this tag.
        priority: With this one.
        done: Only done ones, or only open ones.
    """

    words: str = ""
    ids: Sequence[int] | None = None
    due_from: date | None = None
    due_to: date | None = None
    tag: str | None = None
    priority: Priority | None = None
    done: bool | None = None

    def matches(self, task: Task, zone: tzinfo) -> bool:
        """Tell whether a task is one of them; days are those of `zone`."""
        return (
            (self.ids is None or task.id in self.ids)
            and (self.tag is None or self.tag.casefold().lstrip("#") in task.tags)
            and (self.priority is None or task.priority == self.priority)
            and (self.done is None or task.done == self.done)
            and self._in_time(task, zone)
            and self._said(task)
        )

    def _in_time(self, task: Task, zone: tzinfo) -> bool:
        if self.due_from is None and self.due_to is None:
            return True
        if task.due is None:
            return False
        day = due_day(task.due, zone)
        return (self.due_from or day) <= day <= (self.due_to or day)

    def _said(self, task: Task) -> bool:
        there = [*_words(task.title), *task.tags]
        return all(any(t.startswith(word) for t in there) for word in _words(self.words))


@dataclass(frozen=True)
class TodoList:
    """One owner's list; made by `of`.

    Args:
        store: Where it is kept.
        owner: Whose it is.
        turn: What changes are journalled under: those of one turn are undone as one step; without
            one, each is a step.
    """

    store: Todos
    owner: str
    turn: str | None = None

    def during(self, turn: str) -> TodoList:
        """Return this list as a turn of a conversation changes it."""
        return replace(self, turn=turn)

    async def tasks(self) -> tuple[Task, ...]:
        """Return all tasks, in the order in which they came."""
        return await self.store.tasks(self.owner)

    async def find(self, query: Query, zone: tzinfo) -> tuple[Task, ...]:
        """Return the tasks that `query` is for."""
        return tuple(task for task in await self.tasks() if query.matches(task, zone))

    async def add(self, title: str, **fields: Any) -> Task:
        """Add a task.

        Raises:
            InputError: a field is not what it must be, or the list is full.
        """

        def edit(tasks: Mapping[int, Task], free: int) -> Mapping[int, Task | None]:
            if len(tasks) >= MAX_TASKS:
                raise InputError(f"the list holds {MAX_TASKS} tasks, the most: delete some first")
            return {free: _made({"id": free, "title": title, **fields})}

        (change,) = await self.store.edit(self.owner, self._step, edit)
        assert change.after is not None
        return change.after

    async def update(self, ids: Iterable[int], fields: Mapping[str, Any]) -> tuple[Change, ...]:
        """Set fields of tasks; return those that are different now.

        Raises:
            InputError: there is no such task, or a field is not what it must be.
        """
        wanted = tuple(ids)

        def edit(tasks: Mapping[int, Task], free: int) -> Mapping[int, Task | None]:
            return {task.id: _made({**dict(task), **fields}) for task in chosen(tasks, wanted)}

        return await self.store.edit(self.owner, self._step, edit)

    async def delete(self, ids: Iterable[int]) -> tuple[Change, ...]:
        """Delete tasks.

        Raises:
            InputError: there is no such task.
        """
        wanted = tuple(ids)

        def edit(tasks: Mapping[int, Task], free: int) -> Mapping[int, Task | None]:
            return {task.id: None for task in chosen(tasks, wanted)}

        return await self.store.edit(self.owner, self._step, edit)

    async def undo(self) -> tuple[Change, ...]:
        """Restore what was before the last step; nothing if none is left."""
        return await self.store.undo(self.owner, self._step)

    async def made(self) -> tuple[Change, ...]:
        """Return the changes that this turn made and that stand, also by undoing others."""
        return () if self.turn is None else await self.store.made(self.owner, self.turn)

    @property
    def _step(self) -> str:
        return uuid4().hex if self.turn is None else self.turn


class HasTodos(Protocol):
    """Deps with one owner's list, and the zone in which its owner lives."""

    @property
    def todos(self) -> TodoList: ...

    @property
    def zone(self) -> tzinfo: ...


@dataclass
class Entry:
    """A change in the journal.

    Attributes:
        turn: In which turn it was made.
        change: What was before and after.
        undone: In which turn it was undone; None if it was not.
    """

    turn: str
    change: Change
    undone: str | None = None


@dataclass
class _Kept:
    tasks: dict[int, Task] = field(default_factory=dict[int, Task])
    journal: list[Entry] = field(default_factory=list[Entry])
    free: int = 1


@dataclass(eq=False)
class MemoryTodos:
    """Lists in this process, for tests and short-lived work."""

    _lists: dict[str, _Kept] = field(default_factory=dict[str, _Kept], init=False)

    def of(self, owner: str) -> TodoList:
        """Return an owner's list."""
        return TodoList(self, owner)

    async def tasks(self, owner: str) -> tuple[Task, ...]:
        return tuple(task for _, task in sorted(self._of(owner).tasks.items()))

    async def edit(self, owner: str, turn: str, edit: Edit) -> tuple[Change, ...]:
        kept = self._of(owner)
        changes = changed(kept.tasks, edit(kept.tasks, kept.free))
        kept.journal += [Entry(turn, change) for change in changes]
        kept.free = max([kept.free, *(change.task + 1 for change in changes)])
        _set(kept.tasks, changes)
        return changes

    async def undo(self, owner: str, turn: str) -> tuple[Change, ...]:
        kept = self._of(owner)
        step = since_last_step([entry for entry in kept.journal if entry.undone is None])
        for entry in step:
            entry.undone = turn
        back = reverted([entry.change for entry in step])
        _set(kept.tasks, back)
        return back

    async def made(self, owner: str, turn: str) -> tuple[Change, ...]:
        return made(self._of(owner).journal, turn)

    def _of(self, owner: str) -> _Kept:
        return self._lists.setdefault(owner, _Kept())


def chosen(tasks: Mapping[int, Task], ids: Iterable[int]) -> list[Task]:
    """Return the tasks with these ids, each once.

    Raises:
        InputError: one is not there.
    """
    wanted = list(dict.fromkeys(ids))
    if missing := [each for each in wanted if each not in tasks]:
        raise InputError(
            f"there is no task {', '.join(map(str, missing))} on this list; look for it first"
        )
    return [tasks[each] for each in wanted]


def changed(tasks: Mapping[int, Task], wanted: Mapping[int, Task | None]) -> tuple[Change, ...]:
    """Return what is different between a list and what shall be."""
    return tuple(
        Change(task=task, before=tasks.get(task), after=after)
        for task, after in wanted.items()
        if tasks.get(task) != after
    )


def since_last_step(journal: Sequence[Entry]) -> Sequence[Entry]:
    """Return the last entries of one turn.

    Another turn's that lies between ends them: undone from the end, each finds what it left.
    """
    start = len(journal)
    while start and journal[start - 1].turn == journal[-1].turn:
        start -= 1
    return journal[start:]


def reverted(step: Sequence[Change]) -> tuple[Change, ...]:
    """Return what undoes changes, given in the order in which they were made: one for each task."""
    first: dict[int, Change] = {}
    last: dict[int, Change] = {}
    for change in step:
        first.setdefault(change.task, change)
        last[change.task] = change
    return tuple(
        Change(task=task, before=last[task].after, after=change.before)
        for task, change in sorted(first.items())
    )


def made(journal: Sequence[Entry], turn: str) -> tuple[Change, ...]:
    """Return the changes of a turn that stand, and those by which it undid others."""
    own = (entry.change for entry in journal if entry.turn == turn and entry.undone is None)
    undone = [entry.change for entry in journal if entry.undone == turn]
    return (*own, *reverted(undone))


def due_day(due: date, zone: tzinfo) -> date:
    """Return the day on which something is due in a zone."""
    return due.astimezone(zone).date() if isinstance(due, datetime) else due


def _made(fields: Mapping[str, Any]) -> Task:
    try:
        return Task.model_validate(fields)
    except ValidationError as e:
        wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in e.errors())
        raise InputError(f"this is no task: {wrong}") from e


def _set(tasks: dict[int, Task], changes: Iterable[Change]) -> None:
    for change in changes:
        if change.after is None:
            tasks.pop(change.task, None)
        else:
            tasks[change.task] = change.after


def _words(text: str) -> list[str]:
    split = "".join(c if c.isalnum() else " " for c in text.casefold())
    return split.split()
