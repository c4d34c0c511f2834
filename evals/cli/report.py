"""`assay report`: a run as a page, as JUnit XML, or as Markdown."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...deps.errors import ConfigError
from ..differences import Difference, differences
from ..judges.corrections import corrections, said_of
from ..reports.html import render
from ..reports.junit import junit
from ..reports.markdown import markdown_summary
from ..reports.page import Case, CaseKey, RunInfo, page_of
from ..reports.views import Reference
from ..runs import StoredResults, report_of
from ..store.database import RunStore
from ..store.rows import Run
from .door import out
from .runs import BASELINE, against, baseline_of, stop_of

__all__ = ("write_report",)

STDOUT = Path("-")


def write_report(
    url: str, name: str, other: str | None, path: Path, margin: float, trace_url: str
) -> None:
    """Write a run's report; the file's ending says which: .html, .xml (JUnit) or .md.

    `-` writes Markdown to stdout, for the summary of a CI job.

    Args:
        url: The store.
        name: The run.
        other: The run to compare it with.
        path: The file.
        margin: How much worse a mean may be and still be no worse.
        trace_url: Where a trace is found, with `{trace_id}` in it.

    Raises:
        ConfigError: the ending is none of these, or the file cannot be written.
    """
    suffix = ".md" if path == STDOUT else path.suffix
    if suffix not in (".html", ".xml", ".md"):
        raise ConfigError(f"{str(path)!r} should end in .html, .xml (JUnit) or .md")
    store = RunStore(url)
    run = store.run(name)
    before = store.run(other) if other else None
    found = differences(store, before, run, margin=margin) if before else []
    text = _text(store, run, before, found, suffix, margin, trace_url)
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
    out().print(f"wrote {path}", markup=False, soft_wrap=True)
    for note in _notes(found):
        out().print(f"  {note}", markup=False, soft_wrap=True)


def _text(
    store: RunStore,
    run: Run,
    before: Run | None,
    found: Sequence[Difference],
    suffix: str,
    margin: float,
    trace_url: str,
) -> str:
    reports = [report_of(store, run, suite) for suite in run.suites]
    stopped = stop_of(run)
    reference = baseline = None
    if before is not None:
        label = f"run {before.id} ({before.model})"
        reference = _reference(store, before, run, found, label, lift=False)
    if (baselines := baseline_of(store, run)) is not None:
        lifts = differences(store, baselines, run, margin=margin)
        baseline = _reference(store, baselines, run, lifts, BASELINE, lift=True)
    if suffix == ".xml":
        return junit(reports, reference=reference, baseline=baseline, stopped=stopped)
    if suffix == ".md":
        text = markdown_summary(reports, reference=reference, baseline=baseline, stopped=stopped)
        return text + _as_code(_notes(found))
    page = page_of(
        reports,
        dict(pair for suite in run.suites for pair in _cases(store, run, suite)),
        reference=reference,
        baseline=baseline,
        run=_info(run, found),
        title=f"Run {run.id}",
        trace_url=trace_url,
        corrected=_corrected(store, run),
    )
    return render(page)


def _reference(
    store: RunStore, before: Run, run: Run, found: Sequence[Difference], label: str, lift: bool
) -> Reference:
    """Return what `before` says of the cases that both runs have, unchanged."""
    reports = [
        report_of(store, before, one.suite, {key for key, _ in store.done(run.id, one.suite)})
        for one in found
    ]
    said = {one.suite: against(one, label, lift=lift) for one in found}
    # Without a suite in common there is no label to be had from them.
    return replace(Reference.of(said, reports), label=label)


def _corrected(store: RunStore, run: Run) -> dict[tuple[str, str], str]:
    """Return by suite and check what people's labels make of a judge's mean."""
    return {
        (suite, check): said_of(one)
        for suite in run.suites
        for check, one in corrections(store, run, suite).items()
    }


def _cases(store: RunStore, run: Run, suite: str) -> Iterator[tuple[CaseKey, Case]]:
    """Yield what each case of a run asks and expects, as the store has it."""
    names = {result.key: result.case for result in StoredResults(store, run, suite).figures()}
    for key, content in store.contents(run.id, suite):
        yield (suite, names[key]), Case(inputs=content.inputs, expected=content.expected)


def _as_code(notes: Iterable[str]) -> str:
    """Return notes as code, which Markdown takes as it is: names in them may hold anything."""
    lines = [" ".join(note.split()).replace("`", "'") for note in notes]
    return "\n".join(["", "```text", *lines, "```", ""]) if lines else ""


def _info(run: Run, found: Sequence[Difference]) -> RunInfo:
    info = RunInfo.of(run, stopped=stop_of(run))
    said = {f"comparison of {one.suite}": ". ".join(one.notes) for one in found}
    return replace(info, facts={**said, **info.facts})


def _notes(found: Sequence[Difference]) -> Iterator[str]:
    return (f"{one.suite}: {note}" for one in found for note in one.notes)
