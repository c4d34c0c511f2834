"""A suite: the pairing of a task with a dataset, checks and thresholds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from pydantic import BeforeValidator
from pydantic_ai import Agent
from pydantic_ai.models import Model, infer_model
from pydantic_ai.usage import RunUsage
from pydantic_core import to_jsonable_python
from pydantic_evals import Dataset
from pydantic_evals.evaluators import Evaluator

from ..deps.errors import ConfigError
from ..deps.models import BASELINE, NOT_AN_LLM, Models, model_name

__all__ = (
    "DATASETS",
    "TRIAL",
    "CaseMeta",
    "Peers",
    "Plain",
    "Suite",
    "Task",
    "Trial",
    "plain",
    "task_of",
)

DATASETS = Path(__file__).parents[1] / "datasets"
"""Our own datasets, one folder an agent: the same path in a checkout and in a wheel."""

TRIAL = "assay.trial"
"""Where a check finds the trial it judges: `ctx.attributes[TRIAL]`."""

InputsT = TypeVar("InputsT")
OutputT = TypeVar("OutputT")
InT = TypeVar("InT")  # of `Suite.of`, which does not know the class's own
OutT = TypeVar("OutT")
DepsT = TypeVar("DepsT")

CaseMeta = dict[str, Any]
"""A case's metadata. `tags` (a list of str) is shown and can be selected by; `group` names what
cases that stand or fall together have in common, such as a document."""


Plain = Annotated[dict[str, Any], BeforeValidator(to_jsonable_python)]
"""Expected values by name, as JSON has them: a date that YAML reads as one is its text again."""


class Peers(Protocol):
    """Knows what another model, or another run, made of the case that a trial is of."""

    async def output(self, against: str, usage: RunUsage) -> Any:
        """Return the output; `against` is a stored run's id, or a model's name.

        What a model takes to make it is added up in `usage`.

        Raises:
            Unscored: there is none, with the reason.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a task is given for one execution of one case.

    Put `models` and `usage` into the task's deps: that is how the run's `--model`, budgets and
    replay reach the agent, and how its requests and cost reach the report. `peers` is for checks
    that compare the output with another one's; `once` is what a judge's models are wrapped in, so
    that it is not asked again what it has said of another trial.
    """

    models: Models = field(default_factory=Models)
    usage: RunUsage = field(default_factory=RunUsage)
    peers: Peers | None = None
    once: Callable[[Model], Model] | None = None


Task = Callable[[InputsT, Trial], Awaitable[OutputT]]


@dataclass(frozen=True, kw_only=True)
class Suite(Generic[InputsT, OutputT]):
    """A task, its cases, its checks, and what they must reach.

    Args:
        name: The agent's name.
        about: What the agent does, in a few words.
        task: From a case's inputs, and this trial's models and usage, to an output. Wrap a plain
            `inputs -> output` function in `plain`, a Pydantic AI agent in `task_of`.
        path: The file of cases: YAML or JSON in pydantic-evals' format, or `.jsonl` with a case a
            line, which is read as a stream. Give this and `types`, or `data`.
        types: The types of a case's inputs and of its expectation (often a smaller model than the
            output, for what the checks compare); cases are validated by them.
        data: A dataset in memory, instead of a file.
        checks: Evaluators run on every output; a case may bring more of its own.
        thresholds: Check name to the mean it must reach over the whole dataset; 1 where not
            named. Judged and unscored checks never fail a run.
        baseline: The non-LLM solver of the same cases, for the lift over it. Where the model name
            `baseline` makes one of `task`, give `task` again.
        hard: Checks without which the rest is not worth a judge: an output that fails one is not
            sent to any, unless a judged check asks for it.
        judge_floor: The least that the lower end of a judge's kappa must be for its checks to
            gate; below, they are advisory.
        beside: Files that cases refer to, such as documents: they belong to the dataset's hash.
    """

    name: str
    about: str = ""
    task: Task[InputsT, OutputT]
    path: Path | None = None
    types: tuple[type[InputsT], type[Any]] | None = None
    data: Dataset[InputsT, Any, Any] | None = None
    checks: Sequence[Evaluator[Any, Any, Any]] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    baseline: Task[InputsT, Any] | None = None
    hard: Sequence[str] = ()
    judge_floor: float = 0.6
    beside: Sequence[Path] = ()

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None or self.types is None):
            raise ConfigError(f"suite {self.name!r} needs either path and types, or data")

    @staticmethod
    def of(
        dataset: Dataset[InT, Any, Any],
        task: Callable[[InT], Awaitable[OutT]],
        *,
        name: str | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> Suite[InT, OutT]:
        """Pair a dataset of pydantic-evals, with its own evaluators, with any async function.

        Args:
            dataset: Its cases need names.
            task: From a case's inputs to an output.
            name: What the suite is called; the dataset's name, else the function's, by default.
            thresholds: Check name to the mean it must reach.
        """
        called = str(name or dataset.name or getattr(task, "__name__", "task"))
        return Suite(name=called, task=plain(task), data=dataset, thresholds=thresholds or {})

    def dataset(self) -> Dataset[InputsT, Any, CaseMeta]:
        """Read the cases.

        Raises:
            BadDataset: the file is absent, not YAML, or its cases do not fit the types.
        """
        from .cases import read_dataset

        return read_dataset(self)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the file of cases, for editors to check it by."""
        return cast(dict[str, Any], self.kind().model_json_schema_with_evaluators(self.custom()))

    def with_baseline(self) -> Suite[InputsT, Any]:
        """Return this suite with the non-LLM solver as its task.

        Raises:
            ConfigError: it has none.
        """
        if self.baseline is None:
            raise ConfigError(f"suite {self.name!r} has no baseline; give it `baseline=`")
        return replace(cast("Suite[InputsT, Any]", self), task=_OnBaseline(self.baseline))

    def answers(self, models: Models) -> str:
        """Return in words what answers in a run with these models."""
        task: object = self.task
        return task.describe(models) if isinstance(task, Described) else models.describe()

    def kind(self) -> Any:
        """Return the type of the dataset, with those of its cases."""
        # The subscript is evaluated at run time: that is how pydantic-evals learns the types.
        return cast(Any, Dataset)[(*(self.types or (Any, Any)), CaseMeta)]

    def custom(self) -> list[type[Evaluator[Any, Any, Any]]]:
        """Return the evaluators that a file of cases may name beside pydantic-evals' own."""
        return list({type(check): None for check in self.checks})


@runtime_checkable
class Described(Protocol):
    """A task that knows better than the run's models what answers."""

    def describe(self, models: Models) -> str:
        """Return in words what answers."""
        ...


@dataclass(eq=False)
class _Plain(Generic[InputsT, OutputT]):
    task: Callable[[InputsT], Awaitable[OutputT]]

    def __post_init__(self) -> None:
        update_wrapper(self, self.task)

    async def __call__(self, inputs: InputsT, trial: Trial) -> OutputT:
        return await self.task(inputs)

    def describe(self, models: Models) -> str:
        return f"{getattr(self.task, '__name__', 'the task')}'s own"


def plain(
    task: Callable[[InputsT], Awaitable[OutputT]],
) -> Callable[[InputsT, Trial], Awaitable[OutputT]]:
    """Make a suite's task of any async function from inputs to output.

    Its requests and cost are unknown to the report, and `--model` does not reach it.
    """
    return _Plain(task)


@dataclass(frozen=True)
class _AgentTask(Generic[DepsT, OutputT]):
    agent: Agent[DepsT, OutputT]
    deps: DepsT

    async def __call__(self, inputs: str, trial: Trial) -> OutputT:
        model = trial.models.wrapped(self._own()) if self._own_answers(trial.models) else None
        model = model or trial.models.resolve(trial.models.default)
        with self.agent.override(model=model):
            return (await self.agent.run(inputs, deps=self.deps, usage=trial.usage)).output

    def describe(self, models: Models) -> str:
        return model_name(self._own()) if self._own_answers(models) else models.describe()

    def _own_answers(self, models: Models) -> bool:
        return models.default == BASELINE  # the run names no model

    def _own(self) -> Model:
        if self.agent.model is None:
            name = self.agent.name
            raise ConfigError(f"agent {name!r} has no model; name one: --model openai:gpt-5")
        return infer_model(self.agent.model)


def task_of(
    agent: Agent[DepsT, OutputT], deps: DepsT
) -> Callable[[str, Trial], Awaitable[OutputT]]:
    """Make a suite's task of any Pydantic AI agent: a case's inputs are the prompt.

    It answers with its own model, unless the run names one; recordings, budgets and usage reach it
    either way.

    Args:
        agent: The agent.
        deps: What it is run with.
    """
    return _AgentTask(agent, deps)


@dataclass(frozen=True)
class _OnBaseline(Generic[InputsT, OutputT]):
    task: Task[InputsT, OutputT]

    async def __call__(self, inputs: InputsT, trial: Trial) -> OutputT:
        return await self.task(inputs, replace(trial, models=trial.models.using(BASELINE)))

    def describe(self, models: Models) -> str:
        return NOT_AN_LLM
