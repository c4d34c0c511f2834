"""The tools there are: read from the modules of this folder, so none can be left out.

A tool is a public async function whose first parameter is a `RunContext`. What it takes is what a
model is shown of it.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic_ai import RunContext, Tool

__all__ = ("Listed", "listed", "toolbox")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A tool, as far as its function tells.

    Args:
        name: What models call it.
        description: What they are told of it.
        schema: The JSON schema of its arguments.
        deps: The protocol of deps that it needs; empty if it needs none.
        returns: The type of its result.
        function: The tool itself, as `agent.tool` takes it.
    """

    name: str
    description: str
    schema: dict[str, Any]
    deps: str
    returns: Any
    function: Callable[..., Any]


def toolbox() -> dict[str, Listed]:
    """Return every tool of this folder by name."""
    package = __name__.rpartition(".")[0]
    names = sorted(found.name for found in pkgutil.iter_modules(import_module(package).__path__))
    modules = (import_module(f"{package}.{name}") for name in names)
    found = (listed(function) for module in modules for function in _tools(module))
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def listed(function: Callable[..., Any]) -> Listed:
    """Return what a tool's function tells of it."""
    shown = Tool[Any](function).tool_def
    hints = get_type_hints(function)
    return Listed(
        name=shown.name,
        description=shown.description or "",
        schema=shown.parameters_json_schema,
        deps=_protocol(_context(function)),
        returns=hints.get("return"),
        function=function,
    )


def _tools(module: ModuleType) -> Iterator[Callable[..., Any]]:
    public: tuple[str, ...] = getattr(module, "__all__", ())
    for name in public:
        found = getattr(module, name)
        if (
            inspect.iscoroutinefunction(found)
            and found.__module__ == module.__name__
            and _context(found) is not None
        ):
            yield found


def _context(function: Callable[..., Any]) -> Any:
    """Return the deps of a function's `RunContext`; None if it does not begin with one."""
    first = next(iter(inspect.signature(function).parameters), None)
    hint = get_type_hints(function).get(first or "")
    return get_args(hint)[0] if get_origin(hint) is RunContext else None


def _protocol(deps: Any) -> str:
    if isinstance(deps, TypeVar):
        deps = deps.__bound__
    return "" if deps is object else str(getattr(deps, "__name__", deps))
