"""`assay label`: people judge a run's outputs, too; what came of it; and labels as files."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ...deps.clock import utc_now
from ...deps.errors import BadDataset, ConfigError, InputError
from ..judges.calibrate import calibrate
from ..judges.corrections import corrections, said_of
from ..judges.labelled import labelled
from ..labelling.files import new_labels, read_labels, write_labels
from ..labelling.gather import entries_of, material_of
from ..labelling.page import render
from ..labelling.queue import Entry
from ..labelling.server import serving
from ..labelling.session import Session
from ..labelling.words import criteria_of_run
from ..statistics.agreement import Interval
from ..store.database import RunStore
from ..store.people import Drawn, Label
from ..store.rows import Run
from .door import err, out, read_text

__all__ = ("LabelOptions", "label_run")

STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How `assay label` was called; see its help."""

    checks: Sequence[str] = ()
    suites: Sequence[str] = ()
    order: Drawn = "random"
    like: str | None = None
    limit: int | None = None
    rater: str = ""
    show_expected: bool = False
    browser: bool = False


def label_run(
    url: str,
    name: str,
    options: LabelOptions,
    *,
    export: Path | None = None,
    import_: Path | None = None,
) -> None:
    """Let people label a run, or write or read its labels.

    Args:
        url: The store.
        name: The run.
        options: What is labelled, and by whom.
        export: Where labels are written to, instead.
        import_: Where they are read from, instead.

    Raises:
        ConfigError: both files are given, there is nothing to label, or a file cannot be used.
        UnknownRun: there is no such run.
    """
    if export is not None and import_ is not None:
        raise ConfigError("--export and --import are two commands; give one of them")
    with closing(RunStore(url)) as store:
        run = store.run(name)
        if export is not None:
            _export(store, run, export)
        elif import_ is not None:
            _import(store, run, import_)
        else:
            _label(store, run, options)


def _label(store: RunStore, run: Run, options: LabelOptions) -> None:
    entries = entries_of(
        store,
        run,
        drawn=options.order,
        seed=store.run(options.like).id if options.like else run.id,
        suites=options.suites,
        checks=options.checks,
    )[: options.limit]
    criteria, unknown = criteria_of_run(run, dict.fromkeys(entry.suite for entry in entries))
    for suite, why in unknown.items():
        said = f"{suite}: the page names its checks only, for its criteria cannot be read: {why}"
        err().print(said, markup=False, soft_wrap=True)
    session = Session(
        store=store,
        run=run.id,
        entries=entries,
        material=material_of(store, run, entries, expected=options.show_expected),
        criteria=criteria,
        drawn=options.order,
    )
    _serve(session, run, options)
    _show(store, run, entries)


def _serve(session: Session, run: Run, options: LabelOptions) -> None:
    """Serve the page until it says that it is done, or Ctrl-C."""

    def page(nonce: str) -> str:
        return render(nonce, run=run.id, random=options.order == "random")

    with serving(session, page) as site:
        url = site.url(options.rater)
        # Alone on its line, and at once: whoever started this may be a program.
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        said = f"{len(session.entries)} items to label; Finish on the page, or Ctrl-C here, ends it"
        err().print(said, markup=False, soft_wrap=True)
        if options.browser:
            import webbrowser

            webbrowser.open(url)
        try:
            site.wait()
        except KeyboardInterrupt:
            err().print("ended; every label is saved")


def _show(store: RunStore, run: Run, entries: Sequence[Entry]) -> None:
    """Show what came of the labels that the run has now."""
    console = out()
    labels = store.people.labels(run.id)
    suites = dict.fromkeys(entry.suite for entry in entries)
    for suite in suites:
        for check in dict.fromkeys(one.check for one in entries if one.suite == suite):
            given = [one for one in labels if one.suite == suite and one.check == check]
            for line in _agreement(store, run, check, given):
                console.print(f"{suite}, {line}", markup=False, soft_wrap=True)
        for check, found in corrections(store, run, suite).items():
            console.print(f"{suite}, {check}: {said_of(found)}", markup=False, soft_wrap=True)
    if not labels:
        console.print("no labels yet")


def _agreement(store: RunStore, run: Run, check: str, labels: Sequence[Label]) -> Iterator[str]:
    """Yield in words how far judges agree with people on one check."""
    if not labels:
        return
    raters = len({one.rater for one in labels})
    by = f"{len(labels)} labels by {raters} {'person' if raters == 1 else 'people'}"
    disputed = sum(one.drawn == "disagreement" for one in labels)
    if disputed:
        by += f", {disputed} of disputed items, on which judges do worse than on most"
    for one in labelled(store, run, labels, [check]):
        try:
            found = calibrate(one.items, one.verdicts, one.scale, judge=one.judge, made=utc_now())
        except InputError as e:
            yield f"{check}: {by}; {e}"
            continue
        agreed = found.agreement
        people = found.calibration.people
        among = "" if people is None else f"; people agree with people in {people:.0%}"
        yield (
            f"{check}: {by}; the judge agrees in {_figure(agreed.accuracy)}, kappa "
            f"{_figure(agreed.kappa)}{among}"
        )


def _figure(found: Interval | None) -> str:
    if found is None:
        return "cannot be told yet"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _export(store: RunStore, run: Run, path: Path) -> None:
    history = list(store.people.history(run.id))
    if path == STDOUT:
        write_labels(history, sys.stdout)
        return
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            count = write_labels(history, file)
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e
    out().print(f"wrote {count} labels to {path}", markup=False, soft_wrap=True)


def _import(store: RunStore, run: Run, path: Path) -> None:
    places = {entry.place for entry in entries_of(store, run)}
    try:
        found = list(read_labels(read_text(path), run.id, places))
    except BadDataset as e:
        raise BadDataset(f"{path}: {e}") from e
    new = new_labels(found, store.people.history(run.id))
    store.people.add_labels(new)
    said = f"added {len(new)} labels; {len(found) - len(new)} were there already"
    out().print(said, markup=False, soft_wrap=True)
