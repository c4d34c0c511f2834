"""Judges that answer as they are told, by name; and suites of few cases for them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator

from assay.agents.judge import frame
from assay.deps import BASELINE, Endpoint, Models
from assay.deps.baseline import is_baseline
from assay.evals.judges.standing import Calibration
from assay.evals.statistics.agreement import agreement
from assay.evals.suite import Suite, Trial

POLITE = {"id": "polite", "text": "The reply is polite."}

Said = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""From the texts that a judge is shown to its answer."""


def passes(verdict: str = "pass") -> Said:
    """Mark every criterion alike."""

    def said(shown: Mapping[str, str]) -> Mapping[str, Any]:
        ids = [criterion.id for criterion in frame.criteria_of(frame.fenced(**shown))]
        return {"marks": [{"id": id, "reason": f"{id}!", "verdict": verdict} for id in ids]}

    return said


def places(better: str = "first") -> Said:
    """Prefer a place, whatever stands there."""
    return lambda shown: {"reason": f"the {better}", "better": better}


@dataclass
class Judge:
    """Answers in a judge's place, or raises; keeps what it was shown."""

    said: Said = field(default_factory=passes)
    error: Exception | None = None
    shown: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])

    def models(
        self, name: str = "judge-a", *wrap: Callable[[Model], Model], default: str = BASELINE
    ) -> Models:
        """Return models among which the judge has this name; all others say their own name."""

        def around(model: Model) -> Model:
            if is_baseline(model):
                return model
            judges = model.model_name == name
            return _Priced(self.answer, model_name="gpt-4o") if judges else _Says(model.model_name)

        return Models(
            default=default,
            roles={"judge": name},
            endpoint=Endpoint("http://127.0.0.1:9/v1"),
            wrap=(around, *wrap),
        )

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.shown.append(frame.texts_of(vars(messages[0].parts[-1])["content"]))
        if self.error is not None:
            raise self.error
        call = ToolCallPart(info.output_tools[0].name, dict(self.said(self.shown[-1])))
        return ModelResponse(parts=[call], usage=RequestUsage(input_tokens=100, output_tokens=10))


PRICE = 0.00035
"""Dollars of one answer: 100 tokens in and 10 out of gpt-4o."""


class _Priced(FunctionModel):
    @property
    def system(self) -> str:
        return "openai"


class _Says(_Priced):
    """Says its own name."""

    def __init__(self, name: str) -> None:
        usage = RequestUsage(input_tokens=100, output_tokens=10)

        def say(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            return ModelResponse(parts=[TextPart(name)], usage=usage)

        super().__init__(say, model_name="gpt-4o")


async def asking(text: str, trial: Trial) -> str:
    """A task that asks a model, which says its name."""
    agent = Agent(trial.models.resolve("large"))
    return (await agent.run(text, usage=trial.usage)).output


async def echo(text: str, trial: Trial) -> str:
    return f"You said: {text}"


def suite(
    *checks: Evaluator[Any, Any, Any], cases: Iterable[str] = ("a", "b"), **more: Any
) -> Suite[str, str]:
    """A suite whose task says its input again."""
    found = [Case[str, Any, Any](name=one, inputs=one) for one in cases]
    data = Dataset[str, Any, Any](name="echo", cases=found)
    return Suite(name="echo", task=more.pop("task", echo), data=data, checks=checks, **more)


@cache
def calibration(judge: str, *, agreed: int = 60, of: int = 60) -> Calibration:
    """A judge beside people: the two agree on the first items, of which half are passes."""
    people = ["pass" if i % 2 else "fail" for i in range(of)]
    other = {"pass": "fail", "fail": "pass"}
    said = [one if i < agreed else other[one] for i, one in enumerate(people)]
    found = agreement(said, people, labels=("fail", "pass"), positive="pass")
    return Calibration(judge=judge, made=datetime(2026, 3, 1, tzinfo=UTC), agreement=found)
