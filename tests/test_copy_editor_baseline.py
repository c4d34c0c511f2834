"""The baseline finds what it should, leaves right English alone, and always says the same."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.agents import copy_editor
from assay.agents.baselines.copy_editor import marks
from assay.deps.style import MemoryStyle, StyleRule
from assay.tools.prose import survey


def found(text: str, **terms: str) -> list[tuple[str, str | None]]:
    return [(text[m.start : m.end], m.suggestion) for m in marks(text, terms, survey(text))]


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("We recieve letters.", "recieve", "receive"),
        ("Teh end is near.", "Teh", "The"),
        ("A wich is a question.", "wich", "which"),
        ("The goverment's plan failed.", "goverment's", "government's"),
        ("Open the the window.", "the the", "the"),
        ("They ran to\nto the sea.", "to\nto", "to"),
        ("She is a honest woman.", "a", "an"),
        ("An European came by.", "An", "A"),
        ("He paid a 8-dollar fine.", "a", "an"),
        ("It is an one-off.", "an", "a"),
        ("He sent a SMS to us.", "a", "an"),
        ("They was late again.", "was", "were"),
        ("You should of gone home.", "of", "have"),
        ("The dog chased it's own tail.", "it's", "its"),
        ("It is colder then it was before, more then I like.", "then", "than"),
        ("He has went home.", "went", "gone"),
        ("We did not saw him.", "saw", "see"),
        ("I think i will stay.", "i", "I"),
        ("Come in ,please and sit.", " ,", ","),
        ("Come in,please and sit.", ",", ", "),
        ("It was late.Nobody came.", ".", ". "),
        ("One  space too many.", "  ", " "),
        ("The end is near..", "..", "."),
        ("It ends here. then it goes on.", "then", "Then"),
        ("The hall (built later was cold.", "(", None),
        ('"We go, he said, and left.', '"', None),
    ],
)
def test_an_error_is_marked_and_mended(text: str, wrong: str, right: str | None) -> None:
    assert (wrong, right) in found(text)
    assert len(found(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "An hour, an heir, an MP, an 8, a union, a one-off, a European, a useful MBA, an X-ray.",
        "All he had had that that man had had no effect.",
        "Vitamin A and B are listed; a is the base, and plan A is off.",
        '"They was here," he said. "We was too, and he don\'t care."',
        "> They was singing.\n",
        "If he were rich, she insisted that he have it. Did they have it?",
        "Dr. Smith et al. met e.g. at no. 7 with etc. and so on.",
        "Die die Kinder betreffenden Formulare liegen bei und wir schicken sie morgen zurück.",
        "Nous nous sommes trompés de chemin : il fallait tourner à gauche après le pont !",
        "The colour of the theatre was grey. The neighbours organised it.",
        "The color of the theater was gray. The neighbors organized it.",
        "See [the](teh) `teh  teh` at https://example.org/teh,teh and\n\n    teh teh\n",
        "f(n) and (a, b) with 1) one, b) two; 501(c)(3).",
        "Wait... Certainly! And how!... Really?!",
        "| a  | teh |\n|----|-----|\n".replace("teh", "the"),
        "Ngozi Adeyemi flew to Ouagadougou and met Mbeki.",
        "",
        "\x00\n\n'’",
    ],
)
def test_right_text_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_one_thing_in_two_ways_is_marked_where_it_is_rarer() -> None:
    text = "The email came. An email, an e-mail. The colour, the colour, the color."
    assert found(text) == [("e-mail", "email"), ("color", "colour")]


def test_the_house_style_keeps_capitals_and_goes_first() -> None:
    guide = {"e-mail": "email", "internet": "Internet"}
    assert found("E-mail me by internet. The Internet!", **guide) == [
        ("E-mail", "Email"),
        ("internet", "Internet"),
    ]


async def test_the_agent_answers_with_it_by_default_and_keeps_the_rules() -> None:
    rule = StyleRule(id="mail", text="Write email.", prefer={"e-mail": "email"})
    deps = copy_editor.Deps(style=MemoryStyle((rule,)))
    review = await copy_editor.run("# News\n\nThe e-mail is is here.\n", deps)
    assert [(i.line, i.column, i.text, i.category) for i in review.issues] == [
        (3, 5, "e-mail", "style"),
        (3, 12, "is is", "mechanical"),
    ]


@settings(max_examples=60)
@given(st.text(st.sampled_from("aAi the tehe.,'’\"“”()-\n`|*#é1"), max_size=120))
def test_marks_lie_in_the_text_and_never_overlap(text: str) -> None:
    made = marks(text, {}, survey(text))
    assert made == marks(text, {}, survey(text))
    ends = [0, *(mark.end for mark in made)]
    assert all(end <= mark.start < mark.end for end, mark in zip(ends, made, strict=False))


def test_hostile_sizes_take_linear_time() -> None:
    began = time.process_time()
    for text in ("(" * 9_000, '"a' * 4_000, "`" * 9_000, "a " * 4_000, "<!--" * 2_000):
        marks(text, {}, survey(text))
    assert time.process_time() - began < 8
