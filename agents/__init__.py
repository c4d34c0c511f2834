"""Typed agents. Import the module and call its `run`: `triage.run(message, deps)`."""

from . import triage

__all__ = ("triage",)
