"""The tools of an MCP server, for any agent; what the server says is somebody else's text.

Agents take them without a change to their files, for a run or for all runs of a block:

```python
crm = mcp_tools("https://crm.example.com/mcp", allow=["find"], harmless=["find"], prefix="crm")
with answer.agent.override(toolsets=[crm]):
    found = await answer.run(question, deps)
```

A stranger's server is believed nothing. Its tools count as acts on the world and as sending data
out, its results as untrusted text, and so do the descriptions and schemas that the model is shown:
they are cut, stripped of what could pass for a fence, and fenced. A model that is shown them has
read untrusted text, so every sensitive call of its run waits for a person. What an operator knows
better, it says here. An agent without `Sensitive` (see `deps.safety`), where nobody could stop such
an act, gets harmless tools or none.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from pydantic_ai import ModelRetry, RunContext, WrapperToolset
from pydantic_ai.messages import BinaryContent, ToolReturn
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import ToolsetTool
from pydantic_core import to_json, to_jsonable_python

from ..deps.errors import AssayError, ConfigError, InputError, MissingExtra
from ..deps.fence import FENCE_RULE, fence
from ..deps.safety import Sensitive
from ..deps.secrets import related, scrub, scrub_error
from ..deps.web import GuardedClient, Reach
from .limits import cut, limited

if TYPE_CHECKING:
    from pydantic_ai.mcp import MCPToolset

__all__ = ("ServerTools", "ToolServerFailed", "mcp_tools")

DepsT = TypeVar("DepsT")

TOOLS = 64  # of one server; more than a model can choose from
DESCRIPTION_CHARS = 1_000
FIELD_CHARS = 300
SCHEMA_CHARS = 20_000

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what every provider takes
_FENCE = re.compile(r"</?[\w.-]+-[0-9a-f]{16}>")
_WORDS = ("title", "examples", "$comment")
"""Of a schema: what says nothing to a model that the description does not."""


class ToolServerFailed(AssayError):
    """An MCP server cannot be reached, or does not do what MCP asks of it."""


def mcp_tools(
    server: "str | Sequence[str] | MCPToolset[Any]",
    *,
    allow: Collection[str] | None = None,
    prefix: str = "",
    trusted: bool = False,
    harmless: Collection[str] = (),
    believe_hints: bool = False,
    timeout: float = 30.0,
    output_limit: int = 20_000,
    reach: Reach | None = None,
    headers: Mapping[str, str] | None = None,
) -> "ServerTools[Any]":
    """Return the tools of an MCP server as a toolset.

    It connects when a run begins, and parts when the last run that uses it ends; inside
    `async with mcp_tools(...) as tools:` it stays connected in between.

    Args:
        server: The address of one over HTTP, the command of one that is started here, as words
            (it gets no setting of ours, and of the environment only what every program needs), or
            a toolset of Pydantic AI's for all else.
        allow: The tools that are taken, by the server's names; None: every one.
        prefix: Goes before each name and `_`, where names of several servers could clash.
        trusted: Whether the server is the operator's own, its descriptions and results no one
            else's text.
        harmless: The tools, by the server's names, that only read. Every other is sensitive, also
            one that the server comes up with later.
        believe_hints: Whether a tool is harmless too if the server says so (`readOnlyHint`).
        timeout: Seconds to connect, and for each call.
        output_limit: How many characters of a result the model is shown; images and sounds are
            left out.
        reach: What an address may resolve to; None: public addresses on the web's own ports.
        headers: Sent with every HTTP request, such as an authorisation.

    Raises:
        ConfigError: `server` is neither an address nor a command.
        MissingExtra: the library for MCP is not installed.
    """
    if isinstance(server, str):
        inner = _http(server, reach, headers, timeout)
    else:
        inner = _started(server, timeout) if isinstance(server, Sequence) else server
    return ServerTools(
        wrapped=inner,
        server=_label(server),
        allow=None if allow is None else frozenset(allow),
        prefix=prefix,
        trusted=trusted,
        harmless=frozenset(harmless),
        believe_hints=believe_hints,
        timeout=timeout,
        output_limit=output_limit,
        secrets=_secrets(server, headers),
    )


@dataclass(kw_only=True)
class _Offered(ToolsetTool[DepsT]):
    """A tool as a model is shown it, and as the server knows it."""

    source: ToolsetTool[DepsT]


@dataclass
class ServerTools(WrapperToolset[DepsT]):
    """The tools of one server, marked and limited; make it with `mcp_tools`."""

    server: str = field(kw_only=True)
    allow: frozenset[str] | None = field(kw_only=True)
    prefix: str = field(kw_only=True)
    trusted: bool = field(kw_only=True)
    harmless: frozenset[str] = field(kw_only=True)
    believe_hints: bool = field(kw_only=True)
    timeout: float = field(kw_only=True)
    output_limit: int = field(kw_only=True)
    secrets: tuple[str, ...] = field(kw_only=True, repr=False)  # for no error to hold

    @property
    def tool_name_conflict_hint(self) -> str:
        return f"Give the tools of {self.server!r} a name of their own: mcp_tools(..., prefix=...)"

    async def __aenter__(self) -> Self:
        async with self._asked("cannot be reached"):
            await super().__aenter__()
        return self

    async def get_instructions(self, ctx: RunContext[DepsT]) -> str | None:
        """Say what a fence is, for agents whose instructions do not."""
        return None if self.trusted else FENCE_RULE

    async def get_tools(self, ctx: RunContext[DepsT]) -> dict[str, ToolsetTool[DepsT]]:
        async with self._asked("does not say which tools it has"):
            found = await super().get_tools(ctx)
        taken = self._taken(found)
        self._check_guarded(ctx, taken)
        return {
            name: _Offered(
                toolset=self,
                tool_def=self._shown(name, tool.tool_def),
                max_retries=tool.max_retries,
                args_validator=tool.args_validator,
                source=tool,
            )
            for tool in taken
            for name in [self._name(tool.tool_def.name)]
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[DepsT], tool: ToolsetTool[DepsT]
    ) -> Any:
        """Return what the server answers, as text or JSON, cut.

        Raises:
            ModelRetry: the server says that the call failed, or does not answer in time.
            ToolServerFailed: the server is gone, or answers what is no MCP.
        """
        assert isinstance(tool, _Offered)
        source = tool.source
        theirs = source.tool_def.name
        try:
            async with asyncio.timeout(self.timeout), self._asked(f"failed in {theirs!r}"):
                result = await super().call_tool(
                    theirs, tool_args, replace(ctx, tool_name=theirs), source
                )
        except TimeoutError as e:
            raise ModelRetry(
                f"{name!r} did not answer in {self.timeout:g} s; it may have acted all the same. "
                "Ask it for less, or do without it"
            ) from e
        except ModelRetry as e:
            said = fence("error", cut(_plain(e.message), self.output_limit))
            raise ModelRetry(
                f"{name!r} failed, its server says:\n{said}\n"
                "Call it with other arguments, or do without it"
            ) from e
        return self._result(result)

    @asynccontextmanager
    async def _asked(self, what: str) -> AsyncGenerator[None]:
        """Turn whatever the client for MCP raises into an error of ours."""
        try:
            yield
        except (AssayError, ModelRetry, TimeoutError):
            raise
        except Exception as e:
            scrub_error(e, self.secrets)  # errors of HTTP name the whole address
            raise ToolServerFailed(
                f"the MCP server {self.server!r} {what}: {_why(e)}; check its address or command, "
                "or run without its tools"
            ) from e

    def _taken(self, found: Mapping[str, ToolsetTool[DepsT]]) -> list[ToolsetTool[DepsT]]:
        """Return the tools that the operator allows.

        Raises:
            ConfigError: one is allowed that the server has not, or there are too many.
        """
        missing = sorted((self.allow or frozenset()) - set(found))
        if missing:
            raise ConfigError(
                f"the MCP server {self.server!r} has no tool {missing[0]!r}; it has "
                f"{', '.join(map(repr, sorted(found)[:TOOLS])) or 'none'}"
            )
        taken = [tool for name, tool in found.items() if self.allow is None or name in self.allow]
        if len(taken) > TOOLS:
            raise ConfigError(
                f"the MCP server {self.server!r} has {len(taken)} tools; at most {TOOLS} are "
                "taken. Name those that the agent needs: mcp_tools(..., allow=[...])"
            )
        return taken

    def _check_guarded(self, ctx: RunContext[DepsT], taken: Sequence[ToolsetTool[DepsT]]) -> None:
        """Raise ConfigError if an agent would have tools that act, and nothing to stop them."""
        acting = [tool.tool_def.name for tool in taken if self._sensitive(tool.tool_def)]
        guarded = any(isinstance(each, Sensitive) for each in ctx.capabilities.values())
        if acting and not guarded:
            raise ConfigError(
                f"tools of the MCP server {self.server!r} may act on the world, and nothing in "
                f"this agent asks a person first: {', '.join(map(repr, acting[:5]))}; give it "
                "capabilities=[*safe()], or say which only read: mcp_tools(..., harmless=[...])"
            )

    def _name(self, theirs: str) -> str:
        """Return a name that every provider takes; one that had to be changed is still its own."""
        name = f"{self.prefix}_{theirs}" if self.prefix else theirs
        if _NAME.fullmatch(name):
            return name
        digest = sha256(theirs.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:50].strip("_")
        return f"{plain}_{digest}" if plain else f"tool_{digest}"

    def _shown(self, name: str, theirs: ToolDefinition) -> ToolDefinition:
        """Return a tool's definition as the model is shown it, with what we hold of it."""
        schema: dict[str, Any] = _readable(theirs.parameters_json_schema)
        if len(to_json(schema)) > SCHEMA_CHARS:
            raise ConfigError(
                f"the arguments of {theirs.name!r} of the MCP server {self.server!r} take more "
                f"than {SCHEMA_CHARS} characters to describe; leave it out: mcp_tools(..., "
                "allow=[...])"
            )
        said = cut(_plain(theirs.description or ""), DESCRIPTION_CHARS)
        if said and not self.trusted:
            said = f"A tool of {self.server!r}, in its words:\n{fence('description', said)}"
        return replace(
            theirs,
            name=name,
            description=said or None,
            parameters_json_schema=schema,
            return_schema=_readable(theirs.return_schema),
            metadata={
                "sensitive": self._sensitive(theirs),
                "sends": not self.trusted,
                "trusted": self.trusted,
                "foreign": not self.trusted,
            },
        )

    def _sensitive(self, tool: ToolDefinition) -> bool:
        hints: Mapping[str, object] = (tool.metadata or {}).get("annotations") or {}
        hinted = self.believe_hints and hints.get("readOnlyHint") is True
        return tool.name not in self.harmless and not hinted

    def _result(self, result: object) -> object:
        """Return a result as text or JSON, no longer than it may be."""
        value = cast("ToolReturn[Any]", result).return_value if _is_return(result) else result
        return limited(_without_media(value), self.output_limit)


def _is_return(result: object) -> bool:
    return isinstance(result, ToolReturn)


def _http(
    address: str, reach: Reach | None, headers: Mapping[str, str] | None, timeout: float
) -> "MCPToolset[Any]":
    scheme, host = urlsplit(address).scheme, urlsplit(address).hostname
    if scheme not in ("http", "https") or not host:
        shown = address.partition("?")[0].rpartition("@")[2]  # keys may stand in the rest
        raise ConfigError(
            f"{shown!r} is no address of an MCP server; give http://... or https://..., or a "
            "command as a list of words"
        )
    toolset = _toolset()
    # Nobody closes the client, and nobody needs to: it keeps no connection open.
    client = GuardedClient(reach, timeout=timeout + 5)  # the call's own limit comes first
    client.headers.update(dict(headers or {}))
    return toolset(address, http_client=client, init_timeout=timeout, read_timeout=timeout + 5)


def _started(command: Sequence[str], timeout: float) -> "MCPToolset[Any]":
    if not command:
        raise ConfigError("the command of an MCP server is empty; give its words: ['uvx', 'name']")
    toolset = _toolset()
    from fastmcp.client.transports import StdioTransport

    # Kept alive, it would outlive the run that started it.
    transport = StdioTransport(command[0], list(command[1:]), keep_alive=False)
    return toolset(transport, init_timeout=timeout, read_timeout=timeout + 5)


def _toolset() -> "type[MCPToolset[Any]]":
    try:
        from pydantic_ai.mcp import MCPToolset
    except ImportError as e:
        raise MissingExtra(
            "tools of MCP servers need a library that is not installed; "
            "install it with: pip install 'assay-agents[mcp]'"
        ) from e
    return MCPToolset


def _label(server: "str | Sequence[str] | MCPToolset[Any]") -> str:
    """Name a server; an address may hold a key beside its host, a command among its words."""
    if isinstance(server, str):
        return urlsplit(server).hostname or server[:60]
    return server[0] if isinstance(server, Sequence) else server.id or "unnamed"


def _secrets(
    server: "str | Sequence[str] | MCPToolset[Any]", headers: Mapping[str, str] | None
) -> tuple[str, ...]:
    """Return what may be a key: headers, and what stands in an address behind `?`."""
    found = [*(headers or {}).values()]
    if isinstance(server, str):
        query = urlsplit(server).query
        found += [query, *(value for _, value in parse_qsl(query))]
    return tuple(found)


def _why(error: BaseException) -> str:
    """Return what went wrong: a refusal of ours, however deep, else the innermost message."""
    leaves = [one for one in related(error) if not isinstance(one, BaseExceptionGroup)]
    ours = next((one for one in leaves if isinstance(one, InputError)), None)
    told = ours or next(iter(leaves), error)
    return scrub(str(told) or type(told).__name__)[:500]


def _plain(text: str) -> str:
    """Return text without what nobody sees, and without what could pass for a fence."""
    seen = "".join(c for c in text if c.isprintable() or c in "\n\t")
    return _FENCE.sub("[tag]", seen)


def _readable(schema: Any) -> Any:
    """Return a schema with its words cut and plain, and without those that nobody needs."""
    if isinstance(schema, list):
        return [_readable(each) for each in cast(list[object], schema)]
    if isinstance(schema, str):
        return _plain(schema)
    if not isinstance(schema, dict):
        return schema
    found: dict[str, object] = {}
    for key, value in cast(dict[str, object], schema).items():
        if key == "description" and isinstance(value, str):
            found[key] = cut(_plain(value), FIELD_CHARS)
        elif key not in _WORDS or isinstance(value, dict):  # a property may have such a name
            found[key] = _readable(value)
    return found


def _without_media(value: object) -> object:
    """Return a result as what JSON can hold, with a note in the place of each image or sound."""
    if isinstance(value, BinaryContent):
        return f"[{value.media_type}, {len(value.data)} bytes: left out, only text is passed on]"
    if isinstance(value, (list, tuple)):
        return [_without_media(each) for each in cast(Sequence[object], value)]
    return to_jsonable_python(value, fallback=str, inf_nan_mode="null")
