"""What a judged check asks, in words, so that people judge by what the judge was told."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_evals.evaluators import Evaluator, GEval, LLMJudge

from ...deps.errors import AssayError
from ..cases import Cases
from ..judges.grounded import Grounded
from ..judges.native import as_judged
from ..judges.rubric import Rubric
from ..runs import where_of
from ..store.rows import Run
from ..suite import Suite
from ..suites import load

__all__ = ("Criteria", "criteria_of", "criteria_of_run")

Criteria = Mapping[tuple[str, str], str]
"""By suite and check, what the check asks."""


def criteria_of_run(run: Run, suites: Iterable[str]) -> tuple[Criteria, dict[str, str]]:
    """Return what the checks of a run's suites ask; and by suite, why that cannot be told.

    The suites are imported, as they are now.

    Args:
        run: The run.
        suites: Of its suites, those to look at.
    """
    found: dict[tuple[str, str], str] = {}
    why: dict[str, str] = {}
    for name in suites:
        try:
            suite = load(where_of(run, name))
            found |= {(name, check): text for check, text in criteria_of(suite).items()}
        except AssayError as e:
            why[name] = str(e)
    return found, why


def criteria_of(suite: Suite[Any, Any]) -> dict[str, str]:
    """Return what the judged checks of a suite ask, by name; its cases' own included.

    Raises:
        BadDataset: the cases cannot be read.
    """
    cases = Cases.of(suite)
    own = (check for case in cases for check in case.evaluators)
    return {
        name: text
        for check in (*suite.checks, *cases.evaluators, *own)
        for name, text in _asked(check)
    }


def _asked(check: Evaluator[Any, Any, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(check, Rubric):
        for criterion in check.parsed():
            yield f"{check.name}/{criterion.id}", criterion.text
    elif isinstance(check, Grounded):
        yield check.name, f"Every claim that it makes stands in the sources ({check.sources})."
    elif (judged := as_judged(check)) is not None and isinstance(check, LLMJudge):
        for name in (judged.name, f"{judged.name}_score", f"{judged.name}_pass"):
            yield name, check.rubric
    elif judged is not None and isinstance(check, GEval):
        yield judged.name, check.criteria
