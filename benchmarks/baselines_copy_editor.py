"""How many planted errors the copy editor's baseline finds in real prose, and how often it errs.

Run it alone: `python benchmarks/baselines_copy_editor.py`. It needs `shared/data/xquad_en` beside
the checkout (XQuAD's English paragraphs, CC BY-SA 4.0) and says so when it is not there.
"""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from assay.agents.baselines.copy_editor import marks
from assay.agents.baselines.copy_editor_lexicon import lexicon
from assay.agents.baselines.copy_editor_text import Mark
from assay.tools.prose import survey

DATA = Path(__file__).parents[2] / "shared" / "data" / "xquad_en" / "xquad.en.json"
PLANTED = 200
WORD = re.compile(r"[A-Za-z]{4,}")

Row = tuple[str, float, str]


class Plant(NamedTuple):
    """A planted error: what to put in the place of `text[start:end]`."""

    kind: str
    start: int
    end: int
    put: str


def paragraphs(path: Path = DATA) -> list[str]:
    """Return the paragraphs of a file in SQuAD's format."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [part["context"] for one in articles for part in one["paragraphs"]]


def _typo(text: str, rng: random.Random) -> Plant | None:
    found = rng.choice(list(WORD.finditer(text)))
    word, i = found[0], rng.randrange(1, len(found[0]))
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    wrong = rng.choice(
        [
            word[:i] + word[i + 1 :],
            word[:i] + letter + word[i:],
            word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :],
            word[:i] + letter + word[i + 1 :],
        ]
    )
    if wrong.casefold() == word.casefold() or lexicon().knows(wrong):
        return None
    return Plant("typo", *found.span(), wrong)


def _double(text: str, rng: random.Random) -> Plant | None:
    found = rng.choice(list(re.finditer(r"(?<=\s)[A-Za-z]{2,}(?=\s)", text)))
    if found[0].casefold() in ("had", "that"):
        return None
    return Plant("doubled", *found.span(), f"{found[0]} {found[0]}")


def _article(text: str, rng: random.Random) -> Plant | None:
    places = list(re.finditer(r"(?<![\w'-])(a|an|A|An)(?= [a-z])", text))
    if not places:
        return None
    found = rng.choice(places)
    swapped = {"a": "an", "an": "a", "A": "An", "An": "A"}[found[0]]
    return Plant("article", *found.span(), swapped)


KINDS: Sequence[Callable[[str, random.Random], Plant | None]] = (_typo, _double, _article)


def plant(texts: Sequence[str], seed: int, count: int = PLANTED) -> list[tuple[str, Plant]]:
    """Return `count` texts with one error each, in equal thirds of three kinds.

    The offsets of each `Plant` are those of the text returned with it.
    """
    rng = random.Random(seed)
    made: list[tuple[str, Plant]] = []
    while len(made) < count:
        text = rng.choice(texts)
        planted = KINDS[len(made) % len(KINDS)](text, rng)
        if planted is not None:
            kind, start, end, put = planted
            changed = text[:start] + put + text[end:]
            made.append((changed, Plant(kind, start, start + len(put), put)))
    return made


def recall(texts: Sequence[str], seed: int = 1) -> list[Row]:
    """Return how many planted errors are marked, at their place, in all and per kind."""
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for text, planted in plant(texts, seed):
        total[planted.kind] += 1
        found[planted.kind] += any(
            m.start < planted.end and planted.start < m.end for m in review(text)
        )
    rows: list[Row] = [
        ("copy_editor recall of planted errors", found.total() / total.total(), ">= 0.75")
    ]
    rows += [(f"  {kind}", found[kind] / total[kind], "") for kind in sorted(total)]
    return rows


def false_alarms(texts: Sequence[str]) -> list[Row]:
    """Return issues per thousand words of untouched text, every one counted as a false alarm."""
    words = sum(len(text.split()) for text in texts) / 1000
    kinds = Counter(mark.category for text in texts for mark in review(text))
    rows: list[Row] = [
        ("copy_editor issues per 1,000 words, untouched", kinds.total() / words, "<= 3")
    ]
    rows += [(f"  {kind}", kinds[kind] / words, "") for kind in sorted(kinds)]
    return rows


def speed(texts: Sequence[str]) -> list[Row]:
    """Return words per second after loading."""
    review("The dictionaries are loaded now.")
    began = time.perf_counter()
    for text in texts:
        review(text)
    seconds = time.perf_counter() - began
    words = sum(len(text.split()) for text in texts)
    return [("copy_editor words per second", words / seconds, ">= 5000")]


def review(text: str) -> list[Mark]:
    """Return what the baseline marks in a text, without a style guide."""
    return marks(text, {}, survey(text))


def rows() -> list[Row]:
    """Return name, value and target of every figure; nothing when the data is absent."""
    if not DATA.exists():
        print(f"skipped: {DATA.name} is not there; copy_editor's figures need the XQuAD paragraphs")
        return []
    texts = paragraphs()
    return [*recall(texts), *false_alarms(texts), *speed(texts)]


if __name__ == "__main__":
    for name, value, target in rows():
        print(f"{name:50} {value:10.3f}  {target}")
