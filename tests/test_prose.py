"""Splitting and positions: nothing is lost, and every place maps back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps.issues import Issue
from assay.tools.findings import Finding, Findings, moved, placed
from assay.tools.prose import (
    BLANK,
    CHARS_PER_TOKEN,
    Lines,
    numbered,
    prose_only,
    split,
    survey,
    tokens,
    unnumbered,
)

TEXTS = st.text(st.sampled_from("ab .\n#é|1\r"), max_size=300)


@given(TEXTS, st.integers(1, 40))
def test_sections_joined_are_the_text_and_keep_the_budget(text: str, budget: int) -> None:
    parts = split(text, budget)
    assert "".join(part.text for part in parts) == text
    assert all(text[part.offset :].startswith(part.text) for part in parts)
    assert all(tokens(part.text) <= budget for part in parts)
    assert all(part.text for part in parts)


@given(TEXTS)
def test_numbers_come_off_again(text: str) -> None:
    assert unnumbered(numbered(text)) == text


@given(TEXTS, st.data())
def test_offset_and_position_are_inverse(text: str, data: st.DataObject) -> None:
    lines = Lines(text)
    offset = data.draw(st.integers(0, len(text)))
    at = lines.position(offset)
    assert lines.offset(at) == offset
    assert text[:offset].count("\n") == at.line - 1


@given(TEXTS.filter(bool), st.data())
def test_a_phrase_is_found_at_its_occurrence(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    lines = Lines(text)
    phrase = text[start:end]
    line, _ = lines.position(start)
    assert lines.find(line, phrase, lines.occurrence(start, phrase)) == start


@given(TEXTS.filter(bool), st.integers(1, 30), st.data())
def test_issues_of_sections_lie_exactly_in_the_whole(
    text: str, budget: int, data: st.DataObject
) -> None:
    whole = Lines(text)
    for part in split(text, budget):
        start = data.draw(st.integers(0, len(part.text) - 1))
        end = data.draw(st.integers(start + 1, len(part.text)))
        for issue in moved(placed(_findings(part.text, start, end), Lines(part.text)), part, whole):
            assert _slice(whole, issue) == issue.text == part.text[start:end]
            assert whole.position(part.offset + start) == (issue.line, issue.column)


def _findings(text: str, start: int, end: int) -> Findings:
    lines, phrase = Lines(text), text[start:end]
    found = Finding(
        line=lines.position(start).line,
        text=phrase,
        occurrence=lines.occurrence(start, phrase),
        category="style",
        severity="low",
        explanation="drawn",
    )
    return Findings(issues=[found, found])  # said twice, it is one issue


def _slice(lines: Lines, issue: Issue) -> str:
    flat = lines.text.split("\n")[issue.line - 1 : issue.end_line]
    if issue.end_line == issue.line:
        return flat[0][issue.column - 1 : issue.end_column - 1]
    first, *middle, last = flat
    return "\n".join([first[issue.column - 1 :], *middle, last[: issue.end_column - 1]])


def test_chapters_are_never_joined_but_paragraphs_are() -> None:
    text = "Chapter 1\n\nOne.\n\nTwo.\n\nChapter 2\n\nThree.\n"
    assert [part.text for part in split(text, 100)] == [
        "Chapter 1\n\nOne.\n\nTwo.\n\n",
        "Chapter 2\n\nThree.\n",
    ]


def test_a_long_chapter_is_cut_between_paragraphs() -> None:
    text = "# A\n\n" + "word " * 20 + "\n\n" + "more " * 20
    assert [part.text[:4] for part in split(text, 120 // CHARS_PER_TOKEN)] == ["# A\n", "more"]


@pytest.mark.parametrize(
    "hidden",
    [
        "`code here`",
        "https://example.org/teh",
        "```\nteh\n```",
        "~~~\nteh never closed",
        "<b class='teh'>",
        "me@example.org",
        "/usr/local/teh",
        "<!-- teh\n\nteh -->",
    ],
)
def test_what_is_not_prose_is_blanked_in_place(hidden: str) -> None:
    text = f"Before it.\n\n{hidden}"
    blanked = prose_only(text)
    assert len(blanked) == len(text)
    assert blanked.startswith("Before it.\n\n")
    assert not blanked[12:].replace(BLANK, "").strip()


def test_link_targets_are_hidden_and_their_text_is_not() -> None:
    assert prose_only("see [the manual](x_y) now") == f"see [the manual]{BLANK * 5} now"


@given(TEXTS)
def test_blanking_keeps_length_and_lines(text: str) -> None:
    blanked = prose_only(text)
    assert len(blanked) == len(text)
    assert blanked.count("\n") == text.count("\n")


def test_a_survey_counts_names_inside_sentences_only() -> None:
    found = survey("However, Anna's boat and Anna came. However late, the e-mail `Berta` went.")
    assert found.names == {"Anna": 2}
    assert found.words["e-mail"] == 1
    assert found.common(10) == "Anna 2"
