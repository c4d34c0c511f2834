"""How each agent is run on a bare text: which deps it gets, and from which options."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ...agents import answer, copy_editor, desk, extract, guard, triage
from ...deps.approvals import Approvals
from ...deps.errors import ConfigError
from ...deps.models import Models
from ...deps.records import Booking, ContactChange, Invoice
from ...deps.style import MemoryStyle
from ...deps.taxonomy import Taxonomy
from ..suite import DATASETS, Trial
from ..suites import load

__all__ = ("Options", "resumer", "runner", "style_guide", "target_model")

TARGETS: dict[str, type[BaseModel]] = {
    "invoice": Invoice,
    "booking": Booking,
    "contact_change": ContactChange,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What only some agents ask for; the command line's help says which."""

    labels: Path | None
    target: str
    guide: Path | None
    out: Path
    documents: Path | None = None
    bank: str = ".assay/bank.db"
    customer: str = "cu-ada"
    todos: str = ".assay/todos.db"
    session: str = "here"
    zone: str = ""


def runner(name: str, models: Models, options: Options) -> Callable[[str], Awaitable[Any]]:
    """Return what takes a text to the agent's output.

    Raises:
        ConfigError: there is no such agent, or a file or name among the options is wrong.
    """
    suite = load(name)
    if name == "triage":
        sorting = triage.Deps(models=models, taxonomy=_taxonomy(options))
        return lambda text: triage.run(text, sorting)
    if name == "extract":
        target, reading = target_model(options.target), extract.Deps(models=models)
        return lambda text: extract.run(text, target, reading)
    if name == "copy_editor":
        editing = copy_editor.Deps(models=models, style=style_guide(options))
        return lambda text: copy_editor.run(text, editing)
    if name == "desk":
        whole = desk.Deps(models=models, taxonomy=_taxonomy(options), style=style_guide(options))
        return lambda text: desk.run(text, whole)
    if name == "answer":
        return _answering(models, options)
    if name == "guard":
        guarding = guard.Deps(models=models)
        return lambda text: guard.run(text, guarding)
    if name == "support":
        from .banking import serving

        return serving(models, options.bank, options.customer)
    if name == "todo":
        from .todos import keeping

        return keeping(models, options.todos, options.session, options.zone)
    if suite.types is None or suite.types[0] is not str:
        raise ConfigError(f"{name!r} does not take a bare text; call it from Python")
    return lambda text: suite.task(text, Trial(models=models))


def resumer(
    name: str, models: Models, options: Options, approvals: Approvals
) -> Callable[[str], Awaitable[Any]]:
    """Return what takes the id of an agent's paused run to the output, with `runner`'s deps.

    Raises:
        ConfigError: it is none of our agents, or none that pauses.
    """
    if name == "support":
        from .banking import resuming

        return resuming(models, options.bank, options.customer, approvals)
    if name == "todo":
        from . import todos

        return todos.resuming(models, options.todos, options.zone, approvals)
    raise ConfigError(
        f"nothing here knows how to resume a run of {name!r}; call the agent's resume(id, deps) "
        "from Python, with the same store of approvals"
    )


def _answering(models: Models, options: Options) -> Callable[[str], Awaitable[Any]]:
    """Return what answers from the folder that the options name; vectors only if a model is set."""
    from ...deps.documents.index import SqliteDocuments
    from ...deps.documents.reading import read_folder

    if options.documents is None:
        raise ConfigError("'answer' needs documents; name a folder of them: --documents FOLDER")
    read = read_folder(options.documents)
    embedder = models.embedder() if "embed" in models.roles else None

    async def ask(question: str) -> answer.Answer:
        with SqliteDocuments(embedder=embedder) as documents:
            await documents.add(*read)
            return await answer.run(question, answer.Deps(models=models, documents=documents))

    return ask


def style_guide(options: Options) -> MemoryStyle:
    """Return the style guide that the options name, or an empty one."""
    return MemoryStyle.from_file(options.guide) if options.guide else MemoryStyle()


def _taxonomy(options: Options) -> Taxonomy:
    return Taxonomy.from_file(options.labels or DATASETS / "triage" / "taxonomy.yaml")


def target_model(name: str) -> type[BaseModel]:
    """Return a sample target, or the class that `package.module:Class` names."""
    if name in TARGETS:
        return TARGETS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(
            f"no target is called {name!r}; use {', '.join(TARGETS)} or package.module:Model"
        )
    if "" not in sys.path:
        sys.path.append("")  # the user's own modules, after everything installed
    try:
        found = getattr(import_module(module), attribute)
    except Exception as e:  # the user's module may raise anything
        raise ConfigError(f"cannot import the target {name!r}: {type(e).__name__}: {e}") from e
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigError(f"the target {name!r} is no Pydantic model but {found!r}")
    return found
