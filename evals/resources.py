"""What runs cost: dollars, seconds and tokens, compared as checks are, and summed up for tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .outcome import TrialResult
from .statistics.comparison import Comparison, compare, correct_for_many
from .statistics.trials import Floats, Trials

__all__ = (
    "COST",
    "LATENCY",
    "SHARE",
    "TOKENS",
    "ResourceUse",
    "compare_resources",
    "trials_by_resource",
)

COST = "cost (USD)"
LATENCY = "latency (s)"
TOKENS = "tokens"

SHARE = 0.1
"""How much more still counts as no more, as a share of the reference's mean."""


@dataclass(frozen=True, kw_only=True)
class ResourceUse:
    """What a run's trials took. Figures a trial are of finished trials; None where there are none.

    Attributes:
        trials: All trials.
        crashed: Those whose task crashed.
        replayed: Those of which every model response came from a recording, at no cost.
        mean_latency: Seconds a trial.
        median_latency: Seconds.
        p95_latency: Seconds that 95 trials of 100 keep within, interpolated between trials.
        mean_model_latency: Of these, seconds that models took to answer; None where a trial does
            not tell.
        tokens: Input and output tokens, crashed trials included.
        cached_tokens: Of the input tokens, those that providers had in their caches.
        cost: US dollars, crashed trials included: they were paid too. None where a price is
            unknown.
    """

    trials: int
    crashed: int
    replayed: int
    mean_latency: float | None
    median_latency: float | None
    p95_latency: float | None
    mean_model_latency: float | None
    tokens: int
    cached_tokens: int
    cost: float | None

    @classmethod
    def of(cls, results: Iterable[TrialResult]) -> "ResourceUse":
        """Sum results up."""
        return _Side.of(results).use()


def compare_resources(
    reference: Iterable[TrialResult], candidate: Iterable[TrialResult], *, share: float = SHARE
) -> tuple[Comparison, ...]:
    """Compare what two runs cost a trial, how long one took and its tokens, case by case.

    Crashed trials are left out: they ended before their work did, so an agent that fails at once
    would look cheap and fast, and one that runs into a time limit slow. What they are worth is the
    checks' to say. Latencies of replayed responses are those recorded; their cost is not, so there
    is no verdict on cost where a trial was replayed, nor where a price is unknown. What neither
    side has (a reference without trials; no cost, no tokens) is not compared. Corrected together
    for being several.

    Args:
        reference: The trials to compare with.
        candidate: The trials that are judged.
        share: How much more still counts as no more, as a share of the reference's mean over the
            common cases.

    Raises:
        InputError: the share is negative, or the two sides put one case into different groups.
    """
    a, b = _Side.of(reference), _Side.of(candidate)
    if not a.trials or not b.trials:
        return ()
    found: list[Comparison] = []
    if a.paid or b.paid:
        why_not = _why_no_cost(a, b)
        found.append(_unknown(COST, why_not) if why_not else _compared(COST, a, b, share))
    batched = a.batched + b.batched
    if batched:
        found.append(_unknown(LATENCY, f"{batched} trials were batched, which measures no time"))
    else:
        found.append(_compared(LATENCY, a, b, share))
    if a.tokens or b.tokens:
        found.append(_compared(TOKENS, a, b, share))
    return correct_for_many(found)


def trials_by_resource(results: Iterable[TrialResult]) -> dict[str, Trials]:
    """Gather cost, latency and tokens of the finished trials for statistics."""
    side = _Side.of(results)
    return {name: side.of_cases(name) for name in side.columns}


@dataclass
class _Side:
    """One run's trials as columns; the finished ones in those that are compared."""

    trials: int = 0
    replayed: int = 0
    batched: int = 0
    unknown: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    model_seconds: float | None = 0.0
    cost: float = 0.0
    cases: list[str] = field(default_factory=list[str])
    groups: list[str | None] = field(default_factory=list[str | None])
    columns: Mapping[str, list[float]] = field(
        default_factory=lambda: {COST: list[float](), LATENCY: [], TOKENS: []}
    )

    @classmethod
    def of(cls, results: Iterable[TrialResult]) -> "_Side":
        side = cls()
        for result in results:
            side.add(result)
        return side

    def add(self, result: TrialResult) -> None:
        # Who asked nothing has no cost, known or not: a baseline.
        unknown = result.cost is None and result.requests > 0
        cost = result.cost or 0.0
        tokens = result.input_tokens + result.output_tokens
        self.trials += 1
        self.replayed += result.replayed
        self.batched += "batched" in result.metrics
        self.unknown += unknown
        self.tokens += tokens
        self.cached_tokens += result.cached_tokens
        self.cost += cost
        if result.failure is None:
            told = self.model_seconds is not None and result.model_seconds is not None
            more = result.model_seconds or 0.0
            self.model_seconds = (self.model_seconds or 0.0) + more if told else None
            self.cases.append(result.key or result.case)
            self.groups.append(result.group)
            for name, value in ((COST, cost), (LATENCY, result.duration), (TOKENS, tokens)):
                self.columns[name].append(value)

    @property
    def paid(self) -> bool:
        """Whether anything here has, had or may have had a price."""
        return bool(self.cost or self.unknown)

    def of_cases(self, name: str) -> Trials:
        """Return a column for statistics."""
        groups = None
        if any(self.groups):
            groups = [g or case for g, case in zip(self.groups, self.cases, strict=True)]
        return Trials.of(self.cases, self.columns[name], groups)

    def use(self) -> ResourceUse:
        latency = np.array(self.columns[LATENCY], dtype=np.float64)
        finished = bool(len(latency))
        return ResourceUse(
            trials=self.trials,
            crashed=self.trials - len(latency),
            replayed=self.replayed,
            mean_latency=float(latency.mean()) if finished else None,
            median_latency=_percentile(latency, 50) if finished else None,
            p95_latency=_percentile(latency, 95) if finished else None,
            mean_model_latency=(
                self.model_seconds / len(latency)
                if finished and self.model_seconds is not None
                else None
            ),
            tokens=self.tokens,
            cached_tokens=self.cached_tokens,
            cost=None if self.unknown else self.cost,
        )


def _percentile(values: Floats, percent: float) -> float:
    return float(np.percentile(values, percent))


def _why_no_cost(a: _Side, b: _Side) -> str:
    unknown, replayed = a.unknown + b.unknown, a.replayed + b.replayed
    if unknown:
        return f"the price of {unknown} of {a.trials + b.trials} trials is unknown"
    if replayed:
        return (
            f"{replayed} of {a.trials + b.trials} trials were replayed, which costs nothing; "
            "compare runs without replay"
        )
    return ""


def _unknown(name: str, why: str) -> Comparison:
    return Comparison(
        name=name, better="lower", margin=0.0, why=f"{name}: cannot say, because {why}"
    )


def _compared(name: str, a: _Side, b: _Side, share: float) -> Comparison:
    before, after = a.of_cases(name), b.of_cases(name)
    common = set(after.cases)
    means = zip(before.cases, before.means.tolist(), strict=True)
    shared = [mean for case, mean in means if case in common]
    margin = share * (sum(shared) / len(shared) if shared else 1.0)
    return compare(before, after, margin=margin, better="lower", bounds=None, name=name)
