"""Our agents as tools of an MCP server: what each is called, takes and gives."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any, cast, get_type_hints

from griffe import Docstring, DocstringSectionParameters
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import TypeAdapter
from pydantic_ai.exceptions import AgentRunError
from pydantic_core import to_json

from ...agents import extract
from ...deps.errors import AssayError, InputError, provider_fault
from ...deps.models import Models, model_name
from ...deps.resilience.fallback import Answered, Trail
from ...deps.secrets import scrub
from ..suites import NAMES, load
from .door import explain
from .runners import Options, runner, target_model

__all__ = ("READING", "Served", "server_of", "serving")

READING = frozenset({"answer", "copy_editor", "desk", "extract", "guard", "triage"})
"""The agents that change nothing, wherever they are run."""

WHO = "assay/answered-by"


class _Runs(list[Answered]):
    """The runs of a trail, each call's apart: one runner serves calls that run at once."""

    def __init__(self) -> None:
        super().__init__()
        self._own: ContextVar[list[Answered]] = ContextVar("runs")

    def append(self, run: Answered) -> None:
        self._own.get().append(run)

    def begin(self) -> list[Answered]:
        """Return where the runs of this call are put from now on."""
        own: list[Answered] = []
        self._own.set(own)
        return own


@dataclass(frozen=True, kw_only=True)
class Served:
    """An agent as a tool.

    Args:
        name: Its name, the tool's too.
        about: What it does, and who answers.
        argument: The name of its one argument, a text.
        told: What is said of that.
        output: The type of its output.
        work: From the text to the output.
        models: What answers; its keys are kept out of errors.
        runs: Where it is noted who answered.
    """

    name: str
    about: str
    argument: str
    told: str
    output: Any
    work: Callable[[str], Awaitable[Any]]
    models: Models
    runs: _Runs

    def tool(self) -> Tool:
        """Return its definition, as clients are shown it."""
        return Tool(
            name=self.name,
            description=self.about,
            input_schema={
                "type": "object",
                "properties": {self.argument: {"type": "string", "description": self.told}},
                "required": [self.argument],
                "additionalProperties": False,
            },
            output_schema=self._schema,
            annotations=ToolAnnotations(read_only_hint=self.name in READING),
        )

    async def call(self, arguments: dict[str, Any]) -> CallToolResult:
        """Return the agent's output, or what went wrong: without a key, without a traceback."""
        own = self.runs.begin()
        try:
            plain = self._adapter.dump_python(await self.work(self._text(arguments)), mode="json")
        except Exception as e:
            explain(e, where=self.name)
            return CallToolResult(content=[_said(self._failure(e))], is_error=True)
        who = ", ".join(dict.fromkeys(model_name(run.model) for run in own if run.model))
        who = who or self.models.describe()
        return CallToolResult(
            content=[_said(to_json(plain).decode()), _said(f"answered by: {who}")],
            structured_content={"result": plain} if self._wrapped else plain,
            _meta={WHO: who},
        )

    def _text(self, arguments: dict[str, Any]) -> str:
        text = arguments.get(self.argument)
        if not isinstance(text, str) or len(arguments) > 1:
            given = ", ".join(f"{name}: {type(each).__name__}" for name, each in arguments.items())
            raise InputError(
                f"{self.name!r} takes a string called {self.argument!r} and nothing else; "
                f"it was given {given[:200] or 'nothing'}"
            )
        return text

    def _failure(self, error: Exception) -> str:
        if not (isinstance(error, (AssayError, AgentRunError)) or provider_fault(error)):
            return f"{self.name} failed: {type(error).__name__}; the server's log says more"
        secrets = [secret.get_secret_value() for secret in self.models.secrets]
        return f"{type(error).__name__}: {scrub(str(error), secrets)}"

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.output)

    @cached_property
    def _plain_schema(self) -> dict[str, Any]:
        return self._adapter.json_schema(mode="serialization")

    @property
    def _wrapped(self) -> bool:
        """Whether the output is no object, as MCP wants one, and goes into one."""
        return self._plain_schema.get("type") != "object"

    @cached_property
    def _schema(self) -> dict[str, Any]:
        if not self._wrapped:
            return self._plain_schema
        inner = {**self._plain_schema}
        definitions = {"$defs": inner.pop("$defs")} if "$defs" in inner else {}
        return {
            "type": "object",
            "properties": {"result": inner},
            "required": ["result"],
            **definitions,
        }


def serving(name: str, models: Models, options: Options) -> Served:
    """Return an agent as a tool.

    Raises:
        ConfigError: there is no such agent, it takes no bare text, or an option is wrong.
    """
    runs = _Runs()
    work = runner(name, replace(models, trail=Trail(runs)), options)
    run = _run_of(name)
    argument, told = _argument(run)
    suite = load(name)
    about = f"{suite.about[:1].upper()}{suite.about[1:]}. Answered by: {models.describe()}."
    output: Any = get_type_hints(run)["return"] if name in NAMES else Any
    if name == "extract":  # whose output is of the model that it fills
        output = cast(Any, extract.Extraction)[target_model(options.target)]
    return Served(
        name=suite.name,
        about=about,
        argument=argument,
        told=told,
        output=output,
        work=work,
        models=models,
        runs=runs,
    )


def server_of(agents: Sequence[Served], version: str, max_concurrency: int) -> Server[Any]:
    """Return the MCP server that has an agent behind each of its tools.

    Args:
        agents: The agents.
        version: Of this library.
        max_concurrency: So many calls run at once; the others wait.
    """
    by_name = {agent.name: agent for agent in agents}
    slots = asyncio.Semaphore(max_concurrency)

    async def listed(
        ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[agent.tool() for agent in agents])

    async def called(
        ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        agent = by_name.get(params.name)
        if agent is None:
            there = ", ".join(by_name)
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}; there are {there}")
        async with slots:
            return await agent.call(params.arguments or {})

    return Server(
        "assay",
        version=version,
        instructions="Typed agents: each tool takes one text and gives a validated object.",
        on_list_tools=listed,
        on_call_tool=called,
    )


def _run_of(name: str) -> Callable[..., Any]:
    """Return the function that runs an agent of ours, or the task of a user's own suite."""
    if name in NAMES:
        found: Callable[..., Any] = vars(import_module(f"...agents.{name}", __package__))["run"]
        return found
    return load(name).task


def _argument(run: Callable[..., Any]) -> tuple[str, str]:
    """Return the name of what a function takes first, and what its docstring says of that."""
    first = next(iter(inspect.signature(run).parameters))
    sections = Docstring(inspect.getdoc(run) or "").parse("google", warnings=False)
    parameters = (s.value for s in sections if isinstance(s, DocstringSectionParameters))
    told = {each.name: each.description for found in parameters for each in found}
    return first, told.get(first, "The text.")


def _said(text: str) -> TextContent:
    return TextContent(type="text", text=text)
