"""`assay models`: what is configured, what servers offer, and which output modes work there."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.providers.openrouter import OpenRouterProvider

from assay.evals.cli import main

from .scripted import Reply, Scripted, Sent, called, listing, refused, said, serving, vectors

pytestmark = pytest.mark.slow

KEY = "planted-key-without-a-form"
SEEN = {"animal": "fox", "count": 3}


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str


Assay = Callable[..., Said]


@pytest.fixture
def assay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Assay:
    """Run `assay models` in an empty folder, where no provider has a key; requests are allowed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    for name in ("OPENAI", "ANTHROPIC", "OPENROUTER", "PYDANTIC_AI_GATEWAY"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    for name in ("OLLAMA_BASE_URL", "VLLM_BASE_URL", "ASSAY_FALLBACK", "ASSAY_EMBED_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", "models", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
        seen = capsys.readouterr()
        return Said(int(e.value.code or 0), seen.out, seen.err)

    return run


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scripted], None]:
    """Configure the model `stub` at a server."""

    def configure(server: Scripted) -> None:
        monkeypatch.setenv("ASSAY_MODEL", "stub")
        monkeypatch.setenv("ASSAY_BASE_URL", server.url)
        monkeypatch.setenv("ASSAY_API_KEY", KEY)

    return configure


At = Callable[[Scripted], None]


def able(
    *, tools: bool = True, schema: bool = True, both: bool = True, dimensions: int = 3
) -> Callable[[Sent], Reply]:
    """Return a server that lists two models and can do what is said.

    If it cannot do both, tools and a schema, it takes them together and forgets the tools.
    """

    def script(sent: Sent) -> Reply:
        body = sent.body
        if body is None:
            return 200, listing("stub", "other")
        if sent.path.endswith("/embeddings"):
            return 200, vectors([[0.5] * dimensions])
        if "tools" in body and not tools:
            return refused("stub calls no tools")
        if "response_format" in body and not schema:
            return refused("unknown field: response_format")
        if "tools" in body and "response_format" in body:
            told = [m["content"] for m in body["messages"] if m["role"] == "tool"]
            if both and not told:
                return 200, called("foxes_seen", {})
            return 200, said(json.dumps(SEEN | {"count": int(told[0])} if both else SEEN))
        if "tools" in body:
            return 200, called("sighting", SEEN)
        structured = "response_format" in body or "JSON" in json.dumps(body["messages"])
        return 200, said(json.dumps(SEEN) if structured else "ok")

    return script


@pytest.mark.parametrize(
    ("tools", "schema", "both", "works"),
    [
        (True, True, True, ["tool", "native+tools", "native", "prompted"]),
        (True, True, False, ["tool", "native", "prompted"]),
        (True, False, False, ["tool", "prompted"]),
        (False, True, False, ["native", "prompted"]),
        (False, False, False, ["prompted"]),
    ],
)
def test_a_check_tells_which_modes_work(
    tools: bool, schema: bool, both: bool, works: list[str], assay: Assay, at: At
) -> None:
    with serving(able(tools=tools, schema=schema, both=both)) as server:
        at(server)
        told = assay("--check", "--json")
    assert told.code == 0
    (known,) = json.loads(told.out)["models"]
    checks: dict[str, dict[str, Any]] = known["checks"]
    assert [call for call, step in checks.items() if step["ok"]] == ["text", *works]
    assert all(step["seconds"] > 0 for step in checks.values())
    assert all((step["error"] is None) == step["ok"] for step in checks.values())
    assert server.posted[0]["max_completion_tokens"] == 16


def test_what_to_set_is_printed(assay: Assay, at: At) -> None:
    with serving(able(tools=False)) as server:
        at(server)
        told = assay("--check")
    assert told.code == 0
    assert "stub calls no tools" in told.out
    assert "stub: set ASSAY_OUTPUT_MODE='stub=native'" in told.out
    assert "other, stub" in told.out


def test_the_mode_that_is_set_is_confirmed(
    assay: Assay, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_OUTPUT_MODE", "stub=prompted")
    with serving(able(tools=False, schema=False)) as server:
        at(server)
        told = assay("--check")
    assert "stub: prompted, as it is set, works" in told.out


def test_tools_that_are_taken_and_forgotten_are_told(assay: Assay, at: At) -> None:
    with serving(able(both=False)) as server:
        at(server)
        told = assay("--check", "--json")
    step = json.loads(told.out)["models"][0]["checks"]["native+tools"]
    assert (
        "the tool was called 0 times and the output says 3, where the tool said 37" in step["error"]
    )


def test_the_embedding_model_is_checked_for_a_vector(
    assay: Assay, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EMBED_MODEL", "other")
    with serving(able(dimensions=5)) as server:
        at(server)
        told, by_role = assay("--check"), assay("embed", "--check", "--json")
    assert (told.code, by_role.code) == (0, 0)
    assert "ready, 5 dimensions" in " ".join(told.out.split())
    assert "other: makes vectors" in told.out
    (known,) = json.loads(by_role.out)["models"]
    assert (known["name"], known["used_as"], known["listed"]) == ("other", ["embed"], True)
    assert (known["dimensions"], known["output_mode"]) == (5, None)
    assert list(known["checks"]) == ["embed"]
    assert known["checks"]["embed"]["ok"]
    assert server.posted[-1]["input"] == ["ok"]


def test_a_chat_model_that_makes_no_vectors_fails_the_check_as_one(
    assay: Assay, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(sent: Sent) -> Reply:
        no = sent.path.endswith("/embeddings")
        return refused(f"no vectors for {KEY}", 404) if no else able()(sent)

    monkeypatch.setenv("ASSAY_EMBED_MODEL", "stub")
    with serving(script) as server:
        at(server)
        told = assay("--check", "--json")
    (known,) = json.loads(told.out)["models"]
    assert (told.code, known["used_as"]) == (3, ["small", "large", "judge", "embed"])
    assert known["checks"]["tool"]["ok"]
    assert "no vectors for [secret]" in known["checks"]["embed"]["error"]
    assert KEY not in told.out + told.err


def test_an_embedding_model_nobody_knows_is_wrong_usage(
    assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EMBED_MODEL", "text-embedding-77")
    told = assay("embed", "--check", "--json")
    (known,) = json.loads(told.out)["models"]
    assert told.code == 2
    assert "such as 'openai:text-embedding-3-small'" in known["state"]


def test_a_baseline_that_makes_vectors_is_said_to_be_one(
    assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EMBED_MODEL", "baseline")
    told = assay("embed", "--check", "--json")
    (known,) = json.loads(told.out)["models"]
    assert (told.code, known["state"], known["checks"]) == (0, "baseline, not an LLM", {})


def test_without_a_check_no_model_is_called(assay: Assay, at: At) -> None:
    with serving(able()) as server:
        at(server)
        told = assay()
    assert told.code == 0
    assert [sent.path for sent in server.sent] == ["/v1/models"]
    assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in told.out + told.err


def test_roles_and_fallbacks_are_listed_and_each_server_is_asked_once(
    assay: Assay, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(able()) as server:
        at(server)
        monkeypatch.setenv("ASSAY_JUDGE_MODEL", "missing")
        monkeypatch.setenv("ASSAY_FALLBACK", "other,baseline")
        told = assay("--json")
    seen = json.loads(told.out)
    uses = {known["name"]: known["used_as"] for known in seen["models"]}
    assert uses == {
        "stub": ["small", "large"],
        "missing": ["judge"],
        "other": ["fallback 1"],
        "baseline": ["fallback 2"],
    }
    listed = {known["name"]: known["listed"] for known in seen["models"]}
    assert listed == {"stub": True, "missing": False, "other": True, "baseline": None}
    assert seen["models"][-1]["state"] == "baseline, not an LLM"
    assert seen["endpoints"] == [
        {"endpoint": server.url, "offered": ["other", "stub"], "error": None}
    ]
    assert len(server.sent) == 1


def test_a_wrong_key_is_told_and_not_shown(assay: Assay, at: At) -> None:
    with serving(lambda sent: refused(f"Incorrect API key provided: {KEY}", 401)) as server:
        at(server)
        told = assay("--check")
        as_json = assay("--check", "--json")
    assert (told.code, as_json.code) == (3, 3)
    assert KEY not in told.out + told.err + as_json.out + as_json.err
    seen = json.loads(as_json.out)
    assert "Incorrect API key provided: [secret]" in seen["endpoints"][0]["error"]
    for step in seen["models"][0]["checks"].values():
        assert "401" in step["error"]
        assert "\n" not in step["error"]
    assert "stub: no output mode works" in told.out


def test_a_server_may_keep_its_models_to_itself(assay: Assay, at: At) -> None:
    def script(sent: Sent) -> Reply:
        return refused("not found", 404) if sent.body is None else able()(sent)

    with serving(script) as server:
        at(server)
        told = assay("--check")
    assert told.code == 0
    assert "it does not list them" in told.out


def test_openrouters_error_in_a_success_is_a_failure(
    assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"error": {"code": 402, "message": "Insufficient credits"}, "user_id": "u"}
    with serving(lambda sent: (200, error if sent.body else listing("openrouter/auto"))) as server:
        monkeypatch.setattr(OpenRouterProvider, "base_url", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
        told = assay("openrouter:openrouter/auto", "--check", "--json")
    assert told.code == 3
    (known,) = json.loads(told.out)["models"]
    assert (known["used_as"], known["listed"]) == (["named here"], True)
    errors = {call: step["error"] for call, step in known["checks"].items()}
    # Pydantic AI knows nothing of a schema there, so it is not even asked for one.
    for mode in ("native", "native+tools"):
        assert "Native structured output is not supported" in errors.pop(mode)
    assert all("Insufficient credits" in error for error in errors.values())


def test_nobody_there_is_a_failure(assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_MODEL", "stub")
    monkeypatch.setenv("ASSAY_BASE_URL", f"http://me:{KEY}@127.0.0.1:9/v1?key={KEY}")
    told = assay()
    assert told.code == 3
    assert "http://127.0.0.1:9/v1" in told.out
    assert "connection" in told.out.casefold()
    assert KEY not in told.out + told.err


def test_a_name_nobody_knows_is_wrong_usage(assay: Assay) -> None:
    told = assay("gpt-77", "--check")
    assert told.code == 2
    assert "unknown model 'gpt-77'" in " ".join(told.out.split())


def test_every_provider_says_what_it_needs(assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    told = assay("--json")
    assert told.code == 0
    providers = json.loads(told.out)["providers"]
    assert providers["anthropic"] == "ready"
    assert providers["openai"] == "Set the `OPENAI_API_KEY` environment variable"
    assert providers["ollama"] == "Set the `OLLAMA_BASE_URL` environment variable"
    assert KEY not in told.out
