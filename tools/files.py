"""Read, write, list and search the files of a folder."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import ModelRetry, RunContext

from ..deps.errors import InputError
from ..deps.folder import Entry, HasFolder
from .excerpt import Excerpt, Offset, excerpt

__all__ = ("Matches", "Written", "list_files", "read_file", "search_files", "write_file")

Path = Annotated[str, Field(description="relative to the folder, with /: 'notes/a.md'")]


class Written(BaseModel):
    """What was written."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int = Field(description="bytes")


class Matches(Excerpt):
    """Lines that match, each after its file's path and its number."""

    complete: bool = Field(description="false: there is more; search for more words, or deeper")


async def read_file(ctx: RunContext[HasFolder], path: Path, offset: Offset = 0) -> Excerpt:
    """Return the text of a file, from `offset` on.

    Args:
        ctx: The run.
        path: The file.
        offset: 0, or the next_offset of the part before.
    """
    try:
        text = await asyncio.to_thread(ctx.deps.folder.read, path)
        return excerpt("file", text, offset)
    except InputError as e:
        raise ModelRetry(str(e)) from e


async def write_file(
    ctx: RunContext[HasFolder], path: Path, text: str, overwrite: bool = False
) -> Written:
    """Write a text file, whole; the folders it needs are made.

    Args:
        ctx: The run.
        path: The file.
        text: All that the file is to hold.
        overwrite: Whether a file that is there already is replaced.
    """
    folder = ctx.deps.folder
    try:
        size = await asyncio.to_thread(folder.write, path, text, overwrite=overwrite)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return Written(path=path, size=size)


async def list_files(ctx: RunContext[HasFolder], path: Path = ".", offset: Offset = 0) -> Excerpt:
    """Return the files of a folder with their sizes in bytes, and its folders, one a line.

    Args:
        ctx: The run.
        path: The folder; "." is the outermost.
        offset: 0, or the next_offset of the part before.
    """
    try:
        entries = await asyncio.to_thread(ctx.deps.folder.entries, path)
        return excerpt("files", "\n".join(map(_line, entries)), offset)
    except InputError as e:
        raise ModelRetry(str(e)) from e


async def search_files(
    ctx: RunContext[HasFolder], text: str, path: Path = ".", offset: Offset = 0
) -> Matches:
    """Return the lines that hold `text` in the files below a folder; case does not matter.

    Args:
        ctx: The run.
        text: The words as they stand in a line; no pattern.
        path: The folder; "." is the outermost.
        offset: 0, or the next_offset of the part before.
    """
    try:
        found = await asyncio.to_thread(ctx.deps.folder.search, text, path)
        lines = (f"{match.path}:{match.line}: {match.text}" for match in found.matches)
        part = excerpt("matches", "\n".join(lines), offset)
    except InputError as e:
        raise ModelRetry(str(e)) from e
    return Matches(text=part.text, next_offset=part.next_offset, complete=found.complete)


def _line(entry: Entry) -> str:
    return f"{entry.path}/" if entry.kind == "folder" else f"{entry.path} {entry.size}"
