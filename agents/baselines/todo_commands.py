"""What a message to a task list can ask for."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...deps.todos import Priority

__all__ = (
    "Add",
    "Command",
    "Complete",
    "Delete",
    "Details",
    "Find",
    "Ref",
    "Undo",
    "Unknown",
    "Update",
)


@dataclass(frozen=True)
class Ref:
    """Which tasks are meant.

    Attributes:
        words: Words of the title; in full if `exact`.
        exact: Whether the words were in quotes.
        ids: Numbers of tasks.
        spoken: What was spoken of last: one task, or all of them.
        every: All tasks to which the rest applies.
        tag: With this tag.
        when: Due then, in words.
        overdue: Due before today.
        done: Only done ones, only open ones, or both.
        priority: With this one.
    """

    words: str = ""
    exact: bool = False
    ids: tuple[int, ...] = ()
    spoken: Literal["one", "all"] | None = None
    every: bool = False
    tag: str | None = None
    when: str | None = None
    overdue: bool = False
    done: bool | None = False
    priority: Priority | None = None


@dataclass(frozen=True)
class Details:
    """A task's fields, in words."""

    title: str = ""
    when: str | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Add:
    """Add these tasks."""

    tasks: tuple[Details, ...]


@dataclass(frozen=True)
class Find:
    """Show these tasks."""

    ref: Ref


@dataclass(frozen=True)
class Update:
    """`when` is a date in words, `none` for no date."""

    ref: Ref
    title: str | None = None
    when: str | None = None
    priority: Priority | None = None
    tag: str | None = None
    reopen: bool = False


@dataclass(frozen=True)
class Complete:
    """Mark these tasks as done."""

    ref: Ref


@dataclass(frozen=True)
class Delete:
    """Delete these tasks."""

    ref: Ref


@dataclass(frozen=True)
class Undo:
    """Undo the last steps."""

    steps: int = 1


@dataclass(frozen=True)
class Unknown:
    """What is not understood, or cannot be done, and what is said to it."""

    why: str


Command: TypeAlias = Add | Find | Update | Complete | Delete | Undo | Unknown
