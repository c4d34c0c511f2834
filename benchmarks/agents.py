"""The whole layer beside bare Pydantic AI, Agno, LangGraph and OpenAI Agents, on one server.

Run it with `python benchmarks/agents.py [--rounds N] [--json FILE]`. A run is two requests, one
tool and a validated output. The server is scripted and on loopback, in a process of its own. So is
each peer, in an environment of its own (`.venv-peers/`, made when it is missing, which needs a
package index). Peers take turns, so that a busy machine is slow for all alike. Figures are medians
of the rounds, and ratios medians of each round's ratio.

It measures what a library costs around a model that answers at once. A real one takes seconds: then
the CPU per run still counts, and runs/s only where a machine is short of CPU.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from agents_peers import Missing, Peer, Running, Turn, peers, running
from rich.console import Console
from rich.table import Table

RUNS, RUNS_AT_ONCE, AT_ONCE = 50, 400, 200
MOST_CPU, LEAST_RATE = 1.0, 1.5
"""What the layer is to keep beside bare Pydantic AI: CPU per run alone, and runs/s."""

COLUMNS = {
    "version": "version",
    "cpu": "CPU ms per run, alone",
    "cpu_at_once": f"CPU ms, {AT_ONCE} at once",
    "rate": f"runs/s, {AT_ONCE} at once",
    "peak": "peak MB",
    "cpu_ratio": "CPU, alone, to bare",
    "rate_ratio": "runs/s to bare",
}

Row = dict[str, str | float]


def start(peer: Peer, url: str, stack: ExitStack) -> Running:
    """Start a peer, and let it open what it opens but once."""
    one = stack.enter_context(running(peer.python(), peer.script, url, *peer.arguments))
    one.version = one.answer()["version"]
    one.turn(RUNS, 1)
    one.turn(AT_ONCE, AT_ONCE)
    return one


def take_turns(among: dict[str, Running], rounds: int, failed: dict[str, Row]) -> None:
    """Let all have their turns, from the first to the last and back; who fails is out."""
    for number in range(rounds):
        for name in list(among)[:: -1 if number % 2 else 1]:
            one = among[name]
            try:
                one.alone.append(one.turn(RUNS, 1))
                one.together.append(one.turn(RUNS_AT_ONCE, AT_ONCE))
            except Missing as e:
                failed[name] = {"missing": str(e)}
                del among[name]


def figures(one: Running) -> Row:
    """Return what the turns of a peer come to."""
    return {
        "version": one.version,
        "cpu": 1e3 * median(turn["cpu"] for turn in one.alone) / RUNS,
        "cpu_at_once": 1e3 * median(turn["cpu"] for turn in one.together) / RUNS_AT_ONCE,
        "rate": RUNS_AT_ONCE / median(turn["wall"] for turn in one.together),
        "peak": one.together[-1]["peak"],
    }


def beside(turns: list[Turn], others: list[Turn], what: str) -> float:
    """Return the ratio of what two peers needed: each round's, as its noise was the same."""
    return median(turn[what] / other[what] for turn, other in zip(turns, others, strict=True))


def measure(rounds: int) -> dict[str, Row]:
    """Return the figures of each peer, or why there are none."""
    failed: dict[str, Row] = {}
    among: dict[str, Running] = {}
    with ExitStack() as stack:
        server = stack.enter_context(running(Path(sys.executable), "server.py"))
        url = f"http://127.0.0.1:{server.answer()}/v1"
        for peer in peers():
            try:
                among[peer.name] = start(peer, url, stack)
            except Missing as e:
                failed[peer.name] = {"missing": str(e)}
        take_turns(among, rounds, failed)
    rows = {name: figures(one) for name, one in among.items()}
    if bare := among.get(peers()[0].name):
        for name, one in among.items():
            rows[name]["cpu_ratio"] = beside(one.alone, bare.alone, "cpu")
            rows[name]["rate_ratio"] = 1 / beside(one.together, bare.together, "wall")
    return {peer.name: (rows | failed)[peer.name] for peer in peers()}


def table(rows: dict[str, Row], rounds: int) -> Table:
    """Return the figures for people."""
    found = Table(title=f"two requests, one tool, typed output; medians of {rounds} rounds")
    found.add_column("")
    for column in COLUMNS.values():
        found.add_column(column, justify="right", max_width=12)
    for name, row in rows.items():
        if "missing" not in row:
            cells = (row.get(key, "") for key in COLUMNS)
            found.add_row(name, *(f"{x:.2f}" if isinstance(x, float) else str(x) for x in cells))
    return found


def verdicts(rows: dict[str, Row]) -> list[str]:
    """Say of each way of the layer whether it keeps what it is to keep, and who is missing."""
    said = [
        f"{name} is missing: {row['missing']}" for name, row in rows.items() if "missing" in row
    ]
    for name, row in rows.items():
        if name.startswith("Assay") and "cpu_ratio" in row:
            for what, ratio, bound, kept in (
                ("CPU alone", row["cpu_ratio"], MOST_CPU, float(row["cpu_ratio"]) <= MOST_CPU),
                ("runs/s", row["rate_ratio"], LEAST_RATE, float(row["rate_ratio"]) >= LEAST_RATE),
            ):
                words = "as wanted" if kept else "NOT as wanted"
                said.append(f"{name}: {what} {ratio:.2f} of bare, {words} ({bound:g})")
    return said


def main() -> None:
    """Print the table, whatever it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each peer")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    given = parser.parse_args()
    rows = measure(given.rounds)
    console = Console(width=120)
    console.print(table(rows, given.rounds))
    console.print("\n".join(verdicts(rows)))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
