"""What judges are worth on public data, by verdicts that others recorded: no model is called.

Run `python benchmarks/judges.py [FOLDER]`; FOLDER holds the data sets by name and is
`../shared/data` beside the checkout by default. What is not there is skipped with a line.

- LLMBar: five judges, some prompted in many ways, on pairs shown in both orders.
- PandaLM: two judges beside three people, with ties and verdicts that nobody can read.
- Prometheus' rubrics on MT-Bench: one judge asked three times.
- Corrected means: 50 labels drawn at random from LLMBar's, against what all of them say.
"""

import csv
import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

from judges_published import llmbar as published
from rich.console import Console
from rich.table import Table

from assay.evals.statistics.agreement import (
    Agreement,
    Interval,
    Label,
    agreement,
    alpha,
    between,
)
from assay.evals.statistics.corrected import corrected_mean

DATA = Path(__file__).parents[2] / "shared" / "data"

STATS: Any = import_module("scipy.stats")  # by name, for it has no types

SAMPLES, LABELS = 1_000, 50

Verdicts = Mapping[str, tuple[str, str, str]]
"""Item to the right winner, and the judge's with either output shown first."""


def main(arguments: Sequence[str]) -> None:
    """Print every table whose data is there."""
    data = Path(arguments[0]) if arguments else DATA
    console = Console(width=None if sys.stdout.isatty() else 110)
    sections: dict[str, Callable[[Path, Console], None]] = {
        "llmbar": llmbar,
        "pandalm": pandalm,
        "prometheus_gpt4_rubric": repeatability,
    }
    for name, section in sections.items():
        if (data / name).exists():
            section(data / name, console)
        else:
            console.print(f"{name}: skipped, not in {data.name}/")


def llmbar(data: Path, console: Console) -> None:
    """Print each judge's accuracy, kappa and agreement with itself in the other order."""
    table = Table(title="LLMBar: judges beside the right answer, all sets together")
    table.add_column("judge")
    for heading in ("rows", "unread", "accuracy", "kappa", "orders agree", "flips"):
        table.add_column(heading, justify="right")
    judges = _verdicts(data / "verdicts.csv")
    for model in dict.fromkeys(name for name, _ in judges):
        rows = [found for (name, _), found in judges.items() if name == model]
        table.add_row(model, *_llmbar_row([one for found in rows for one in found.items()]))
    console.print(table)
    for line in published(data):
        console.print(line, highlight=False)
    coverage(judges, console)


def _llmbar_row(rows: Sequence[tuple[str, tuple[str, str, str]]]) -> Iterator[str]:
    items = [item for item, _ in rows]
    gold = [right for _, (right, _, _) in rows]
    both = [(first or None, second or None) for _, (_, first, second) in rows]
    said: list[Label | None] = [first for first, _ in both]
    found = agreement(said, gold, labels=("1", "2"), groups=items)
    read = [(a, b) for a, b in both if a is not None and b is not None]
    yield str(found.items)
    yield str(found.unscored)
    yield _shown(found.accuracy)
    yield _shown(found.kappa)
    yield f"{mean(a == b for a, b in read):.3f}"
    yield f"{sum(a != b for a, b in read)} of {len(read)}"


def coverage(judges: Mapping[tuple[str, str], Verdicts], console: Console) -> None:
    """Print how often intervals from 50 labels hold what all labels say: 94% or more are wanted.

    What is estimated is how often the first output is the right one; the judge says which it
    takes for it.
    """
    chance = random.Random(0)
    full = {name: found for name, found in judges.items() if len(found) >= 280}
    table = Table(title=f"Means from {LABELS} random labels, {SAMPLES} samples a judge")
    table.add_column("judge, prompt")
    for heading in ("covered", "width", "covered by labels alone", "their width"):
        table.add_column(heading, justify="right")
    for (model, strategy), found in full.items():
        rows = [_sample(found, chance) for _ in range(SAMPLES)]
        table.add_row(
            f"{model}, {strategy}", *(f"{mean(column):.3f}" for column in zip(*rows, strict=True))
        )
    console.print(table)


def _sample(found: Verdicts, chance: random.Random) -> tuple[float, float, float, float]:
    gold = {item: float(right == "1") for item, (right, _, _) in found.items()}
    judged = {item: float(first == "1") if first else 0.5 for item, (_, first, _) in found.items()}
    truth = mean(gold.values())
    corrected = corrected_mean(
        judged, {item: gold[item] for item in chance.sample([*gold], LABELS)}
    )
    low, high = corrected.only_labels or (0.0, 1.0)
    return (
        corrected.low <= truth <= corrected.high,
        corrected.high - corrected.low,
        low <= truth <= high,
        high - low,
    )


def pandalm(data: Path, console: Console) -> None:
    """Print how far three people agree, and each judge with their majority."""
    items = list(_lines(data / "testset_with_verdicts.jsonl"))
    people: list[list[Label | None]]
    people = [[str(item[f"annotator{n}"]) for item in items] for n in (1, 2, 3)]
    table = Table(title="PandaLM: who agrees with whom (0 tie, 1, 2)")
    table.add_column("pair")
    for heading in ("items", "unread", "accuracy", "kappa"):
        table.add_column(heading, justify="right")
    for (a, one), (b, other) in combinations(enumerate(people, start=1), 2):
        found = agreement(one, [label for label in other if label is not None])
        table.add_row(f"person {a}, person {b}", *_pair(found))
    majority = [str(item["majority"]) for item in items]
    for judge, told in (("gpt35", {"Tie": "0"}), ("pandalm7b", {})):
        raw = [str(item[f"{judge}_verdict"]) for item in items]
        said = [told.get(word, word) for word in raw]
        found = agreement([v if v in ("0", "1", "2") else None for v in said], majority)
        table.add_row(f"{judge}, majority", *_pair(found))
    console.print(table)
    whole = alpha([[None if v is None else float(v) for v in row] for row in people])
    console.print(f"people pairwise {between(people):.3f}, Krippendorff's alpha {_shown(whole)}")


def repeatability(data: Path, console: Console) -> None:
    """Print how far one judge agrees with itself over three runs."""
    rows = [item["gpt4_score"] for item in _lines(data / "mt_bench.jsonl.gz")]
    runs = [[row[n] for row in rows] for n in range(3)]
    table = Table(title="GPT-4 by rubrics, MT-Bench: one run beside another (scores 1 to 5)")
    table.add_column("runs")
    for heading in ("items", "exact", "weighted kappa", "Pearson", "Spearman"):
        table.add_column(heading, justify="right")
    for (a, one), (b, other) in combinations(enumerate(runs, start=1), 2):
        found = agreement(one, other, labels=range(1, 6), weights="quadratic")
        pearson, spearman = STATS.pearsonr(one, other), STATS.spearmanr(one, other)
        table.add_row(
            f"{a}, {b}",
            str(found.items),
            _shown(found.accuracy),
            _shown(found.kappa),
            f"{pearson.statistic:.3f}",
            f"{spearman.statistic:.3f}",
        )
    console.print(table)


def _pair(found: Agreement) -> tuple[str, ...]:
    return str(found.items), str(found.unscored), _shown(found.accuracy), _shown(found.kappa)


def _shown(found: Interval | None) -> str:
    if found is None:
        return "cannot say"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _verdicts(path: Path) -> Mapping[tuple[str, str], Verdicts]:
    judges: dict[tuple[str, str], dict[str, tuple[str, str, str]]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            item = f"{row['set']} {row['idx']}"
            verdicts = row["gold_label"], row["winner_order_12"], row["winner_order_21"]
            judges[row["llm"], row["strategy"]][item] = verdicts
    return judges


def _lines(path: Path) -> Iterator[Any]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    yield from map(json.loads, text.splitlines())


if __name__ == "__main__":
    main(sys.argv[1:])
