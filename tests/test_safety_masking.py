"""Keys and personal data are masked in what leaves, and nothing else changes."""

import base64
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.deps.base import BaseDeps
from assay.deps.models import Endpoint, Models
from assay.deps.safety.masking import PERSONAL, Kind, Masking, mask, masked
from assay.deps.safety.tracing import Said

KEY = "vK9+xq2/Lw77pQ=="
TOKEN = "ghp_" + "a1B2c3D4e5" * 4
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADANBg\n-----END PRIVATE KEY-----"
MAIL, CARD, IBAN = "eve@example.net", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32"


def hidden(text: str) -> str:
    return mask(text, keys=[KEY])


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        " ".join(KEY),
        "\u200b".join(KEY),
        KEY[::-1],
        KEY.translate({ord("v"): "\uff56", ord("9"): "\uff19"}),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        quote(KEY, safe=""),
        *(base64.b64encode(b"x" * n + KEY.encode() + b"tail").decode() for n in range(4)),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
    ],
)
def test_a_known_key_is_masked_in_any_of_these_forms(form: str) -> None:
    found = hidden(f"It is {form} indeed.")
    assert "[secret]" in found
    assert found.startswith("It is ")
    assert found.endswith(" indeed.")
    assert not set("qLp7") <= set(found.replace("[secret]", ""))


@pytest.mark.parametrize("form", [TOKEN, PEM, base64.b64encode(f"t={TOKEN}".encode()).decode()])
def test_what_looks_like_a_key_is_masked(form: str) -> None:
    assert mask(f"a {form} b") == "a [secret] b"
    assert mask(f"a {form} b", secrets=False) == f"a {form} b"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (MAIL, "email"),
        (CARD, "credit_card"),
        (IBAN, "iban"),
        ("078-05-1120", "us_ssn"),
        ("+44 20 7946 0958", "phone"),
        ("(555) 013-4477", "phone"),
    ],
)
def test_personal_data_is_masked_by_kind(text: str, kind: Kind) -> None:
    assert mask(f"It is {text}.") == f"It is [{kind}]."
    others: list[Kind] = [one for one in PERSONAL if one != kind]
    assert mask(f"It is {text}.", personal=others) == f"It is {text}."
    assert mask(f"It is {text}.", keep=Said([f"I am {text}"])) == f"It is {text}."


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # the check digit is wrong
        "In 2026, 1,250.00 on page 12 of 340",
        "2026-11-21 09:40:27",
        "order 20261121-0940",
        "1.2.3.4",
    ],
)
def test_other_figures_stay(text: str) -> None:
    assert mask(text) == text


texts = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from([KEY, TOKEN, MAIL, CARD, IBAN, KEY[::-1], " ", "a", "\n", "+49 30 123456"])
    ).map("".join),
)


@given(texts)
def test_what_is_masked_stays_as_it_is(text: str) -> None:
    assert hidden(hidden(text)) == hidden(text)


@given(texts, texts)
def test_no_key_is_left(before: str, after: str) -> None:
    assert KEY not in hidden(before + KEY + after)


class Tone(StrEnum):
    FRIENDLY = "eve@example.net"


class Point(NamedTuple):
    name: str
    x: int


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    count: int = 1


class Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    to: str = Field(pattern="@")
    tone: Tone = Tone.FRIENDLY
    lines: tuple[Line, ...] = ()
    tags: set[str] = set()
    more: dict[str, Any] = {}


NOTE = Note.model_validate(
    {
        "to": MAIL,
        "lines": (Line(f"by {MAIL}", 2), Line("bye")),
        "tags": {"a", MAIL},
        "more": {MAIL: [MAIL, 1], CARD: None, "fred@example.net": Point(MAIL, 1)},
        "extra": MAIL,
    }
)


def test_only_texts_change_and_the_structure_stays() -> None:
    found = masked(NOTE, mask)
    assert isinstance(found, Note)
    assert (found.to, found.tone) == ("[email]", Tone.FRIENDLY)
    assert found.lines == (Line("by [email]", 2), Line("bye"))
    assert found.lines[1] is NOTE.lines[1]
    assert found.tags == {"a", "[email]"}
    assert found.more == {
        "[email]": ["[email]", 1],
        "[credit_card]": None,
        "[email] 2": Point("[email]", 1),
    }
    assert found.model_extra == {"extra": "[email]"}
    assert NOTE.to == MAIL


def test_a_dictionary_of_a_class_of_its_own_stays_one() -> None:
    found = masked(defaultdict(list, {"a": [MAIL]}), mask)
    assert found == {"a": ["[email]"]}
    assert (type(found), found["b"]) == (defaultdict, [])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("abc "),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=8,
)


@given(plain)
def test_what_holds_nothing_is_the_same_object(value: Any) -> None:
    assert masked(value, mask) is value


@given(plain)
def test_every_text_is_reached(value: Any) -> None:
    found = masked(value, lambda text: text + "!")
    assert masked(found, lambda text: text[:-1] if text.endswith("!") else text) == value or (
        "nan" in repr(value)
    )


@dataclass(frozen=True, kw_only=True)
class World(BaseDeps):
    sent: list[str] = field(default_factory=list[str])


def world() -> World:
    key = SecretStr(KEY)
    return World(models=Models(endpoint=Endpoint("http://localhost", key)))


def agent(
    masking: Masking, output: Any, *, output_type: Any = str, approved: bool = False
) -> Agent[World, Any]:
    """Return an agent whose model sends a key and a card, and then says `output`."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            args = {"to": MAIL, "body": f"{KEY} {CARD}"}
            return ModelResponse(parts=[ToolCallPart("send", args)])
        if info.output_tools:
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, output)])
        return ModelResponse(parts=[TextPart(output)])

    found: Agent[World, Any] = Agent(
        FunctionModel(model), deps_type=World, output_type=output_type, capabilities=[masking]
    )

    async def send(ctx: RunContext[World], to: str, body: str) -> str:
        ctx.deps.sent.append(f"{to}: {body}")
        return "sent"

    found.tool(metadata={"sends": True}, requires_approval=approved)(send)
    return found


async def test_what_a_tool_sends_is_masked() -> None:
    deps = world()
    await agent(Masking(), "done").run("Send it.", deps=deps)
    assert deps.sent == ["[email]: [secret] [credit_card]"]


async def test_what_the_user_wrote_is_sent_unless_told_otherwise() -> None:
    deps = world()
    await agent(Masking(), "done").run(f"Send it to {MAIL}.", deps=deps)
    await agent(Masking(own="mask"), "done").run(f"Send it to {MAIL}.", deps=deps)
    assert deps.sent == [f"{MAIL}: [secret] [credit_card]", "[email]: [secret] [credit_card]"]


async def test_outputs_are_masked() -> None:
    deps = world()
    said = f"Ask {MAIL} or fred@example.net; the key is {KEY}."
    found = (await agent(Masking(), said).run(f"I am {MAIL}", deps=deps)).output
    assert found == f"Ask {MAIL} or [email]; the key is [secret]."
    off = Masking(keys=False, secrets=False, personal=())
    assert (await agent(off, said).run("Hi", deps=deps)).output == said


async def test_a_validated_output_is_masked_and_not_validated_again() -> None:
    output = {"to": MAIL, "lines": [{"text": KEY}]}
    found = (await agent(Masking(), output, output_type=Note).run("Hi", deps=world())).output
    assert found == Note.model_construct(
        to="[email]", lines=(Line("[secret]"),), tone=Tone.FRIENDLY
    )


async def test_a_stream_of_outputs_is_masked() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for part in ("Ask eve@exam", "ple.net", "."):
            yield part

    made = Agent(FunctionModel(stream_function=stream), capabilities=[Masking()])
    async with made.run_stream("Hi") as result:
        outputs = [one async for one in result.stream_output(debounce_by=None)]
    assert outputs[-1] == "Ask [email]."
    assert MAIL not in "".join(outputs)


async def test_a_call_that_a_person_approved_keeps_its_words_but_no_key() -> None:
    deps = world()
    made = agent(Masking(), "done", output_type=[str, DeferredToolRequests], approved=True)
    first = await made.run("Send it.", deps=deps)
    decided = DeferredToolResults(approvals={first.output.approvals[0].tool_call_id: True})
    await made.run(
        message_history=first.all_messages(),
        deferred_tool_results=decided,
        deps=deps,
    )
    assert deps.sent == [f"{MAIL}: [secret] {CARD}"]
