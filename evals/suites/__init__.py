"""One suite per agent; the list of what `assay` knows by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from ...deps.errors import ConfigError
from ..suite import Suite

__all__ = ("NAMES", "load")

NAMES = ("triage", "extract", "copy_editor", "desk", "judge")
"""Every agent with a suite, in the order they are shown."""


def load(name: str) -> Suite[Any, Any]:
    """Return the suite called `name`, importing it only now.

    Raises:
        ConfigError: there is no such suite.
    """
    if name not in NAMES:
        raise ConfigError(f"no agent is called {name!r}; there are {', '.join(NAMES)}")
    module = cast(Mapping[str, Any], vars(import_module(f".{name}", __name__)))
    return cast(Suite[Any, Any], module["suite"])
