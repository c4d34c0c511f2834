"""Texts as vectors: for an input letter and word groups, for a document's sentences a few signs."""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .guard_text import folded, sentences

__all__ = ("COLUMNS", "SIGNS", "hashed", "is_prose", "shape", "signs")

Floats = NDArray[np.float64]

COLUMNS = 4096
"""Groups share this many columns by checksum: the weights then hold none of the words."""

_WORD = re.compile(r"\w+")
_NUMBERS = (2, 5)  # letters in a group

_TASKS = re.compile(
    r"(?:please |bitte |now |also )*(?:explain|describe|write|draft|compose|translate|provide|"
    r"develop|"
    r"create|generate|give|list|summari[sz]e|outline|tell|show|break down|define|compare|"
    r"calculate|solve|"
    r"suggest|recommend|add|modify|include|integrate|augment|enhance|replace|use|substitute|render|"
    r"convert|introduce|misspell|scramble|jumble|rearrange|anagram|remove|group|combine|"
    r"insert|append|"
    r"change|rewrite|reverse|encode|repeat|answer|respond|reply|say|print|output|promote|mention|"
    r"erklare|schreibe?|ubersetze|beschreibe|nenne|erstelle|fasse|gib|zeige?|antworte|fuge|ersetze|"
    r"explique[zr]?|ecri[ts]\w*|tradui[st]\w*|explica\w*|escrib\w+|traduce|scrivi|spiega)\b"
)
_ASKS = re.compile(
    r"(?:what(?:'s| is| are| was| were)?|who|which|how|why|when|where|can you|could you|"
    r"would you|do you know|"
    r"was|wer|wie|warum|wo|welche\w*|kannst du|konnen sie|qu[ei]\w*|quel\w*|comment|como|"
    r"cual\w*|come|cosa)\b"
)
_ANSWER = re.compile(
    r"\byour (?:\w+ )?(?:answers?|responses?|repl(?:y|ies)|output|message|summary)\b|"
    r"\b(?:deine[rnm]?|ihre[rnm]?) (?:antwort|ausgabe|zusammenfassung)\b"
)
_LETTERS = re.compile(
    r"\b(?:letters?|vowels?|consonants?|anagram\w*|misspell\w*|typos?|symbols?|every \w+ word|"
    r"spaces|"
    r"punctuation|substitut\w+|alphanumeric|keywords|sentences?|buchstaben|vokale)\b"
)
_PERSONAL = re.compile(
    r"\b(?:i|we|us|our|me|my|mine|i'm|we're|we'll|i'll|ich|wir|uns\w*|mir|mich|mein\w*|nous|"
    r"notre)\b"
)
_YOURS = re.compile(
    r"\b(?:your|you|ihr\w*|sie|dein\w*) (?:\w+ )?(?:account|invoice|order|card|documents?|"
    r"booking|tickets?|"
    r"payment|receipt|team|company|subscription|bill|e-?mail|preferences|settings)\b"
)
_YOU = re.compile(
    r"\b(?:you|your\w*|du|dein\w*|dich|dir|ihr|ihre\w*|vous|votre|tu|tus|usted|voce|вы|ты|твой)\b"
)
_LONG = 160
_QUOTED = re.compile(r'"[^"]{0,800}"|“[^“”]{0,800}”|\bdu (?=[A-Z])')
"""What is said within a text, and du Pont: neither addresses its reader."""
_SHOUTED = re.compile(r"\b[^\W\d_a-zß-ÿ]{3,}\b")
_LINK = re.compile(r"\b(?:www\.|https?://|\w+\.(?:com|net|org|xyz)\b)")

_ASKING = ("sets a task", "sets a task, in person", "asks", "asks, in person", "names the answer")

SIGNS = (
    *_ASKING,
    "names the answer, sets a task",
    "plays with letters",
    "task with link",
    "names the reader's things",
)
"""The signs of a sentence, in the order of `signs`."""


def signs(sentence: str) -> tuple[float, ...]:
    """Return the signs of a folded sentence, each 0 or 1."""
    sentence = sentence.strip(" \t\r\n\"'-*•>:|")
    task = bool(_TASKS.match(sentence))
    asks = bool(_ASKS.match(sentence)) and "?" in sentence
    answer, own = bool(_ANSWER.search(sentence)), bool(_PERSONAL.search(sentence))
    found = (
        task and not own,
        task and own,
        asks and not own,
        asks and own,
        answer,
        answer and task,
        bool(_LETTERS.search(sentence)),
        task and bool(_LINK.search(sentence)),
        bool(_YOURS.search(sentence)),
    )
    return tuple(map(float, found))


def shape(part: str) -> Floats:
    """Return the signs that any sentence of a paragraph has, those of the last, and its outline."""
    found = [signs(folded(part[start:end]).text) for start, end in sentences(part)]
    found = found or [signs("")]
    outline = (
        len(_SHOUTED.findall(part)) > 1,
        len(found) > 1,
        len(found) > 2,
        ":" in part,
        "\n" in part,
        part.count("?") > 1,
        part.rstrip().endswith("?"),
    )
    return np.concatenate([np.max(found, axis=0), found[-1], np.array(outline, dtype=float)])


def is_prose(part: str) -> bool:
    """Tell whether a paragraph is long and neither asks nor addresses anybody.

    Words are learnt from short prompts, which say nothing of such text.
    """
    if len(part) <= _LONG or _YOU.search(folded(_QUOTED.sub(" ", part)).text):
        return False
    found = [signs(folded(part[start:end]).text) for start, end in sentences(part)]
    return not any(any(each[: len(_ASKING)]) for each in found)


def hashed(text: str) -> Floats:
    """Return a folded text's word and word-pair groups, and its letter groups, each of length 1."""
    words = _WORD.findall(text)
    pairs = (f"{a} {b}" for a, b in pairwise(words))
    return _block(f"w:{g}" for g in (*words, *pairs)) + _block(f"c:{g}" for g in _letters(words))


def _letters(words: Sequence[str]) -> Iterable[str]:
    low, high = _NUMBERS
    for word in (f" {word} " for word in words):
        for size in range(low, high + 1):
            for i in range(max(1, len(word) - size + 1)):
                yield word[i : i + size]


def _block(groups: Iterable[str]) -> Floats:
    """Count groups into columns, dampened, as a vector of length 1 (or of zeros)."""
    vector = np.zeros(COLUMNS)
    for group, count in Counter(groups).items():
        vector[zlib.crc32(group.encode("utf-8", "surrogatepass")) % COLUMNS] += 1 + np.log(count)
    return vector / (float(np.sqrt(vector @ vector)) or 1.0)
