"""Task lists that remember what they were: every change is journalled, so it can be undone."""

from .lists import (
    MAX_TASKS,
    MAX_TITLE,
    Change,
    Due,
    Edit,
    HasTodos,
    MemoryTodos,
    Priority,
    Query,
    Task,
    TodoList,
    Todos,
    due_day,
    since_last_step,
)

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
