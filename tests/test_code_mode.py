"""Code that a model writes calls the harmless tools, and reaches nothing else."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps.errors import MissingExtra
from assay.deps.fence import unfenced
from assay.deps.safety import safe
from assay.tools.calculator import calculate
from assay.tools.code_mode import RUN_CODE, code_mode


def bounded() -> bool:
    try:
        code_mode()
    except MissingExtra:
        return False
    return True


newer = pytest.mark.skipif(not bounded(), reason="this pydantic-ai-harness cannot bound code")

paid: list[int] = []


async def price(ctx: RunContext[None], item: str) -> int:
    """Return a price in cents."""
    return {"pen": 120, "book": 1_999}[item]


async def pay(ctx: RunContext[None], cents: int) -> str:
    """Pay."""
    paid.append(cents)
    return "paid"


class Writer:
    """A model that writes code, and then says what came of it."""

    def __init__(self, code: str, tool: str = RUN_CODE) -> None:
        self.calls = [ToolCallPart(tool, {"code": code} if tool == RUN_CODE else json.loads(code))]
        self.tools: list[str] = []
        self.told: Any = None

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.tools = [tool.name for tool in info.function_tools]
        if len(messages) == 1:
            return ModelResponse(parts=self.calls)
        self.told = getattr(messages[-1].parts[0], "content", None)
        return ModelResponse(parts=[TextPart("done")])


def agent_of(writer: Writer, capabilities: Sequence[Any]) -> Agent[None, Any]:
    agent = Agent(
        FunctionModel(writer),
        deps_type=type(None),
        output_type=[str, DeferredToolRequests],
        capabilities=capabilities,
    )
    agent.tool(metadata={"trusted": True})(price)
    agent.tool(metadata={"trusted": True})(calculate)
    agent.tool(metadata={"sensitive": True})(pay)
    agent.tool(name="pay_always", requires_approval=True)(pay)
    return agent


async def told(code: str, **limits: Any) -> Any:
    """Return what a model is told of its code."""
    writer = Writer(code)
    paid.clear()
    await agent_of(writer, code_mode(**limits)).run("go")
    assert paid == []
    return writer.told


TWO_CALLS = """
pen = await price(item="pen")
book = await price(item="book")
sum = await calculate(expression=f"{pen} * 3 + {book}")
{"sum": sum["value"], "exact": sum["exact"]}
"""


@newer
async def test_code_calls_tools_and_gives_what_it_makes_of_their_results() -> None:
    assert await told(TWO_CALLS) == {"sum": "2359", "exact": True}


@newer
async def test_a_model_sees_the_code_tool_and_those_that_people_agree_to() -> None:
    writer = Writer("1")
    await agent_of(writer, code_mode()).run("go")
    assert sorted(writer.tools) == ["pay", "pay_always", RUN_CODE]


@newer
async def test_only_named_tools_become_functions() -> None:
    writer = Writer("1")
    await agent_of(writer, code_mode(tools=["price"])).run("go")
    assert sorted(writer.tools) == ["calculate", "pay", "pay_always", RUN_CODE]


@newer
@pytest.mark.parametrize("name", ["pay", "pay_always"])
async def test_code_cannot_call_what_people_agree_to(name: str) -> None:
    assert f"`{name}` used when not defined" in await told(f"await {name}(cents=5)")


@newer
@pytest.mark.parametrize(
    "code",
    [
        "import pathlib\npathlib.Path('/etc/passwd').read_text()",
        "import pathlib\npathlib.Path('/tmp/mine').write_text('a')",
        "open('/etc/passwd').read()",
        "import os\nos.environ",
        "import os\nos.getenv('HOME')",
        "import os\nos.listdir('/')",
        "import os\nos.system('id')",
        "import socket",
        "import subprocess",
        "import urllib.request",
        "import ctypes",
        "import datetime\ndatetime.datetime.now()",
        "__import__('os').system('id')",
        "().__class__.__base__.__subclasses__()",
        "eval(\"open('/etc/passwd').read()\")",
    ],
)
async def test_code_reaches_no_file_network_environment_or_clock(code: str) -> None:
    said = await told(code)
    assert isinstance(said, str)
    assert "error" in said.lower(), said


@newer
async def test_code_that_computes_too_long_is_stopped() -> None:
    assert "time limit exceeded" in await told("while True: pass", seconds=0.2)


@newer
async def test_code_that_takes_too_much_memory_is_stopped() -> None:
    assert "memory limit exceeded" in await told("a = 'a' * 30_000_000", megabytes=8)


@newer
async def test_code_that_calls_too_often_is_stopped() -> None:
    said = await told("for _ in range(9):\n    await price(item='pen')", calls=3)
    assert "allows 3 nested tool calls" in said


@newer
@pytest.mark.parametrize("code", ["'a' * 90_000", "['a'] * 90_000", "print('a' * 90_000)"])
async def test_what_code_gives_is_cut(code: str) -> None:
    assert len(str(await told(code, output_limit=1_000))) < 1_200


@newer
async def test_an_error_is_cut_with_what_was_printed_before_it() -> None:
    assert len(await told("print('a' * 90_000)\n1 / 0", output_limit=1_000)) < 1_500


@newer
async def test_what_code_gives_is_fenced_once_and_what_its_calls_give_is_not() -> None:
    writer = Writer("item = await price(item='pen')\nf'{item}!'")
    await agent_of(writer, [*safe(), *code_mode()]).run("go")
    assert unfenced(writer.told) == "120!"


@newer
async def test_a_call_after_code_has_read_something_waits_for_a_person() -> None:
    paid.clear()
    writer = Writer("await price(item='pen')")
    writer_pays = ToolCallPart("pay", {"cents": 120}, "c2")

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return writer(messages, info) if len(messages) == 1 else ModelResponse(parts=[writer_pays])

    agent = agent_of(writer, [*safe(), *code_mode()])
    result = await agent.run("go", model=FunctionModel(model))
    assert isinstance(result.output, DeferredToolRequests)
    assert [call.tool_name for call in result.output.approvals] == ["pay"]
    assert paid == []


@pytest.mark.skipif(bounded(), reason="this pydantic-ai-harness can bound code")
def test_without_bounds_there_is_no_code_mode() -> None:
    with pytest.raises(MissingExtra, match=r"install (a newer one|it with): pip install"):
        code_mode()


def test_a_missing_sandbox_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai_harness.code_mode", None)
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[code\]'"):
        code_mode()
