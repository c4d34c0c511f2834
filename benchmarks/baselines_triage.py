"""How good the triage baseline is on public data, and what the agent loop costs around it.

Nothing is tuned here: thresholds come out of the fit. The data is not part of this repository;
without it the measurements are skipped, with the reason.
"""

import asyncio
import csv
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionDef, FunctionModel
from pydantic_ai.usage import RequestUsage

from assay.agents import triage
from assay.agents.baselines.triage import solve
from assay.agents.baselines.triage_classifier import Classifier, fit
from assay.deps.fence import fence
from assay.deps.taxonomy import Label, Taxonomy
from assay.tools.history import similar_messages

__all__ = ("banking77", "clinc150", "main", "overhead", "sms_spam")

DATA = Path(__file__).parents[2] / "shared" / "data"

LOST = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
"""Shares of right answers given up, for the curve of accuracy against recall."""

Row = tuple[str, float, str]
"""A figure: its name, its value, and what it should be."""

Texts = Sequence[tuple[str, str]]
"""Messages, each with its right label."""


def main() -> None:
    """Print every figure."""
    for measure in (banking77, clinc150, sms_spam, overhead):
        started = time.process_time()
        for name, value, target in measure():
            print(f"{name:<46} {value:8.4f}  {target}")
        print(f"  ({measure.__name__}: {time.process_time() - started:.0f} s CPU)", flush=True)


def banking77() -> list[Row]:
    """77 intents of bank customers; every fifth message of an intent is held out."""
    path = DATA / "banking77" / "train.csv"
    if _absent(path):
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    train, test = _fifth(rows, 0)
    deps = triage.Deps(taxonomy=_taxonomy(train))
    answers = asyncio.run(_answers(deps, [text for text, _ in test]))
    truth = [label for _, label in test]
    right = np.array([a.label == t for a, t in zip(answers, truth, strict=True)])
    said = np.array([not a.abstained for a in answers])
    confidence = np.array([a.confidence for a in answers])
    return [
        ("banking77 accuracy, abstention is wrong", float(right.mean()), "aim 0.90"),
        ("banking77 macro F1, abstention is a miss", _macro_f1(answers, truth), ""),
        ("banking77 abstained", float(1 - said.mean()), ""),
        ("banking77 accuracy where answered", float(right[said].mean()), ""),
        ("banking77 ECE where answered", _ece(confidence[said], right[said]), "<= 0.05"),
    ]


def clinc150() -> list[Row]:
    """150 intents and messages that fit none; no example of such a message is learnt from."""
    path = DATA / "clinc150" / "train_val.jsonl"
    if _absent(path):
        return []
    parts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            parts[row["split"]].append((row["text"], row["intent"]))
    taxonomy = _taxonomy(parts["train"])
    classifier = fit(taxonomy)
    threshold = classifier.gate.threshold
    trust, right = _trusted(classifier, taxonomy, parts["val"])
    strange, _ = _trusted(classifier, taxonomy, parts["oos_val"])
    curve: list[Row] = [
        (
            f"  curve: in-scope accuracy at oos recall {np.mean(strange < at):.2f}",
            float(np.mean(right & (trust >= at))),
            f"threshold {at:.3f}",
        )
        for at in (float(np.quantile(trust[right], lost)) for lost in LOST)
    ]
    return [
        ("clinc150 in-scope accuracy", float(np.mean(right & (trust >= threshold))), ">= 0.90"),
        ("clinc150 out-of-scope recall", float(np.mean(strange < threshold)), ">= 0.35"),
        ("clinc150 in-scope accuracy when forced", float(right.mean()), "SVM 0.910, BERT 0.969"),
        *curve,
    ]


def sms_spam() -> list[Row]:
    """Ham or spam, in five folds; an abstention lets the message through, so it counts as ham."""
    path = DATA / "sms_spam" / "train_first30pct.tsv"
    if _absent(path):
        return []
    lines = [line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [(text, label) for label, _, text in lines if label in {"ham", "spam"}]
    truth: list[bool] = []
    guess: list[bool] = []
    silent = 0
    for turn in range(5):
        train, test = _fifth(rows, turn)
        deps = triage.Deps(taxonomy=_taxonomy(train))
        answers = asyncio.run(_answers(deps, [text for text, _ in test]))
        truth += [label == "spam" for _, label in test]
        guess += [answer.label == "spam" for answer in answers]
        silent += sum(answer.abstained for answer in answers)
    mcc = float(np.corrcoef(truth, guess)[0, 1])  # of two binary variables, that is the MCC
    return [
        ("sms_spam MCC, abstention is ham", mcc, ">= 0.90"),
        ("sms_spam abstained", silent / len(truth), ""),
    ]


def overhead(runs: int = 1000, block: int = 5) -> list[Row]:
    """CPU of a run of ours beside one of a bare agent that is told the same and says the same.

    The classifier is slower inside a loop, which empties the processor's caches between two
    calls, than called by itself. So a second bare agent asks it as well: what that one takes
    longer is the classifier's share. Short blocks of all of them alternate and medians are
    compared, since other work disturbs any one block.
    """
    deps = triage.Deps(taxonomy=_toy())
    message = "I lost my card number 3 in town"
    prompt = fence("message", message)
    answer = asyncio.run(triage.run(message, deps))

    async def known(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return _response(answer)

    async def asked(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return _response(await solve(message, deps))

    bare, asking = _bare(known), _bare(asked)

    async def one_bare() -> None:
        await bare.run(prompt, deps=deps)

    async def one_asking() -> None:
        await asking.run(prompt, deps=deps)

    async def one_ours() -> None:
        await triage.run(message, deps)

    async def one_solve() -> None:
        await solve(message, deps)

    kinds = (one_bare, one_asking, one_ours, one_solve)
    plain, with_solve, ours, alone = asyncio.run(_medians(kinds, runs, block))
    classifier = with_solve - plain
    return [
        ("a bare run, ms CPU", plain, ""),
        ("a baseline run, ms CPU", ours, ""),
        ("of which the classifier, ms CPU", classifier, "< 2"),
        ("the classifier by itself, ms CPU", alone, ""),
        ("loop of ours / bare", (ours - classifier) / plain, "<= 1.1"),
    ]


def _bare(function: FunctionDef) -> Agent[triage.Deps, triage.Triage]:
    """Make an agent that is triage in all but name: only its model is given, not resolved."""
    bare = Agent(
        FunctionModel(function),
        name="bare",
        deps_type=triage.Deps,
        output_type=triage.Triage,
        instructions=triage.INSTRUCTIONS,
    )
    bare.tool(similar_messages)

    @bare.instructions
    def labels(ctx: RunContext[triage.Deps]) -> str:
        return triage.labels(ctx.deps)

    bare.output_validator(triage.check_label)
    return bare


def _response(answer: triage.Triage) -> ModelResponse:
    """Answer with a usage, lest FunctionModel estimate one, which a baseline does not do."""
    part = ToolCallPart("final_result", answer.model_dump())
    return ModelResponse(parts=[part], usage=RequestUsage(input_tokens=1))


async def _medians(
    kinds: Sequence[Callable[[], Awaitable[None]]], runs: int, block: int
) -> list[float]:
    """Return the median CPU of each kind of run, in milliseconds, measured in turn."""
    spent: list[list[float]] = [[] for _ in kinds]
    for _ in range(runs // block + 1):
        for kind, times in zip(kinds, spent, strict=True):
            started = time.process_time()
            for _ in range(block):
                await kind()
            times.append((time.process_time() - started) / block * 1000)
    return [statistics.median(times[1:]) for times in spent]  # the first block warms up


async def _answers(deps: triage.Deps, texts: Sequence[str]) -> list[triage.Triage]:
    """Ask the baseline directly, and for every hundredth message the whole agent as well."""
    found = [await solve(text, deps) for text in texts]
    for text, answer in list(zip(texts, found, strict=True))[::100]:
        assert await triage.run(text, deps) == answer, text
    return found


def _trusted(
    classifier: Classifier, taxonomy: Taxonomy, rows: Texts
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    best, signals = classifier.model.judge_all([text for text, _ in rows])
    names = [taxonomy.names[int(b)] for b in best]
    right = [name == label for name, (_, label) in zip(names, rows, strict=True)]
    return classifier.gate.trust(signals), np.array(right)


def _taxonomy(rows: Texts) -> Taxonomy:
    """Make labels of nothing but names and examples."""
    examples: dict[str, list[str]] = defaultdict(list)
    for text, label in rows:
        examples[label].append(text)
    return Taxonomy(labels=tuple(Label(name=n, examples=tuple(e)) for n, e in examples.items()))


def _toy() -> Taxonomy:
    """77 labels with twenty examples each, so that sizes are those of banking77."""
    nouns = ("card", "transfer", "account", "cheque", "pin", "fee", "rate")
    verbs = ("lost", "blocked", "late", "wrong", "new", "old", "open", "closed", "change", "stop")
    return Taxonomy(
        labels=tuple(
            Label(name=f"{n}_{v}", examples=tuple(f"my {n} {v} number {i}" for i in range(20)))
            for n in nouns
            for v in (*verbs, "again")
        )
    )


def _fifth(rows: Texts, turn: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Hold out a fifth of each label's messages, in a fixed random order."""
    order = np.random.default_rng(0).permutation(len(rows))
    seen: dict[str, int] = defaultdict(int)
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    for row in (rows[int(i)] for i in order):
        (test if seen[row[1]] % 5 == turn else train).append(row)
        seen[row[1]] += 1
    return train, test


def _macro_f1(answers: Sequence[triage.Triage], truth: Sequence[str]) -> float:
    pairs = list(zip((a.label for a in answers), truth, strict=True))

    def f1(label: str) -> float:
        hit = sum(a == t == label for a, t in pairs)
        return 2 * hit / (sum(a == label for a, _ in pairs) + sum(t == label for _, t in pairs))

    return statistics.mean(map(f1, sorted(set(truth))))


def _ece(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Return the expected calibration error in equal bins (Guo et al. 2017)."""
    places = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    gaps = np.zeros(bins)
    np.add.at(gaps, places, confidence - right)
    return float(np.abs(gaps).sum() / len(right))


def _absent(path: Path) -> bool:
    if not path.exists():
        print(f"skipped: no {path.parent.name} data beside the repository")
    return not path.exists()


if __name__ == "__main__":
    main()
