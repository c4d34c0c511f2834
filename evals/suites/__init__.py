"""One suite per agent; the list of what `assay` knows by name, and how a user's own is found."""

import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, cast

from ...deps.errors import ConfigError
from ..suite import Suite

__all__ = ("NAMES", "imported", "load")

NAMES = ("triage", "extract", "copy_editor", "desk", "judge", "answer", "guard", "support", "todo")
"""Every agent with a suite, in the order they are shown."""


def load(name: str) -> Suite[Any, Any]:
    """Return the suite that a name stands for, importing it only now.

    Args:
        name: One of `NAMES`, or the place of a suite of the user's own:
            `package.module:attribute` or `path/to/file.py:attribute`.

    Raises:
        ConfigError: there is no such suite, or its module cannot be imported.
    """
    place, colon, attribute = name.rpartition(":")
    if colon:
        return _suite(imported(place, f"the suite {name!r}"), place, attribute)
    if name not in NAMES:
        raise ConfigError(
            f"no agent is called {name!r}; there are {', '.join(NAMES)}, and suites of your own: "
            "package.module:attribute or path/to/file.py:attribute"
        )
    module = cast(Mapping[str, Any], vars(import_module(f".{name}", __name__)))
    return cast(Suite[Any, Any], module["suite"])


def _suite(module: ModuleType, place: str, attribute: str) -> Suite[Any, Any]:
    found = vars(module).get(attribute)
    if _is_suite(found):
        return found
    suites = [name for name, value in vars(module).items() if _is_suite(value)]
    there = f"it has {', '.join(suites)}" if suites else "it has none at its top level"
    if attribute not in vars(module):
        raise ConfigError(f"{place!r} has no {attribute!r}; of suites {there}")
    raise ConfigError(
        f"{attribute!r} in {place!r} is no Suite but of type {type(found).__name__!r}; "
        f"of suites {there}"
    )


def _is_suite(value: object) -> TypeGuard[Suite[Any, Any]]:
    return isinstance(value, Suite)


def imported(place: str, what: str) -> ModuleType:
    """Return a module of the user's own.

    Args:
        place: `package.module` or `path/to/file.py`.
        what: What is looked for in it, for the message.

    Raises:
        ConfigError: there is none, or it cannot be imported.
    """
    try:
        return _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    except ConfigError:
        raise
    except ModuleNotFoundError as e:
        if e.name is not None and f"{place}.".startswith(f"{e.name}."):
            raise ConfigError(
                f"{what} cannot be found: there is no module {e.name!r} here; run "
                "this from the folder that holds it, or give path/to/file.py:attribute"
            ) from e
        raise ConfigError(f"{what} cannot be imported: {e}; install it") from e
    except Exception as e:  # the user's module may raise anything
        raise ConfigError(
            f"{what} cannot be imported: {type(e).__name__}: {e}; --debug shows where"
        ) from e


def _from_package(place: str) -> ModuleType:
    _importable("")  # the user's own modules, after everything installed
    return import_module(place)


def _from_file(path: Path) -> ModuleType:
    """Import a file; once, so that it is the same suite however often it is asked for."""
    whole = path.resolve()
    if not whole.is_file():
        raise ConfigError(f"there is no file {str(path)!r} to import from")
    name = f"_assay_suite_{sha256(str(whole).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{str(path)!r} is no Python file")
    _importable(str(whole.parent))  # what stands beside it, as for a script
    _importable("")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)
