"""What a model name means: one resolver from names to Pydantic AI models.

| name | means |
|---|---|
| `small`, `large`, `judge` | a role, looked up in `Models.roles`, else `Models.default` |
| `baseline` | the agent's own non-LLM solver |
| `openai:gpt-5`, `anthropic:...` | any model id of Pydantic AI |
| `llama3.2` | with `Models.endpoint`: that model there, OpenAI-compatible |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from pydantic_ai.capabilities import ResolveModelId
from pydantic_ai.models import Model, ModelResolutionContext

from .errors import ConfigError
from .providers import Endpoint, build

__all__ = ("BASELINE", "NOT_AN_LLM", "Endpoint", "HasModels", "Models", "by_name", "model_name")

BASELINE = "baseline"
"""The name of every agent's own non-LLM solver."""

NOT_AN_LLM = "baseline, not an LLM"
"""What every place that shows a baseline's work says of it."""

ROLES = ("small", "large", "judge")


@dataclass(frozen=True, kw_only=True)
class Models:
    """What model names mean for the runs that are given this.

    Args:
        default: The name that a role without an entry in `roles` stands for.
        roles: Role to name.
        endpoint: Where a name without a known provider prefix is looked for.
        wrap: Applied to every resolved model, first to last, so the last is outermost:
            budgets, replay, limiters.
    """

    default: str = BASELINE
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    endpoint: Endpoint | None = None
    wrap: tuple[Callable[[Model], Model], ...] = ()
    # Shared by copies made with `replace`: a client is built once, however many trials there are.
    _built: dict[tuple[Endpoint | None, str], Model] = field(
        default_factory=dict[tuple[Endpoint | None, str], Model], repr=False, compare=False
    )

    def named(self, name: str) -> str:
        """Return the model name that `name`, a role or already a model name, stands for."""
        return self.roles.get(name, self.default) if name in ROLES else name

    def using(self, name: str) -> Models:
        """Return a copy in which every role but the judge's stands for `name`."""
        judge = {role: to for role, to in self.roles.items() if role == "judge"}
        return replace(self, default=name, roles=judge)

    def describe(self) -> str:
        """Return in words what answers here: a baseline is said not to be an LLM."""
        said = {role: model_name(to) for role, to in self.roles.items()}
        default = model_name(self.default)
        roles = ", ".join(f"{role}: {to}" for role, to in said.items() if to != default)
        return f"{default} ({roles})" if roles else default

    def resolve(self, name: str, baseline: Callable[[], Model] | None = None) -> Model:
        """Return the model called `name`; `baseline` makes the one of the asking agent.

        Raises:
            UnknownModel: nobody here knows the name.
            MissingExtra: its provider's library is not installed.
            ConfigError: a key is missing, or the agent has no baseline.
        """
        model_id = self.named(name)
        model = self._baseline(baseline) if model_id == BASELINE else self._provider(model_id)
        return self.wrapped(model)

    def wrapped(self, model: Model) -> Model:
        """Return a model in everything that `wrap` puts around it."""
        for wrap in self.wrap:
            model = wrap(model)
        return model

    async def aclose(self) -> None:
        """Close the clients that were opened for the models resolved so far, and forget them."""
        while self._built:
            _, model = self._built.popitem()
            async with model:  # leaving a model's context is what closes its client
                pass

    def _baseline(self, baseline: Callable[[], Model] | None) -> Model:
        if baseline is None:
            raise ConfigError(
                "this agent has no baseline; name a model: ASSAY_MODEL=openai:gpt-5, or model=..."
            )
        return baseline()

    def _provider(self, model_id: str) -> Model:
        key = (self.endpoint, model_id)
        if key not in self._built:
            self._built[key] = build(model_id, self.endpoint)
        return self._built[key]


def model_name(model: Model | str) -> str:
    """Return in words what a model or its name is: a baseline is said not to be an LLM."""
    name = model if isinstance(model, str) else model.model_name
    return NOT_AN_LLM if name.partition(":")[0] == BASELINE else name


class HasModels(Protocol):
    """Deps that say what model names mean."""

    @property
    def models(self) -> Models: ...


DepsT = TypeVar("DepsT", bound=HasModels)


def by_name(baseline: Callable[[DepsT], Model] | None = None) -> ResolveModelId[DepsT]:
    """Return the capability through which a run's deps decide what its model name means.

    `baseline` makes the agent's non-LLM model from the run's deps. It is called only when that
    model is asked for, so it is the place to import heavy libraries.
    """

    def resolve(ctx: ModelResolutionContext[DepsT], name: str) -> Model:
        return ctx.deps.models.resolve(name, partial(baseline, ctx.deps) if baseline else None)

    return ResolveModelId(resolve)
