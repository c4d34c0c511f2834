"""Paths that a model may write: relative, plain, and read the same by everybody."""

import re
from unicodedata import normalize
from urllib.parse import unquote

from .errors import InputError

__all__ = ("DEPTH", "below", "shown")

CHARS = 1_000
DEPTH = 40  # of folders in one another
_DRIVE = re.compile(r"[A-Za-z]:")


def below(path: str, *, root: bool = False) -> list[str]:
    """Return the parts of a path below the root; with `root` it may be the root itself.

    Raises:
        InputError: it is not below the root, or another program might read it as if it were not.
    """
    if len(path) > CHARS:
        raise InputError(f"the path has {len(path)} characters; at most {CHARS} are taken")
    if not path.isprintable():
        raise InputError(f"path {path!r} holds control characters; copy it from a listing")
    for spelled in (path, normalize("NFKC", unquote(unquote(path)))):
        if why := _outside(spelled):
            raise InputError(
                f"path {path!r} is refused: {why}; give one below the folder, such as 'notes/a.md'"
            )
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts and not root:
        raise InputError(f"path {path!r} names no file; give one such as 'notes/a.md'")
    return parts


def _outside(path: str) -> str | None:
    """Say why a path may lead outside; None if it does not."""
    parts = path.split("/")
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return "it is not relative to the folder"
    if "\\" in path or "\0" in path:
        return "it holds a backslash or a zero character"
    if ".." in parts:
        return "'..' leads out of the folder"
    if any(part.startswith(".") and part != "." for part in parts):
        return "names that begin with a dot are hidden"
    if len(parts) > DEPTH:
        return f"it is deeper than {DEPTH} folders"
    return None


def shown(name: str) -> bool:
    """Tell whether a file's name is one that `below` takes."""
    try:
        return below(name) == [name]
    except InputError:
        return False
