"""A folder of text files that a model may use, and nothing outside of it.

A path is walked from the root's own descriptor, one part at a time, and no part may be a symbolic
link (`openat` with `O_NOFOLLOW`). So there is no moment between a check and its use: who swaps a
folder for a link meanwhile is refused as well. What is neither a file nor a folder, a pipe or a
device, is refused after it was opened without waiting.
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Literal, NamedTuple, Protocol

from .errors import ConfigError, InputError
from .paths import DEPTH, below, shown

__all__ = ("Entry", "Folder", "HasFolder", "Match", "Search")

_READ = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_WALK = _READ | getattr(os, "O_DIRECTORY", 0)


class Entry(NamedTuple):
    """What a folder holds: a file with its size in bytes, or a folder."""

    path: str
    kind: Literal["file", "folder"]
    size: int


class Match(NamedTuple):
    """A line that holds what was searched for, counted from 1."""

    path: str
    line: int
    text: str


@dataclass
class Search:
    """What a search found; `complete` is False where its limits ended it."""

    matches: list[Match] = field(default_factory=list[Match])
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Text files, UTF-8, below a root.

    Names that begin with a dot are neither seen nor made: a repository keeps its keys in `.env`,
    and what it runs in `.git/hooks`.

    Args:
        root: The folder. Links in its own path are followed, once, when it is opened.
        writable: Whether files may be written.
        max_bytes: How large a file may be that is read or written.
        max_entries: How many names of one folder are looked at.
        search_files: How many files, and
        search_bytes: how many bytes of them one search reads, and
        search_matches: how many lines it finds.

    Raises:
        ConfigError: the system cannot open files safely. Every method: the root is not there.
    """

    root: Path
    writable: bool = False
    max_bytes: int = 1_000_000
    max_entries: int = 5_000
    search_files: int = 2_000
    search_bytes: int = 20_000_000
    search_matches: int = 100

    def __post_init__(self) -> None:
        if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
            raise ConfigError(
                f"folder {str(self.root)!r} cannot be opened safely: this system has no openat; "
                "use Linux or macOS, or leave the file tools out"
            )

    def read(self, path: str) -> str:
        """Return a file's text.

        Raises:
            InputError: the path is refused, or it is no text file, or too large.
        """
        *folders, name = below(path)
        with self._opened(folders, path) as parent, _said(path):
            return _text(self._bytes(parent, name, path), path)

    def write(self, path: str, text: str, *, overwrite: bool = False) -> int:
        """Write a file, whole or not at all, and the folders it needs; return its bytes.

        Raises:
            InputError: the path is refused, the text is too large, the folder is read-only, or
                the file is there already and `overwrite` is False.
        """
        if not self.writable:
            raise InputError(f"{path!r} cannot be written: the folder is read-only")
        *folders, name = below(path)
        data = _encoded(path, text)
        if len(data) > self.max_bytes:
            raise InputError(
                f"{path!r} would be {len(data)} bytes; at most {self.max_bytes} are written. "
                "Write it in parts, as several files"
            )
        with self._opened(folders, path, make=True) as parent, _said(path):
            _replace(parent, name, data, path, overwrite=overwrite)
        return len(data)

    def entries(self, path: str = ".") -> list[Entry]:
        """Return the files and folders in a folder, by name.

        Raises:
            InputError: the path is refused, or it is no folder, or holds too many names.
        """
        parts = below(path, root=True)
        with self._opened(parts, path) as folder, _said(path):
            return self._entries(folder, PurePosixPath(*parts))

    def search(self, text: str, path: str = ".") -> Search:
        """Return the lines below a folder that hold a text, whatever its case.

        What is no text file is passed over.

        Raises:
            InputError: the path is refused, or it is no folder; the text is empty.
        """
        if not text.strip():
            raise InputError("the text to search for is empty; give a word")
        parts = below(path, root=True)
        found = Search()
        with (
            self._opened(parts, path) as folder,
            _said(path),
            closing(self._files(folder, PurePosixPath(*parts), found)) as files,
        ):
            self._search(files, text.casefold(), found)
        return found

    @contextmanager
    def _opened(self, parts: list[str], path: str, *, make: bool = False) -> Generator[int]:
        """Open a folder below the root, part by part; with `make`, make what is missing."""
        fd = self._root()
        with _said(path):
            try:
                for part in parts:
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=fd)
                    inner = os.open(part, os.O_RDONLY | _WALK, dir_fd=fd)
                    os.close(fd)
                    fd = inner
            except BaseException:
                os.close(fd)
                raise
        try:
            yield fd
        finally:
            os.close(fd)

    def _root(self) -> int:
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as e:
            raise ConfigError(
                f"folder {str(self.root)!r} cannot be opened: {e.strerror}; make it first"
            ) from e

    def _bytes(self, parent: int, name: str, path: str) -> bytes:
        """Return what a regular file holds; one that grows meanwhile is still bounded."""
        fd = os.open(name, os.O_RDONLY | _READ, dir_fd=parent)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise InputError(f"{path!r} is not a file; list its folder to see what there is")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(self.max_bytes + 1)
        finally:
            os.close(fd)
        if len(data) > self.max_bytes:
            raise InputError(f"{path!r} is larger than {self.max_bytes} bytes; use another file")
        return data

    def _entries(self, folder: int, at: PurePosixPath) -> list[Entry]:
        with os.scandir(folder) as found:
            names = [entry.name for entry in islice(found, self.max_entries + 1)]
        if len(names) > self.max_entries:
            raise InputError(
                f"folder {str(at)!r} holds more than {self.max_entries} names; "
                "list a folder inside it, or search there"
            )
        return [entry for name in sorted(names) if (entry := _entry(folder, at, name))]

    def _files(self, folder: int, at: PurePosixPath, found: Search) -> Generator[tuple[int, Entry]]:
        """Yield the files below a folder, each with the descriptor of its own folder."""
        try:
            entries = self._entries(folder, at)
        except InputError:  # more names than are looked at
            found.complete = False
            return
        for entry in entries:
            if entry.kind == "file":
                yield folder, entry
            elif len(at.parts) >= DEPTH:
                found.complete = False
            else:
                with suppress(OSError):  # it went away, is a link by now, or may not be read
                    yield from self._inside(folder, PurePosixPath(entry.path), found)

    def _inside(
        self, folder: int, at: PurePosixPath, found: Search
    ) -> Generator[tuple[int, Entry]]:
        inner = os.open(at.name, os.O_RDONLY | _WALK, dir_fd=folder)
        try:
            yield from self._files(inner, at, found)
        finally:
            os.close(inner)

    def _search(self, files: Iterator[tuple[int, Entry]], text: str, found: Search) -> None:
        left = _Left(self.search_files, self.search_bytes)
        for parent, entry in files:
            if not left.take(entry.size) or len(found.matches) > self.search_matches:
                found.complete = False
                break
            if entry.size > self.max_bytes:
                found.complete = False
                continue
            with suppress(OSError, InputError):  # it went away, or is no text
                content = _text(self._bytes(parent, _name(entry), entry.path), entry.path)
                found.matches.extend(_lines(content, text, entry))
        if len(found.matches) > self.search_matches:
            found.complete = False
            del found.matches[self.search_matches :]


@dataclass
class _Left:
    """How much a search may still read."""

    files: int
    bytes: int

    def take(self, size: int) -> bool:
        self.files -= 1
        self.bytes -= size
        return self.files >= 0 and self.bytes >= 0


class HasFolder(Protocol):
    """Deps with a folder of files."""

    @property
    def folder(self) -> Folder: ...


def _entry(folder: int, at: PurePosixPath, name: str) -> Entry | None:
    """Return what a name stands for; None if it is not shown, or went away meanwhile."""
    if not shown(name):
        return None
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(status.st_mode):
        return Entry(str(at / name), "file", status.st_size)
    return Entry(str(at / name), "folder", 0) if stat.S_ISDIR(status.st_mode) else None


def _name(entry: Entry) -> str:
    return PurePosixPath(entry.path).name


def _text(data: bytes, path: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise InputError(f"{path!r} is not text in UTF-8 (byte {e.start}); use another file") from e
    if "\0" in text:
        raise InputError(f"{path!r} is not text: it holds zero bytes; use another file")
    return text


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise InputError(
            f"the text for {path!r} cannot be written: character {e.start} is half of a pair"
        ) from e


def _lines(content: str, text: str, entry: Entry) -> Iterator[Match]:
    for number, line in enumerate(content.split("\n"), start=1):
        at = line.casefold().find(text)
        if at >= 0:
            yield Match(entry.path, number, line[max(0, at - 100) : at + 200].strip())


def _replace(parent: int, name: str, data: bytes, path: str, *, overwrite: bool) -> None:
    """Put a file in its place at once: a reader sees the old one or the new one, whole."""
    mode = _mode(parent, name, path)
    draft = f".draft-{token_hex(8)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _READ, 0o666, dir_fd=parent)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            if mode is not None:
                os.fchmod(fd, mode)
            file.flush()
            os.fsync(fd)
        if overwrite:
            os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
        else:  # a link, unlike a rename, refuses a name that is taken
            os.link(draft, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError as e:
        raise InputError(
            f"{path!r} is there already; read it, then write it with overwrite=true"
        ) from e
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=parent)


def _mode(parent: int, name: str, path: str) -> int | None:
    """Return the permissions of a file that is there; None if none is."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path!r} is not a file, and is left as it is; write to another path")
    return status.st_mode & 0o777


_WHY = {
    errno.ENOENT: "there is no such file or folder; list the folder to see what there is",
    errno.ELOOP: "it is a symbolic link, or leads through one; give the file's own path",
    errno.ENOTDIR: "a part of it is not a folder, or is a symbolic link; list the folder",
    errno.EISDIR: "it is a folder; list it",
    errno.ENXIO: "it is neither a file nor a folder; use another one",
    errno.EACCES: "it may not be opened; use another one",
    errno.ENAMETOOLONG: "a name in it is too long; give a shorter one",
}


@contextmanager
def _said(path: str) -> Generator[None]:
    """Turn the system's refusal into one that says what to do."""
    try:
        yield
    except OSError as e:
        why = _WHY.get(e.errno or 0) or f"{e.strerror or e}; use another one"
        raise InputError(f"path {path!r} is refused: {why}") from e
