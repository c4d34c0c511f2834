"""Typed agents. Import the module and call its `run`: `triage.run(message, deps)`."""

from . import book, copy_editor, desk, extract, judge, triage

__all__ = ("book", "copy_editor", "desk", "extract", "judge", "triage")
