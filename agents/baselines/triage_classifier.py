"""A text classifier that knows when to say nothing, fitted on the examples of a taxonomy.

Which label: linear SVMs over TF-IDF of words and letter groups.

Whether any: a logistic model over a few signals, such as the margin between the two best labels,
the likeness to the nearest example and the share of known words. It needs messages that fit no
label, and a taxonomy has none. So whole labels are left out of a fit in turn, and their examples
play the stranger. Examples left out while their label stays play the honest message.

How much of it is enough: the threshold that gets most of them right, were three messages in a
hundred strangers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, pairwise
from typing import Any

import numpy as np

from ...deps.taxonomy import Label, Taxonomy
from .triage_features import Bools, Floats, Ints, Space, Vector, linear_weights, logistic

__all__ = ("Classifier", "Gate", "Guess", "fit")

STRANGERS = 0.03
"""The assumed share of messages that fit no label. More of it means more abstention."""

ROUNDS = 3
"""In each, one label in so many is left out."""

ENOUGH = 20
"""So many strangers of one label; more would teach nothing new."""

UNSEEN = 5
"""One example in so many is left out while its label stays."""

MIN_LABELS, MIN_EXAMPLES = 4, 24
"""With fewer labels, leaving some out says nothing; with fewer examples, leaving any out."""

SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Guess:
    """What the classifier makes of one message.

    Attributes:
        label: Position of the best label.
        answers: Whether it is worth saying.
        confidence: Calibrated probability that the label is right, or, where it is not worth
            saying, that it is wrong.
        words: The words and word pairs that speak for the label, strongest first.
    """

    label: int
    answers: bool
    confidence: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """A logistic model from signals to a probability."""

    coefficients: tuple[float, ...]
    offset: float

    def __call__(self, signals: Floats) -> Floats:
        odds: Floats = np.exp(signals @ np.array(self.coefficients) + self.offset)
        return odds / (1 + odds)


@dataclass(frozen=True)
class Gate:
    """Whether to believe a guess.

    Attributes:
        right: Probability that the label is right, given that one of the labels is.
        trust: Probability that it is right, strangers included.
        threshold: Trust from which on an answer is worth giving.
    """

    right: Curve
    trust: Curve
    threshold: float


HINT = Curve((1.0, 1.0, 6.0, 3.0, 1.0), -3.5)
CAUTIOUS = Gate(right=HINT, trust=HINT, threshold=0.5)
"""For taxonomies too small to learn a gate from: an answer needs likeness to an example."""


@dataclass(frozen=True)
class Model:
    """Scores of labels for messages, before anyone asks whether to believe them."""

    space: Space
    weights: Floats
    offsets: Floats
    rows: Any
    owners: Ints

    @classmethod
    def of(cls, texts: Sequence[str], owners: Ints, count: int) -> "Model":
        """Fit on `texts`, each with the position of the label that owns it, in order."""
        space = Space.of(texts)
        rows = space.rows(texts)
        weights, offsets = linear_weights(rows, owners, count)
        return cls(space, weights, offsets, rows, owners)

    @cached_property
    def parts(self) -> list[Any]:
        """The examples' rows, label by label."""
        ends = np.searchsorted(self.owners, np.arange(len(self.offsets) + 1))
        return [self.rows[a:b] for a, b in pairwise(ends)]

    def judge(self, text: str, vector: Vector) -> tuple[int, Floats]:
        """Return the best label and the signals that tell how far to trust it.

        `vector` is that of `text`, which tells the share of known words besides.
        """
        columns, values = vector
        scores = values @ self.weights[columns] + self.offsets
        dense = np.zeros(len(self.weights))
        dense[columns] = values / 2  # two blocks of length 1: their product is 2 at most
        order = np.argsort(-scores, kind="stable")
        first, second = int(order[0]), int(order[min(1, len(order) - 1)])
        near, next_near = (self._likeness(label, dense) for label in (first, second))
        known = self.space.known_share(text)
        margin = scores[first] - scores[second]
        return first, np.array([scores[first], margin, near, near - next_near, known])

    def judge_all(self, texts: Sequence[str]) -> tuple[Ints, Floats]:
        """Return best labels, and signals in rows."""
        vectors = map(self.space.vector, texts)
        best, signals = zip(*map(self.judge, texts, vectors), strict=True)
        return np.array(best), np.vstack(signals)

    def speaking(self, vector: Vector, label: int) -> tuple[str, ...]:
        """Return the words and word pairs of a text that raise `label`, strongest first."""
        columns, values = vector
        terms = self.space.terms
        pushes = values * self.weights[columns, label]
        pairs = zip(map(float, pushes), map(int, columns), strict=True)
        ranked = sorted((-push, c) for push, c in pairs if push > 0 and c < len(terms))
        return tuple(terms[c] for _, c in ranked)

    def _likeness(self, label: int, dense: Floats) -> float:
        part = self.parts[label]
        return float((part @ dense).max()) if part.shape[0] else 0.0


@dataclass(frozen=True)
class Classifier:
    """A model of the labels, and the gate that decides whether to believe it."""

    model: Model
    gate: Gate

    def guess(self, text: str) -> Guess:
        """Return the best label for one message, and whether and how far to trust it."""
        vector = self.model.space.vector(text)
        label, signals = self.model.judge(text, vector)
        trust = float(self.gate.trust(signals))
        answers = trust >= self.gate.threshold
        confidence = float(self.gate.right(signals)) if answers else 1 - trust
        return Guess(label, answers, confidence, self.model.speaking(vector, label))


def fit(taxonomy: Taxonomy) -> Classifier:
    """Fit on a taxonomy's names, descriptions and examples; equal taxonomies, equal results."""
    texts, owners, told = _documents(taxonomy.labels)
    count = len(taxonomy.labels)
    return Classifier(Model.of(texts, owners, count), _gate(texts, owners, told, count))


def _documents(labels: Sequence[Label]) -> tuple[list[str], Ints, Bools]:
    """Return all texts, whose label each is, and whether it is an example.

    A label's name and description are a document of their own: without examples, the only one.
    """
    found: list[tuple[str, int, bool]] = []
    for i, label in enumerate(labels):
        found.append((f"{SEPARATORS.sub(' ', label.name)} {label.description}", i, False))
        found.extend((text, i, True) for text in dict.fromkeys(label.examples) if text.strip())
    texts, owners, told = zip(*found, strict=True)
    return list(texts), np.array(owners), np.array(told)


def _gate(texts: Sequence[str], owners: Ints, told: Bools, count: int) -> Gate:
    """Learn from left-out examples when a guess is right, from left-out labels when none is."""
    if count < 2 or told.sum() < MIN_EXAMPLES:
        return CAUTIOUS
    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    unseen = told & (rank % UNSEEN == 1)
    honest = _trial(texts, owners, ~unseen, unseen, count)
    if honest.right.all() or not honest.right.any():
        return CAUTIOUS
    right = Curve(*logistic(honest.signals, honest.right, np.ones(len(honest.right))))
    if count < MIN_LABELS:
        return Gate(right, right, threshold=0.5)
    turns = np.random.default_rng(0).permutation(count)[owners] % ROUNDS
    rounds = [
        _trial(
            texts,
            owners,
            (turns != t) & ~unseen,
            (turns == t) & told & (rank <= ENOUGH) | unseen,
            count,
        )
        for t in range(ROUNDS)
    ]
    return _weighed(right, honest, rounds)


@dataclass(frozen=True)
class Trial:
    """What a model made of messages that it was not fitted on, by row."""

    signals: Floats
    right: Bools
    strange: Bools


def _trial(texts: Sequence[str], owners: Ints, train: Bools, test: Bools, count: int) -> Trial:
    """Fit on some texts and judge others."""
    model = Model.of(list(compress(texts, train)), owners[train], count)
    best, signals = model.judge_all(list(compress(texts, test)))
    return Trial(signals, best == owners[test], ~np.isin(owners[test], owners[train]))


def _weighed(right: Curve, honest: Trial, rounds: Sequence[Trial]) -> Gate:
    """Return the gate that does best if strangers come as often as assumed.

    The curve comes from rounds in which both kinds met the same model. The threshold is set on
    honest messages that met all labels, as messages will.
    """
    signals = np.vstack([r.signals for r in rounds])
    hit = np.concatenate([r.right for r in rounds])
    strange = np.concatenate([r.strange for r in rounds])
    unknown, known = int(strange.sum()), int((~strange).sum())
    weights = np.full(len(hit), 1 - STRANGERS)
    weights[strange] = STRANGERS * known / unknown
    trust = Curve(*logistic(signals, hit, weights))
    threshold = best_threshold(
        trust(honest.signals[honest.right]), len(honest.right), trust(signals[strange])
    )
    return Gate(right, trust, threshold)


def best_threshold(right: Floats, honest: int, strange: Floats) -> float:
    """Return the trust from which on to answer.

    Args:
        right: Trust in each right guess.
        honest: How many honest messages there were, wrong guesses included.
        strange: Trust in each guess on a stranger.
    """
    p = np.concatenate([right, strange])
    lost, won = -(1 - STRANGERS) / honest, STRANGERS / len(strange)
    gains = np.where(np.arange(len(p)) < len(right), lost, won)
    order = np.argsort(p, kind="stable")
    total = np.cumsum(gains[order])
    best = int(total.argmax())
    return float(np.nextafter(p[order][best], 1)) if total[best] > 0 else 0.0
