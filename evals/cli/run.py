"""`assay run`: one agent on a text, on files, or on standard input."""

import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import typer
from opentelemetry import trace
from pydantic_core import to_json, to_jsonable_python

from ...deps.approvals import Paused
from ...deps.errors import ConfigError
from ...deps.models import Models
from ...deps.resilience.fallback import Trail
from .door import FAILED, PASS, err, explain, out, read_text, say_model, wait_for
from .readable import readable
from .runners import Options, runner

__all__ = ("Options", "run_agent")

_tracer = trace.get_tracer("assay")

PATH_SUFFIXES = {".md", ".txt", ".json", ".yaml", ".yml", ".eml", ".html"}


def run_agent(
    name: str, words: list[str], files: list[Path], models: Models, json: bool, options: Options
) -> None:
    """Run an agent on each text; one that fails is told and the rest go on.

    One that waits for a person has no answer yet: what to do next is told.
    """
    if name == "copy_editor" and (files or words):
        from .book import run_book

        raise typer.Exit(run_book(*_texts(words, files), models, json, options))
    trail = Trail()
    models = replace(models, trail=trail)
    work = runner(name, models, options)
    texts, unread = _texts(words, files)
    say_model(models.describe())
    results, code = wait_for(_run_each(work, texts, unread), models)
    for run in trail.runs if trail.fell_back else ():
        err().print(str(run), markup=False, soft_wrap=True)
    _show(results, json)
    for paused in (one for one in results.values() if isinstance(one, Paused)):
        err().print(_next_step(paused, options), markup=False, soft_wrap=True)
        code = max(code, FAILED)
    raise typer.Exit(code)


def _next_step(paused: Paused, options: Options) -> str:
    """Say how a paused run goes on, with the options that `resume` must be given again."""
    defaults = {one.name: one.default for one in fields(Options)}
    again = [
        f" --{name} {shlex.quote(value)}"
        for name in {"support": ("bank",), "todo": ("todos", "zone")}.get(paused.agent, ())
        if (value := getattr(options, name)) != defaults[name]
    ]
    answer = "answer yes or no in the same session, or decide: " if paused.agent == "todo" else ""
    resumed = f", then: assay approvals resume {paused.id[:8]}{''.join(again)}" if again else ""
    return f"the run waits; {answer}assay approvals show {paused.id[:8]}{resumed}"


def _texts(words: list[str], files: list[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts by name: files, else the words themselves, else standard input.

    Of several files those that cannot be read are told and returned too, name to reason.
    """
    paths = [*files]
    if words and all(_is_path(word) for word in words):
        paths += map(Path, words)
    elif words:
        return {"text": " ".join(words)}, {}
    if paths:
        return _read_each(paths)
    if sys.stdin.isatty():
        raise ConfigError("no text: give it as an argument, with --file, or on standard input")
    try:
        return {"stdin": sys.stdin.buffer.read().decode("utf-8-sig")}, {}
    except UnicodeDecodeError as e:
        raise ConfigError(f"standard input is not UTF-8: {e}") from e


def _read_each(paths: list[Path]) -> tuple[dict[str, str], dict[str, str]]:
    texts: dict[str, str] = {}
    unread: dict[str, ConfigError] = {}
    for path in paths:
        try:
            texts[str(path)] = read_text(path)
        except ConfigError as e:
            unread[str(path)] = e
    if not texts:
        raise ConfigError("; ".join(map(str, unread.values())))
    for name, error in unread.items():
        explain(error, where=name)
    return texts, {name: str(error) for name, error in unread.items()}


def _is_path(word: str) -> bool:
    """Tell whether a word names a file: one that exists, or that looks like one and is missing."""
    if " " in word or len(word) > 255:
        return False
    return os.path.isfile(word) or Path(word).suffix in PATH_SUFFIXES


async def _run_each(
    work: Callable[[str], Awaitable[Any]], texts: Mapping[str, str], unread: Mapping[str, str]
) -> tuple[dict[str, Any], int]:
    results: dict[str, Any] = {name: {"error": error} for name, error in unread.items()}
    code = FAILED if unread else PASS
    for name, text in texts.items():
        try:
            with _tracer.start_as_current_span("assay run"):  # a pause belongs to its run
                results[name] = await work(text)
        except ConfigError:
            raise  # the next text would fail alike
        except Exception as e:
            if len(texts) + len(unread) == 1:
                raise
            code = max(code, explain(e, where=name))
            results[name] = {"error": f"{type(e).__name__}: {e}"}
    return results, code


def _show(results: dict[str, Any], json: bool) -> None:
    """Print one result, or results by name, as YAML for people or JSON for machines."""
    shown = next(iter(results.values())) if len(results) == 1 else results
    if json:
        sys.stdout.write(to_json(shown, indent=2).decode() + "\n")
        return
    plain = to_jsonable_python(shown)
    out().print(readable(plain), markup=False, end="", soft_wrap=True)
