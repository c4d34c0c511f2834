"""`assay report`: a run as a page, as JUnit XML, or as Markdown."""

from collections.abc import Iterator
from pathlib import Path

from ...deps.errors import ConfigError
from ..identity import case_keys
from ..report import SuiteReport
from ..reports.html import render
from ..reports.junit import junit
from ..reports.markdown import markdown_summary
from ..reports.page import Case, CaseKey, RunInfo, page_of
from ..reports.views import Reference, Verdict
from ..scorecard import compare_trials
from ..store.database import RunStore
from ..store.rows import Run
from ..stored import AnySuite, report_of, stored_trials
from ..suites import load
from .door import out

__all__ = ("write_report",)


def write_report(url: str, name: str, against: str | None, path: Path, margin: float) -> None:
    """Write a run's report; the file's ending says which: .html, .xml (JUnit) or .md.

    Raises:
        ConfigError: the ending is none of these, or the file cannot be written.
    """
    store = RunStore(url)
    run = store.run(name)
    suites = [load(suite) for suite in run.suites]
    reports = [report_of(store, run, suite) for suite in suites]
    reference = _reference(store, store.run(against), run, suites, margin) if against else None
    if path.suffix == ".xml":
        text = junit(reports)
    elif path.suffix == ".md":
        text = markdown_summary(reports, reference=reference)
    elif path.suffix == ".html":
        cases = dict(pair for suite in suites for pair in _cases(store, run, suite))
        page = page_of(reports, cases, reference=reference, run=_info(run), title=f"Run {run.id}")
        text = render(page)
    else:
        raise ConfigError(f"{str(path)!r} should end in .html, .xml (JUnit) or .md")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
    out().print(f"wrote {path}", markup=False)


def _reference(
    store: RunStore, before: Run, run: Run, suites: list[AnySuite], margin: float
) -> Reference:
    """Return what `before` says of the cases that both runs have, unchanged."""
    common = [suite for suite in suites if suite.name in before.suites]
    verdicts = {
        (suite.name, one.name): Verdict.of(one)
        for suite in common
        for one in compare_trials(
            stored_trials(store, before, suite.name),
            stored_trials(store, run, suite.name),
            margin,
        )
    }
    reports = tuple(_unchanged(store, before, run, suite) for suite in common)
    return Reference(label=f"run {before.id}", reports=reports, verdicts=verdicts)


def _unchanged(store: RunStore, before: Run, run: Run, suite: AnySuite) -> SuiteReport:
    """Return an earlier run's report of the cases that are still the same."""
    return report_of(store, before, suite, _keys(store, run, suite))


def _keys(store: RunStore, run: Run, suite: AnySuite) -> set[str]:
    """Return the keys of the cases that a run has results of."""
    return {key for key, _ in store.done(run.id, suite.name)}


def _cases(store: RunStore, run: Run, suite: AnySuite) -> Iterator[tuple[CaseKey, Case]]:
    """Yield what the dataset says of each case that has not changed since the run."""
    ran = _keys(store, run, suite)
    cases = suite.dataset().cases
    for case, key in zip(cases, case_keys(cases), strict=True):
        if key in ran:
            known = Case(inputs=case.inputs, expected=case.expected_output)
            yield (suite.name, str(case.name)), known


def _info(run: Run) -> RunInfo:
    facts = {name: str(version) for name, version in run.identity.get("packages", {}).items()}
    commit = run.identity.get("commit")
    return RunInfo(id=run.id, created=run.created, commit=commit, facts=facts)
