"""The copy editor: places are checked, sections merged, and a model corrected or refused."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import pytest
from inline_snapshot import snapshot
from pydantic_ai import Agent
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assay.agents import copy_editor
from assay.deps.errors import BadDataset
from assay.deps.fence import unfence
from assay.deps.style import MemoryStyle, StyleRule
from assay.evals.suite import Trial
from assay.evals.suites.copy_editor import Wanted, inexact, pairs, suite
from assay.tools.prose import unnumbered

assert_type(copy_editor.agent, Agent[copy_editor.Deps, copy_editor.Review])

Answer = Callable[[str, list[ModelMessage]], list[dict[str, Any]]]


def finding(line: int, text: str, **more: Any) -> dict[str, Any]:
    issue = {"line": line, "text": text, "category": "mechanical", "severity": "high"}
    return {**issue, "explanation": "wrong", **more}


def model(answer: Answer) -> FunctionModel:
    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        issues = answer(section(messages), messages)
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"issues": issues})])

    return FunctionModel(reply, model_name="fake")


def section(messages: list[ModelMessage]) -> str:
    first = messages[0].parts[0]
    assert isinstance(first, UserPromptPart)
    assert isinstance(first.content, str)
    return unnumbered(unfence("document", first.content))


def retries(messages: list[ModelMessage]) -> list[str]:
    """Return what came back to the model, whatever kind of part brings it."""
    parts = (part for message in messages[1:] for part in message.parts)
    return [str(getattr(part, "content")) for part in parts if hasattr(part, "content")]  # noqa: B009


async def test_columns_are_computed_and_repeats_told_apart() -> None:
    fake = model(lambda text, _: [finding(2, "so", occurrence=2), finding(1, "two\nso")])
    review = await copy_editor.run("one two\nso it is so", copy_editor.Deps(), model=fake)
    places = [(i.line, i.column, i.end_line, i.end_column, i.text) for i in review.issues]
    assert places == [(1, 5, 2, 3, "two\nso"), (2, 10, 2, 12, "so")]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (finding(9, "cat"), "There is no line 9; the lines are 1 to 2."),
        (finding(2, "cat"), "'cat' is not on line 2: 'A dog.'."),
    ],
)
async def test_an_issue_that_is_not_there_is_sent_back(wrong: dict[str, Any], told: str) -> None:
    asked: list[str] = []

    def answer(text: str, messages: list[ModelMessage]) -> list[dict[str, Any]]:
        asked[:] = retries(messages)
        return [finding(1, "cat")] if asked else [wrong]

    review = await copy_editor.run("A cat.\nA dog.", copy_editor.Deps(), model=model(answer))
    assert [(i.line, i.column) for i in review.issues] == [(1, 3)]
    assert told in asked[0]


async def test_a_model_that_never_corrects_itself_is_refused() -> None:
    fake = model(lambda text, _: [finding(1, "unicorn")])
    with pytest.raises(UnexpectedModelBehavior):
        await copy_editor.run("A cat.", copy_editor.Deps(), model=fake)


async def test_a_long_document_is_split_and_its_places_are_the_documents() -> None:
    text = "\n\n".join(f"Paragraph {n} says teh word, and then teh word again." for n in range(40))
    fake = model(
        lambda part, _: [
            finding(line, "teh", occurrence=2)
            for line, content in enumerate(part.split("\n"), start=1)
            if "teh" in content
        ]
    )
    deps = copy_editor.Deps(section_tokens=60)
    review = await copy_editor.run(text, deps, model=fake)
    assert [issue.line for issue in review.issues] == list(range(1, 80, 2))
    assert not inexact(text, review.issues)


async def test_sections_run_side_by_side_but_not_too_many() -> None:
    running, most = 0, 0
    three = asyncio.Barrier(3)

    async def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        async with asyncio.timeout(10):
            await three.wait()
        running -= 1
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"issues": []})])

    deps = copy_editor.Deps(section_tokens=6, max_concurrency=3)
    await copy_editor.run("A paragraph of text.\n\n" * 12, deps, model=FunctionModel(reply))
    assert most == 3


async def test_a_blank_text_asks_nobody() -> None:
    fake = model(lambda text, _: pytest.fail("asked"))
    assert (await copy_editor.run(" \n\n", copy_editor.Deps(), model=fake)).issues == []


async def test_the_style_guide_can_be_looked_up() -> None:
    seen: list[object] = []

    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.extend(p.content for m in messages for p in m.parts if isinstance(p, ToolReturnPart))
        if not seen:
            return ModelResponse(parts=[ToolCallPart("style_rule", {"topic": "e-mail"})])
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"issues": []})])

    rule = StyleRule(id="mail", text="Write email.", prefer={"e-mail": "email"})
    other = StyleRule(id="dash", text="No dashes.")
    deps = copy_editor.Deps(style=MemoryStyle((other, rule)))
    await copy_editor.run("Hello.", deps, model=FunctionModel(reply))
    assert seen[0] == [rule]


def test_a_style_guide_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "style.yaml"
    path.write_text("rules: 7", encoding="utf-8")
    with pytest.raises(BadDataset, match="is not a style guide"):
        MemoryStyle.from_file(path)
    with pytest.raises(BadDataset, match="is not a style guide"):
        MemoryStyle.from_file(tmp_path / "absent.yaml")


async def test_the_request_in_full() -> None:
    requests: list[tuple[str | None, str, dict[str, Any]]] = []

    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        request = messages[0]
        assert isinstance(request, ModelRequest)
        prompt = request.parts[0]
        assert isinstance(prompt, UserPromptPart)
        schema = info.output_tools[0].parameters_json_schema
        requests.append((request.instructions, str(prompt.content), schema))
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"issues": []})])

    deps = copy_editor.Deps(style=MemoryStyle((StyleRule(id="mail", text="Write email."),)))
    await copy_editor.run("We met Anna.\n", deps, model=FunctionModel(reply))
    (instructions, prompt, schema) = requests[0]
    assert instructions is not None
    before, _, after = instructions.partition(copy_editor.INSTRUCTIONS)
    assert before == ""
    assert after == snapshot("""\


The author's rules:
- mail: Write email.

Names in the whole document, and how often:
<names-9040c47d03c71d97>
Anna 1
</names-9040c47d03c71d97>\
""")
    assert prompt == snapshot("""\
<document-b8a8fbbc05db13b0>
1| We met Anna.
2| \n\
</document-b8a8fbbc05db13b0>\
""")
    assert schema == snapshot(
        {
            "$defs": {
                "Finding": {
                    "description": "One issue as a model reports it; columns are computed from it.",
                    "properties": {
                        "line": {
                            "description": "number of the line on which the text begins",
                            "type": "integer",
                        },
                        "text": {
                            "description": "the words at fault, copied exactly, few of them",
                            "minLength": 1,
                            "type": "string",
                        },
                        "occurrence": {
                            "default": 1,
                            "description": "1 for the text's first place on the line, 2 …",
                            "minimum": 1,
                            "type": "integer",
                        },
                        "category": {
                            "enum": ["mechanical", "grammar", "consistency", "style"],
                            "type": "string",
                        },
                        "severity": {
                            "enum": ["critical", "high", "medium", "low"],
                            "type": "string",
                        },
                        "explanation": {
                            "description": "one sentence to the author: what is wrong, and why",
                            "type": "string",
                        },
                        "suggestion": {
                            "anyOf": [{"type": "string"}, {"type": "null"}],
                            "default": None,
                            "description": "what to put in the place of the text; null if the author must decide",
                        },
                    },
                    "required": ["line", "text", "category", "severity", "explanation"],
                    "title": "Finding",
                    "type": "object",
                }
            },
            "properties": {"issues": {"items": {"$ref": "#/$defs/Finding"}, "type": "array"}},
            "required": ["issues"],
            "title": "Findings",
            "type": "object",
        }
    )


async def test_the_suites_pure_functions() -> None:
    text = "teh cat\nwas here"
    fake = model(lambda _, __: [finding(1, "teh"), finding(2, "here")])
    issues = (await copy_editor.run(text, copy_editor.Deps(), model=fake)).issues
    wanted = [
        Wanted(line=1, text="teh cat", category="mechanical"),
        Wanted(line=1, text="cat", category="style"),
    ]
    assert pairs(text, wanted, issues) == [(0, 0)]
    assert inexact("xxx xxx\nwas here", issues) == issues[:1]
    with pytest.raises(BadDataset, match="'dog' is not on line 1"):
        pairs(text, [Wanted(line=1, text="dog", category="style")], issues)


async def test_every_expected_issue_is_in_its_text() -> None:
    cases = suite.dataset().cases
    assert len(cases) >= 32
    for case in cases:
        assert case.expected_output is not None
        pairs(case.inputs, case.expected_output.issues, [])


async def test_the_suites_task_finds_a_planted_error() -> None:
    review = await suite.task("We send an e-mail and recieve one.", Trial())
    assert [(i.text, i.suggestion) for i in review.issues] == [
        ("e-mail", "email"),
        ("recieve", "receive"),
    ]
