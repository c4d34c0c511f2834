"""Read documents from files: text, Markdown, HTML, and PDF with the `pdf` extra."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError, MissingExtra
from .passages import Document

__all__ = ("SUFFIXES", "html_text", "pdf_text", "read_document", "read_folder")

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf")
"""How the names of files end that can be read."""

_NAME = re.compile(r"\w+")
_VOID = frozenset(  # elements without an end
    _NAME.findall("area base br col embed hr img input link meta param source track wbr")
)
_BLOCKS = frozenset(
    _NAME.findall("""
    address article aside blockquote body dd div dl dt figcaption figure footer form header hr html
    li main nav ol p pre section table tr ul
    """)
)
_UNREAD = frozenset(
    _NAME.findall("script style template noscript svg math iframe object select textarea")
)
_REPEATS = frozenset(_NAME.findall("p li dt dd tr td th option"))  # one ends where the next begins
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def read_folder(folder: Path) -> list[Document]:
    """Read every document in a folder and the folders in it; ids are their paths from there.

    Other files, and what a link leads to outside the folder, are left out.

    Raises:
        ConfigError: there is no such folder, or nothing in it to read.
        InputError: a file cannot be read.
        MissingExtra: there is a PDF and nothing to read it with.
    """
    root = folder.resolve()
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and path.resolve().is_relative_to(root)
    ]
    if not files:
        raise ConfigError(
            f"there is no document in {str(folder)!r}; name a folder with files that end in "
            + ", ".join(SUFFIXES)
        )
    return [read_document(path, path.relative_to(root).as_posix()) for path in files]


def read_document(path: Path, id: str | None = None) -> Document:
    """Read one file; it is known by `id`, or by its name.

    HTML becomes text with Markdown's headings and lists, without what a page does not show.

    Raises:
        ConfigError: its name does not end as that of a document.
        InputError: it cannot be read, or is not UTF-8.
        MissingExtra: it is a PDF and there is nothing to read it with.
    """
    suffix, name = path.suffix.lower(), id or path.name
    if suffix not in SUFFIXES:
        raise ConfigError(f"{str(path)!r} is no document; it should end in {', '.join(SUFFIXES)}")
    try:
        raw = path.read_bytes()
        if suffix == ".pdf":
            return Document(id=name, title=path.stem, text=pdf_text(raw))
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{str(path)!r} cannot be read: {e}") from e
    if suffix in (".html", ".htm"):
        title, text = html_text(text)
        return Document(id=name, title=title or path.stem, text=text)
    return Document(id=name, title=_first_heading(text) or path.stem, text=text)


def _first_heading(text: str) -> str:
    found = re.search(r"^#[ \t]+([^\n]+)", text, re.MULTILINE)
    return found.group(1).strip("# \t") if found else ""


def pdf_text(raw: bytes) -> str:
    """Return the text of a PDF's pages, with an empty line between two.

    Raises:
        InputError: it is not a PDF, or cannot be read without a password.
        MissingExtra: pypdf is not installed.
    """
    try:
        pypdf: Any = import_module("pypdf")  # by name, for it comes with an extra
    except ModuleNotFoundError as e:
        raise MissingExtra(
            "a PDF is read with pypdf, which is not installed; "
            "install it with: pip install 'assay-agents[pdf]'"
        ) from e
    try:
        pages: list[str] = [page.extract_text() for page in pypdf.PdfReader(BytesIO(raw)).pages]
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"the PDF cannot be read: {type(e).__name__}: {e}") from e
    return "\n\n".join(page.strip() for page in pages)


def html_text(html: str) -> tuple[str, str]:
    """Return a page's title, and its text with Markdown's headings and lists."""
    page = _Page()
    page.feed(html)
    page.close()
    title = " ".join("".join(page.title).split())
    return title, "\n\n".join(page.paragraphs())


class _Page(HTMLParser):
    """Collects what a reader of a page would see, and what stands hidden in it would not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self.open: list[tuple[str, bool]] = []  # elements, and whether they are shown

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _REPEATS and self.open and self.open[-1][0] == tag:
            self.open.pop()
        if tag not in _VOID:
            self.open.append((tag, self._shown and tag not in _UNREAD and not _hidden(attrs)))
        self._mark(tag)

    def handle_endtag(self, tag: str) -> None:
        places = [i for i, (name, _) in enumerate(self.open) if name == tag]
        if places:
            del self.open[places[-1] :]
        if tag in _BLOCKS or _level(tag):
            self.text.append("\n\n")

    def handle_data(self, data: str) -> None:
        if any(name == "title" for name, _ in self.open):
            self.title.append(data)
        elif self._shown:
            self.text.append(data if self._verbatim else re.sub(r"\s+", " ", data))

    @property
    def _shown(self) -> bool:
        return not self.open or self.open[-1][1]

    @property
    def _verbatim(self) -> bool:
        return any(name == "pre" for name, _ in self.open)

    def _mark(self, tag: str) -> None:
        if not self._shown:
            return
        if level := _level(tag):
            self.text.append("\n\n" + "#" * level + " ")
        elif tag == "li":
            self.text.append("\n\n- ")
        elif tag in ("br", "td", "th"):
            self.text.append("\n" if tag == "br" else " | ")
        elif tag in _BLOCKS:
            self.text.append("\n\n")

    def paragraphs(self) -> Iterator[str]:
        """Yield what stands between empty lines."""
        for block in re.split(r"\n{2,}", "".join(self.text)):
            lines = (line.strip() for line in block.split("\n"))
            if kept := "\n".join(line for line in lines if line.strip("#|- ")):
                yield kept


def _level(tag: str) -> int:
    return int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else 0


def _hidden(attrs: list[tuple[str, str | None]]) -> bool:
    """Tell whether an element says of itself that it is not shown."""
    said = dict(attrs)
    return (
        "hidden" in said
        or said.get("aria-hidden") == "true"
        or bool(_HIDING.search(said.get("style") or ""))
    )
