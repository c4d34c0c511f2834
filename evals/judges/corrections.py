"""Means of a stored run's judged checks, corrected by the labels that people gave to its outputs.

A crash needs no label: nobody would pass an output that is not there. So that it weighs as much
among the labelled as among all, the same share of the crashed cases is taken as labelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ...deps.errors import InputError
from ..outcome import TrialResult
from ..runs import StoredResults
from ..statistics.corrected import LEAST, Corrected, corrected_difference, corrected_mean
from ..store.database import RunStore
from ..store.people import Label, standing
from ..store.rows import Run
from .labelled import judgeable, only_random

__all__ = ("Corrections", "corrected_differences", "corrections", "said_of")

Corrections = Mapping[str, Corrected | str]
"""By check, the corrected figure, or why there is none. Checks without labels are not in it."""


@dataclass
class _Sample:
    """One check's values: the judge's of every case, people's of those that were drawn.

    Attributes:
        values: Case to trial to the judge's value.
        crashed: Case to how many of its trials crashed.
        people: Case to trial to people's values.
        unsaid: Items of which somebody could not say.
    """

    values: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    crashed: dict[str, int] = field(default_factory=dict[str, int])
    people: dict[str, dict[int, list[float]]] = field(
        default_factory=dict[str, dict[int, list[float]]]
    )
    unsaid: int = 0

    def answered(self, case: str) -> float:
        """Return the share of a case's trials that gave an output."""
        n = len(self.values[case])
        return n / (n + self.crashed.get(case, 0))

    @property
    def judged(self) -> dict[str, float]:
        """The judge's mean of each case that has an output; a crash counts as 0."""
        return {
            case: self.answered(case) * sum(found.values()) / len(found)
            for case, found in self.values.items()
        }

    @property
    def labelled(self) -> dict[str, float]:
        """People's mean of each case that was drawn; a crash counts as 0."""
        return {
            case: self.answered(case) * _mean([_mean(said) for said in found.values()])
            for case, found in self.people.items()
        }

    @property
    def lost(self) -> list[str]:
        """Cases without any output, in an order of chance."""
        cases = [case for case in self.crashed if case not in self.values]
        return sorted(cases, key=lambda case: sha256(case.encode()).hexdigest())


def corrections(store: RunStore, run: Run, suite: str) -> Corrections:
    """Return the corrected mean of each judged check of a suite that people have labelled.

    Args:
        store: Where the run and its labels are.
        run: The run.
        suite: One of its suites.
    """
    return {
        check: _refused(labels) or _corrected(sample)
        for check, (sample, labels) in _samples(store, run, suite).items()
    }


def corrected_differences(store: RunStore, a: Run, b: Run, suite: str) -> Corrections:
    """Return how much better run b is than run a, by check, where people labelled both.

    Over the cases of which both have outputs.

    Args:
        store: Where the runs and their labels are.
        a: The reference.
        b: What is compared with it.
        suite: A suite that both have.
    """
    before, after = (_samples(store, run, suite) for run in (a, b))
    found: dict[str, Corrected | str] = {}
    for check, (left, labels) in before.items():
        if check in after:
            right, others = after[check]
            refused = _refused(labels) or _refused(others)
            found[check] = refused or _difference(left, right, like=a.id)
    return found


def said_of(found: Corrected | str, *, signed: bool = False) -> str:
    """Return a correction in words; of a difference, with signs."""
    if isinstance(found, str):
        return f"no corrected mean: {found}"
    n = "+.2f" if signed else ".2f"
    labels = f"{found.labels} {'case' if found.labels == 1 else 'cases'} labelled at random"
    more = found.method.partition("; ")[2]
    return (
        f"{found.raw:{n}} raw, {found.mean:{n}} corrected ({found.low:{n}} to {found.high:{n}}; "
        f"{labels}{'; ' + more if more else ''})"
    )


def _samples(store: RunStore, run: Run, suite: str) -> dict[str, tuple[_Sample, list[Label]]]:
    """Return the values and the labels of each check that has labels."""
    labels = standing(store.people.history(run.id, suite))
    if not labels:
        return {}
    of_check: dict[str, list[Label]] = {}
    for one in labels:
        of_check.setdefault(one.check, []).append(one)
    samples = {check: _Sample() for check in of_check}
    for result in StoredResults(store, run, suite).figures():
        _add_result(samples, result)
    for check, given in of_check.items():
        _add_labels(samples[check], given)
    return {check: (samples[check], given) for check, given in of_check.items()}


def _add_result(samples: Mapping[str, _Sample], result: TrialResult) -> None:
    if result.failure is not None:
        for sample in samples.values():
            sample.crashed[result.key] = sample.crashed.get(result.key, 0) + 1
    for outcome in judgeable(result.outcomes):
        if outcome.check in samples and outcome.value is not None:
            values = samples[outcome.check].values.setdefault(result.key, {})
            values[result.trial] = outcome.value


def _add_labels(sample: _Sample, labels: Sequence[Label]) -> None:
    for one in labels:
        if one.drawn != "random" or one.trial not in sample.values.get(one.key, {}):
            continue
        if one.value is None:
            sample.unsaid += 1
        else:
            sample.people.setdefault(one.key, {}).setdefault(one.trial, []).append(one.value)


def _refused(labels: Sequence[Label]) -> str:
    """Return why labels cannot correct anything; empty where they may."""
    try:
        only_random(labels)
    except InputError as e:
        return str(e)
    return ""


def _corrected(sample: _Sample) -> Corrected | str:
    judged, labelled, lost = sample.judged, sample.labelled, sample.lost
    n = len(labelled)
    if n < LEAST:
        return f"{n} of {len(judged)} cases are labelled at random; label {LEAST} or more"
    drawn = round(len(lost) * n / len(judged))
    judged |= dict.fromkeys(lost, 0.0)
    labelled |= dict.fromkeys(lost[:drawn], 0.0)
    found = replace(corrected_mean(judged, labelled), labels=n)
    return replace(found, method=found.method + _unsaid(sample.unsaid))


def _difference(left: _Sample, right: _Sample, like: str) -> Corrected | str:
    both = left.labelled.keys() & right.labelled.keys()
    if len(both) < LEAST:
        return (
            f"{len(both)} cases are labelled at random in both runs; label {LEAST} or more, "
            f"with --like {like}, so that chance draws the same"
        )
    found = corrected_difference(
        (left.judged, right.judged),
        (left.labelled, right.labelled),
    )
    return replace(found, method=found.method + _unsaid(left.unsaid + right.unsaid))


def _unsaid(count: int) -> str:
    return f"; of {count} more nobody could say" if count else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
