"""`assay traces`: what runs did, as lists, trees and pages."""

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ...deps.errors import ConfigError
from ...deps.traces.form import LOCAL
from ..reports.words import dollars, seconds
from ..span_store import Traces, open_traces
from ..spans import Kind, Node, Span, Trace
from .door import DotEnvSettings, err, out

__all__ = ("list_traces", "prune_traces", "show_trace")

SHORT = 12  # digits of an id in a list: those of Logfire tell the millisecond in as many
WIDE = 96  # columns of a terminal; one with fewer shows fewer figures
TITLE = 60  # characters of a name in a list
MAX_SPANS = 2_000  # lines of a tree; its JSON and its parts have them all

_FIGURES = ("time", "asked", "tokens", "cost", "errors")

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)

_COLOURS: dict[Kind, str] = {
    "agent": "bold",
    "model": "green",
    "tool": "blue",
    "guard": "yellow",
    "approval": "yellow",
    "retry": "red",
    "fallback": "red",
}


def list_traces(source: Path | None, limit: int, json: bool) -> None:
    """List traces, newest first."""
    found = [trace.summary for trace in _open(source).newest(limit)]
    if json:
        _print_json([asdict(one) for one in found])
        return
    console = out()
    narrow = console.width < WIDE
    table = Table(box=SIMPLE_HEAD, padding=(0, 0 if narrow else 1, 0, 0))
    for heading in ("trace", "when"):
        table.add_column(heading, no_wrap=True)
    for heading in ("agent", "model", "outcome"):
        table.add_column(heading, overflow="fold", min_width=8)
    for heading in ("time", "tokens", "cost") if narrow else _FIGURES:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        figures = {
            "time": seconds(one.seconds),
            "asked": str(one.requests),
            "tokens": f"{sum(one.tokens):,}",
            "cost": dollars(one.cost),
            "errors": str(one.errors),
        }
        cells = (
            one.id[:SHORT],
            f"{one.when:%m-%d %H:%M}",
            _short(one.name),
            _short(", ".join(one.models) or "-"),
            _short(one.outcome),
            *(figures[str(column.header)] for column in table.columns if column.header in figures),
        )
        table.add_row(*map(_plain, cells))
    console.print(table)


def show_trace(source: Path | None, id: str, html: Path | None, json: bool) -> None:
    """Show one trace: as a tree, as JSON, or as a page."""
    traces = _open(source)
    trace = _latest(traces) if id == "latest" else traces.find(id)
    if html is not None:
        from ..reports.trace import render_trace

        _write(html, render_trace(trace))
        err().print(f"wrote {html}", markup=False, soft_wrap=True)
    if json:
        spans = [
            {**asdict(span), "kind": span.kind, "seconds": span.seconds} for span in trace.spans
        ]
        _print_json({**asdict(trace.summary), "spans": spans})
    elif html is None:
        _print_tree(trace)


def prune_traces(source: Path | None, keep: int) -> None:
    """Delete all but the newest traces."""
    out().print(f"deleted {_open(source).prune(keep)} traces")


def _open(source: Path | None) -> Traces:
    return open_traces(source or _configured())


def _configured() -> Path:
    """Return the file that ASSAY_TRACE names; where spans go otherwise, if it names none."""
    try:
        target = DotEnvSettings().trace
    except ValidationError as e:
        raise ConfigError(f"a setting or the file .env is wrong: {e}") from e
    return LOCAL if target in (None, "local", "console", "logfire") else Path(target)


def _latest(traces: Traces) -> Trace:
    newest = traces.newest(1)
    if not newest:
        raise ConfigError("no trace is recorded here yet; run something with --trace")
    return traces.find(newest[0].id)


def _print_tree(trace: Trace) -> None:
    it = trace.summary
    said = (
        f"{it.name}: {it.outcome}, {seconds(it.seconds)}, {it.requests} requests, "
        f"{it.tokens[0]:,} tokens in, {it.tokens[1]:,} out, {dollars(it.cost)}, {it.errors} errors"
    )
    console = out()
    console.print(_plain(said), soft_wrap=True)
    console.print(f"{it.id}, {it.when:%Y-%m-%d %H:%M:%S} UTC", style="dim", soft_wrap=True)
    left = iter(range(MAX_SPANS))
    for root in trace.roots:
        if (tree := _tree(root, trace.begun, left)) is not None:
            console.print(tree)
    if (more := len(trace.spans) - MAX_SPANS) > 0:
        console.print(f"{more} more spans: show a part by its span's id, or use --json")


def _tree(root: Node, begun: int, left: Iterator[int]) -> Tree | None:
    """Return a tree of as many spans as are left to be shown."""
    path: list[Tree] = []
    for depth, node in root.walk():
        if next(left, None) is None:
            break
        line = _line(node.span, begun)
        path[depth:] = [path[depth - 1].add(line) if depth else Tree(line)]
    return path[0] if path else None


def _line(span: Span, begun: int) -> Text:
    kind = span.kind
    line = Text(f"{kind} ", style="dim")
    line.append(_safe(span.title.removeprefix(f"{kind} "))[:TITLE], style=_COLOURS.get(kind, ""))
    if span.error:
        line.append(f" {_safe(span.error)[:TITLE]}", style="red" if span.failed else "yellow")
    if outcome := span.text("assay.guard.outcome") or span.text("assay.approval.decision"):
        line.append(f" {_safe(outcome)[:TITLE]}", style="yellow")
    figures = [f"+{seconds((span.started - begun) / 1e9)}", seconds(span.seconds)]
    if any(span.tokens):
        figures.append(f"{span.tokens[0]:,} + {span.tokens[1]:,} tokens")
    if span.cost is not None:
        figures.append(dollars(span.cost))
    line.append("  " + ", ".join(figures), style="dim")
    return line


def _short(text: str) -> str:
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def _safe(text: str) -> str:
    """Return a text with what moves the cursor, hides or reorders shown by its number."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(text: str) -> Text:
    return Text(_safe(text))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot write {str(path)!r}: {e}") from e


def _print_json(value: Any) -> None:
    sys.stdout.write(to_json(value, indent=2, serialize_unknown=True).decode() + "\n")
