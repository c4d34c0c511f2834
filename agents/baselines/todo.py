"""Keeping a task list without an LLM: a grammar for what is asked, dateparser for when.

What the grammar does not know is not done: it asks back. A description must fit one task; with
several it asks which, with none it says so. It sees one message and which tasks were spoken of
last, nothing else of the conversation.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import singledispatch
from typing import Any, TypeAlias

from ...deps.acting import Calls, ToolRefused
from ...deps.todos import Change, Task
from ...tools.confirmation import says_yes
from ...tools.todo_reply import Reply
from ...tools.todo_talk import read_head
from ...tools.todos import (
    Found,
    add_task,
    complete_task,
    delete_tasks,
    find_tasks,
    undo,
    update_task,
)
from ..todo import Deps
from .todo_commands import (
    Add,
    Complete,
    Delete,
    Details,
    Find,
    Ref,
    Undo,
    Unknown,
    Update,
)
from .todo_dates import period, read_when
from .todo_grammar import understood

__all__ = ("solve",)

Call: TypeAlias = Calls[Deps]

MANY = 20
"""Tasks that one message may add."""


class _Asks(Exception):
    """Nothing can be done before the user says more."""

    def __init__(self, why: str, tasks: Sequence[Task] = (), *, asks: bool = True) -> None:
        super().__init__(why)
        self.reply = _reply("\n".join([why, *map(_shown, tasks)]), tasks, asks=asks)


class _Turn:
    """What a message says, and how its tasks are found."""

    def __init__(self, prompt: str, call: Call, zone: tzinfo) -> None:
        now, self.spoken, self.text = read_head(prompt)
        self.now = now.astimezone(zone)
        self.call, self.zone = call, zone

    def due(self, words: str) -> str:
        """Return a date in words as the tools take it."""
        when = read_when(words, self.now, self.zone)
        if when is None:
            raise _Asks(f"I do not understand the date {words!r}. Nothing was changed.")
        return when.text

    async def one(self, ref: Ref) -> Sequence[Task]:
        """Return the task that is meant, or those, if all are."""
        found = await self.all(ref)
        if not found:
            raise _Asks("I found no such task.", asks=False)
        exact = [t for t in found if t.title.casefold() == ref.words.casefold()]
        if ref.every or ref.ids or ref.spoken == "all" or len(found) == 1:
            return found
        if len(exact) == 1:
            return exact
        raise _Asks("Which one do you mean?", found)

    async def all(self, ref: Ref) -> Sequence[Task]:
        if ref.ids or ref.spoken:
            ids = list(ref.ids) or self.spoken
            if not ids:
                raise _Asks("Which task do you mean?")
            return (await self.call(find_tasks, ids=ids, done=None)).tasks
        if not (ref.words or ref.every):
            raise _Asks("Which task do you mean?")
        return (await self._search(ref)).tasks

    async def _search(self, ref: Ref) -> Found:
        first, last = self._days(ref)
        return await self.call(
            find_tasks,
            ref.words,
            due_from=first,
            due_to=last,
            tag=ref.tag,
            priority=ref.priority,
            done=ref.done,
        )

    def _days(self, ref: Ref) -> tuple[date | None, date | None]:
        """Return between which days tasks are due."""
        if ref.when:
            days = period(ref.when, self.now)
            if days is None:
                raise _Asks(f"I do not understand the date {ref.when!r}.")
            return days
        return None, self.now.date() - timedelta(days=1) if ref.overdue else None


async def solve(prompt: str, call: Call, zone: tzinfo) -> Reply:
    """Do what the message in `prompt` says, if the grammar knows it."""
    turn = _Turn(prompt, call, zone)
    if says_yes(turn.text) is not None:
        return _reply("Nothing waits for a yes or a no.")
    try:
        return await _do(understood(turn.text), turn)
    except _Asks as e:
        return e.reply
    except ToolRefused as e:
        return _reply(f"Nothing was done. {_why(e)}".strip())


@singledispatch
async def _do(command: Any, turn: _Turn) -> Reply:
    raise AssertionError(f"no command: {command!r}")


@_do.register
async def _(command: Unknown, turn: _Turn) -> Reply:
    return _reply(command.why, asks=True)


@_do.register
async def _(command: Add, turn: _Turn) -> Reply:
    if len(command.tasks) > MANY:
        raise _Asks(f"These are {len(command.tasks)} tasks, and I add at most {MANY} at once.")
    dues = [turn.due(each.when) if each.when else None for each in command.tasks]
    pairs = zip(command.tasks, dues, strict=True)
    added = [await _added(turn, details, due) for details, due in pairs]
    return _reply("Added: " + "; ".join(map(_shown, added)), added)


async def _added(turn: _Turn, details: Details, due: str | None) -> Task:
    return await turn.call(
        add_task,
        details.title,
        due=due,
        priority=details.priority or "normal",
        tags=list(details.tags),
    )


@_do.register
async def _(command: Find, turn: _Turn) -> Reply:
    found = await turn.all(command.ref)
    if not found:
        return _reply("I found no such task.")
    return _reply("\n".join([_count(found), *map(_shown, found)]), found)


@_do.register
async def _(command: Update, turn: _Turn) -> Reply:
    due = command.when and (command.when if command.when == "none" else turn.due(command.when))
    tasks = await turn.one(command.ref)
    tags = sorted({*tasks[0].tags, command.tag}) if command.tag else None
    if command.tag and len(tasks) > 1:
        raise _Asks("I can tag one task at a time.")
    changed = await turn.call(
        update_task,
        [task.id for task in tasks],
        title=command.title,
        due=due,
        priority=command.priority,
        tags=tags,
        done=False if command.reopen else None,
    )
    return _reply("Changed: " + "; ".join(map(_shown, changed)), changed)


@_do.register
async def _(command: Complete, turn: _Turn) -> Reply:
    tasks = await turn.one(command.ref)
    if all(task.done for task in tasks):
        return _reply("Already done: " + "; ".join(map(_shown, tasks)), tasks)
    changed = await turn.call(complete_task, [task.id for task in tasks])
    return _reply("Done: " + "; ".join(map(_shown, changed)), changed)


@_do.register
async def _(command: Delete, turn: _Turn) -> Reply:
    tasks = await turn.one(command.ref)
    gone = await turn.call(delete_tasks, [task.id for task in tasks])
    return _reply("Deleted: " + "; ".join(map(_shown, gone)), gone)


@_do.register
async def _(command: Undo, turn: _Turn) -> Reply:
    changes = await turn.call(undo, command.steps)
    if not changes:
        return _reply("There is nothing to undo.")
    tasks = [task for change in changes if (task := change.after or change.before)]
    return _reply("Undone: " + "; ".join(map(_undone, changes)), tasks)


def _undone(change: Change) -> str:
    if change.after is None:
        return f"{change.before and change.before.title!r} is not on the list any more"
    back = "is on the list again" if change.before is None else "is as it was"
    return f"{_shown(change.after)} {back}"


def _reply(text: str, tasks: Sequence[Task] = (), *, asks: bool = False) -> Reply:
    return Reply(reply=text, about=[task.id for task in tasks], asks=asks)


def _count(tasks: Sequence[Task]) -> str:
    return "1 task:" if len(tasks) == 1 else f"{len(tasks)} tasks:"


def _shown(task: Task) -> str:
    """Write a task on one line."""
    words = [f"{task.id}. {task.title}"]
    if task.due is not None:
        at = f" at {task.due:%H:%M}" if isinstance(task.due, datetime) else ""
        words.append(f"due {task.due:%A %d %B %Y}{at}")
    words += [f"{task.priority} priority"] if task.priority != "normal" else []
    words += [f"#{tag}" for tag in task.tags] + (["done"] if task.done else [])
    return ", ".join(words)


def _why(refused: ToolRefused) -> str:
    """Return the tool's own words, not those for who wrote this."""
    text = str(refused)
    if "denied" in text:
        return "You said no."
    said = text.partition(" was refused: ")[2]
    return said.removesuffix(". Do without it, or say what is missing")
