"""Spacing, punctuation, brackets, quotation marks, capitals and the length of sentences."""

import re
from collections.abc import Iterator
from itertools import pairwise

from .copy_editor_text import Mark, Prose

__all__ = ("capitals", "long_sentences", "spacing", "unbalanced")

_SPACED = [
    (r"(?<=[^\s|])(  +)(?=[^\s|\\])", " ", "low", "More than one space."),
    (
        r"(?<=[^\W\d])([ \t]+(?:[,;](?!\))|[:.!?](?=\s|\Z)))",
        None,
        "medium",
        "No space stands before this.",
    ),
    (
        r"(?<=[^\W\d_])(,,|;;|(?:\?\.|!\.|(?<=[a-z]{4}),\.|(?<=[a-z]{4})\.,)(?!\.))",
        None,
        "medium",
        "Punctuation twice.",
    ),
    (r"(?<![.\W])(\.\.)(?![.\w/])", ".", "medium", "Two full stops."),
    (r"(?<=[a-z]{2})([,;])(?=[A-Za-z])", "{} ", "medium", "A space is missing after this."),
    (r"(?<=[a-z]{2})([.!?])(?=[A-Z][a-z])", "{} ", "medium", "A space is missing after this."),
    (r"(?<=\w)( +[)\]])", None, "low", "No space stands before a closing bracket."),
    (r"([(\[] +)(?=\w)", None, "low", "No space stands after an opening bracket."),
]
_COMPILED = [(re.compile(p), to, severity, why) for p, to, severity, why in _SPACED]


def spacing(prose: Prose) -> Iterator[Mark]:
    """Yield spaces and points that are too many or missing; tables and lists keep theirs."""
    two_after_stop = len(re.findall(r"[.!?]  (?=\S)", prose.text))
    for start, end in _english(prose):
        for pattern, to, severity, why in _COMPILED:
            for found in pattern.finditer(prose.text, start, end):
                wrong = found[1]
                at = found.start(1)
                if wrong.isspace() and (
                    _aligns(prose.text, at) or _habit(prose, at, two_after_stop)
                ):
                    continue
                right = wrong.strip() if to is None else to.format(wrong)
                right = right[0] if right in (",,", ";;", "?.", "!.", ",.", ".,") else right
                yield Mark(at, found.end(1), "mechanical", severity, why, right)  # type: ignore[arg-type]


def _english(prose: Prose) -> Iterator[tuple[int, int]]:
    """Yield the spans of English paragraphs: French puts spaces before its colons."""
    for run in prose.english():
        end = prose.text.find("\n\n", run[-1].end)
        yield run[0].start, end if end >= 0 else len(prose.text)


def _aligns(text: str, at: int) -> bool:
    """Tell whether a line is a table, or indented matter, where spaces mean something."""
    line = text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0]
    return "|" in line or not line[: at - (text.rfind("\n", 0, at) + 1)].strip(
        " -*+>\x00.0123456789"
    )


def _habit(prose: Prose, at: int, two_after_stop: int) -> bool:
    """Tell whether the author sets two spaces after every sentence, as typists did."""
    return prose.text[at - 1] in ".!?" and two_after_stop > 2


_PAIRS = {")": "(", "]": "[", "}": "{", "”": "“"}
_LIST_MARK = re.compile(r"(?:\A|\s)(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})\Z")
_FACES = re.compile(r"(?<=\s)[:;=][-']?[()\[\]]")


def unbalanced(prose: Prose) -> Iterator[Mark]:
    """Yield brackets and quotation marks without their partner in the same paragraph."""
    for start, end in prose.paragraphs:
        text = _FACES.sub(lambda found: " " * len(found[0]), prose.text[start:end])
        for at in (*_unpaired(text), *_odd_straight(text)):
            if _runs_on(prose, start + at, end):
                continue
            char = text[at]
            yield Mark(
                start + at,
                start + at + 1,
                "mechanical",
                "medium",
                f"{char!r} has no partner in its paragraph.",
            )


def _unpaired(text: str) -> list[int]:
    waiting: list[int] = []
    alone: list[int] = []
    for found in re.finditer(r"[()\[\]{}“”]", text):
        opening = _PAIRS.get(found[0])
        if opening is None:
            waiting.append(found.start())
        elif waiting and text[waiting[-1]] == opening:
            waiting.pop()
        elif not _LIST_MARK.search(text, max(0, found.start() - 6), found.start()):
            alone.append(found.start())
    return waiting + alone


def _odd_straight(text: str) -> list[int]:
    """Return the place of the last straight quotation mark when their number is odd."""
    marks = [found.start() for found in re.finditer(r'(?<!\d)"', text)]
    return marks[-1:] if len(marks) % 2 else []


def _runs_on(prose: Prose, at: int, end: int) -> bool:
    """Tell whether a quotation stays open because the next paragraph goes on with it."""
    return prose.text[at] in '“"' and prose.text[end:].lstrip()[:1] in ("“", '"')


def capitals(prose: Prose) -> Iterator[Mark]:
    """Yield sentences that begin with a small letter."""
    for run in prose.english():
        for a, b in pairwise(run):
            if (
                re.fullmatch(r"\.[ \t]*\n?[ \t]*", b.gap)
                and len(b.gap) > 1
                and b.first
                and b.text.islower()
                and a.text.isalpha()
                and a.text.islower()
                and len(a.text) > 3
                and prose.lexicon.knows(b.text)
            ):
                yield Mark(
                    b.start,
                    b.end,
                    "mechanical",
                    "medium",
                    "A sentence begins with a capital.",
                    b.text.capitalize(),
                )


_LONG = 80  # words; few sentences of good prose are longer, and those are meant


def long_sentences(prose: Prose) -> Iterator[Mark]:
    """Yield the first words of sentences that are very long."""
    for run in prose.english():
        firsts = [i for i, word in enumerate(run) if word.first] + [len(run)]
        for a, b in pairwise(firsts):
            if b - a > _LONG:
                yield Mark(
                    run[a].start,
                    run[min(a + 4, b - 1)].end,
                    "style",
                    "low",
                    f"This sentence has {b - a} words; split it if it must be read twice.",
                )
