"""Copy editing without an LLM: dictionaries, and rules that would rather miss than cry wolf."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from ...tools.findings import Finding, Findings
from ...tools.prose import Lines, Survey, survey
from ..copy_editor import Deps
from .copy_editor_consistency import dialects, hyphens, names, preferred, quotation_marks
from .copy_editor_grammar import articles, doubled, slips
from .copy_editor_lexicon import lexicon
from .copy_editor_punctuation import capitals, long_sentences, spacing, unbalanced
from .copy_editor_spelling import misspelt
from .copy_editor_text import Mark, Prose

__all__ = ("marks", "solve")

# The first rule that marks a place keeps it: the surer and the more telling come first.
_RULES: tuple[Callable[[Prose], Iterator[Mark]], ...] = (
    preferred,
    doubled,
    articles,
    slips,
    names,
    misspelt,
    hyphens,
    dialects,
    capitals,
    spacing,
    unbalanced,
    quotation_marks,
    long_sentences,
)


async def solve(text: str, deps: Deps) -> Findings:
    """Report what rules and dictionaries find wrong in an English text.

    Passages in other languages are left alone, as are code and addresses.
    """
    rules = await deps.style.rules()
    terms = {banned: term for rule in rules for banned, term in rule.prefer.items()}
    return await asyncio.to_thread(_findings, text, terms, deps.survey or survey(text))


def _findings(text: str, terms: Mapping[str, str], whole: Survey) -> Findings:
    lines = Lines(text)
    return Findings(issues=[_finding(mark, lines) for mark in marks(text, terms, whole)])


def marks(text: str, terms: Mapping[str, str], whole: Survey) -> list[Mark]:
    """Return what the rules mark, in order, no two overlapping."""
    prose = Prose(text, whole, terms, lexicon())
    kept: list[Mark] = []
    taken = bytearray(len(text))
    for rule in _RULES:
        for mark in rule(prose):
            if not any(taken[mark.start : mark.end]):
                taken[mark.start : mark.end] = b"\x01" * (mark.end - mark.start)
                kept.append(mark)
    return sorted(kept)


def _finding(mark: Mark, lines: Lines) -> Finding:
    text = lines.text[mark.start : mark.end]
    line, _ = lines.position(mark.start)
    return Finding(
        line=line,
        text=text,
        occurrence=lines.occurrence(mark.start, text),
        category=mark.category,
        severity=mark.severity,
        explanation=mark.explanation,
        suggestion=mark.suggestion,
    )
