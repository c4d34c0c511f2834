"""A hash is equal for equal content, and for nothing else."""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Contains, EqualsExpected

from assay.deps.errors import BadDataset, ConfigError
from assay.evals.cases import Cases
from assay.evals.identity import (
    Observer,
    agent_identity,
    case_key,
    case_keys,
    commit,
    content_hash,
    dataset_hash,
    package_versions,
)
from assay.evals.suite import Suite, plain

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


class Order(BaseModel):
    item: str
    extras: set[str] = set()


@dataclass
class Point:
    x: int
    y: int


def case(**fields: Any) -> Case[Any, Any, Any]:
    options: dict[str, Any] = {"name": "n", "inputs": "i", "expected_output": "e"}
    return Case(**(options | fields))


# -- content


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_order_of_keys_is_of_no_account(value: dict[str, Any]) -> None:
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


@given(JSON, JSON)
def test_equal_hashes_mean_equal_content(one: Any, two: Any) -> None:
    # repr tells 1, 1.0 and True apart, as JSON does; it keeps the order of keys, as JSON does not.
    if content_hash(one) == content_hash(two):
        assert one == two
    else:
        assert repr(one) != repr(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Point(1, 2), Point(1, 3)),
        (Order(item="a"), Order(item="b")),
        ({"a", "b"}, {"a", "c"}),
        (b"\xff", b"\xfe"),
        (1, "1"),
        (1, True),
        ([1, 2], [2, 1]),
    ],
)
def test_different_content_has_different_hashes(one: object, two: object) -> None:
    assert content_hash(one) != content_hash(two)


def test_an_object_without_content_does_not_bring_its_address_along() -> None:
    class Odd:
        pass

    assert content_hash([Odd()]) == content_hash([Odd()])


def test_hashes_are_the_same_in_every_process_and_version() -> None:
    value = {"s": {"b", "a", "é"}, "f": 0.1, "n": None, "p": Point(1, 2), "d": date(2026, 1, 2)}
    assert content_hash(value) == "3f0897c05bf0ecab4153"


# -- cases


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": "j"},
        {"inputs": Order(item="i")},
        {"expected_output": "f"},
        {"expected_output": None},
        {"metadata": {"group": "g"}},
        {"evaluators": (EqualsExpected(),)},
    ],
)
def test_a_changed_case_is_another_case(changed: dict[str, Any]) -> None:
    assert case_key(case(**changed)) != case_key(case())


@pytest.mark.parametrize("changed", [{"name": "m"}, {"metadata": {"tags": ["hard"]}}])
def test_a_renamed_or_retagged_case_is_the_same_case(changed: dict[str, Any]) -> None:
    assert case_key(case(**changed)) == case_key(case())


def test_a_case_is_known_by_its_evaluators_arguments() -> None:
    one, two = (case(evaluators=(Contains(value),)) for value in ("a", "b"))
    assert case_key(one) != case_key(two)


def test_sets_in_inputs_have_no_order() -> None:
    one, two = (case(inputs=Order(item="i", extras=set(names))) for names in ("abcdef", "fedcba"))
    assert case_key(one) == case_key(two)


def test_twins_are_told_apart_by_number() -> None:
    key = case_key(case())
    assert case_keys([case(name="a"), case(inputs="j"), case(name="b"), case(name="c")]) == [
        key,
        case_key(case(inputs="j")),
        f"{key}-2",
        f"{key}-3",
    ]


def test_a_datasets_hash_does_not_depend_on_the_order_of_its_cases() -> None:
    one, two = case(), case(inputs="j")
    assert dataset_hash(case_keys([one, two])) == dataset_hash(case_keys([two, one]))
    assert dataset_hash(case_keys([one])) != dataset_hash(case_keys([one, two]))


def test_what_cases_refer_to_belongs_to_the_dataset(tmp_path: Path) -> None:
    policies = tmp_path / "policies.md"
    policies.write_text("Refunds: 30 days.", encoding="utf-8")
    before = dataset_hash(["k"], [policies])
    assert dataset_hash(["k"], [policies]) == before != dataset_hash(["k"])
    policies.write_text("Refunds: 14 days.", encoding="utf-8")
    assert dataset_hash(["k"], [policies]) != before
    suite = Suite(name="s", task=plain(echo), data=Dataset(name="s", cases=[]), beside=[policies])
    assert Cases.of(suite).hash == dataset_hash([], [policies])
    policies.unlink()
    with pytest.raises(BadDataset, match="what the cases of 's' need"):
        _ = Cases.of(suite).hash


async def echo(inputs: str) -> str:
    return inputs


# -- agents


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if len(messages) == 1 and info.function_tools:
        return ModelResponse([ToolCallPart(info.function_tools[0].name, {"item": "x"})])
    if info.output_tools:
        return ModelResponse([ToolCallPart(info.output_tools[0].name, {"item": "x"})])
    return ModelResponse([TextPart("x")])


MODEL = FunctionModel(answer)


def more(item: str) -> str:
    """Ask for more."""
    return item


def clerk(**changed: Any) -> Agent[str, Any]:
    options: dict[str, Any] = {"instructions": "Take orders.", "output_type": Order}
    agent = Agent[str, Any](deps_type=str, **(options | changed))

    @agent.tool
    def stock(ctx: RunContext[str], item: str) -> int:
        """Count what is there."""
        return 3

    @agent.instructions
    def house(ctx: RunContext[str]) -> str:
        return f"The house is {ctx.deps}."

    return agent


async def test_an_agents_identity_needs_no_model() -> None:
    assert await agent_identity(clerk(), deps="ours") == await agent_identity(clerk(), deps="ours")


@pytest.mark.parametrize(
    "changed",
    [
        {"instructions": "Take no orders."},
        {"output_type": str},
        {"model_settings": {"temperature": 0.5}},
        {"tools": [more]},
    ],
)
async def test_a_changed_agent_is_another_agent(changed: dict[str, Any]) -> None:
    assert await agent_identity(clerk(**changed), deps="ours") != await agent_identity(
        clerk(), deps="ours"
    )


async def test_instructions_from_deps_are_part_of_an_agent() -> None:
    assert await agent_identity(clerk(), deps="a") != await agent_identity(clerk(), deps="b")


async def test_an_agents_headers_and_timeouts_are_not() -> None:
    quiet = clerk(model_settings={"extra_headers": {"authorization": "x"}, "timeout": 3.0})
    assert await agent_identity(quiet, deps="a") == await agent_identity(clerk(), deps="a")


async def test_an_observer_finds_the_same_identity_in_a_real_run() -> None:
    observer = Observer()
    assert observer.identity is None
    await clerk().run("one x", deps="ours", model=observer(MODEL))
    assert observer.identity == await agent_identity(clerk(), deps="ours")
    await clerk(instructions="Check them.").run("x", deps="ours", model=observer(MODEL))
    assert observer.identity != await agent_identity(clerk(), deps="ours")


async def test_an_observer_sees_streams_and_continued_conversations() -> None:
    async def words(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "x"

    model = FunctionModel(answer, stream_function=words)
    agent = Agent(instructions="Talk.")
    first = await agent.run("a", model=model)
    observer = Observer()
    async with agent.run_stream(
        "b", model=observer(model), message_history=first.all_messages()
    ) as stream:
        assert await stream.get_output() == "x"
    assert observer.identity == await agent_identity(agent, deps=None)


async def test_an_agent_that_asks_nobody_has_no_identity() -> None:
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.exceptions import SkipModelRequest

    class Silent(AbstractCapability[object]):
        async def before_model_request(self, ctx: Any, request_context: Any) -> Any:
            raise SkipModelRequest(ModelResponse([TextPart("already known")]))

    with pytest.raises(ConfigError, match="without asking a model"):
        await agent_identity(Agent(capabilities=[Silent()], name="mute"), deps=None)


# -- the rest of the world


def test_a_commit_is_known_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert commit(tmp_path) is None

    def git(*arguments: str) -> None:
        named = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(
            ["git", *named, "-C", str(tmp_path), *arguments], check=True, capture_output=True
        )

    git("init")
    assert commit(tmp_path) is None  # no commit yet
    file = tmp_path / "file"
    file.write_text("1", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "one")
    clean = commit(tmp_path)
    assert clean is not None
    assert (len(clean.sha), clean.dirty) == (40, False)
    file.write_text("2", encoding="utf-8")
    assert commit(tmp_path) == type(clean)(clean.sha, dirty=True)


def test_a_world_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(Path()) is None


def test_versions_are_of_what_is_installed() -> None:
    found = package_versions()
    assert "pydantic-ai-slim" in found
    assert package_versions(["no-such-package"]) == {}
