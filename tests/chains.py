"""Models that fail in each way, by name, and what is told of who was asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.agents import triage
from assay.deps import Models, UnknownModel
from assay.deps import models as deps_models
from assay.deps.errors import ContextTooLong
from assay.deps.taxonomy import Label, Taxonomy

TAXONOMY = Taxonomy(
    labels=(
        Label(name="card", description="A card is lost.", examples=("I lost my card",)),
        Label(name="loan", description="Borrowing money.", examples=("I want a loan",)),
    )
)
Kind = Literal["fine", "down", "invalid", "refuses", "too long"]
Llm = Callable[[list[ModelMessage], AgentInfo], ModelResponse]


def answer(label: str) -> ModelResponse:
    output = {"reason": "it says so", "label": label, "confidence": 0.9, "urgency": 2}
    return ModelResponse(parts=[ToolCallPart("final_result", output)])


def behaving(kind: Kind, name: str) -> ModelResponse:
    if kind == "down":
        raise ModelHTTPError(503, name, "no capacity")
    if kind == "too long":
        raise ContextTooLong(f"{name} cannot read so much", model_name=name)
    if kind == "refuses":
        details = {"refusal": "I would rather not"}
        return ModelResponse(parts=[], finish_reason="content_filter", provider_details=details)
    return answer("card" if kind == "fine" else "nonsense")


@dataclass
class World:
    """Models by name, and who of them was asked."""

    llms: Mapping[str, Llm] = field(default_factory=dict[str, Llm])
    asked: list[str] = field(default_factory=list[str])

    def build(self, model_id: str, *args: object) -> Model:
        if model_id not in self.llms:
            raise UnknownModel(f"unknown model {model_id!r}")
        llm = self.llms[model_id]

        def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.asked.append(model_id)
            return llm(messages, info)

        return FunctionModel(ask, model_name=model_id)

    def deps(self, *names: str, **more: Any) -> triage.Deps:
        models = Models(default=names[0], fallback=names[1:])
        return triage.Deps(taxonomy=TAXONOMY, models=models, **more)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(deps_models, "build", world.build)
    return world


def llms(**kinds: Kind) -> Mapping[str, Llm]:
    def llm(kind: Kind, name: str) -> Llm:
        return lambda messages, info: behaving(kind, name)

    return {name: llm(kind, name) for name, kind in kinds.items()}
