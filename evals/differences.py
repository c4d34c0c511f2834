"""What two stored runs of a suite have in common, what differs, and what that may be due to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .resources import compare_resources
from .runs import StoredResults, model_of, report_of
from .statistics.comparison import Comparison
from .store.database import RunStore
from .store.rows import Run
from .verdicts import MARGIN, compare

__all__ = ("Difference", "differences", "notes")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What became of a suite between two runs.

    Attributes:
        comparisons: Of its checks, on the cases that both runs have, unchanged.
        resources: Of its cost and latency on these.
        notes: How far the runs can be compared, and what a difference may be due to.
    """

    suite: str
    comparisons: tuple[Comparison, ...]
    resources: tuple[Comparison, ...]
    notes: tuple[str, ...]


def differences(store: RunStore, a: Run, b: Run, *, margin: float = MARGIN) -> list[Difference]:
    """Compare run b with run a, suite by suite.

    Args:
        store: Where both are.
        a: The reference.
        b: What is judged by it.
        margin: How much worse a mean may be and still be no worse.
    """
    return [_difference(store, a, b, suite, margin) for suite in a.suites if suite in b.suites]


def notes(store: RunStore, a: Run, b: Run, suite: str) -> tuple[str, ...]:
    """Say in sentences how far two runs of a suite can be compared, and what differs."""
    return (*_of_cases(store, a, b, suite), _of_agents(a, b, suite))


def _difference(store: RunStore, a: Run, b: Run, suite: str, margin: float) -> Difference:
    before, after = (report_of(store, run, suite) for run in (a, b))
    figures = (StoredResults(store, run, suite).figures() for run in (a, b))
    sequential = [run.id for run in (a, b) if suite in run.identity.get("sequential", {})]
    comparisons = () if sequential else compare(before, after, margin=margin)
    return Difference(
        suite=suite,
        comparisons=_sequential(a, b, suite) or comparisons,
        resources=compare_resources(*figures),
        notes=(*notes(store, a, b, suite), *map(_ended_early, sequential)),
    )


def _sequential(a: Run, b: Run, suite: str) -> tuple[Comparison, ...]:
    """Return the verdicts that b ended with, if it was a that it was compared with."""
    noted = b.identity.get("sequential", {}).get(suite, {})
    if noted.get("against") != a.id:
        return ()
    return tuple(Comparison(**one) for one in noted["comparisons"])


def _ended_early(run: str) -> str:
    return f"run {run} ended when its verdicts were settled; only these hold for it"


def _of_cases(store: RunStore, a: Run, b: Run, suite: str) -> Iterator[str]:
    """Say which cases are left out; the datasets may differ, or a run may have come less far."""
    left, right = ({key for key, _ in store.done(run.id, suite)} for run in (a, b))
    if left == right:
        return
    hashes = [run.identity.get("datasets", {}).get(suite) for run in (a, b)]
    why = "not all cases were run in both"
    if hashes[0] != hashes[1] and None not in hashes:
        why = "the datasets differ"
    yield (
        f"{why}: compared on the {len(left & right)} cases they have in common; "
        f"{a.id} has {len(left - right)} more, {b.id} has {len(right - left)} more"
    )


def _of_agents(a: Run, b: Run, suite: str) -> str:
    """Say whether the agents are the same and, unless they differ, what else does."""
    left, right = (run.identity.get("agents", {}).get(suite) for run in (a, b))
    changed = "; ".join(_changes(a, b, suite))
    if left is None or right is None:
        said = "whether the agents are the same is not known"
        return f"{said}; {f'known to differ: {changed}' if changed else _ALIKE}"
    if left != right:
        return "the agents differ: instructions, tools, output schema or settings have changed"
    if changed:
        return f"the agents are the same; a difference may be due to {changed}; or to chance"
    return f"the agents are the same, and {_ALIKE}: a difference is due to chance"


_ALIKE = "model, packages and commit are the same"


def _changes(a: Run, b: Run, suite: str) -> Iterator[str]:
    """Yield what differs around the agents: the model, packages, the commit."""
    models = [model_of(run, suite) for run in (a, b)]
    if models[0] != models[1]:
        yield f"the model ({models[0]} before, {models[1]} now)"
    packages = ", ".join(_versions(a.identity.get("packages", {}), b.identity.get("packages", {})))
    if packages:
        yield f"packages ({packages})"
    left, right = (_commit(run.identity) for run in (a, b))
    if left != right:
        yield f"the commit ({left} before, {right} now)"
    elif a.identity.get("dirty") or b.identity.get("dirty"):
        yield "changes that were not committed"


def _versions(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name} {before.get(name, 'absent')} before, {after.get(name, 'absent')} now"


def _commit(identity: Mapping[str, Any]) -> str:
    return (identity.get("commit") or "none")[:12]
