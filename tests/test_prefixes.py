"""What is sent twice is the same bytes, and what stands still is cached: seen over the wire."""

import json
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.settings import ModelSettings

from assay.agents import triage
from assay.deps import Models, Trail
from assay.deps.fence import fence
from assay.deps.taxonomy import Label, Taxonomy

from .scripted import Reply, Scripted, Sent, called, serving

SORTED = {"reason": "asks for a card", "label": "card", "confidence": 0.9, "urgency": 2}
WRONG = {**SORTED, "label": "no such label"}
LOOK = ("similar_messages", {"text": "card"})
NAMES = ("openai-chat:gpt-5", "anthropic:claude-opus-4-5")
TEXTS = ("A card, please", "Something else, and rather longer")


def deps(name: str) -> triage.Deps:
    labels = (Label(name="card", description="wants a card"), Label(name="loan"))
    return triage.Deps(taxonomy=Taxonomy(labels=labels), models=Models(default=name))


def answer(sent: Sent) -> Reply:
    """Look something up, give a label that does not exist, then the right one."""
    assert sent.body is not None
    turn = sum(message["role"] == "assistant" for message in sent.body["messages"])
    tools = sent.body["tools"]
    output = next(name for name in map(name_of, tools) if name.startswith("final_result"))
    name, arguments = (LOOK, (output, WRONG), (output, SORTED))[turn]
    if "/messages" in sent.path:
        return 200, message(name, arguments, turn)
    return 200, called(name, arguments)


def name_of(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"] if "function" in tool else tool["name"])


def message(name: str, arguments: dict[str, Any], turn: int) -> dict[str, Any]:
    """Return Anthropic's message that calls a tool; after the first, most comes from its cache."""
    call = {"type": "tool_use", "id": f"toolu_{turn}", "name": name, "input": arguments}
    usage = {"input_tokens": 20, "output_tokens": 5}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": [call],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {**usage, "cache_read_input_tokens": 80 if turn else 0},
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    with serving(answer) as running:
        for name in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{name}_API_KEY", "sk-planted-planted-1")
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url.removesuffix("/v1"))
        # Without it each version of Pydantic AI has a default, and streams what may be long.
        with triage.agent.override(model_settings=ModelSettings(max_tokens=200)):
            yield running


async def sort(name: str, text: str) -> triage.Triage:
    own = deps(name)  # a client each, as in two processes
    async with aclosing(own.models):
        return await triage.run(text, own)


def conversation(raw: bytes) -> str:
    """Return the bytes of what was said, up to where a further message would stand."""
    text = raw.decode()
    begin = text.index('"messages":') + len('"messages":')
    begin = text.index("[", begin)
    _, end = json.JSONDecoder().raw_decode(text, begin)
    return text[begin : end - 1]


@pytest.mark.parametrize("name", NAMES)
async def test_two_runs_send_the_same_bytes_up_to_the_message_and_after_it(
    name: str, server: Scripted
) -> None:
    for text in TEXTS:
        assert (await sort(name, text)).label == "card"
    around = [
        server.sent[n].raw.split(json.dumps(fence("message", text))[1:-1].encode())
        for n, text in zip((0, 3), TEXTS, strict=True)
    ]
    assert around[0] == around[1]
    assert len(around[0]) == 2


@pytest.mark.parametrize("name", NAMES)
async def test_each_request_of_a_run_begins_with_the_one_before(
    name: str, server: Scripted
) -> None:
    await sort(name, TEXTS[0])
    assert len(server.sent) == 3
    for before, after in zip(server.sent, server.sent[1:], strict=False):
        said = conversation(before.raw)
        assert conversation(after.raw).startswith(said)
        assert len(conversation(after.raw)) > len(said)
        assert before.body is not None
        assert after.body is not None
        for still in ("tools", "system", "cache_control"):
            assert json.dumps(before.body.get(still)) == json.dumps(after.body.get(still))


async def test_anthropic_caches_the_labels_with_the_instructions(server: Scripted) -> None:
    await sort(NAMES[1], TEXTS[0])
    body = server.posted[0]
    said = [block["text"] for block in body["system"]]
    assert "The labels:\n- 'card': wants a card" in "\n".join(said)
    assert "cache_control" in body["system"][-1]  # and so all that stands before it


async def test_cache_hits_are_told(server: Scripted) -> None:
    trail = Trail()
    own = deps(NAMES[1]).noting(trail)
    async with aclosing(own.models):
        await triage.run(TEXTS[0], own)
    (run,) = trail.runs
    assert (run.requests, run.retries, run.input_tokens, run.cached_tokens) == (3, 1, 220, 160)
    assert run.cost is not None
    assert run.cost > 0
