"""What judges are worth on public data: LLMBar's 138 published rows, computed again from verdicts.

Each row is one judge on one set of pairs, every pair shown in both orders. The data is not part of
this repository; without it the measurement is skipped, with the reason.

The published kappa between judge and gold labels is not Cohen's kappa of the two: the code that
made it turns verdict 2 into 0 before comparing with labels 1 and 2 (evaluate.py of
princeton-nlp/LLMBar keeps a verdict only if it is "0" or "1"), so agreement on 2 never counts.
It is computed here both ways.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module
from math import isclose, isnan, nan
from pathlib import Path

import numpy as np

__all__ = ("kappa", "llmbar", "statistics")

RATERS = import_module("statsmodels.stats.inter_rater")  # by name, for it has no types

Verdicts = Sequence[str]
"""Which output won, "1" or "2", item by item; "" where the answer could not be read."""


def llmbar(data: Path) -> list[str]:
    """Compare every published row with its verdicts, and say what differs."""
    judges = _verdicts(data / "verdicts.csv")
    published = [json.loads(line) for line in (data / "published_statistics.jsonl").open()]
    same: Counter[str] = Counter()
    whole, blanks, right = 0, 0, Counter[str]()
    gaps: list[float] = []
    for row in published:
        gold, first, second = judges[row["set"], row["llm"], row["strategy"]]
        blank = "" in first or "" in second
        found = statistics(gold, first, second)
        agreeing = [name for name, value in found.items() if _equal(row[name], value)]
        same.update(agreeing)
        whole += len(agreeing) == len(found)
        blanks += blank
        if not blank:
            cohen = {"kappa_False": kappa(first, gold), "kappa_True": kappa(second, gold)}
            cohen["kappa_agreement"] = kappa(first, second)
            right.update(name for name, value in cohen.items() if _equal(row[name], value))
            gaps += [cohen[n] - row[n] for n in ("kappa_False", "kappa_True")]
    rows = len(published)
    return [
        f"{whole} of {rows} rows reproduced to the printed digits in every column",
        *(f"  {name:<16} {same[name]} of {rows}" for name in same),
        f"{rows - blanks} rows have no blank verdict; in those, Cohen's kappa (statsmodels) is",
        f"  judge and judge  {right['kappa_agreement']} times the published one",
        f"  judge and gold   {right['kappa_False']} and {right['kappa_True']} times: the published "
        "one counts verdict 2 as a third label (see above);",
        f"  Cohen's is {np.nanmin(gaps):.3f} to {np.nanmax(gaps):.3f} higher, "
        f"median {np.nanmedian(gaps):.3f}",
    ]


def statistics(gold: Verdicts, first: Verdicts, second: Verdicts) -> dict[str, str | float]:
    """Return a row as it is published, digit by digit.

    Args:
        gold: The right winners.
        first: A judge's winners with output 1 shown first.
        second: Its winners with output 2 shown first, named by output and not by place.
    """
    n = len(gold)
    right = [v == g for v, g in zip(first, gold, strict=True)]
    swapped = [v == g for v, g in zip(second, gold, strict=True)]
    counts = {
        "correct_False": sum(right),
        "correct_True": sum(swapped),
        "correct_both": sum(map(all, zip(right, swapped, strict=True))),
        "equal": sum(v == w for v, w in zip(first, second, strict=True)),
    }
    ones, others = _as_published(first), _as_published(second)
    kappas = kappa(ones, gold), kappa(others, gold)
    return {
        **{name: f"{count} / {n} = {count / n * 100}%" for name, count in counts.items()},
        "correct_average": f"{(sum(right) + sum(swapped)) / 2 / n * 100}%",
        "kappa_False": kappas[0],
        "kappa_True": kappas[1],
        "kappa_average": sum(kappas) / 2,
        "kappa_agreement": kappa(ones, others),
    }


def kappa(first: Verdicts, second: Verdicts) -> float:
    """Return Cohen's kappa; NaN when both always say the same one thing, as chance does too."""
    labels = sorted({*first, *second})
    if len(labels) == 1:
        return nan
    pairs = Counter(zip(first, second, strict=True))
    table = np.array([[pairs[row, column] for column in labels] for row in labels])
    return float(RATERS.cohens_kappa(table, return_results=False))


def _as_published(verdicts: Verdicts) -> list[str]:
    return [verdict if verdict == "1" else "0" for verdict in verdicts]


def _equal(published: str | float, found: str | float) -> bool:
    if isinstance(published, str) or isinstance(found, str):
        return published == found
    return (isnan(published) and isnan(found)) or isclose(published, found, abs_tol=1e-12)


def _verdicts(path: Path) -> Mapping[tuple[str, str, str], tuple[list[str], list[str], list[str]]]:
    judges: dict[tuple[str, str, str], tuple[list[str], list[str], list[str]]] = defaultdict(
        lambda: ([], [], [])
    )
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            gold, first, second = judges[row["set"], row["llm"], row["strategy"]]
            gold.append(row["gold_label"])
            first.append(row["winner_order_12"])
            second.append(row["winner_order_21"])
    return judges
