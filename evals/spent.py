"""What a run has spent so far, by the trials that the store has of it."""

from ..deps.models import NOT_AN_LLM
from ..deps.spending.budget import Spent
from .outcome import TrialResult
from .store.database import RunStore
from .store.rows import Run

__all__ = ("spent_by",)


def spent_by(store: RunStore, run: Run) -> Spent:
    """Add up what a run's trials and their judges have cost, as a meter would have counted it.

    Left out, for the store has no note of them, are judges' tokens, trials that never ended, and
    attempts that were run again. What was replayed was free.
    """
    usd, tokens, requests = 0.0, 0, 0
    unpriced, unmeasured = set[str](), set[str]()
    for record in store.results(run.id, outputs=False):
        result = record.result
        if result.replayed:
            continue
        judges = int(result.metrics.get("judge_requests", 0))
        requests += judges
        usd += result.metrics.get("judge_cost", 0.0)
        if judges and "judge_cost" not in result.metrics:
            unpriced.add(f"the judge of {record.suite}")
        if not _by_an_llm(result):
            continue
        told = result.input_tokens + result.output_tokens
        requests += result.requests
        tokens += told
        usd += result.cost or 0.0
        if result.cost is None:
            unpriced.add(result.model)
            if not told:
                unmeasured.add(result.model)
    return Spent(
        usd=usd,
        tokens=tokens,
        requests=requests,
        unpriced=frozenset(unpriced),
        unmeasured=frozenset(unmeasured),
    )


def _by_an_llm(result: TrialResult) -> bool:
    """Tell whether an LLM answered. A baseline's answers are requests too, but free ones."""
    baseline = result.model.startswith(NOT_AN_LLM) and not result.cost
    return result.requests > 0 and not baseline
