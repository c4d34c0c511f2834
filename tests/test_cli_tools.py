"""`assay tools` lists what there is, read from the code; and MCP is not imported before it is used."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from assay.deps.errors import ConfigError, MissingExtra
from assay.deps.models import Models
from assay.evals.cli.mcp import serve_agents
from assay.evals.cli.runners import Options
from assay.evals.cli.tools import Had, all_tools, list_tools
from assay.tools.mcp import mcp_tools
from assay.tools.toolbox import toolbox


def test_a_tool_is_listed_with_the_deps_it_needs_and_the_agents_that_have_it() -> None:
    tool, having = all_tools()["similar_messages"]
    assert tool.deps == "HasHistory"
    assert list(tool.schema["properties"]) == ["text"]
    assert having == [Had(agent="triage", marks=())]


def test_what_an_agent_says_of_a_tool_is_listed_with_it() -> None:
    _, having = all_tools()["block_card"]
    assert having == [Had(agent="support", marks=("sensitive", "trusted"))]


def test_a_tool_that_needs_nothing_and_is_nobodys_is_listed_too() -> None:
    tool, having = all_tools()["calculate"]
    assert (tool.deps, having) == ("", [])


def test_every_public_tool_of_the_package_is_listed() -> None:
    import assay.tools

    assert set(assay.tools.__all__) - {"idempotent"} <= set(toolbox())  # which decorates tools


def test_tools_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    list_tools(["calculate", "find_quote"], json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["tool"] for row in rows] == ["calculate", "find_quote"]
    assert rows[0]["schema"]["required"] == ["expression"]
    assert rows[1]["agents"] == {"extract": []}


def test_tools_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    list_tools([], json=False)
    out = capsys.readouterr().out
    assert all(name in out for name in toolbox())


def test_one_tool_is_printed_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    list_tools(["calculate"], json=False)
    out = capsys.readouterr().out
    assert "tool: calculate" in out
    assert "additionalProperties: false" in out


def test_a_tool_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="no tool is called 'gone'; there are "):
        list_tools(["gone"], json=False)


def test_nothing_of_mcp_or_the_sandbox_is_imported_before_it_is_used() -> None:
    if version("pydantic-ai-slim").startswith("2.38"):
        pytest.skip("this pydantic-ai imports what is installed of it")
    names = "assay.tools.mcp, assay.tools.code_mode, assay.evals.cli.mcp, assay.agents"
    heavy = {"mcp", "fastmcp", "uvicorn", "pydantic_monty"}
    code = f"import sys, {names}; print(sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "[]\n", ran.stderr


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai.mcp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[mcp\]'"):
        mcp_tools("https://example.com/mcp")


def test_a_missing_library_is_named_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "assay.evals.cli.mcp_server", raising=False)
    options = Options(labels=None, target="invoice", guide=None, out=Path())
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[mcp\]'"):
        serve_agents([], Models(), options, None, 1)
