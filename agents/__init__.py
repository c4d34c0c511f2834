"""Typed agents. Import the module and call its `run`: `triage.run(message, deps)`."""

from . import answer, book, copy_editor, desk, extract, guard, judge, support, todo, triage

__all__ = (
    "answer",
    "book",
    "copy_editor",
    "desk",
    "extract",
    "guard",
    "judge",
    "support",
    "todo",
    "triage",
)
