"""Print the matrix: every provider protocol against everything that a provider does.

Run it with `make matrix`, or `python benchmarks/matrix.py [--json] [WORD...]`; words choose the
columns whose name or server holds one of them. These are the cells of `tests/test_matrix.py`. Each
shows `ok` or the error that is right there, and its seconds; `-` was skipped, and why stands below.
A cell that came to anything else is WRONG, and the exit code 1. What stand-ins and engines there
are, and how they are had, is in `tests/matrix/servers.py`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = str(Path(__file__).parents[1])
sys.path.insert(0, ROOT)  # for these imports alone: our folders would hide others of their names
try:
    from tests.matrix.acts import Unable
    from tests.matrix.cells import BEHAVIOURS
    from tests.matrix.columns import COLUMNS, NAMES, Column
    from tests.matrix.run import Cell, Places
    from tests.matrix.servers import Programs, Servers
finally:
    sys.path.remove(ROOT)

WIDTH = 240
"""Characters of a line where nobody reads along, as in the log of a job."""

SHORT = {"StreamCutShort": "CutShort", "UnexpectedModelBehavior": "Unexpected"}

Found = Mapping[tuple[str, str], Mapping[str, Cell]]
"""The cells by column and server, then by behaviour."""


async def run(words: Sequence[str], console: Console) -> Found:
    """Run the chosen columns."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    async with Servers(Programs.found(os.environ), NAMES) as servers, Places(servers) as places:
        for column, server in chosen(words):
            console.print(f"{column.name} at {server} ...", style="dim")
            found[column.name, server] = await cells(places, column, server)
    return found


def chosen(words: Sequence[str]) -> Iterator[tuple[Column, str]]:
    """Yield the columns and servers that hold one of the words; all of them without words."""
    for column in COLUMNS:
        for server in column.servers:
            if not words or any(word in f"{column.name} {server}" for word in words):
                yield column, server


async def cells(places: Places, column: Column, server: str) -> dict[str, Cell]:
    """Run every behaviour of a column at a server."""
    try:
        place = await places.get(column, server)
    except Unable as e:
        absent = Cell("skipped", "", why=str(e))
        return {behaviour.name: absent for behaviour in BEHAVIOURS}
    return {behaviour.name: await place.cell(behaviour) for behaviour in BEHAVIOURS}


def table(found: Found) -> Table:
    """Return the cells as a table, a row for each column at each server."""
    drawn = Table("asked", "server", title="what each came to, and its seconds", show_lines=True)
    for behaviour in BEHAVIOURS:
        drawn.add_column(behaviour.name, max_width=10)
    for (column, server), by in found.items():
        drawn.add_row(column, server, *(shown(by[behaviour.name]) for behaviour in BEHAVIOURS))
    return drawn


def shown(cell: Cell) -> str:
    """Return what a cell came to, in a few letters."""
    if cell.verdict == "skipped":
        return "[dim]-[/]"
    came_to = SHORT.get(cell.came_to, cell.came_to.removeprefix("Provider"))
    wrong = "[bold red]WRONG[/]\n" if cell.verdict == "WRONG" else ""
    return f"{wrong}{came_to}\n[dim]{cell.seconds:.2f}[/]"


def notes(found: Found) -> Iterator[str]:
    """Yield what is wrong, then why cells were skipped, each reason once for a server."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for (column, server), by in found.items():
        for name, cell in by.items():
            if cell.verdict == "WRONG":
                yield f"[bold red]WRONG[/] {column} at {server}, {name}: {cell.why}"
            elif cell.verdict == "skipped":
                reasons.setdefault((server, cell.why), {})[name] = None
    for (server, why), names in reasons.items():
        what = "all" if len(names) == len(BEHAVIOURS) else ", ".join(names)
        yield f"skipped at {server}, {what}: {why}"


def as_json(found: Found) -> str:
    """Return the cells as JSON, a list of one object each."""
    return json.dumps(
        [
            {"column": column, "server": server, "behaviour": name, **asdict(cell)}
            for (column, server), by in found.items()
            for name, cell in by.items()
        ],
        indent=2,
    )


def main() -> int:
    """Print the table; return 1 if a cell is wrong."""
    words = [word for word in sys.argv[1:] if word != "--json"]
    found = asyncio.run(run(words, Console(stderr=True)))
    verdicts = [cell.verdict for by in found.values() for cell in by.values()]
    if "--json" in sys.argv:
        print(as_json(found))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        console.print(table(found), *notes(found), sep="\n")
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("ok", "WRONG", "skipped"))
        console.print(f"{counts}; no vendor's own server was asked")
    return int("WRONG" in verdicts)


if __name__ == "__main__":
    sys.exit(main())
