"""Labels as a file, a JSON object a line: to keep them elsewhere, and to bring them back."""

from collections.abc import Collection, Iterable, Iterator
from io import StringIO
from typing import Any, TextIO

from pydantic import TypeAdapter, ValidationError

from ...deps.errors import BadDataset
from ..store.people import Label
from .queue import Place

__all__ = ("clean", "new_labels", "read_labels", "write_labels")

_LABEL = TypeAdapter(Label)


def write_labels(labels: Iterable[Label], file: TextIO) -> int:
    """Write every label, those that were taken back included; return how many."""
    lines = [_LABEL.dump_json(one).decode() + "\n" for one in labels]
    file.writelines(lines)
    return len(lines)


def read_labels(text: str, run: str, places: Collection[Place]) -> Iterator[Label]:
    """Yield the labels of a file that `write_labels` wrote.

    Args:
        text: The file's text.
        run: The run that they have to be of.
        places: What can be labelled in it.

    Raises:
        BadDataset: a line is no label, or of nothing that this run has.
    """
    for number, line in enumerate(StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            one = _LABEL.validate_json(line)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadDataset(f"line {number} is no label: {where}: {first['msg']}") from e
        why = _wrong(one, run, places)
        if why:
            raise BadDataset(f"line {number}: {why}; nothing was imported")
        yield one


def new_labels(labels: Iterable[Label], known: Iterable[Label]) -> list[Label]:
    """Return the labels that are not known yet, each once."""
    there = set(known)
    return [one for one in dict.fromkeys(labels) if one not in there]


def clean(text: str) -> str:
    """Return a text as every database takes it: without NUL and half surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _wrong(one: Label, run: str, places: Collection[Place]) -> str:
    """Return what is wrong with a label; empty if nothing is."""
    if one.run != run:
        return f"it is of run {one.run!r}, not of {run!r}; name that run"
    if (one.suite, *one.item) not in places:
        what: Any = (one.suite, *one.item)
        return f"run {run} has no verdict of a judge on {what}"
    if one.made.tzinfo is None:
        return f"{one.made} has no time zone; add Z"
    if one.value is not None and not 0 <= one.value <= 1:
        return f"the value {one.value:g} is not in [0, 1]"
    if one.value is not None and one.withdrawn:
        return "it takes back what it says; a label that is withdrawn has no value"
    texts = (one.rater, one.note)
    if texts != tuple(map(clean, texts)) or not one.rater.strip():
        return f"rater {one.rater!r} is no name, or a text holds characters that cannot be kept"
    return ""
