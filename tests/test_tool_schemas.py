"""Whatever arguments a model invents, a tool answers with its result or with what to do instead."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from assay.deps.folder import Folder
from assay.deps.web import GuardedClient, Reach, Web
from assay.tools.calculator import Figure, calculate
from assay.tools.excerpt import Excerpt
from assay.tools.files import Matches, Written, list_files, read_file, search_files, write_file
from assay.tools.web import Page, fetch_page

from .pages import mocked

Schema: TypeAlias = dict[str, Any]

RESULTS: dict[str, type[BaseModel]] = {
    "calculate": Figure,
    "fetch_page": Page,
    "list_files": Excerpt,
    "read_file": Excerpt,
    "search_files": Matches,
    "write_file": Written,
}


class Deps:
    """A small folder, and a web in which every name is public and every page the same."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root=root, writable=True)
        with mocked(page):
            self.web = Web(client=GuardedClient(Reach(resolve=public)))


async def public(host: str, port: int) -> Sequence[str]:
    return ["93.184.215.14"]


async def body() -> AsyncIterator[bytes]:
    yield b"a page"


def page(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/plain"}, content=body())


def agent_of() -> Agent[Deps, str]:
    agent = Agent(deps_type=Deps, retries={"tools": 1_000})
    agent.tool(calculate)
    agent.tool(fetch_page)
    agent.tool(list_files)
    agent.tool(read_file)
    agent.tool(search_files)
    agent.tool(write_file)
    return agent


AGENT = agent_of()


def schemas() -> dict[str, Schema]:
    """Return the parameters of each tool, as a model is shown them."""
    model = TestModel(call_tools=[])
    AGENT.run_sync("x", model=model, deps=Deps(Path()))
    assert model.last_model_request_parameters is not None
    tools = model.last_model_request_parameters.function_tools
    return {tool.name: tool.parameters_json_schema for tool in tools}


STRINGS = st.text(max_size=20) | st.sampled_from([
    "a.md", "notes", ".", "..", "../a", "/etc/passwd", "a/b", "http://example.com/",
    "http://127.0.0.1/", "https://[::1]/", "file:///a", "1 + 1", "1 / 0", "2 ** 9 ** 9", "\0", "e",
])  # fmt: skip
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": STRINGS,
    "boolean": st.booleans(),
    "integer": st.integers(0, 30) | st.integers(0),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRINGS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(STRINGS, inner, max_size=2),
    max_leaves=4,
)


def inside(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Draw arguments that a schema allows."""
    fields = {name: KINDS[each["type"]] for name, each in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(required, optional=fields)


def outside(schema: Schema) -> st.SearchStrategy[Any]:
    """Draw arguments that a schema need not allow: other types, other names, no object at all."""
    wrong = dict.fromkeys(schema["properties"], ANYTHING)
    objects = st.fixed_dictionaries({}, optional={**wrong, "other": ANYTHING})
    return objects.map(json.dumps) | objects | st.text(max_size=10)


TOOLS = schemas()
CALLS = st.sampled_from(sorted(TOOLS)).flatmap(
    lambda name: st.tuples(st.just(name), inside(TOOLS[name]) | outside(TOOLS[name]))
)


def test_every_tool_says_what_it_takes() -> None:
    assert sorted(TOOLS) == sorted(RESULTS)
    for schema in TOOLS.values():
        assert schema["additionalProperties"] is False
        assert all(each.get("description") for each in schema["properties"].values())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, min_size=1, max_size=5))
async def test_arguments_in_and_out_of_the_schema_give_results_or_refusals(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    asked = [ToolCallPart(name, arguments, f"c{n}") for n, (name, arguments) in enumerate(calls)]

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[*asked] if len(messages) == 1 else [TextPart("done")])

    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    result = await AGENT.run("go", model=FunctionModel(model), deps=Deps(root))
    kinds = ("tool-return", "retry-prompt")
    answers = [part for part in result.all_messages()[2].parts if part.part_kind in kinds]
    assert len(answers) == len(calls)
    for part in answers:
        if isinstance(part, ToolReturnPart) and part.outcome == "success":
            assert isinstance(part.content, RESULTS[part.tool_name])
        else:
            assert getattr(part, "content", None)
    assert os.listdir(tmp_path) == ["root"]
