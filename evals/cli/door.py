"""What the commands share: consoles, settings, and errors told in one message."""

import asyncio
import sys
import traceback
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict
from rich.console import Console
from rich.markup import escape

from ...deps.errors import AssayError, ConfigError, provider_fault
from ...deps.models import NOT_AN_LLM, Models
from ...deps.settings import Settings

__all__ = ("PASS", "explain", "out", "read_text", "say_model", "start", "wait_for")

T = TypeVar("T")

PASS, FAILED, USAGE, PROVIDER, BUDGET = range(5)
"""Exit codes."""

INTERRUPTED = 130
"""Ended by Ctrl-C, as shells have it."""


def out() -> Console:
    """Return the console for results, 100 wide where there is no terminal."""
    width = None if sys.stdout.isatty() else 100
    return Console(width=width, highlight=False, emoji=False)


def err() -> Console:
    """Return the console for everything that is not a result."""
    width = None if sys.stderr.isatty() else 100
    return Console(stderr=True, width=width, highlight=False, emoji=False)


class DotEnvSettings(Settings):
    """Settings from the environment and, below it, the file .env: for command lines only."""

    model_config = SettingsConfigDict(env_file=".env")


def start(model: str | None, trace: str | None) -> Models:
    """Turn traces on if asked to, and return what model names mean.

    Both come from the command line, else the environment, else .env.

    Raises:
        ConfigError: a setting is wrong, or the trace file cannot be written.
    """
    try:
        settings = DotEnvSettings()
    except (ValidationError, OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"a setting or the file .env is wrong: {e}") from e
    models = settings.models()
    if target := trace or settings.trace:
        _configure_trace(target, settings.trace_content, models)
    return models.using(model) if model else models


def wait_for(work: Coroutine[Any, Any, T], models: Models) -> T:
    """Run a coroutine to its end, and close the clients that its models opened."""

    async def closing() -> T:
        async with aclosing(models):
            return await work

    return asyncio.run(closing())


def say_model(said: str) -> None:
    """Tell on stderr, once, what answers."""
    hint = " (choose one with --model or ASSAY_MODEL)" if said.startswith(NOT_AN_LLM) else ""
    err().print(f"model: {said}{hint}", style="dim", markup=False, soft_wrap=True)


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot read {str(path)!r}: {e}") from e


def _configure_trace(target: str, content: bool | None, models: Models) -> None:
    from ...deps.traces import configure

    try:
        configure(target, content=content, secrets=models.secrets)
    except OSError as e:
        raise ConfigError(f"cannot write traces to {target!r}: {e}") from e


def explain(error: Exception, where: str = "") -> int:
    """Print an error as one message, with the input it befell, and return its exit code.

    With `--debug` on the command line its traceback comes first.
    """
    debug = "--debug" in sys.argv[1:]
    if debug:
        traceback.print_exception(error)
    code = FAILED
    if provider_fault(error):
        code = PROVIDER
    elif isinstance(error, ConfigError):
        code = USAGE
    name = "" if isinstance(error, AssayError) else f"{type(error).__name__}: "
    at = f"{where}: " if where else ""
    err().print(f"[bold red]error:[/] {escape(at + name + str(error))}", soft_wrap=True)
    if not (debug or where):
        err().print("[dim]--debug shows where it comes from[/]")
    return code
