"""Messages as sparse vectors of words, word pairs and letter groups; a linear model over them.

The one place that touches scikit-learn, which ships no type information.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]
from sklearn import linear_model, svm  # type: ignore[import-untyped]
from sklearn.feature_extraction import text as extraction  # type: ignore[import-untyped]

__all__ = ("Bools", "Floats", "Ints", "Space", "Vector", "linear_weights", "logistic")

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Vector = tuple[Ints, Floats]  # columns, and the values in them

WORD = re.compile(r"\w+")

# Untyped, hence Any: what comes out is given its type below.
Tfidf: Any = extraction.TfidfVectorizer
Svm: Any = svm.LinearSVC
Logistic: Any = linear_model.LogisticRegression
Sparse: Any = sparse


@dataclass(frozen=True)
class Space:
    """A vocabulary with weights, learnt from texts (TF-IDF, Salton and Buckley 1988).

    Two blocks of unit length stand side by side: words and word pairs, which say what a message
    is about, and letter groups inside words, which forgive spelling and endings.
    """

    words: Any
    letters: Any

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Space":
        """Learn from `texts`; what occurs in one text only is dropped where there are many."""
        common = {"sublinear_tf": True, "min_df": 2 if len(texts) > 1000 else 1}
        words = Tfidf(token_pattern=WORD.pattern, ngram_range=(1, 2), **common)
        letters = Tfidf(analyzer="char_wb", ngram_range=(2, 5), **common)
        return cls(words.fit(texts), letters.fit(texts))

    def rows(self, texts: Sequence[str]) -> Any:
        """Return one sparse (CSR) row per text."""
        return Sparse.hstack([self.words.transform(texts), self.letters.transform(texts)]).tocsr()

    def vector(self, text: str) -> Vector:
        """Return one text's columns and their values: as `rows`, at a tenth of the time."""
        columns, values = zip(*(block.vector(text) for block in self.blocks), strict=True)
        return np.concatenate(columns), np.concatenate(values)

    @cached_property
    def blocks(self) -> tuple["Block", "Block"]:
        """Both blocks, ready for single texts."""
        words = Block.of(self.words, 0)
        return words, Block.of(self.letters, len(words.rarity))

    @cached_property
    def terms(self) -> list[str]:
        """The words and word pairs, by column."""
        return [str(term) for term in self.words.get_feature_names_out()]

    def known_share(self, text: str) -> float:
        """Return which part of a text's words, weighted by rarity, was seen before: 0 to 1."""
        words = self.blocks[0]
        columns = [words.columns.get(word) for word in WORD.findall(text.lower())]
        known = sum(words.rarity[c] for c in columns if c is not None)
        unseen = words.rarest * columns.count(None)
        return known / ((known + unseen) or 1.0)


@dataclass(frozen=True)
class Block:
    """One fitted vectorizer, taken apart: scikit-learn's own checks cost more than the work."""

    analyze: Callable[[str], list[str]]
    columns: Mapping[str, int]
    rarity: Sequence[float]
    rarest: float
    start: int

    @classmethod
    def of(cls, vectorizer: Any, start: int) -> "Block":
        """Take a TF-IDF vectorizer apart; its first column is `start` of the whole."""
        rarity = cast(Floats, vectorizer.idf_).tolist()
        columns = {str(k): int(v) for k, v in vectorizer.vocabulary_.items()}
        return cls(vectorizer.build_analyzer(), columns, rarity, max(rarity), start)

    def vector(self, text: str) -> Vector:
        """Return columns and values, of length 1 together."""
        known = ((self.columns.get(t), n) for t, n in Counter(self.analyze(text)).items())
        found = {c: (1 + log(n)) * self.rarity[c] for c, n in known if c is not None}
        values = np.fromiter(found.values(), np.float64, len(found))
        length = float(np.sqrt(values @ values)) or 1.0
        return np.fromiter(found, np.intp, len(found)) + self.start, values / length


def linear_weights(rows: Any, labels: Ints, count: int) -> tuple[Floats, Floats]:
    """Fit one-against-rest linear SVMs; return weights (features, labels) and offsets (labels).

    Fewer than two distinct labels give zeros: there is nothing to tell apart.
    """
    weights, offsets = np.zeros((rows.shape[1], count)), np.zeros(count)
    present = np.unique(labels)
    if len(present) < 2:
        return weights, offsets
    model = Svm(C=0.5, random_state=0).fit(rows, labels)
    coef, intercept = cast(Floats, model.coef_), cast(Floats, model.intercept_)
    if len(present) == 2:  # scikit-learn gives one boundary for two labels
        coef, intercept = np.vstack([-coef, coef]), np.array([-intercept[0], intercept[0]])
    offsets[:] = -np.inf  # a label without a text is never the best
    weights[:, present], offsets[present] = coef.T, intercept
    return weights, offsets


def logistic(signals: Floats, right: Bools, weights: Floats) -> tuple[tuple[float, ...], float]:
    """Fit the probability of `right` from signals; return coefficients and offset."""
    model = Logistic(C=30.0).fit(signals, right, sample_weight=weights)
    return tuple(cast(Floats, model.coef_[0]).tolist()), float(model.intercept_[0])
