"""Change an owner's task list; what cannot be taken back lightly is confirmed by its owner.

Deleting is always confirmed. So is completing or changing more than one task that was there, and
undoing more than one step: in one call, or in several of the same turn. A confirmation is for the
tasks that it names: where one has another title by then, the user is asked anew. Attach the tools
as `agents/todo.py` does, with `DeferredToolRequests` among the agent's output types.
"""

from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from pydantic import BaseModel
from pydantic_ai import ApprovalRequired, ModelRetry, RunContext

from ..deps.errors import InputError
from ..deps.todos import Change, HasTodos, Priority, Query, Task

__all__ = (
    "MAX_FOUND",
    "Found",
    "add_task",
    "complete_task",
    "delete_tasks",
    "find_tasks",
    "undo",
    "update_task",
)

MAX_FOUND = 200
"""Tasks that a search shows."""

MAX_STEPS = 20
"""Steps that one call can undo."""

_NAMED = 5  # tasks whose titles a question holds


class Found(BaseModel):
    """Tasks that were found, and how many there are."""

    tasks: tuple[Task, ...]
    total: int


async def add_task(
    ctx: RunContext[HasTodos],
    title: str,
    *,
    due: str | None = None,
    priority: Priority = "normal",
    tags: Sequence[str] = (),
) -> Task:
    """Add one task to the list; for several, call this for each.

    Args:
        ctx: The run.
        title: What is to be done, in the user's words, on one line.
        due: A day `2026-11-27`, or a moment in the user's own time `2026-11-27T17:00`.
        priority: low, normal or high.
        tags: Single words without `#`.
    """
    fields = {"due": _due(due, ctx.deps.zone), "priority": priority, "tags": _tags(tags)}
    try:
        return await ctx.deps.todos.add(title, **fields)
    except InputError as e:
        raise ModelRetry(str(e)) from e


async def find_tasks(
    ctx: RunContext[HasTodos],
    words: str = "",
    *,
    ids: Sequence[int] | None = None,
    due_from: date | None = None,
    due_to: date | None = None,
    tag: str | None = None,
    priority: Priority | None = None,
    done: bool | None = False,
) -> Found:
    """Return the user's tasks to which all of this applies; without arguments all open ones.

    Args:
        ctx: The run.
        words: Each must begin a word of the title, or be a tag; whatever its case.
        ids: Only these tasks.
        due_from: Due on this day or later.
        due_to: Due on this day or earlier; overdue is up to yesterday, and open.
        tag: With this tag.
        priority: With this priority.
        done: false: only open tasks; true: only done ones; null: both.
    """
    query = Query(words, ids, due_from, due_to, tag, priority, done)
    found = await ctx.deps.todos.find(query, ctx.deps.zone)
    return Found(tasks=found[:MAX_FOUND], total=len(found))


async def update_task(
    ctx: RunContext[HasTodos],
    ids: Sequence[int],
    *,
    title: str | None = None,
    due: str | None = None,
    priority: Priority | None = None,
    tags: Sequence[str] | None = None,
    done: bool | None = None,
) -> list[Task]:
    """Change fields of tasks, and return these as they are now; what is not given stays.

    Args:
        ctx: The run.
        ids: Which tasks; the user is asked first when there are several.
        title: The new title, of a single task.
        due: As in add_task; `none` for no date any more.
        priority: low, normal or high.
        tags: All tags the tasks have from now on.
        done: false opens a task again that was done.
    """
    if title is not None and len(set(ids)) > 1:
        raise ModelRetry("Several tasks cannot get one title; rename one at a time.")
    fields: dict[str, Any] = {"title": title, "priority": priority, "done": done}
    fields["tags"] = None if tags is None else _tags(tags)
    fields = {name: value for name, value in fields.items() if value is not None}
    if due is not None:
        fields["due"] = None if due == "none" else _due(due, ctx.deps.zone)
    if not fields:
        raise ModelRetry("Nothing is to be changed; give a field with its new value.")
    await _ask_if_several(ctx, "change", await _chosen(ctx, ids))
    return await _update(ctx, ids, fields)


async def complete_task(ctx: RunContext[HasTodos], ids: Sequence[int]) -> list[Task]:
    """Mark tasks as done, and return them.

    Args:
        ctx: The run.
        ids: Which tasks; the user is asked first when there are several.
    """
    still_open = [task for task in await _chosen(ctx, ids) if not task.done]
    await _ask_if_several(ctx, "complete", still_open)
    return await _update(ctx, ids, {"done": True})


async def delete_tasks(ctx: RunContext[HasTodos], ids: Sequence[int]) -> list[Task]:
    """Delete tasks, after the user was asked, and return what they were.

    Args:
        ctx: The run.
        ids: Which tasks.
    """
    chosen = await _chosen(ctx, ids)
    _ask(ctx, f"delete {_named(chosen)}")
    try:
        changes = await ctx.deps.todos.delete(ids)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return [change.before for change in changes if change.before is not None]


async def undo(ctx: RunContext[HasTodos], steps: int = 1) -> list[Change]:
    """Undo what was changed last, and return what that made different; nothing if none is left.

    A step is all that one message of the user changed. What is undone cannot be redone.

    Args:
        ctx: The run.
        steps: How many; the user is asked first when that is more than one.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ModelRetry(f"{steps} steps cannot be undone; undo 1 to {MAX_STEPS}.")
    if steps > 1 or await ctx.deps.todos.made():
        _ask(ctx, f"undo {steps} more steps" if steps > 1 else "undo one more step")
    each = [await ctx.deps.todos.undo() for _ in range(steps)]
    return [change for changes in each for change in changes]


async def _chosen(ctx: RunContext[HasTodos], ids: Sequence[int]) -> Sequence[Task]:
    """Return the tasks with these ids, or tell the model which are not there."""
    there = {task.id: task for task in await ctx.deps.todos.tasks()}
    missing = [each for each in ids if each not in there]
    if missing or not ids:
        said = f"no task {', '.join(map(str, missing))}" if missing else "no id given"
        raise ModelRetry(f"There is {said}; look for the task with find_tasks.")
    return [there[each] for each in dict.fromkeys(ids)]


async def _update(
    ctx: RunContext[HasTodos], ids: Sequence[int], fields: dict[str, Any]
) -> list[Task]:
    try:
        await ctx.deps.todos.update(ids, fields)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return [task for task in await ctx.deps.todos.tasks() if task.id in ids]


async def _ask_if_several(ctx: RunContext[HasTodos], what: str, tasks: Sequence[Task]) -> None:
    """Ask if this, with what the turn has changed already, is more than one task."""
    before = {change.task for change in await ctx.deps.todos.made() if change.before is not None}
    if tasks and len(before.union(task.id for task in tasks)) > 1:
        _ask(ctx, f"{what} {_named(tasks)}")


def _ask(ctx: RunContext[HasTodos], what: str) -> None:
    """Ask; anew if the list changed so that it is no longer what the user said yes to."""
    said: dict[str, Any] = ctx.tool_call_metadata or {}
    if not ctx.tool_call_approved or said.get("why", what) != what:
        raise ApprovalRequired(metadata={"why": what})


def _named(tasks: Sequence[Task]) -> str:
    shown = ", ".join(f'"{task.title}"' for task in tasks[:_NAMED])
    more = f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else ""
    count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    return f"{count}: {shown}{more}"


def _due(text: str | None, zone: tzinfo) -> date | None:
    """Read a day or a moment; one without a zone is the user's own time."""
    if text is None:
        return None
    try:
        if "T" not in text:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise ModelRetry(f"{text!r} is no date; write 2026-11-27 or 2026-11-27T17:00.") from e
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=zone)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(tag.removeprefix("#") for tag in tags)
