"""A suite: the pairing of a task with a dataset, checks and thresholds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import yaml
from pydantic import BeforeValidator, ValidationError
from pydantic_ai.usage import RunUsage
from pydantic_core import to_jsonable_python
from pydantic_evals import Dataset
from pydantic_evals.evaluators import Evaluator

from ..deps.errors import BadDataset
from ..deps.models import Models

__all__ = ("DATASETS", "CaseMeta", "Plain", "Suite", "Trial", "plain")

DATASETS = Path(__file__).parents[1] / "datasets"
"""Our own datasets, one folder an agent: the same path in a checkout and in a wheel."""

InputsT = TypeVar("InputsT")
OutputT = TypeVar("OutputT")

CaseMeta = dict[str, Any]
"""A case's metadata. `tags` (a list of str) is shown and can be selected by; `group` names what
cases that stand or fall together have in common, such as a document."""


Plain = Annotated[dict[str, Any], BeforeValidator(to_jsonable_python)]
"""Expected values by name, as JSON has them: a date that YAML reads as one is its text again."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a task is given for one execution of one case.

    Put `models` and `usage` into the task's deps: that is how the run's `--model`, budgets and
    replay reach the agent, and how its requests and cost reach the report.
    """

    models: Models = field(default_factory=Models)
    usage: RunUsage = field(default_factory=RunUsage)


@dataclass(frozen=True, kw_only=True)
class Suite(Generic[InputsT, OutputT]):
    """A task, its cases, its checks, and what they must reach.

    Args:
        name: The agent's name.
        about: What the agent does, in a few words.
        task: From a case's inputs, and this trial's models and usage, to an output.
            Wrap a plain `inputs -> output` function in `plain`.
        path: The YAML file of cases, in pydantic-evals' format.
        types: The types of a case's inputs and of its expectation (often a smaller model than the
            output, for what the checks compare); cases are validated by them.
        checks: Evaluators run on every output; a case may bring more of its own.
        thresholds: Check name to the mean it must reach over the whole dataset; 1 where not
            named. Judged and unscored checks never fail a run.
    """

    name: str
    about: str
    task: Callable[[InputsT, Trial], Awaitable[OutputT]]
    path: Path
    types: tuple[type[InputsT], type[Any]]
    checks: Sequence[Evaluator[Any, Any, Any]] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])

    def dataset(self) -> Dataset[InputsT, Any, CaseMeta]:
        """Read the cases.

        Raises:
            BadDataset: the file is absent, not YAML, or its cases do not fit the types.
        """
        try:
            found = self._kind().from_file(self.path, custom_evaluator_types=self._custom())
        except (OSError, ValueError, yaml.YAMLError, ExceptionGroup) as e:
            raise BadDataset(f"cannot read the cases of {self.name!r}: {_why(e)}") from e
        dataset = cast(Dataset[InputsT, Any, CaseMeta], found)
        _refuse_unnamed_or_twice(self.path, [case.name for case in dataset.cases])
        return dataset

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the file of cases, for editors to check it by."""
        return cast(dict[str, Any], self._kind().model_json_schema_with_evaluators(self._custom()))

    def _kind(self) -> Any:
        # The subscript is evaluated at run time: that is how pydantic-evals learns the types.
        return cast(Any, Dataset)[(*self.types, CaseMeta)]

    def _custom(self) -> list[type[Evaluator[Any, Any, Any]]]:
        return list({type(check): None for check in self.checks})


def plain(
    task: Callable[[InputsT], Awaitable[OutputT]],
) -> Callable[[InputsT, Trial], Awaitable[OutputT]]:
    """Make a suite's task of any async function from inputs to output.

    Its requests and cost are unknown to the report, and `--model` does not reach it.
    """

    async def run(inputs: InputsT, trial: Trial) -> OutputT:
        return await task(inputs)

    return run


def _refuse_unnamed_or_twice(path: Path, names: list[str | None]) -> None:
    for name in names:
        if not name:
            raise BadDataset(f"{str(path)!r}: case {names.index(name) + 1} has no name; add one")
        if names.count(name) > 1:
            raise BadDataset(f"{str(path)!r}: {names.count(name)} cases are called {name!r}")


def _why(error: BaseException) -> str:
    """Say in a line what is wrong with a file and where."""
    if isinstance(error, ExceptionGroup):
        return "; ".join(_why(e) for e in cast("ExceptionGroup[Exception]", error).exceptions)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{error.error_count()} problems, the first at {where}: {first['msg']}"
    return str(error)
