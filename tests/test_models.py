"""What model names mean, and what is said when they mean nothing."""

from contextlib import aclosing
from dataclasses import replace

import pytest
from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel

from assay.agents import triage
from assay.deps import ConfigError, Endpoint, MissingExtra, Models, Settings, UnknownModel
from assay.deps.models import Role
from assay.deps.taxonomy import Label, Taxonomy

from .loopback import Provider

DEPS = triage.Deps(taxonomy=Taxonomy(labels=(Label(name="card"), Label(name="loan"))))


def test_roles_stand_for_names() -> None:
    models = Models(default="openai:a", roles={"small": "openai:b"})
    assert [models.named(n) for n in ("small", "large", "x:y")] == ["openai:b", "openai:a", "x:y"]
    assert models.using("test").named("small") == "test"


def test_a_chosen_model_does_not_choose_the_judge_or_embeddings() -> None:
    models = Models(roles={"judge": "openai:j", "embed": "openai:e"}).using("openai:a")
    assert (models.named("judge"), models.named("embed")) == ("openai:j", "openai:e")


def test_embeddings_are_not_asked_of_a_chat_model() -> None:
    with pytest.raises(
        ConfigError, match="no model is named for embeddings; set ASSAY_EMBED_MODEL"
    ):
        Models(default="openai:a").named("embed")


def test_a_baseline_is_said_to_be_one() -> None:
    assert Models().describe() == "baseline, not an LLM"
    assert Models(default="a:b", roles={"small": "baseline"}).describe() == (
        "a:b (small: baseline, not an LLM)"
    )


def test_who_stands_in_is_described_behind_an_llm_alone() -> None:
    chain = ("c:d", "baseline")
    assert Models(default="a:b", fallback=chain).describe() == (
        "a:b; else c:d; else baseline, not an LLM"
    )
    assert Models(fallback=chain).describe() == "baseline, not an LLM"


def test_wrappers_are_applied_first_to_last() -> None:
    class One(WrapperModel):
        pass

    class Two(WrapperModel):
        pass

    model = Models(wrap=(One, Two)).resolve("test")
    assert isinstance(model, Two)
    assert isinstance(model.wrapped, One)


def test_a_client_is_built_once_for_all_copies() -> None:
    models = Models(endpoint=Endpoint("http://127.0.0.1:1/v1"))
    assert models.resolve("llama") is replace(models, wrap=()).resolve("llama")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("gpt-77", UnknownModel, "unknown model 'gpt-77'"),
        ("nobody:gpt", UnknownModel, "unknown model 'nobody:gpt'"),
        ("openai:gpt-5", ConfigError, "'openai:gpt-5' has no key"),
        ("groq:llama", MissingExtra, "'groq:llama' needs a library that is not installed"),
    ],
)
async def test_a_wrong_name_is_told(
    name: str, error: type[ConfigError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(error, match=message):
        await triage.run("hello", DEPS, model=name)


def test_an_agent_without_a_baseline_says_so() -> None:
    with pytest.raises(ConfigError, match="this agent has no baseline; name a model"):
        Models().resolve("judge")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_MODEL", "llama")
    monkeypatch.setenv("ASSAY_JUDGE_MODEL", "openai:judge")
    monkeypatch.setenv("ASSAY_EMBED_MODEL", "openai:embed")
    monkeypatch.setenv("ASSAY_FALLBACK", "openai:other, anthropic:third,baseline,")
    monkeypatch.setenv("ASSAY_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("ASSAY_API_KEY", "sk-planted")
    models = Settings().models()
    assert [type(wrap).__name__ for wrap in models.wrap] == [
        "Faults",
        "Circuit",
        "Limiter",
        "Retry",
    ]
    assert replace(models, wrap=()) == Models(
        default="llama",
        roles={"judge": "openai:judge", "embed": "openai:embed"},
        fallback=("openai:other", "anthropic:third", "baseline"),
        endpoint=Endpoint("http://127.0.0.1:1/v1", SecretStr("sk-planted")),
    )
    assert "sk-planted" not in repr(models) + repr(Settings())


async def test_an_endpoint_is_asked_over_http(provider: Provider) -> None:
    provider.answer = lambda request: {
        "reason": "asks for a card", "label": "card", "confidence": 0.9, "urgency": 2
    }  # fmt: skip
    endpoint = Endpoint(provider.url, SecretStr("sk-planted"))
    async with aclosing(Models(default="qwen:8b", endpoint=endpoint)) as models:
        deps = replace(DEPS, models=models)
        assert (await triage.run("I want a card", deps)).label == "card"
    assert provider.requests[0]["model"] == "qwen:8b"
    assert provider.keys == ["Bearer sk-planted"]


async def test_a_model_object_overrides_names() -> None:
    answer = {"reason": "r", "label": "loan", "confidence": 1.0, "urgency": 1}
    model: Model = TestModel(call_tools=[], custom_output_args=answer)
    assert (await triage.run("x", DEPS, model=model)).label == "loan"


async def test_a_function_of_the_inputs_routes_to_a_role(provider: Provider) -> None:
    def by_length(message: str) -> Role:
        return "large" if len(message) > 40 else "small"

    provider.answer = lambda request: {
        "reason": "r", "label": "loan", "confidence": 0.9, "urgency": 2
    }  # fmt: skip
    roles = {"small": "quick", "large": "careful"}
    async with aclosing(Models(endpoint=Endpoint(provider.url), roles=roles)) as models:
        deps = replace(DEPS, models=models)
        for message in ("a loan", "a loan, for the house that my aunt has left to me"):
            await triage.run(message, deps, model=by_length(message))
    assert [request["model"] for request in provider.requests] == ["quick", "careful"]
