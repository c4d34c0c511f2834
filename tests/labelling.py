"""Runs that people can label, some with something hostile in every text."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from assay.evals.labelling.gather import entries_of, material_of
from assay.evals.labelling.page import render
from assay.evals.labelling.queue import Entry
from assay.evals.labelling.server import Site, serving
from assay.evals.labelling.session import Session
from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.store.database import Content, Record, RunStore
from assay.evals.store.people import Label
from assay.evals.store.rows import Run

CHECK = "rubric/polite"
JUDGE = "rubric@openai:gpt-5#0123456789ab"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

Said = Callable[[Entry], float | None]
"""What people say of an item."""


def verdict(check: str, value: float | None, judge: str = JUDGE) -> Outcome:
    if value is None:
        return Outcome(check, "unscored", None, "cannot_say", judge)
    return Outcome(check, "pass" if value else "fail", value, "the judge's reason", judge)


def score(check: str, value: float, judge: str = JUDGE) -> Outcome:
    return Outcome(check, "score", value, "the judge's reason", judge)


def trial(
    number: int, *outcomes: Outcome, trial: int = 0, crashed: bool = False, **more: Any
) -> Record:
    result = TrialResult(
        case=more.pop("case", f"case-{number}"),
        key=f"{number:016x}",
        position=number,
        trial=trial,
        model="m",
        outcomes=() if crashed else outcomes,
        output=more.pop("output", None if crashed else f"answer {number}"),
        failure=Failure("E", "broke", "bug") if crashed else None,
    )
    content = more.pop("content", Content(inputs=f"question {number}", expected=f"right {number}"))
    return Record(suite=more.pop("suite", "helpdesk"), result=result, content=content)


def stored(store: RunStore, records: Sequence[Record]) -> Run:
    suites = list(dict.fromkeys(record.suite for record in records))
    run = store.create_run(model="m", suites=suites)
    store.add(run.id, records)
    return run


def judged_run(store: RunStore, cases: int = 20, check: str = CHECK) -> Run:
    """A run whose judge passes every other case."""
    return stored(store, [trial(n, verdict(check, float(n % 2))) for n in range(cases)])


def served(
    store: RunStore,
    run: Run,
    criteria: Mapping[tuple[str, str], str] | None = None,
    *,
    expected: bool = False,
) -> AbstractContextManager[Site]:
    """Serve the page on which a run is labelled."""
    entries = entries_of(store, run)
    session = Session(
        store=store,
        run=run.id,
        entries=entries,
        material=material_of(store, run, entries, expected=expected),
        criteria=criteria or {},
    )
    return serving(session, lambda nonce: render(nonce, run=run.id, random=True))


def word(of: Entry, value: float | None = 1.0, rater: str = "ann", **more: Any) -> Label:
    return Label(
        made=more.pop("made", NOON),
        run=more.pop("run", "r"),
        suite=of.suite,
        key=of.key,
        trial=of.trial,
        check=of.check,
        rater=rater,
        value=value,
        **more,
    )


def label_first(
    store: RunStore, run: Run, count: int, said: Said, rater: str = "ann", seed: str = "seed"
) -> None:
    """Label as many items as chance draws first; `said` gives people's value of one."""
    drawn = entries_of(store, run, seed=seed)[:count]
    store.people.add_labels(
        word(one, said(one), rater, made=store.now(), run=run.id) for one in drawn
    )
