"""Stop a run as soon as its verdicts are settled: what lies between finished trials and deciders.

The cases run in an order that a seed shuffles and no result changes, and their differences to the
reference are fed to a `Decider` per check in that same order: a case that finishes early waits for
those before it, so what is quick cannot bias what is decided. One slow case holds up the decision,
not the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from ..deps.errors import InputError
from .cases import Cases, Unit
from .outcome import TrialResult
from .sequence import CheckSequence, Heard, finite, unfit
from .statistics.comparison import ALPHA, Comparison, Verdict
from .statistics.sequential import GATE, Decider, Decision, trials_needed
from .statistics.trials import Trials

__all__ = ("Calls", "Plan", "UntilDecided")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which trials may be run, and in which order.

    Attributes:
        groups: The observations in order, each the keys of its cases.
        trials: How many trials each case gets: one where the reference's all agreed.
    """

    groups: tuple[tuple[str, ...], ...]
    trials: Mapping[str, int]

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        groups: Sequence[str | None],
        reference: Mapping[str, Trials],
        *,
        trials: int,
        seed: int = 0,
    ) -> "Plan":
        """Plan the cases that the reference has; the others could not be compared.

        The order depends on the cases' content and the seed alone, so a resumed run has the same.

        Args:
            keys: The content hash of each case.
            groups: What each has in common with others; None where it stands for itself.
            reference: Check to the values that are compared with.
            trials: The most trials that a case gets.
            seed: Of the order.

        Raises:
            InputError: no case is in the reference.
        """
        needed: dict[str, int] = {}
        for values in reference.values():
            for case, count in trials_needed(values, trials).items():
                needed[case] = max(count, needed.get(case, 0))
        gathered: dict[tuple[str, bool], list[str]] = {}
        for key, group in sorted(zip(keys, groups, strict=True), key=lambda pair: pair[0]):
            if key in needed:
                # A group may have the name of a case's key: the flag keeps them apart.
                gathered.setdefault((group or key, bool(group)), []).append(key)
        if not gathered:
            raise InputError(
                f"none of the {len(keys)} cases is in the reference, so nothing could be decided; "
                "accept a run of these cases first, or run them without --until-decided"
            )
        # By hashes, not by a generator: no version of Python or of a library draws them otherwise.
        shuffled = sorted(gathered, key=lambda name: sha256(f"{seed} {name}".encode()).digest())
        order = [tuple(gathered[name]) for name in shuffled]
        return cls(groups=tuple(order), trials={key: needed[key] for g in order for key in g})

    @property
    def order(self) -> tuple[str, ...]:
        """The cases' keys in the order in which they are run; groups stay together."""
        return tuple(key for group in self.groups for key in group)

    @property
    def calls(self) -> int:
        """Trials in all."""
        return sum(self.trials.values())


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What a run took and what it might have taken, in trials.

    Attributes:
        planned: If nothing is decided before the last case.
        used: Finished so far, those that were under way when it stopped included.
        fixed: What a design without looks needs for the same error and power, each case getting
            as many trials as in the plan; None where no check can be decided.
    """

    planned: int
    used: int
    fixed: int | None


class UntilDecided:
    """Decides between trials whether a run goes on; the engine's `Steering`.

    It stops when the verdict of every check is settled, or when one has regressed: then a gate
    fails whatever the others say. A check that cannot be decided keeps no run from stopping: one
    with values outside [0, 1], with fewer than two observations, or that says nothing of the first
    ten cases that it was expected on (a judge that nobody configured).

    Args:
        reference: Check to the values that are compared with, cases by their content.
        margin: How much worse a mean may be and still be no worse.
        seek: The verdicts worth waiting for; see `Decider`.
        alpha: Two-sided error over all looks and all checks: each gets an equal share (Bonferroni).
        seed: Of the order.

    Raises:
        InputError: the margin or what is sought makes no sense.
    """

    def __init__(
        self,
        reference: Mapping[str, Trials],
        *,
        margin: float,
        seek: tuple[Verdict, ...] = GATE,
        alpha: float = ALPHA,
        seed: int = 0,
    ) -> None:
        Decider(margin=margin, seek=seek)  # refuses now what it would refuse after the first case
        self.plan = Plan(groups=(), trials={})
        self._reference = reference
        self._margin, self._seek, self._alpha, self._seed = margin, seek, alpha, seed
        self._sequences: dict[str, CheckSequence] = {}
        self._heard: dict[str, dict[int, Heard]] = {}
        self._used = 0
        self._next = 0

    def order(self, cases: Cases, trials: int) -> Iterator[Unit]:
        """Plan the run, and return its units in order: a case's trials follow one another.

        Raises:
            InputError: no case is in the reference.
        """
        keys = cases.keys
        self.begin(Plan.of(keys, cases.groups, self._reference, trials=trials, seed=self._seed))
        planned = self.plan.trials
        at = {key: (i, case) for i, (key, case) in enumerate(zip(keys, cases, strict=True))}
        return (
            Unit(case=at[key][1], key=key, position=at[key][0], trial=number)
            for key in self.plan.order
            for number in range(planned[key])
        )

    def begin(self, plan: Plan) -> None:
        """Set out on a plan; trials that were heard of before are counted in."""
        self.plan, self._next = plan, 0
        fit = [not unfit(values, plan.groups) for values in self._reference.values()]
        self._sequences = {
            check: CheckSequence(
                check,
                values,
                plan.groups,
                margin=self._margin,
                seek=self._seek,
                alpha=self._alpha / max(1, sum(fit)),
            )
            for check, values in self._reference.items()
        }
        earlier, self._heard, self._used = self._heard, {}, 0
        for key, trials in earlier.items():
            for number, heard in trials.items():
                self._keep(key, number, heard)
        self._advance()

    def add(self, result: TrialResult) -> None:
        """Hear of a finished trial, in whatever order they finish, each once."""
        values = {o.check: finite(o.value) for o in result.outcomes}
        heard = Heard(crashed=result.failure is not None, values=values)
        self._keep(result.key or result.case, result.trial, heard)
        self._advance()

    @property
    def settled(self) -> bool:
        """Whether nothing more need be begun."""
        open_ = [one for one in self._sequences.values() if not one.reason]
        verdicts = [one.verdict for one in open_]
        return "regressed" in verdicts or (bool(open_) and None not in verdicts)

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """What is known of each check; its verdict is None where the run ended before it had one.

        At the end of the plan every check has one, read off the same sequential interval.
        """
        return {check: sequence.decision for check, sequence in self._sequences.items()}

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The decisions as comparisons, for tables and reports; there is no p-value to be had."""
        return tuple(
            Comparison(
                name=check,
                better="higher",
                difference=one.difference,
                low=None if one.difference is None else one.low,
                high=None if one.difference is None else one.high,
                margin=self._margin,
                verdict=one.verdict or "inconclusive",
                why=f"{check}: {one.why}",
                n_cases=one.n_cases,
            )
            for check, one in self.decisions.items()
        )

    @property
    def calls(self) -> Calls:
        """What the run took, and what it might have."""
        shares = [one.fixed_share for one in self._sequences.values() if one.fixed_share]
        fixed = ceil(self.plan.calls * max(shares)) if shares else None
        return Calls(planned=self.plan.calls, used=self._used, fixed=fixed)

    @property
    def saved(self) -> str:
        """What stopping early saved, and what could not be decided, for people."""
        if not self.plan.groups:
            return "nothing has run yet"
        calls = self.calls
        said = f"{self._state()} after {calls.used} of {calls.planned} planned trials"
        if calls.fixed is not None:
            said += f"; a fixed design of equal power needs {calls.fixed}"
            if self.settled and calls.used < calls.fixed:
                saved = calls.fixed - calls.used
                said += f", so {saved} were saved ({saved / calls.fixed:.0%})"
        for check, one in self._sequences.items():
            if one.reason:
                said += f"; {check} cannot be decided: {one.reason}"
        return said

    def _state(self) -> str:
        verdicts = {check: one.verdict for check, one in self._sequences.items()}
        regressed = [check for check, verdict in verdicts.items() if verdict == "regressed"]
        if regressed and None in verdicts.values():
            return f"stopped because {', '.join(regressed)} regressed,"
        if self.settled:
            return "settled"
        return "undecided"

    def _keep(self, key: str, number: int, heard: Heard) -> None:
        """Keep a trial until its turn; those beyond the plan would make a case's mean unplanned."""
        if self.plan.groups and number >= self.plan.trials.get(key, 0):
            return
        self._used += 1
        self._heard.setdefault(key, {})[number] = heard

    def _advance(self) -> None:
        groups = self.plan.groups
        while self._next < len(groups) and not self.settled and self._done(groups[self._next]):
            trials = {key: [*self._heard.pop(key).values()] for key in groups[self._next]}
            self._next += 1
            for sequence in self._sequences.values():
                sequence.add(trials)
            if self._next == len(groups):
                for sequence in self._sequences.values():
                    sequence.finish()

    def _done(self, group: Sequence[str]) -> bool:
        return all(len(self._heard.get(key, ())) == self.plan.trials[key] for key in group)
