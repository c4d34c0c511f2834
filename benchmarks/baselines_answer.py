"""How good retrieval and the answering baseline are on public data.

Run `python benchmarks/baselines_answer.py [FOLDER]`; FOLDER holds the data sets by name and is
`../shared/data` beside the checkout by default. Weights and threshold were set on every second
XQuAD article; figures of the others stand beside those of all. No score here is an LLM's.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import Embedder

from assay.agents.answer import Deps
from assay.agents.baselines.answer import THRESHOLD, choose
from assay.agents.baselines.answer_features import Question
from assay.deps.documents import Document
from assay.deps.documents.index import SqliteDocuments
from assay.deps.providers.embeddings import BaselineEmbedding

DATA = Path(__file__).parents[2] / "shared" / "data"
PASSAGES = 60  # of which the first ten documents are taken
WITH = ((None, "words alone"), (Embedder(BaselineEmbedding()), "words and baseline vectors"))
OFFERED = Deps.passages


@dataclass(frozen=True)
class Asked:
    """A question of XQuAD: its paragraph, its answers, and whether its article was held out."""

    question: str
    document: str
    answers: tuple[str, ...]
    held_out: bool


@dataclass(frozen=True)
class Row:
    """What came of a question; `support` with its paragraph there, `absent` without it."""

    held_out: bool
    first: bool
    contained: bool
    support: float
    absent: float


def xquad(data: Path) -> tuple[list[Document], list[Asked]]:
    """Read paragraphs and questions."""
    articles = json.loads((data / "xquad_en" / "xquad.en.json").read_text("utf-8"))["data"]
    documents: list[Document] = []
    asked: list[Asked] = []
    for number, article in enumerate(articles):
        for paragraph in article["paragraphs"]:
            id = f"paragraph-{len(documents)}"
            documents.append(Document(id=id, text=paragraph["context"]))
            for qa in paragraph["qas"]:
                answers = tuple(answer["text"] for answer in qa["answers"])
                asked.append(Asked(qa["question"], id, answers, bool(number % 2)))
    return documents, asked


async def found(documents: SqliteDocuments, query: str) -> list[str]:
    """Return the first ten documents."""
    passages = await documents.search(query, PASSAGES)
    return list(dict.fromkeys(passage.document for passage in passages))[:10]


async def paragraphs_first(data: Path) -> None:
    """How often the right paragraph of 120 is found first, and among the first five."""
    documents, asked = xquad(data)
    for embedder, how in WITH:
        with SqliteDocuments(embedder=embedder) as index:
            await index.add(*documents)
            started = time.perf_counter()
            ranked = [await found(index, each.question) for each in asked]
            took = (time.perf_counter() - started) / len(asked)
        first = [r[:1] == [each.document] for r, each in zip(ranked, asked, strict=True)]
        five = [each.document in r[:5] for r, each in zip(ranked, asked, strict=True)]
        aim = "aim 0.90" if embedder is None else ""
        show(f"xquad right paragraph first, {how}", share(first), aim)
        show(f"xquad among the first five, {how}", share(five))
        show(f"xquad milliseconds a search, {how}", took * 1000)


async def row(index: SqliteDocuments, asked: Asked) -> Row:
    """Answer with and without the right paragraph."""
    question = Question(asked.question)
    passages = await index.search(asked.question, OFFERED + 1)
    best = choose(question, passages[:OFFERED])
    others = [passage for passage in passages if passage.document != asked.document][:OFFERED]
    without = choose(question, others)
    first = best is not None and best[0].document == asked.document
    return Row(
        held_out=asked.held_out,
        first=first,
        contained=best is not None and first and any(a in best[0].text for a in asked.answers),
        support=best[1] if best else 0.0,
        absent=without[1] if without else 0.0,
    )


async def sentences_cited(data: Path) -> None:
    """How often the cited sentence holds the answer; answers where the paragraph is taken away."""
    documents, asked = xquad(data)
    with SqliteDocuments() as index:
        await index.add(*documents)
        rows = [await row(index, each) for each in asked]
    for part, some in (("all", rows), ("held out", [row for row in rows if row.held_out])):
        said = [row for row in some if row.support >= THRESHOLD]
        right = [row.contained and row.support >= THRESHOLD for row in some]
        silent = share([row.absent < THRESHOLD for row in some])
        show(f"xquad {part}: cited paragraph right", share([r.first for r in some]), "aim 0.90")
        show(f"xquad {part}: answer in the best sentence", share([r.contained for r in some]))
        show(f"xquad {part}: answered, answer in the cited sentence", share(right), "aim 0.75")
        show(f"xquad {part}: of those answered", share([r.contained for r in said]))
        show(f"xquad {part}: answered", len(said) / len(some))
        show(f"xquad {part}: silent without the paragraph", silent)


async def bank(data: Path) -> None:
    """Which of a bank's 698 articles a customer's whole story finds."""
    folder = data / "tau2_banking_knowledge"
    documents = [
        Document(id=each["id"], title=each["title"], text=each["content"])
        for each in lines(folder / "documents.jsonl")
    ]
    tasks = [task for task in lines(folder / "tasks_even.jsonl") if task["required_documents"]]
    for embedder, how in WITH:
        with SqliteDocuments(embedder=embedder) as index:
            await index.add(*documents)
            recalls = [await recall(index, task) for task in tasks]
        show(f"tau2 recall@10, {how}", sum(recalls) / len(recalls))
        show(f"tau2 hit@10, {how}", share([recall > 0 for recall in recalls]))


async def recall(index: SqliteDocuments, task: dict[str, Any]) -> float:
    """Return how many of a task's documents are among the first ten."""
    wanted = set(task["required_documents"])
    return len(wanted & set(await found(index, task["user_scenario"]["instructions"]))) / len(
        wanted
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def share(found: Sequence[bool]) -> float:
    """Return how many are true, of all."""
    return sum(found) / len(found)


def show(name: str, value: float, aim: str = "") -> None:
    """Print a figure."""
    print(f"{name:<62} {value:7.3f}  {aim}", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure what is there."""
    data = Path(arguments[0]) if arguments else DATA
    for name, measures in {
        "xquad_en": (paragraphs_first, sentences_cited),
        "tau2_banking_knowledge": (bank,),
    }.items():
        if not (data / name).exists():
            print(f"{name}: skipped, not in {data.name}/")
            continue
        for measure in measures:
            asyncio.run(measure(data))


if __name__ == "__main__":
    main(sys.argv[1:])
