"""Equal requests have equal keys, and whatever is sent is seen."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from assay.deps.replay.requests import canonical, digest, request_document, scrub

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
TOOL = ToolDefinition(name="stock", description="Count.", parameters_json_schema={"type": "object"})
OFFER = ModelRequestParameters(
    function_tools=[TOOL],
    output_mode="native",
    output_object=OutputObjectDefinition(name="o", json_schema={"type": "object"}),
)


def talk(
    run: str = "r", call: str = "c", when: datetime = WHEN, **changed: Any
) -> list[ModelMessage]:
    """Return a conversation; what is named `changed` is sent, the rest is noise."""
    image = BinaryContent(changed.get("image", b"png"), media_type="image/png")
    return [
        ModelRequest(
            [UserPromptPart([changed.get("prompt", "hi"), image], timestamp=when)],
            instructions="Earlier.",
            timestamp=when,
            run_id=run,
        ),
        ModelResponse(
            [
                ThinkingPart("hm", id=run, signature=run, provider_name=run),
                TextPart(changed.get("text", "wait"), id=run),
                ToolCallPart(changed.get("tool", "stock"), {"id": changed.get("id", 1)}, call),
            ],
            usage=RequestUsage(input_tokens=len(run)),
            model_name=run,
            timestamp=when,
            provider_response_id=run,
            provider_details={"x": run},
            provider_url=run,
            finish_reason="tool_call",
            run_id=run,
            metadata={"x": run},
        ),
        ModelRequest(
            [
                ToolReturnPart(
                    "stock",
                    {"id": changed.get("found", 3), "timestamp": 4},
                    call,
                    metadata=run,
                    timestamp=when,
                )
            ],
            instructions=changed.get("instructions", "Count."),
            run_id=run,
            conversation_id=run,
        ),
    ]


def key(messages: list[ModelMessage], settings: Any = None, offer: Any = OFFER) -> str:
    return digest(canonical(request_document("f", messages, settings, offer)))


@given(st.text(max_size=9), st.text(min_size=1, max_size=9), st.datetimes(timezones=st.just(UTC)))
def test_the_key_does_not_see_noise(run: str, call: str, when: datetime) -> None:
    assert key(talk(run, call, when)) == key(talk())


@given(
    st.dictionaries(
        st.sampled_from(["timeout", "request_timeout", "max_retries", "extra_headers"]), st.text()
    )
)
def test_the_key_does_not_see_how_a_request_travels(settings: dict[str, str]) -> None:
    assert key(talk(), settings | {"temperature": 0.5}) == key(talk(), {"temperature": 0.5})


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "ho"},
        {"image": b"jpg"},
        {"text": "stay"},
        {"tool": "stocks"},
        {"id": 2},
        {"found": 4},
        {"instructions": "Count twice."},
    ],
)
def test_the_key_sees_every_message(changed: dict[str, Any]) -> None:
    assert key(talk(**changed)) != key(talk())


@pytest.mark.parametrize(
    "changed",
    [
        replace(OFFER, function_tools=[]),
        replace(OFFER, function_tools=[replace(TOOL, name="store")]),
        replace(OFFER, function_tools=[replace(TOOL, description="Count all.")]),
        replace(OFFER, function_tools=[replace(TOOL, parameters_json_schema={"type": "array"})]),
        replace(OFFER, output_mode="prompted"),
        replace(OFFER, output_object=OutputObjectDefinition(json_schema={"type": "array"})),
        replace(OFFER, output_tools=[TOOL]),
        replace(OFFER, allow_text_output=False),
    ],
)
def test_the_key_sees_what_is_offered(changed: ModelRequestParameters) -> None:
    assert key(talk(), None, changed) != key(talk())


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "seed", "thinking", "extra_body"])
def test_the_key_sees_the_settings(name: str) -> None:
    keys = {key(talk()), key(talk(), {name: 1}), key(talk(), {name: 2})}
    assert len(keys) == 3


def test_two_calls_are_not_one() -> None:
    def twice(first: str, second: str) -> list[ModelMessage]:
        return [
            ModelResponse([ToolCallPart("a", {}, first), ToolCallPart("a", {}, second)]),
            ModelRequest([ToolReturnPart("a", 1, second)]),
        ]

    assert key(twice("x", "y")) == key(twice("y", "x"))
    assert key(twice("x", "y")) != key(twice("x", "x"))


def test_the_key_is_the_same_for_all_versions_of_pydantic_ai() -> None:
    assert key(talk(), {"temperature": 0.5}) == "4cc056c5674d86cb9b56"


@pytest.mark.parametrize(
    "text",
    ["a risk-assessment-for-the-quarter-2026", "task-1 is done", "Bearer of news", "high_five"],
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert scrub(text, ["none", ""]) == text


@pytest.mark.parametrize("kind", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "gsk_", "hf_", "sk-"])
def test_keys_of_known_form_are_taken_out_of_any_text(kind: str) -> None:
    assert (
        scrub(f'"right through {kind}{"aB3" * 12}, enough"') == '"right through [secret], enough"'
    )
