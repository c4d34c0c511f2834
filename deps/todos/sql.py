"""Task lists in a database: they outlive the process, and several may write to one.

```python
todos = SqlTodos(".assay/todos.db").of("anna")  # or postgresql://user@host/database
```
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects import postgresql, sqlite

from ..database import SqlStore
from .lists import (
    Change,
    Edit,
    Entry,
    Task,
    TodoList,
    changed,
    made,
    reverted,
    since_last_step,
)

__all__ = ("DEFAULT", "SqlTodos")

DEFAULT = ".assay/todos.db"
"""Where lists are kept when nothing else is said, from the working directory."""

metadata = sa.MetaData()

lists = sa.Table(  # its row is what writers of a list wait for
    "todo_list",
    metadata,
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("free", sa.Integer, nullable=False),
)
tasks = sa.Table(
    "todo_task",
    metadata,
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("due", sa.String(40)),  # ISO 8601: a day, or a moment with its offset
    sa.Column("priority", sa.String(10), nullable=False),
    sa.Column("tags", sa.Text, nullable=False),  # JSON
    sa.Column("done", sa.Boolean, nullable=False),
)
journal = sa.Table(
    "todo_change",
    metadata,
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("turn", sa.String(64), nullable=False),
    sa.Column("task", sa.Integer, nullable=False),
    sa.Column("before", sa.Text),  # a task as JSON
    sa.Column("after", sa.Text),
    sa.Column("undone", sa.String(64)),
    sa.Index("todo_change_turn", "owner", "turn"),
    sa.Index("todo_change_undone", "owner", "undone"),
)
j = journal.c

_TAGS = TypeAdapter(tuple[str, ...])


class SqlTodos(SqlStore):
    """Keeps lists in SQLite or PostgreSQL. Open one per process, and close it at the end.

    Args:
        url: A file (`.assay/todos.db`), or a URL (`postgresql://user@host/database`).

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | Path = DEFAULT) -> None:
        super().__init__(url, metadata, "the store of task lists")
        make = postgresql.insert if self._postgres else sqlite.insert
        new = make(lists).values(owner=sa.bindparam("of"), free=1)
        self._insert = new.on_conflict_do_nothing(index_elements=[lists.c.owner])

    def of(self, owner: str) -> TodoList:
        """Return an owner's list."""
        return TodoList(self, owner)

    async def tasks(self, owner: str) -> tuple[Task, ...]:
        return await self._read(_tasks, owner)

    async def edit(self, owner: str, turn: str, edit: Edit) -> tuple[Change, ...]:
        return await self._write(_edit, self._insert, owner, turn, edit)

    async def undo(self, owner: str, turn: str) -> tuple[Change, ...]:
        return await self._write(_undo, self._insert, owner, turn)

    async def made(self, owner: str, turn: str) -> tuple[Change, ...]:
        return await self._read(_made, owner, turn)


def _free(connection: sa.Connection, insert: Any, owner: str) -> int:
    """Lock a list, and return its next free id."""
    connection.execute(insert, {"of": owner})
    found = sa.select(lists.c.free).where(lists.c.owner == owner).with_for_update()
    return int(connection.execute(found).scalar_one())


def _tasks(connection: sa.Connection, owner: str) -> tuple[Task, ...]:
    found = sa.select(tasks).where(tasks.c.owner == owner).order_by(tasks.c.id)
    return tuple(
        Task(
            id=row.id,
            title=row.title,
            due=row.due,
            priority=row.priority,
            tags=_TAGS.validate_json(row.tags),
            done=row.done,
        )
        for row in connection.execute(found)
    )


def _edit(
    connection: sa.Connection, insert: Any, owner: str, turn: str, edit: Edit
) -> tuple[Change, ...]:
    free = _free(connection, insert, owner)
    now = {task.id: task for task in _tasks(connection, owner)}
    changes = changed(now, edit(now, free))
    _note(connection, owner, turn, changes)
    _set(connection, owner, changes)
    next_free = max([free, *(change.task + 1 for change in changes)])
    connection.execute(lists.update().where(lists.c.owner == owner).values(free=next_free))
    return changes


def _undo(connection: sa.Connection, insert: Any, owner: str, turn: str) -> tuple[Change, ...]:
    _free(connection, insert, owner)
    numbers, step = _last_step(connection, owner)
    marked = journal.update().where(j.owner == owner, j.number.in_(numbers))
    connection.execute(marked.values(undone=turn))
    back = reverted([entry.change for entry in step])
    _set(connection, owner, back)
    return back


def _last_step(connection: sa.Connection, owner: str) -> tuple[list[int], Sequence[Entry]]:
    """Return the last step that is not undone, and the numbers of its entries."""
    kept = sa.select(journal).where(j.owner == owner, j.undone.is_(None))
    last = connection.execute(kept.order_by(j.number.desc()).limit(1)).one_or_none()
    if last is None:
        return [], []
    others = sa.select(sa.func.coalesce(sa.func.max(j.number), 0)).where(
        j.owner == owner, j.undone.is_(None), j.turn != last.turn
    )
    since = connection.execute(others).scalar_one()
    rows = connection.execute(kept.where(j.number > since).order_by(j.number)).all()
    step = since_last_step([_entry(row) for row in rows])
    return [row.number for row in rows], step


def _made(connection: sa.Connection, owner: str, turn: str) -> tuple[Change, ...]:
    of = sa.or_(j.turn == turn, j.undone == turn)
    found = sa.select(journal).where(j.owner == owner, of).order_by(j.number)
    return made([_entry(row) for row in connection.execute(found)], turn)


def _note(connection: sa.Connection, owner: str, turn: str, changes: Sequence[Change]) -> None:
    count = sa.select(sa.func.coalesce(sa.func.max(j.number), 0)).where(j.owner == owner)
    start = int(connection.execute(count).scalar_one())
    for number, change in enumerate(changes, start + 1):
        row = {"owner": owner, "number": number, "turn": turn, "task": change.task}
        was, will = _json(change.before), _json(change.after)
        connection.execute(journal.insert().values(**row, before=was, after=will))


def _set(connection: sa.Connection, owner: str, changes: Iterable[Change]) -> None:
    for change in changes:
        this = (tasks.c.owner == owner, tasks.c.id == change.task)
        connection.execute(tasks.delete().where(*this))
        if change.after is not None:
            connection.execute(tasks.insert().values(owner=owner, **_row(change.after)))


def _row(task: Task) -> dict[str, Any]:
    row = dict(task)
    due = None if task.due is None else task.due.isoformat()
    return {**row, "due": due, "tags": _TAGS.dump_json(task.tags).decode()}


def _json(task: Task | None) -> str | None:
    return None if task is None else task.model_dump_json()


def _entry(row: Any) -> Entry:
    change = Change(task=row.task, before=_read(row.before), after=_read(row.after))
    return Entry(turn=row.turn, change=change, undone=row.undone)


def _read(text: str | None) -> Task | None:
    return None if text is None else Task.model_validate_json(text)
