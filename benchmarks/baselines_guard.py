"""How good the baseline guard is on public attacks, and where its weights come from.

Run `python benchmarks/baselines_guard.py [--write] [FOLDER]`; FOLDER holds the data sets by name
and is `../shared/data` beside the checkout by default. `--write` fits on everything and writes
`agents/baselines/guard_weights.json`; without it nothing is written. Figures come from texts that
the weights have not seen: inputs in five folds, documents in five folds of e-mails times five of
attack categories, so that neither the mail nor the kind of attack was seen. The patterns, signs and
thresholds were written with these data in view, so on other data expect less. No score here is an
LLM's.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.agents.baselines.guard import (
    WEIGHTS,
    Weights,
    document_row,
    findings,
    input_row,
    judge,
)
from assay.agents.baselines.guard_features import SIGNS
from assay.agents.baselines.guard_text import sentences
from assay.evals.statistics.estimates import mean_interval
from assay.evals.statistics.trials import Trials

DATA = Path(__file__).parents[2] / "shared" / "data"
FOLDS = 5
DRAWS = 2000

LINEAR: Any = import_module("sklearn.linear_model")  # by name, for it has no types
SELECTION: Any = import_module("sklearn.model_selection")


@dataclass(frozen=True)
class Text:
    """One input, and whether people called it an attack."""

    text: str
    attack: bool


@dataclass(frozen=True)
class Attack:
    """One instruction to plant in a document."""

    category: str
    text: str


def inputs(data: Path) -> list[Text]:
    """Return deepset's prompts."""
    path = data / "deepset_prompt_injections" / "train.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Text(row["text"], row["label"] == 1) for row in rows]


def mails(data: Path) -> list[str]:
    """Return BIPIA's e-mails, each once."""
    path = data / "bipia" / "email_train.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(row["context"] for row in rows))


def attacks(data: Path) -> list[Attack]:
    """Return BIPIA's instructions."""
    path = data / "bipia" / "text_attack_train.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Attack(category, text) for category, texts in found.items() for text in texts]


def paragraphs(data: Path) -> list[tuple[str, str]]:
    """Return XQuAD's paragraphs, each with its article's title."""
    found = json.loads((data / "xquad_en" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    return [(article["title"], p["context"]) for article in found for p in article["paragraphs"]]


def fitted(
    rows: Any, attack: Sequence[bool], c: float, threshold: float, precision: float
) -> Weights:
    """Return a logistic regression of these rows."""
    model = LINEAR.LogisticRegression(C=c, class_weight="balanced", solver="liblinear")
    model.fit(rows, attack)
    coefficients: list[float] = model.coef_[0].tolist()
    weights: NDArray[np.float64] = np.array([round(one, 3) for one in coefficients])
    return Weights(weights, round(float(model.intercept_[0]), 3), threshold, precision)


def precision(said: Sequence[bool], attack: Sequence[bool]) -> float:
    """Return how often rules are right where they speak, by Laplace's rule of succession."""
    right = sum(s and a for s, a in zip(said, attack, strict=True))
    return round((right + 1) / (sum(said) + 2), 4)


def fit_inputs(texts: Sequence[Text]) -> Weights:
    """Fit on prompts, whole ones as one part each."""
    found = [findings(text.text, "input") for text in texts]
    rows = np.array([input_row(t.text, f) for t, f in zip(texts, found, strict=True)])
    attack = [text.attack for text in texts]
    return fitted(rows, attack, 10.0, 0.45, precision([bool(f) for f in found], attack))


def fit_documents(planted: Sequence[Attack], clean: Sequence[str]) -> Weights:
    """Fit on sentences: of attacks, and of documents without any."""
    parts = [(one.text, True) for one in planted]
    parts += [(text[a:b], False) for text in clean for a, b in sentences(text)]
    rows = np.array([document_row(part) for part, _ in parts])
    attack = [one for _, one in parts]
    said = [bool(findings(part, "document")) for part, _ in parts]
    return fitted(rows, attack, 1.0, 0.5, precision(said, attack))


def planted(mail: str, attack: str) -> Iterator[tuple[str, str]]:
    """Yield where an attack is put, and the mail with it there."""
    ends = [end for _, end in sentences(mail)] or [len(mail)]
    middle = ends[(len(ends) - 1) // 2]
    yield "start", f"{attack}\n{mail}"
    yield "middle", f"{mail[:middle]} {attack} {mail[middle:]}"
    yield "end", f"{mail}\n{attack}"


def flagged(text: str, source: str, model: Weights) -> bool:
    """Tell whether the guard flags a text."""
    return judge(text, source, None, model).verdict == "flag"


def share(name: str, values: Sequence[bool], groups: Sequence[str] | None = None) -> str:
    """Return a line with a share and its 95% interval, clustered by group."""
    cases = [str(i) for i in range(len(values))]
    found = mean_interval(Trials.of(cases, map(float, values), groups))
    low, high = found.ci or (0.0, 1.0)
    return f"{name:<52} {found.mean:.3f}  {low:.3f} to {high:.3f}  n={len(values)}"


def f1(said: Any, attack: Any) -> float:
    """Return the harmonic mean of precision and recall of the attacks."""
    return float(2 * np.sum(said & attack) / max(1, np.sum(said) + np.sum(attack)))


def drawn(name: str, said: Sequence[bool], attack: Sequence[bool]) -> str:
    """Return a line with F1 and its percentile bootstrap interval over texts."""
    s, a = np.array(said), np.array(attack)
    rng = np.random.default_rng(0)
    draws = [f1(s[i], a[i]) for i in (rng.integers(0, len(s), len(s)) for _ in range(DRAWS))]
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{name:<52} {f1(s, a):.3f}  {low:.3f} to {high:.3f}  n={len(s)}"


def measure_inputs(texts: Sequence[Text], benign: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield figures on inputs that were held out, a fifth at a time, and on articles."""
    pasted: list[tuple[bool, str]] = []
    attack = [text.attack for text in texts]
    split = SELECTION.StratifiedKFold(FOLDS, shuffle=True, random_state=0).split
    folds: list[tuple[list[int], list[int]]] = [
        (seen.tolist(), unseen.tolist()) for seen, unseen in split(attack, attack)
    ]
    said = [False] * len(texts)
    for number, (seen, unseen) in enumerate(folds):
        model = fit_inputs([texts[i] for i in seen])
        new = [(p, title) for title, p in benign if _turn(benign, title) == number]
        pasted += [(flagged(p, "input", model), title) for p, title in new]
        for i in unseen:
            said[i] = flagged(texts[i].text, "input", model)
        if number == 0:
            yield drawn(
                "deepset, first fifth held out: F1",
                [said[i] for i in unseen],
                [attack[i] for i in unseen],
            )
    yield drawn("deepset, five folds: F1", said, attack)
    yield share("deepset, five folds: recall", [s for s, a in zip(said, attack, strict=True) if a])
    clean = [not s for s, a in zip(said, attack, strict=True) if not a]
    yield share("deepset, five folds: harmless inputs passed", clean)
    rules = [bool(findings(text.text, "input")) for text in texts]
    yield drawn("deepset, patterns alone: F1", rules, attack)
    yield share("xquad as inputs, never fitted on: flagged", *_columns(pasted))


def _turn(benign: Sequence[tuple[str, str]], title: str) -> int:
    """Return the fold of an article."""
    return sorted({one for one, _ in benign}).index(title) % FOLDS


def measure_documents(
    mail: Sequence[str], attack: Sequence[Attack], benign: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Yield figures on e-mails and kinds of attack neither of which the weights have seen."""
    kinds = sorted({one.category for one in attack})
    hits: dict[str, list[tuple[bool, str]]] = {"start": [], "middle": [], "end": []}
    passed: list[tuple[bool, str]] = []
    for fold in range(FOLDS):
        unseen = [m for m in mail if _fold(mail, m) == fold]
        seen = [m for m in mail if _fold(mail, m) != fold]
        text = [p for title, p in benign if _turn(benign, title) != fold]
        for part in range(FOLDS):
            new = [one for one in attack if kinds.index(one.category) % FOLDS == part]
            model = fit_documents([one for one in attack if one not in new], seen + text)
            passed += [(not flagged(m, "document", model), m) for m in unseen]
            for m in unseen:
                for one in new:
                    for where, whole in planted(m, one.text):
                        hits[where].append((flagged(whole, "document", model), one.category))
    rates: list[float] = []
    for where, found in hits.items():
        rates.append(float(np.mean([h for h, _ in found])))
        yield share(f"bipia, {where}: attacks flagged, by category", *_columns(found))
    clean = float(np.mean([p for p, _ in passed]))
    yield share("bipia: untouched e-mails passed", *_columns(passed))
    yield f"{'bipia: balanced accuracy, start, middle, end':<52} " + ", ".join(
        f"{(rate + clean) / 2:.3f}" for rate in rates
    )


def _columns(found: Sequence[tuple[bool, str]]) -> tuple[list[bool], list[str]]:
    return [value for value, _ in found], [group for _, group in found]


def _fold(mail: Sequence[str], one: str) -> int:
    """Return a mail's fold; mails alike but for names and amounts share one."""
    likeness = sorted({_skeleton(m) for m in mail})
    return likeness.index(_skeleton(one)) % FOLDS


def _skeleton(mail: str) -> str:
    return " ".join(re.findall(r"\b[a-z]{3,}\b", mail)[:12])


def measure_paragraphs(
    benign: Sequence[tuple[str, str]], attack: Sequence[Attack], mail: Sequence[str]
) -> Iterator[str]:
    """Yield how many encyclopedia paragraphs are flagged, by weights that have not seen them."""
    found: list[tuple[bool, str]] = []
    for fold in range(FOLDS):
        seen = [p for title, p in benign if _turn(benign, title) != fold]
        model = fit_documents(attack, [*mail, *seen])
        found += [
            (flagged(p, "document", model), title)
            for title, p in benign
            if _turn(benign, title) == fold
        ]
    yield share("xquad as documents, held-out articles: flagged", *_columns(found))


def written(model: Weights) -> dict[str, Any]:
    """Return a model as it is written."""
    return {
        "threshold": model.threshold,
        "rule_precision": model.precision,
        "intercept": model.intercept,
        "weights": model.weights.tolist(),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure what is there; write the weights if all of it is, and that was asked."""
    folders = [Path(each) for each in arguments if each != "--write"]
    data = folders[0] if folders else DATA
    needed = ("deepset_prompt_injections", "bipia", "xquad_en")
    lacking = [name for name in needed if not (data / name).exists()]
    if lacking:
        print(f"skipped: {', '.join(lacking)} not in {data.name}/")
        return
    texts, mail, attack, benign = inputs(data), mails(data), attacks(data), paragraphs(data)
    entry = fit_inputs(texts)
    document = fit_documents(attack, [*mail, *(p for _, p in benign)])
    print("what                                                 value  95% interval")
    for line in measure_inputs(texts, benign):
        print(line, flush=True)
    for line in measure_documents(mail, attack, benign):
        print(line, flush=True)
    for line in measure_paragraphs(benign, attack, mail):
        print(line, flush=True)
    print(
        "signs: " + ", ".join(f"{n} {w:+.2f}" for n, w in zip(SIGNS, document.weights, strict=True))
    )
    if "--write" in arguments:
        models = {"input": written(entry), "document": written(document)}
        WEIGHTS.write_text(json.dumps(models) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
