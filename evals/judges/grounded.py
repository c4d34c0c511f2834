"""Faithfulness as an evaluator: the share of an output's claims that its sources support."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext

from ...agents import judge
from ...agents.judge import grounded
from ...deps.errors import ConfigError
from ..outcome import Unscored
from .base import Judged, as_text

__all__ = ("Grounded",)


@dataclass
class Grounded(Judged):
    """Each claim of the output stands in the sources; the result is the share of those that do.

    Args:
        sources: What counts as known: the case's `inputs`, or a dotted path into them
            (`inputs.document`), or `expected`, or one into the case's metadata (`metadata.facts`)
            or the output itself (`output.quotes`).
        output: A dotted path into the output, where only a part of it makes claims (`reason`).
    """

    sources: str = "inputs"
    output: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or "grounded"
        if self.sources.partition(".")[0] not in _ROOTS:
            raise ConfigError(f"sources {self.sources!r} begin with none of {', '.join(_ROOTS)}")

    @property
    def mode(self) -> tuple[str, type[Any]]:
        return grounded.INSTRUCTIONS, grounded.Grounding

    async def judged(
        self, ctx: EvaluatorContext[Any, Any, Any], deps: judge.Deps
    ) -> Mapping[str, EvaluationReason]:
        root, _, path = self.sources.partition(".")
        known = as_text(_at(getattr(ctx, _ROOTS[root]), path, self.sources))
        candidate = as_text(_at(ctx.output, self.output, f"output.{self.output}"))
        found = await judge.ground(candidate, known, deps, model=self.model)
        if found.share is None:
            raise Unscored("the output makes no claim")
        wrong = [claim for claim in found.claims if claim.verdict != "supported"]
        reason = "; ".join(f"{one.verdict}: {one.text!r}, {one.reason}" for one in wrong)
        return {self.name: EvaluationReason(found.share, reason or "every claim is supported")}


_ROOTS = {
    "inputs": "inputs",
    "expected": "expected_output",
    "metadata": "metadata",
    "output": "output",
}


def _at(value: Any, path: str, said: str) -> Any:
    """Return what stands at a dotted path of attributes and keys."""
    for name in filter(None, path.split(".")):
        if isinstance(value, Mapping):
            value = cast(Mapping[str, Any], value).get(name)
        else:
            value = getattr(value, name, None)
        if value is None:
            raise Unscored(f"this case has no {said!r}")
    return value
