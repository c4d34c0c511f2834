"""Our own suites, collected for `pytest -m eval`: one item per case."""

from assay.evals.suites.copy_editor import suite as copy_editor
from assay.evals.suites.desk import suite as desk
from assay.evals.suites.extract import suite as extract
from assay.evals.suites.judge import suite as judge
from assay.evals.suites.triage import suite as triage

__all__ = ("copy_editor", "desk", "extract", "judge", "triage")
