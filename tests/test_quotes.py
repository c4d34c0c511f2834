"""Quotes: what is found is verbatim, and what is verbatim is found."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps.fence import fence
from assay.tools.quotes import DOCUMENT, Span, find_quote, locate, nearest, not_there, verbatim

texts = st.text(alphabet=st.sampled_from("aAbB1 \n\t.'\u2019-\u2013é€"), max_size=60) | st.text(
    max_size=60
)


@given(texts, st.data())
def test_what_stands_in_a_text_is_found_where_it_stands(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    phrase = text[start:end]
    if phrase.strip():
        start += len(phrase) - len(phrase.lstrip())
        assert Span(start, start + len(phrase.strip())) in locate(text, phrase)


@given(texts, texts)
def test_every_span_round_trips(text: str, phrase: str) -> None:
    for start, end in locate(text, phrase):
        assert Span(start, end) in locate(text, text[start:end])


@given(texts, texts)
def test_a_verbatim_quote_is_verbatim(text: str, phrase: str) -> None:
    quote = verbatim(text, phrase)
    assert quote is None or quote.text == text[quote.start : quote.end]


def test_line_breaks_case_and_quotation_marks_do_not_matter() -> None:
    text = "She said: “Don\u2019t\n   pay \u2013 yet”."
    (span,) = locate(text, "don't PAY - yet")
    assert text[span.start : span.end] == "Don\u2019t\n   pay \u2013 yet"


def test_nothing_is_found_by_an_empty_phrase() -> None:
    assert locate("some text", " \n") == []


def test_the_words_before_choose_between_occurrences() -> None:
    text = "Net 10.00\nTotal:  10.00"
    first, second = verbatim(text, "10.00"), verbatim(text, "10.00", after="total:")
    assert (first and first.start, second and second.start) == (4, 18)
    assert verbatim(text, "10.00", after="nowhere") == first


def test_the_nearest_passage_bears_errors() -> None:
    text = "Rent for May is due.\nThe total sum is 480.00 EUR, payable now."
    assert "total sum is 480.00 EUR" in nearest(text, "The total sum was 480,00 EUR")
    assert nearest(text, "zzzzqqqq") == ""
    assert not_there("", "x") == "'x' is not in the document."


@given(texts, texts)
def test_the_nearest_passage_is_of_the_text(text: str, phrase: str) -> None:
    assert nearest(text, phrase) in " ".join(text.split())


async def test_the_tool_shows_passages_of_the_fenced_document() -> None:
    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("find_quote", {"phrase": "TOTAL due"})])
        (part,) = messages[-1].parts
        assert isinstance(part, ToolReturnPart)
        return ModelResponse(parts=[TextPart(str(part.content))])

    agent = Agent(FunctionModel(model))
    agent.tool(find_quote)
    result = await agent.run(fence(DOCUMENT, "Your total\ndue: 5"))
    assert result.output == str(["Your [[total\ndue]]: 5"])


def test_long_texts_stay_fast() -> None:
    text = "a " * 50_000
    assert len(locate(text, "a a a a a")) == 49_996
    assert nearest(text, "a b a b") != ""
