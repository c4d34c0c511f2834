"""Deterministic checks: five-line evaluators over pure functions.

A check that does not apply to a case (nothing expected, say) returns `{}` and is not counted there.
Checks of one agent's output live in that agent's suite file.
"""

from abc import abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext, EvaluatorOutput

__all__ = ("Check", "MaxRequests", "MaxSeconds", "f1", "verdict")


@dataclass
class Check(Evaluator[Any, Any, Any]):
    """Base of our checks: named in snake case after its class."""

    def get_default_evaluation_name(self) -> str:
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    @abstractmethod  # anew: pydantic-evals lets only a class with one of its own stay abstract
    def evaluate(
        self, ctx: EvaluatorContext[Any, Any, Any]
    ) -> EvaluatorOutput | Awaitable[EvaluatorOutput]: ...


def verdict(ok: bool, reason: str) -> EvaluationReason:
    """Return a pass without a word, or a fail with the reason."""
    return EvaluationReason(value=ok, reason=None if ok else reason)


def f1(precision: float, recall: float) -> float:
    """Return the harmonic mean of precision and recall; 0 when both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass
class MaxSeconds(Check):
    """The task took no longer than `seconds`."""

    seconds: float = 30.0

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        return verdict(
            ctx.duration <= self.seconds, f"took {ctx.duration:.1f} s, limit {self.seconds:g} s"
        )


@dataclass
class MaxRequests(Check):
    """The task asked a model at most `count` times."""

    count: int = 4

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        requests = ctx.metrics.get("requests")
        if requests is None:
            return {}
        return verdict(requests <= self.count, f"{requests} requests, limit {self.count}")
