"""What a model name means: one resolver from names to Pydantic AI models.

| name | means |
|---|---|
| `small`, `large`, `judge` | a role, looked up in `Models.roles`, else `Models.default` |
| `embed` | the role of embeddings, looked up in `Models.roles` alone: it is no chat model |
| `baseline` | the agent's own non-LLM solver |
| `openai:gpt-5`, `anthropic:...` | any model id of Pydantic AI |
| `llama3.2` | with `Models.endpoint`: that model there, OpenAI-compatible |

An agent names a role; a caller may name another, by any function of the inputs:

```python
def by_length(message: str) -> Role:
    return "large" if len(message) > 2000 else "small"


await triage.run(message, deps, model=by_length(message))
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol, TypeAlias, TypeVar, cast, get_args

from pydantic import SecretStr
from pydantic_ai.capabilities import ResolveModelId
from pydantic_ai.embeddings import Embedder
from pydantic_ai.models import Model, ModelResolutionContext

from .errors import ConfigError
from .providers import Clients, Endpoint, build
from .providers.embeddings import BaselineEmbedding, LayeredEmbedding, vector_requests
from .resilience.fallback import Answered, Chain, Trail
from .runs import RunByName

__all__ = (
    "BASELINE",
    "NOT_AN_LLM",
    "ROLES",
    "Endpoint",
    "HasModels",
    "Models",
    "Role",
    "by_name",
    "model_name",
)

BASELINE = "baseline"
"""The name of every agent's own non-LLM solver."""

NOT_AN_LLM = "baseline, not an LLM"
"""What every place that shows a baseline's work says of it."""

Role = Literal["small", "large", "judge", "embed"]
"""What an agent asks for instead of a model's name."""

ROLES: tuple[str, ...] = get_args(Role)

# A judge is calibrated, and vectors can be compared, as one model's: another one is no stand-in.
_WITHOUT_FALLBACK = ("judge", "embed")


ModelT = TypeVar("ModelT", bound=Model)

_Make: TypeAlias = Callable[[str, Endpoint | None, Clients], ModelT]


@dataclass(frozen=True, kw_only=True)
class Models:
    """What model names mean for the runs that are given this.

    Args:
        default: The name that a role without an entry in `roles` stands for.
        roles: Role to name.
        endpoint: Where a name without a known provider prefix is looked for.
        clients: How clients of providers are made, and in which mode models are asked.
        fallback: Names of the models that are asked, in this order, when the one that a run names
            fails (see `fallback`). `baseline` is the asking agent's own, left out where it has
            none. The roles of judge and embeddings have no fallback; nor has a baseline.
        run_timeout: Seconds that one run of an agent may take, whoever answers in the end; with a
            stream, its reader's time too. None is no bound.
        tool_timeout: Seconds that one call of a tool may take, before the model is told so. A
            tool's own `timeout` goes before it.
        trail: Where it is noted who answered, and what that took; None notes nothing.
        wrap: Applied to every resolved model, first to last, so the last is outermost:
            budgets, replay, limiters. Each model of a chain is wrapped by itself.
    """

    default: str = BASELINE
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    endpoint: Endpoint | None = None
    clients: Clients = field(default_factory=Clients)
    fallback: tuple[str, ...] = ()
    run_timeout: float | None = None
    tool_timeout: float | None = None
    trail: Trail | None = field(default=None, repr=False, compare=False)
    wrap: tuple[Callable[[Model], Model], ...] = ()
    # Shared by copies made with `replace`: a client is built once, however many trials there are.
    _built: dict[tuple[object, ...], Model] = field(
        default_factory=dict[tuple[object, ...], Model], repr=False, compare=False
    )

    def named(self, name: str) -> str:
        """Return the model name that `name`, a role or already a model name, stands for.

        Raises:
            ConfigError: no model is named for embeddings.
        """
        if name == "embed" and name not in self.roles:
            raise ConfigError(
                "no model is named for embeddings; set ASSAY_EMBED_MODEL, or roles={'embed': ...}"
            )
        return self.roles.get(name, self.default) if name in ROLES else name

    def using(self, name: str) -> Models:
        """Return a copy in which every role but the judge's and `embed` stands for `name`."""
        kept = {role: to for role, to in self.roles.items() if role in ("judge", "embed")}
        return replace(self, default=name, roles=kept)

    def describe(self) -> str:
        """Return in words what answers here: a baseline is said not to be an LLM."""
        said = {role: model_name(to) for role, to in self.roles.items()}
        default = model_name(self.default)
        roles = ", ".join(f"{role}: {to}" for role, to in said.items() if to != default)
        named = f"{default} ({roles})" if roles else default
        rest = [model_name(name) for name in self.fallback if name != self.default]
        # A baseline never falls back, so a chain behind nothing but baselines says nothing.
        return (
            "; else ".join([named, *rest]) if {default, *said.values()} != {NOT_AN_LLM} else named
        )

    def resolve(
        self,
        name: str,
        baseline: Callable[[], Model] | None = None,
        *,
        agent: str | None = None,
    ) -> Model:
        """Return the model called `name`, in front of its fallback if there is one.

        Args:
            name: A role or a model's name.
            baseline: Makes the baseline of the asking agent.
            agent: The asking agent's name, for the trail.

        Raises:
            UnknownModel: nobody here knows the name, or one in the fallback.
            MissingExtra: its provider's library is not installed.
            ConfigError: a key is missing, or the agent has no baseline.
        """
        asked = self.named(name)
        rest = self._behind(name, asked, has_baseline=baseline is not None)
        if not rest and self.trail is None:
            return self._one(asked, baseline)
        # All are built now: a missing key is to be told today, not on the day of the outage.
        members = [(each, self._one(each, baseline)) for each in (asked, *rest)]
        answered = Answered(agent=agent, asked=asked)
        if self.trail is not None:
            self.trail.runs.append(answered)
        return Chain(members, answered)

    def embedder(self, name: str = "embed") -> Embedder:
        """Return what makes vectors of texts: the model that a role or a name stands for.

        Its requests pass through `wrap`, as those of chat models do.

        Raises:
            UnknownModel: nobody here knows the name as an embedding model's.
            MissingExtra: its provider's library is not installed.
            ConfigError: no model is named for embeddings, or its key is missing.
        """
        asked = self.named(name)
        if asked == BASELINE:
            return Embedder(BaselineEmbedding())
        requests = self._once(vector_requests, asked)
        return Embedder(LayeredEmbedding(requests, self.wrapped(requests)))

    def wrapped(self, model: Model) -> Model:
        """Return a model in everything that `wrap` puts around it."""
        for wrap in self.wrap:
            model = wrap(model)
        return model

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The keys that are configured here: no file and no error may show them."""
        own = () if self.endpoint is None else (self.endpoint,)
        others = (endpoint for _, endpoint in self.clients.endpoints)
        return tuple(endpoint.api_key for endpoint in (*own, *others))

    async def aclose(self) -> None:
        """Close the clients that were opened for the models resolved so far, and forget them."""
        while self._built:
            _, model = self._built.popitem()
            async with model:  # leaving a model's context is what closes its client
                pass

    def _behind(self, name: str, asked: str, *, has_baseline: bool) -> list[str]:
        """Return who is asked after `asked`, each once."""
        if asked == BASELINE or name in _WITHOUT_FALLBACK:
            return []
        names = dict.fromkeys(each for each in self.fallback if each != asked)
        return [each for each in names if each != BASELINE or has_baseline]

    def _one(self, model_id: str, baseline: Callable[[], Model] | None) -> Model:
        model = self._baseline(baseline) if model_id == BASELINE else self._provider(model_id)
        return self.wrapped(model)

    def _baseline(self, baseline: Callable[[], Model] | None) -> Model:
        if baseline is None:
            raise ConfigError(
                "this agent has no baseline; name a model: ASSAY_MODEL=openai:gpt-5, or model=..."
            )
        return baseline()

    def _provider(self, model_id: str) -> Model:
        return self._once(build, model_id)

    def _once(self, make: _Make[ModelT], model_id: str) -> ModelT:
        key = (make, self.endpoint, self.clients, model_id)
        if key not in self._built:
            self._built[key] = make(model_id, self.endpoint, self.clients)
        return cast(ModelT, self._built[key])


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

    They decide too how long it may take, and are told how it went (see `Models`).

    `baseline` makes the agent's non-LLM model from the run's deps. It is called only when that
    model is asked for, or is in the fallback, so it is the place to import heavy libraries.
    A `Model` given to a run, instead of a name, is used as it is, without fallback.
    """

    def resolve(ctx: ModelResolutionContext[DepsT], name: str) -> Model:
        own = partial(baseline, ctx.deps) if baseline else None
        return ctx.deps.models.resolve(name, own, agent=ctx.agent.name)

    return RunByName(resolve)
