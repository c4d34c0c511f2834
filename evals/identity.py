"""What exactly was run: hashes of cases, datasets and agents, versions, the commit.

Hashes are of content, never of names or places: a renamed case is still itself, a changed one is
another. They are equal between processes, machines and Python versions.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_jsonable_python
from pydantic_evals import Case

from ..deps.errors import ConfigError
from ..deps.layer import AnswerT, Asked, Layer, Opening
from ..deps.replay.requests import canonical, digest, request_document

__all__ = (
    "Commit",
    "Observer",
    "agent_identity",
    "case_key",
    "case_keys",
    "commit",
    "content_hash",
    "dataset_hash",
    "numbered",
    "package_versions",
)

PACKAGES = (
    "assay-agents",
    "pydantic-ai-slim",
    "pydantic-evals",
    "pydantic",
    "openai",
    "anthropic",
    "scikit-learn",
    "scipy",
)

AnyCase = Case[Any, Any, Any]
DepsT = TypeVar("DepsT")

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


# -- cases


def content_hash(value: object) -> str:
    """Return the hash of any value's content: Pydantic models, dataclasses, sets and plain data."""
    return digest(canonical(_plain(value)))


def case_key(case: AnyCase) -> str:
    """Return the hash of what a case asks and expects.

    Of its inputs, expectation, own evaluators and `metadata["group"]`; its name and other metadata
    (tags, remarks) may change without making another case of it.
    """
    metadata: Any = case.metadata
    kept: Mapping[str, Any] = cast(Any, metadata) if isinstance(metadata, Mapping) else {}
    return content_hash(
        {
            "inputs": case.inputs,
            "expected_output": case.expected_output,
            "evaluators": [
                {e.get_serialization_name(): e.build_serialization_arguments()}
                for e in case.evaluators
            ],
            "group": kept.get("group"),
        }
    )


def case_keys(cases: Iterable[AnyCase]) -> list[str]:
    """Return every case's key, in order; cases of equal content are numbered `<key>-2`, `-3`."""
    return list(numbered(map(case_key, cases)))


def numbered(keys: Iterable[str]) -> Iterator[str]:
    """Tell equal keys apart: the second becomes `<key>-2`."""
    seen = Counter[str]()
    for key in keys:
        seen[key] += 1
        yield key if seen[key] == 1 else f"{key}-{seen[key]}"


def dataset_hash(keys: Iterable[str], beside: Iterable[Path] = ()) -> str:
    """Return the hash of a dataset from its cases' keys; their order is of no account.

    Args:
        keys: Of the cases.
        beside: Files that the cases refer to.

    Raises:
        OSError: one of them cannot be read.
    """
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in beside}
    return content_hash([sorted(keys), files] if files else sorted(keys))


def _plain(value: Any) -> Any:
    """Return a value as JSON data that is equal for equal content."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        mapping: Mapping[Any, Any] = cast(Any, value)
        return {str(_plain(key)): _plain(inner) for key, inner in mapping.items()}
    if isinstance(value, Set):  # no order, and not the same one in the next process
        members: Set[Any] = cast(Any, value)
        return sorted((_plain(member) for member in members), key=canonical)
    if isinstance(value, (list, tuple)):
        items: Sequence[Any] = cast(Any, value)
        return [_plain(item) for item in items]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    known = to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64")
    return _ADDRESS.sub("", known) if isinstance(known, str) else known


# -- agents


class Observer:
    """Notes what agents ask with: put it last into `Models.wrap` of the first case's first trial.

    The identity covers every agent that asks something in that trial, sub-agents and judges too:
    model settings, instructions, tools, output schema; not the model, nor the conversation.
    Instructions that depend on the case are taken as they are for that case.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, model: Model) -> Model:
        """Return `model`, observed."""
        return _Observed(model, self._seen)

    @property
    def identity(self) -> str | None:
        """The hash of everything seen so far; None if nothing was asked."""
        return content_hash(self._seen) if self._seen else None


async def agent_identity(agent: Agent[DepsT, Any], prompt: str = "identity", *, deps: DepsT) -> str:
    """Return the hash of what one agent asks with, for any Pydantic AI agent. No model is called.

    The agent is run up to its first request, so its instruction functions and its tools'
    `prepare` see `prompt` and `deps`.

    Raises:
        ConfigError: the agent ended without asking a model anything.
    """
    probe = _Probe()
    try:
        await agent.run(prompt, deps=deps, model=probe)
    except _Captured as found:
        return content_hash({found.identity})  # as Observer has it
    raise ConfigError(f"agent {agent.name!r} answered {prompt!r} without asking a model")


def _request_identity(
    messages: list[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
) -> str:
    document = request_document("", messages, settings, parameters)
    del document["messages"]
    return digest(canonical(document))


class _Observed(Layer):
    def __init__(self, wrapped: Model, seen: set[str]) -> None:
        super().__init__(wrapped)
        self._seen = seen

    def around(
        self, asked: Asked, opening: Opening[AnswerT]
    ) -> AbstractAsyncContextManager[AnswerT]:
        """Note the first request of a run: later ones tell how far it has come, too."""
        messages = asked.messages
        run_id = messages[-1].run_id
        if not any(isinstance(m, ModelResponse) and m.run_id == run_id for m in messages):
            self._seen.add(_request_identity(messages, asked.settings, asked.parameters))
        return opening()


class _Captured(Exception):
    """Carries what a request would have been out of the agent's run."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        super().__init__(identity)


class _Probe(Model):
    """Takes note of the first request, and ends the run."""

    def __init__(self) -> None:
        super().__init__(
            profile=ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)
        )

    @property
    def model_name(self) -> str:
        return "probe"

    @property
    def system(self) -> str:
        return "assay"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        raise _Captured(_request_identity(messages, model_settings, model_request_parameters))


# -- the rest of the world


@dataclass(frozen=True)
class Commit:
    """A git commit; `dirty` if files that it tracks have been changed since."""

    sha: str
    dirty: bool


def commit(folder: Path) -> Commit | None:
    """Return the commit that is checked out where `folder` is; None outside a checkout."""
    sha = _git(folder, "rev-parse", "HEAD")
    if not sha:
        return None
    return Commit(sha, dirty=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that is not there took no part
    return found


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None if there is no git, no checkout or no answer."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - constant arguments
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
