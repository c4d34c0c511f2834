"""`assay tools`: the tools there are, and which agents have them."""

import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import yaml
from pydantic_ai import Agent, Tool
from pydantic_ai.toolsets import FunctionToolset
from pydantic_core import to_json
from rich.table import Table

from ...deps.errors import ConfigError
from ...deps.records import Invoice
from ...tools.toolbox import Listed, listed, toolbox
from .door import out

__all__ = ("Had", "all_tools", "list_tools")

AGENTS = f"{__name__.split('.evals.')[0]}.agents"

MARKS = ("sensitive", "sends", "trusted", "polling")
"""What a tool's metadata says of it, where an agent has it."""


@dataclass(frozen=True, kw_only=True)
class Had:
    """That an agent has a tool, and what it says of it there.

    Args:
        agent: The agent's name.
        marks: Of `MARKS`, those that are so; `approval`, if a person has to agree to each call.
    """

    agent: str
    marks: tuple[str, ...]


def all_tools() -> dict[str, tuple[Listed, list[Had]]]:
    """Return every tool of ours and of our agents by name, with who has it."""
    found: dict[str, tuple[Listed, list[Had]]] = {
        name: (tool, []) for name, tool in toolbox().items()
    }
    for agent in _agents():
        for tool in _tools(agent):
            _, having = found.setdefault(tool.name, (listed(tool.function), []))
            having.append(Had(agent=agent.name or "", marks=_marks(tool)))
    return dict(sorted(found.items()))


def list_tools(names: Sequence[str], json: bool) -> None:
    """List tools as a table, or those that are named with all that is known of them.

    Raises:
        ConfigError: there is no tool of that name.
    """
    found = all_tools()
    for name in names:
        if name not in found:
            raise ConfigError(f"no tool is called {name!r}; there are {', '.join(found)}")
    rows = [_row(*found[name]) for name in names or found]
    if json:
        sys.stdout.write(to_json(rows, indent=2).decode() + "\n")
    elif names:
        text = yaml.safe_dump_all(rows, sort_keys=False, allow_unicode=True, width=96)
        out().print(text, markup=False, end="", soft_wrap=True)
    else:
        out().print(_table(rows))


def _row(tool: Listed, having: Sequence[Had]) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "description": tool.description,
        "deps": tool.deps,
        "agents": {had.agent: list(had.marks) for had in having},
        "schema": tool.schema,
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        caption="sensitive: guarded; sends: keys and personal data are masked; "
        "trusted: not fenced; polling: may repeat; approval: a person decides",
        caption_justify="left",
    )
    for heading in ("tool", "what it does", "deps", "agents"):
        table.add_column(heading)
    for row in rows:
        agents = (f"{agent} ({', '.join(m)})" if m else agent for agent, m in row["agents"].items())
        about = row["description"].partition("\n")[0]
        table.add_row(row["tool"], about, row["deps"] or "-", ", ".join(agents) or "-")
    return table


def _agents() -> Iterator[Agent[Any, Any]]:
    """Yield our agents, each once; the one that is made for a model is shown with a sample."""
    package = import_module(AGENTS)
    seen: set[int] = set()
    for module in pkgutil.walk_packages(package.__path__, f"{AGENTS}."):
        if ".baselines" in module.name:  # heavy, and no agents
            continue
        made: Any = vars(import_module(module.name)).get("agent")
        if made is None:
            continue
        agent = cast(Agent[Any, Any], made if isinstance(made, Agent) else made(Invoice))
        if id(agent) not in seen:
            seen.add(id(agent))
            yield agent


def _tools(agent: Agent[Any, Any]) -> Iterator[Tool[Any]]:
    for toolset in agent.toolsets:
        if isinstance(toolset, FunctionToolset):
            yield from toolset.tools.values()


def _marks(tool: Tool[Any]) -> tuple[str, ...]:
    metadata = tool.metadata or {}
    marks = [mark for mark in MARKS if metadata.get(mark)]
    return (*marks, "approval") if tool.requires_approval else tuple(marks)
