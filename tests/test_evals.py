"""Our own suites, collected for `pytest -m eval`: one item per case."""

from assay.evals.suites.answer import suite as answer
from assay.evals.suites.copy_editor import suite as copy_editor
from assay.evals.suites.desk import suite as desk
from assay.evals.suites.extract import suite as extract
from assay.evals.suites.guard import suite as guard
from assay.evals.suites.judge import suite as judge
from assay.evals.suites.support import suite as support
from assay.evals.suites.todo import suite as todo
from assay.evals.suites.triage import suite as triage

__all__ = (
    "answer",
    "copy_editor",
    "desk",
    "extract",
    "guard",
    "judge",
    "support",
    "todo",
    "triage",
)
