"""What there is to label in a stored run, and what a rater is shown of it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from ...deps.errors import ConfigError
from ..judges.labelled import judgeable, scale_of
from ..outcome import TrialResult
from ..reports.plain import plain_data
from ..store.database import RunStore
from ..store.people import Drawn, standing
from ..store.rows import Run, to_text
from .queue import Entry, Place, arranged, doubt

__all__ = ("Material", "entries_of", "material_of", "with_doubts")

OTHER_RUNS = 5
"""How many other runs of a suite are read for what judges said of the same outputs."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is shown of a trial, as JSON data."""

    inputs: Any = None
    output: Any = None
    expected: Any = None
    asked: bool = True
    """Whether the store knows what the case asks."""


def entries_of(
    store: RunStore,
    run: Run,
    *,
    drawn: Drawn = "random",
    seed: str = "",
    suites: Collection[str] = (),
    checks: Collection[str] = (),
) -> list[Entry]:
    """Return what can be labelled in a run, in the order in which it is.

    Args:
        store: Where the run is.
        run: The run.
        drawn: How the order is made.
        seed: What the random order follows from; the run's id by default.
        suites: The suites to take; all by default.
        checks: The checks to take; all by default.

    Raises:
        ConfigError: there is nothing to label.
    """
    found = [
        entry
        for suite in run.suites
        if not suites or suite in suites
        for record in store.results(run.id, suite, outputs=False)
        for entry in _entries(suite, record.result)
    ]
    # A scale of its own, such as 1 to 5: what its 1 means, the store does not know.
    beyond = {(entry.suite, entry.check) for entry in found if not 0 <= entry.value <= 1}
    found = [entry for entry in found if (entry.suite, entry.check) not in beyond]
    kept = [entry for entry in found if not checks or entry.check in checks]
    if not kept:
        there = ", ".join(dict.fromkeys(entry.check for entry in found)) or "none"
        raise ConfigError(
            f"run {run.id} has nothing to label: of checks whose judge gave a verdict or a score "
            f"on single outputs, there are {there}; evaluate with a judge (ASSAY_JUDGE_MODEL)"
        )
    if drawn == "disagreement":
        kept = with_doubts(store, run, kept)
    return arranged(kept, drawn, seed or run.id)


def with_doubts(store: RunStore, run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """Return items with how disputed each is: between judges, trials, judge and people."""
    suites = dict.fromkeys(entry.suite for entry in entries)
    alike: dict[tuple[str, str], list[float]] = {}
    outputs: dict[tuple[str, str, int], str] = {}
    for suite in suites:
        others = [one.run for one in store.list_runs(OTHER_RUNS, suite) if one.run.id != run.id]
        for one in (run, *others):
            for record in store.results(one.id, suite):
                output = _output(suite, record.result)
                if one.id == run.id:
                    outputs[suite, record.result.key, record.result.trial] = output
                for outcome in judgeable(record.result.outcomes):
                    alike.setdefault((output, outcome.check), []).append(outcome.value or 0.0)
    trials = _gathered((entry.place[:2] + entry.place[3:], entry.value) for entry in entries)
    words = standing(store.people.history(run.id))
    people = _gathered(((w.suite, *w.item), w.value) for w in words if w.value is not None)
    return [
        replace(
            entry,
            doubt=doubt(
                entry.value,
                alike[outputs[entry.place[:3]], entry.check],
                trials[entry.place[:2] + entry.place[3:]],
                people.get(entry.place, ()),
            ),
        )
        for entry in entries
    ]


def material_of(
    store: RunStore, run: Run, entries: Iterable[Entry], *, expected: bool = False
) -> Callable[[Place], Material]:
    """Read what raters are shown of these items.

    Args:
        store: Where the run is.
        run: The run.
        entries: The items.
        expected: Whether what a case expects is shown.
    """
    wanted = {entry.place[:3] for entry in entries}
    contents: dict[tuple[str, str], tuple[Any, Any]] = {}
    outputs: dict[tuple[str, str, int], Any] = {}
    for suite in dict.fromkeys(suite for suite, _, _ in wanted):
        for key, content in store.contents(run.id, suite):
            right = plain_data(content.expected) if expected else None
            contents[suite, key] = plain_data(content.inputs), right
        for record in store.results(run.id, suite):
            place = suite, record.result.key, record.result.trial
            if place in wanted:
                outputs[place] = plain_data(record.result.output)

    def found(place: Place) -> Material:
        asked = contents.get(place[:2])
        inputs, right = asked or (None, None)
        return Material(
            inputs=inputs, output=outputs[place[:3]], expected=right, asked=asked is not None
        )

    return found


def _entries(suite: str, result: TrialResult) -> Iterator[Entry]:
    for outcome in judgeable(result.outcomes):
        if outcome.value is not None:
            yield Entry(
                suite=suite,
                key=result.key,
                case=result.case,
                trial=result.trial,
                check=outcome.check,
                judge=outcome.judge,
                value=outcome.value,
                scale=scale_of(outcome),
            )


def _output(suite: str, result: TrialResult) -> str:
    """Return what equal outputs of a case have in common."""
    return sha256(ascii((suite, result.key, to_text(result.output))).encode()).hexdigest()


def _gathered(pairs: Iterable[tuple[Any, float | None]]) -> Mapping[Any, list[float]]:
    found: dict[Any, list[float]] = {}
    for place, value in pairs:
        if value is not None:
            found.setdefault(place, []).append(value)
    return found
