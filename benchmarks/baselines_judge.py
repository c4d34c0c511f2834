"""How good the baseline judge is on public labels, and where its weights come from.

Run `python benchmarks/baselines_judge.py [--write] [FOLDER]`; FOLDER holds the data sets by name
and is `../shared/data` beside the checkout by default. `--write` fits on everything and writes
`agents/baselines/judge_weights.json`; without it weights are cross-validated in five folds of
items, and nothing is written. No score here is an LLM's.
"""

import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from assay.agents.baselines.judge import WEIGHTS
from assay.agents.baselines.judge_features import CONTROLS, NAMES, Texts, features
from assay.evals.statistics.estimates import mean_interval
from assay.evals.statistics.trials import Trials

DATA = Path(__file__).parents[2] / "shared" / "data"

LINEAR: Any = import_module("sklearn.linear_model")  # by name, for it has no types
FOLDS: Any = import_module("sklearn.model_selection")

CONTROL = np.array([name in CONTROLS for name in NAMES])


@dataclass(frozen=True)
class Row:
    """One candidate: what it came from, and whether people (or the better judge) passed it."""

    item: str
    texts: Texts
    passed: bool


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON Lines, packed or not."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    yield from map(json.loads, text.splitlines())


def llmbar(data: Path) -> Iterator[Row]:
    """Yield LLMBar's candidates: two answers to an instruction, of which one follows it."""
    for item in lines(data / "llmbar" / "items.jsonl"):
        for place in (1, 2):
            texts = Texts(candidate=item[f"output_{place}"], wanted=item["input"])
            yield Row(f"{item['set']}-{item['idx']}", texts, item["label"] == place)


def halueval(data: Path) -> Iterator[Row]:
    """Yield HaluEval's answers to questions over a text: one right, one made up."""
    for number, item in enumerate(lines(data / "halueval_qa_sample" / "qa.jsonl")):
        for answer in ("right_answer", "hallucinated_answer"):
            texts = Texts(candidate=item[answer], known=item["knowledge"])
            yield Row(f"{number}", texts, answer == "right_answer")


def prometheus(data: Path) -> Iterator[Row]:
    """Yield answers beside a reference; passed is what GPT-4 scored 4 or 5 on average."""
    for item in lines(data / "prometheus_gpt4_rubric" / "mt_bench.jsonl.gz"):
        parts = re.split(r"###([A-Z][^:\n]*):", item["instruction"])
        found = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=False))
        reference = next(text for name, text in found.items() if name.startswith("Reference"))
        texts = Texts(
            candidate=found["Response to evaluate"],
            wanted=found["Score Rubrics"].partition("]")[0],
            reference=reference,
        )
        scores = [score for score in item["gpt4_score"] if score is not None]
        yield Row(f"{item['idx']}", texts, sum(scores) / len(scores) >= 4)


SETS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "task": ("llmbar", llmbar),
    "sources": ("halueval_qa_sample", halueval),
    "reference": ("prometheus_gpt4_rubric", prometheus),
}


def fitted(rows: Sequence[Row]) -> dict[str, Any]:
    """Return a model of these rows as it is written."""
    found = np.array([features(row.texts) for row in rows])
    model = LINEAR.LogisticRegression(C=1.0, max_iter=1000).fit(found, [row.passed for row in rows])
    return {
        "intercept": round(float(model.intercept_[0]), 4),
        "weights": dict(
            zip(NAMES, [round(float(weight), 4) for weight in model.coef_[0]], strict=True)
        ),
        "means": dict(
            zip(NAMES, [round(float(mean), 4) for mean in found.mean(axis=0)], strict=True)
        ),
    }


def logits(model: dict[str, Any], rows: Sequence[Row], *, length: bool) -> Any:
    """Return what a model says of rows, length weighed or held at its mean."""
    weights = np.array([model["weights"][name] for name in NAMES])
    found = np.array([features(row.texts) for row in rows])
    if not length:
        found[:, CONTROL] = np.array([model["means"][name] for name in NAMES])[CONTROL]
    return found @ weights + model["intercept"]


def held_out(rows: Sequence[Row], *, length: bool) -> Any:
    """Return each row's log-odds from a model that has not seen its item."""
    said = np.zeros(len(rows))
    folds: list[tuple[list[int], list[int]]]
    folds = list(FOLDS.GroupKFold(5).split(rows, groups=[row.item for row in rows]))
    for seen, unseen in folds:
        model = fitted([rows[i] for i in seen])
        said[unseen] = logits(model, [rows[i] for i in unseen], length=length)
    return said


def accuracies(rows: Sequence[Row], said: Any) -> dict[str, list[float]]:
    """Return, item by item, whether candidates and pairs were judged rightly; a tie is half."""
    each = [float((logit > 0) == row.passed) for row, logit in zip(rows, said, strict=True)]
    found = {"one candidate": each}
    if all(a.item == b.item for a, b in zip(rows[::2], rows[1::2], strict=True)):
        gaps = said[::2] - said[1::2]
        first = [row.passed for row in rows[::2]]
        pairs = [0.5 if not g else float((g > 0) == f) for g, f in zip(gaps, first, strict=True)]
        found["which of two"] = pairs
    return found


def measured(name: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line per figure, with its 95% interval, clustered by item."""
    for length, how in ((False, "length held"), (True, "length weighed")):
        for what, right in accuracies(rows, held_out(rows, length=length)).items():
            items = [row.item for row in rows[:: len(rows) // len(right)]]
            found = mean_interval(Trials.of(items, right))
            low, high = found.ci or (0.0, 1.0)
            yield f"{name:<24} {what:<14} {how:<15} {found.mean:.3f}  {low:.3f} to {high:.3f}"


def main(arguments: Sequence[str]) -> None:
    """Measure what is there; write the weights if all of it is, and that was asked."""
    folders = [Path(each) for each in arguments if each != "--write"]
    data = folders[0] if folders else DATA
    models: dict[str, Any] = {}
    print("data                     judged         length          accuracy, 95% interval")
    for beside, (name, read) in SETS.items():
        if not (data / name).exists():
            print(f"{name}: skipped, not in {data.name}/")
            continue
        rows = list(read(data))
        for line in measured(name, rows):
            print(line, flush=True)
        models[beside] = {"from": name, "rows": len(rows), **fitted(rows)}
    if "--write" in arguments and len(models) == len(SETS):
        WEIGHTS.write_text(json.dumps(models, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
