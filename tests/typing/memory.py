"""Deps with a memory beside what every agent has can be given to the tools of memory."""

from dataclasses import dataclass

from pydantic_ai import Agent

from assay.deps.base import BaseDeps
from assay.deps.memory import HasMemory, Memory
from assay.tools.memory import forget, recall, remember


@dataclass(frozen=True, kw_only=True)
class Deps(BaseDeps):
    memory: Memory


agent = Agent[Deps, str](None, deps_type=Deps)
agent.tool(recall)
agent.tool(remember)
agent.tool(forget)


def smallest(deps: Deps) -> HasMemory:
    return deps
