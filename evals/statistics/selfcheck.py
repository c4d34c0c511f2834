"""How often does the gate fail although nothing has changed? Measured on one's own data.

Each case's trials came of one configuration, so any split of them into two sides compares it with
itself: an A/A test. Splitting stored results over and over and counting the verdicts is how online
experiments are checked (Kohavi, Tang and Xu, Trustworthy Online Controlled Experiments, 2020,
chapter 19). Over the trials' own randomness the count is unbiased for the false-alarm rate of a
gate on these cases with as many trials a side, for either side of a random split is a fair sample.

Cases are not resampled. A gate compares two runs of the same cases, where what cases differ by
cancels out; and a case drawn twice (the bootstrap; Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, section 7.3) would be two that vary by the same few trials, which adds ties that no
gate meets. So the rate is about these cases, and its interval covers the chance of the draws, not
that of the trials: few cases that ever vary make few different splits, and are counted for that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ...deps.errors import InputError
from .comparison import ALPHA, Comparison, Verdict, compare, correct_for_many, difference_interval
from .distributions import normal_quantile, wilson
from .trials import UNIT, Floats, Trials, clusters, refuse_outside

__all__ = ("Rate", "SelfCheck", "check_gate")

DRAWS = 1000

_BATCH = 2_000_000  # random numbers drawn at once: 16 MB

Masks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened, with Wilson's 95% interval for the chance of the draws.

    Attributes:
        count: How often.
        share: count over the number of draws.
        low: Lower end of the interval.
        high: Upper end.
    """

    count: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, draws: int) -> "Rate":
        low, high = wilson(count / draws, draws, normal_quantile(0.975))
        return cls(count=count, share=count / draws, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """The gate's own false alarms.

    Attributes:
        draws: Splits compared.
        margin: How much worse still counted as no worse.
        failed: Splits in which any check regressed, after Holm: false alarms, all of them.
        undecided: Splits in which none regressed and some check was inconclusive.
        checks: Check to verdict to how often it was given.
        cases: Cases that were split.
        varied: Cases whose trials did not all agree, on any check; only they can raise an alarm.
        left_out: Cases with fewer than two values on every check.
        trials: Trials a side, the most that a case had.
        why: The result in a sentence.
    """

    draws: int
    margin: float
    failed: Rate
    undecided: Rate
    checks: Mapping[str, Mapping[Verdict, Rate]]
    cases: int
    varied: int
    left_out: int
    trials: int
    why: str


def check_gate(
    checks: Mapping[str, Trials], *, margin: float, draws: int = DRAWS, seed: int = 0
) -> SelfCheck:
    """Split each case's trials at random into two sides and judge one by the other, many times.

    Sides are equal: of an odd number of trials one, at random, is left out. All checks are split
    alike, so that what they have in common stays, and corrected together, as in the gate. Cases
    with one value, and checks with no others, are left out.

    Args:
        checks: Each check's values in one configuration.
        margin: As in `compare`.
        draws: How many splits.
        seed: Of the splits.

    Raises:
        InputError: no case has two trials, there are no draws, the margin is negative, or a value
            lies outside [0, 1].
    """
    if draws < 1:
        raise InputError(f"{draws} splits show nothing; draw 1 or more")
    if not margin >= 0:
        raise InputError(f"the margin is {margin}; give 0 or more")
    split = {check: _Paired(check, trials, margin) for check, trials in checks.items()}
    split = {check: paired for check, paired in split.items() if paired.cases}
    if not split:
        raise InputError(
            "no case has two values to compare with each other; run with --trials 2 or more"
        )
    given = {check: dict.fromkeys(get_args(Verdict), 0) for check in split}
    failed = undecided = 0
    for comparisons in _compared(list(split.values()), draws, seed):
        for one in comparisons:
            given[one.name][one.verdict] += 1
        verdicts = {one.verdict for one in comparisons}
        failed += "regressed" in verdicts
        undecided += "regressed" not in verdicts and "inconclusive" in verdicts
    return _summed(checks, split, given, Rate.of(failed, draws), Rate.of(undecided, draws))


class _Paired:
    """One check's cases that have two values or more, as arrays with a row a case."""

    def __init__(self, name: str, trials: Trials, margin: float) -> None:
        refuse_outside(trials, UNIT)
        self.name, self.margin = name, margin
        kept = [i for i, values in enumerate(trials.values) if len(values) > 1]
        self.cases = tuple(trials.cases[i] for i in kept)
        self.groups = None if trials.groups is None else tuple(trials.groups[i] for i in kept)
        self.counts = trials.counts[kept]
        self.halves = self.counts // 2
        self.values = np.zeros((len(kept), int(self.counts.max(initial=0))))
        for row, i in enumerate(kept):
            self.values[row, : len(trials.values[i])] = trials.values[i]

    @property
    def varied(self) -> set[str]:
        """The cases whose values differ."""
        there = np.arange(self.values.shape[1]) < self.counts[:, None]
        first = self.values[:, :1]
        rows = ((self.values != first) & there).any(axis=1)
        return {case for case, varies in zip(self.cases, rows.tolist(), strict=True) if varies}

    @property
    def comparable(self) -> bool:
        """Whether there are two clusters to tell a difference from chance by."""
        return len(set(self.groups or self.cases)) > 1

    def sides(self, keys: Floats) -> tuple[Masks, Masks]:
        """Return which values are on which side, by the rank of random keys (draws, cases, k)."""
        slots = self.values.shape[1]
        there = np.arange(slots) < self.counts[:, None]
        ranks = np.where(there, keys[:, :, :slots], 2.0).argsort(axis=2).argsort(axis=2)
        half = self.halves[:, None]
        return ranks < half, (ranks >= half) & (ranks < 2 * half)

    def means(self, side: Masks) -> Floats:
        """Return the cases' means over one side of each draw."""
        sums: Floats = np.where(side, self.values, 0.0).sum(axis=2)
        return sums / self.halves

    def trials(self, side: Masks) -> Trials:
        """Return one side of one draw."""
        rows = zip(self.values, side, strict=True)
        values = tuple(tuple(row[mask].tolist()) for row, mask in rows)
        return Trials(cases=self.cases, values=values, groups=self.groups)


class _Draws:
    """Some draws of one check, and how far apart their sides are."""

    def __init__(self, paired: _Paired, keys: Floats) -> None:
        self.paired = paired
        self.a, self.b = paired.sides(keys)
        self.differences = paired.means(self.b) - paired.means(self.a)

    def by_interval(self, draw: int) -> Comparison:
        """Return a comparison without its p-value; 1 stands for it.

        An interval that holds 0 gives the same verdict whatever p is, and p costs a hundred times
        as much.
        """
        paired = self.paired
        found = Comparison(name=paired.name, better="higher", margin=paired.margin)
        if not paired.comparable:
            return found
        gathered = clusters(self.differences[draw], paired.groups)
        interval = difference_interval(gathered, UNIT[1] - UNIT[0])
        assert interval is not None  # bounded differences always have one
        low, high, se = interval
        return Comparison(
            name=paired.name,
            better="higher",
            margin=paired.margin,
            difference=gathered.mean,
            low=low,
            high=high,
            se=se,
            p=1.0,
            n_cases=len(paired.cases),
        )

    def compared(self, draw: int) -> Comparison:
        """Return the comparison that the gate makes."""
        paired = self.paired
        a, b = paired.trials(self.a[draw]), paired.trials(self.b[draw])
        return compare(a, b, margin=paired.margin, name=paired.name)


def _compared(split: Sequence[_Paired], draws: int, seed: int) -> Iterator[tuple[Comparison, ...]]:
    """Yield each draw's comparisons, corrected together."""
    rows = {case: i for i, case in enumerate(dict.fromkeys(c for p in split for c in p.cases))}
    slots = max(paired.values.shape[1] for paired in split)
    index = [np.array([rows[case] for case in paired.cases]) for paired in split]
    random = np.random.default_rng(seed)
    batch = max(1, _BATCH // (len(rows) * slots))
    for start in range(0, draws, batch):
        keys = random.random((min(batch, draws - start), len(rows), slots))
        drawn = [_Draws(p, keys[:, at]) for p, at in zip(split, index, strict=True)]
        for draw in range(len(keys)):
            yield _judged(drawn, draw)


def _judged(drawn: Sequence[_Draws], draw: int) -> tuple[Comparison, ...]:
    """Return one draw's verdicts with no more p-values than they depend on."""
    found = [one.by_interval(draw) for one in drawn]
    apart = [_apart(one) for one in found]
    for i, one in enumerate(drawn):
        if apart[i]:
            found[i] = one.compared(draw)
    # Beyond alpha by itself, or below it even if all others were lost: Holm depends on no other p.
    if any(ALPHA / len(found) < (one.p or 0.0) <= ALPHA for one in _where(found, apart)):
        found = [
            known if is_apart else one.compared(draw)
            for one, known, is_apart in zip(drawn, found, apart, strict=True)
        ]
    return correct_for_many(found)


def _where(found: Sequence[Comparison], wanted: Sequence[bool]) -> list[Comparison]:
    return [one for one, is_wanted in zip(found, wanted, strict=True) if is_wanted]


def _apart(known: Comparison) -> bool:
    """Tell whether the interval leaves out 0, so that the verdict depends on p."""
    return known.low is not None and known.high is not None and not known.low <= 0 <= known.high


def _summed(
    checks: Mapping[str, Trials],
    split: Mapping[str, _Paired],
    given: Mapping[str, Mapping[Verdict, int]],
    failed: Rate,
    undecided: Rate,
) -> SelfCheck:
    draws = sum(next(iter(given.values())).values())
    cases = {case for paired in split.values() for case in paired.cases}
    varied = {case for paired in split.values() for case in paired.varied}
    trials = max(int(paired.halves.max()) for paired in split.values())
    left_out = len({case for one in checks.values() for case in one.cases} - cases)
    return SelfCheck(
        draws=draws,
        margin=next(iter(split.values())).margin,
        failed=failed,
        undecided=undecided,
        checks={
            check: {verdict: Rate.of(count, draws) for verdict, count in counts.items()}
            for check, counts in given.items()
        },
        cases=len(cases),
        varied=len(varied),
        left_out=left_out,
        trials=trials,
        why=_sentence(failed, undecided, draws, trials, len(cases), len(varied), left_out),
    )


def _sentence(
    failed: Rate, undecided: Rate, draws: int, trials: int, cases: int, varied: int, left_out: int
) -> str:
    of = f"{trials} trial{'s' * (trials > 1)} a side of {cases} case{'s' * (cases > 1)}"
    rest = f"; {left_out} with a single value left out" if left_out else ""
    if not varied:
        return (
            f"A/A: the gate never failed, but no case's values varied ({of}), so this shows "
            f"nothing of how often it would{rest}"
        )
    return (
        f"A/A: the gate would have failed {failed.count:,} of {draws:,} times although nothing "
        f"changed (95% interval {failed.low:.1%} to {failed.high:.1%}), and could not tell "
        f"{undecided.count:,} times: {of}, of which {varied} ever varied{rest}"
    )
