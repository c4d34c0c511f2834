"""Vectors of texts, over real HTTP on loopback: right answers, every fault, limits and usage."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent, RunContext, models
from pydantic_ai.embeddings import Embedder, EmbeddingResult, EmbeddingSettings
from pydantic_ai.models.test import TestModel

from assay.deps import Budget, ConfigError, Endpoint, Meter, MissingExtra, Models, UnknownModel
from assay.deps.errors import (
    CircuitOpen,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderTimeout,
)
from assay.deps.providers.embeddings import BaselineEmbedding, Embeds
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Replay
from assay.deps.resilience.circuit import Circuit
from assay.deps.resilience.faults import Faults
from assay.deps.resilience.limiter import Limiter
from assay.deps.resilience.retry import Retry
from assay.deps.settings import Settings

from .scripted import Reply, Scripted, Sent, refused, serving, vectors

pytestmark = pytest.mark.slow

KEY = "planted-key-without-a-form"


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow requests, all of them to loopback, and know no provider's key."""
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_BASE_URL", "COHERE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def lengths(sent: Sent) -> Reply:
    """Answer each text with its length and the number of its words."""
    assert sent.body is not None
    return 200, vectors([[float(len(t)), float(len(t.split()))] for t in sent.body["input"]])


@asynccontextmanager
async def at(
    server: Scripted, *, name: str = "stub-embed", careful: bool = True
) -> AsyncGenerator[Models]:
    """Give models whose embeddings are asked of a server, with everything around or nothing."""
    clock = Clock()
    limiter = Limiter(clock=clock, sleep=clock.sleep)
    retry = Retry(clock=clock, sleep=clock.sleep)
    around = (Faults(within=5), Circuit(clock=clock), limiter, retry) if careful else ()
    endpoint = Endpoint(server.url, SecretStr(KEY))
    async with aclosing(Models(roles={"embed": name}, endpoint=endpoint, wrap=around)) as found:
        yield found


# -- right answers


async def test_each_text_has_its_vector_and_its_tokens_are_counted() -> None:
    with serving(lengths) as server:
        async with at(server) as found:
            embedder = found.embedder()
            many = await embedder.embed_documents(["a card", "the loan is late"])
            one = await embedder.embed_query("a card")
    assert many["the loan is late"] == [16.0, 4.0]
    assert one.embeddings == [many.embeddings[0]]
    assert (many.input_type, one.input_type) == ("document", "query")
    assert (many.usage.input_tokens, many.model_name) == (7, "stub-embed")
    assert many.inputs == ["a card", "the loan is late"]
    assert [body["input"] for body in server.posted] == [["a card", "the loan is late"], ["a card"]]
    assert {each.path for each in server.sent} == {"/v1/embeddings"}
    assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"


async def test_pydantic_ais_embedder_is_what_a_tool_asks_for() -> None:
    async def nearest(embeds: Embeds, texts: Sequence[str], wanted: str) -> str:
        query = (await embeds.embed_query(wanted)).embeddings[0]
        found = await embeds.embed_documents(texts)
        scores = [sum(map(float.__mul__, query, vector)) for vector in found.embeddings]
        return texts[scores.index(max(scores))]

    texts = ["The invoice was paid twice.", "Cats sleep all day."]
    assert await nearest(Embedder(BaselineEmbedding()), texts, "paying an invoice") == texts[0]


async def test_a_tool_adds_what_vectors_took_to_its_run() -> None:
    with serving(lengths) as server:
        async with at(server) as found:

            async def search(ctx: RunContext[Embedder], text: str) -> int:
                result = await ctx.deps.embed_query(text)
                ctx.usage.incr(result.usage)
                return len(result.embeddings)

            agent = Agent(TestModel(), deps_type=Embedder, tools=[search])
            done = await agent.run("hi", deps=found.embedder())
    without = await Agent(TestModel(), tools=[plainly]).run("hi")
    assert done.usage.input_tokens - without.usage.input_tokens == 7


def plainly(text: str) -> int:
    return 1


async def test_dimensions_are_asked_for_and_nothing_is_asked_for_no_text() -> None:
    with serving(lengths) as server:
        async with at(server) as found:
            await found.embedder().embed_query("a", settings={"dimensions": 2})
            nothing = await found.embedder().embed_documents([])
    assert [body.get("dimensions") for body in server.posted] == [2]
    assert (nothing.embeddings, nothing.inputs) == ([], [])


async def test_a_known_price_is_the_cost_of_a_result() -> None:
    def script(sent: Sent) -> Reply:
        return 200, vectors([[1.0]], tokens=1_000_000) | {"model": "text-embedding-3-small"}

    meter = Meter(Budget(usd=0.03))
    with serving(script) as server:
        async with at(server) as found:
            counted = replace(found, wrap=(*found.wrap, meter))
            result = await counted.embedder().embed_query("a")
            assert meter.reached() is None
            await counted.embedder().embed_query("b")
    assert result.usage.cost == Decimal("0.02")
    assert meter.spent.usd == pytest.approx(0.04)
    assert "the budget of $0.0300 is spent" in (meter.reached() or "")


async def test_settings_name_the_model_and_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lengths) as server:
        monkeypatch.setenv("ASSAY_EMBED_MODEL", "ollama:nomic-embed-text")
        monkeypatch.setenv("ASSAY_BASE_URL", server.url)
        async with aclosing(Settings().models()) as found:
            result = await found.embedder().embed_query("a card")
    assert result.provider_name == "ollama"
    assert server.posted[0]["model"] == "nomic-embed-text"


async def test_a_client_is_built_once_and_not_taken_for_the_chat_models() -> None:
    found = Models(roles={"embed": "m"}, endpoint=Endpoint("http://127.0.0.1:1/v1"))
    one, other = found.embedder().model, replace(found, wrap=()).embedder().model
    assert vars(one)["asked"] is vars(other)["asked"]
    assert found.resolve("m") is not vars(one)["asked"]
    await found.aclose()


async def test_vectors_are_recorded_and_replayed(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    with serving(lengths) as server:
        async with at(server) as found:
            tape = Replay(write=recordings).tape("case", 0)
            fresh = await ask(replace(found, wrap=(*found.wrap, tape)))
            again = Replay(write=recordings, mode="only").tape("case", 0)
            replayed = await ask(replace(found, wrap=(*found.wrap, again)))
    assert len(server.posted) == 2
    assert replayed.embeddings == fresh.embeddings
    assert (again.replayed, again.asked, replayed.usage.cost) == (2, 0, Decimal(0))


async def ask(found: Models) -> EmbeddingResult:
    """Ask for one text as a query and as a document, which are two questions."""
    await found.embedder().embed_documents("a card")
    return await found.embedder().embed_query("a card")


# -- faults


def first(*faults: Reply) -> Callable[[Sent], Reply]:
    """Return a server that answers so at first, and rightly then."""
    left = list(faults)
    return lambda sent: left.pop(0) if left else lengths(sent)


@pytest.mark.parametrize(
    "faults",
    [
        [refused("busy", 429)],
        [refused("oops", 500), refused("oops", 503)],
        [(200, "<html>")],
        [(200, vectors([]))],
        [(200, vectors([[1.0], [2.0]]))],
    ],
    ids=["429", "500 and 503", "no object", "no data", "too many"],
)
async def test_what_may_pass_is_asked_again(faults: list[Reply]) -> None:
    with serving(first(*faults)) as server:
        async with at(server) as found:
            result = await found.embedder().embed_query("a card")
    assert result.embeddings == [[6.0, 2.0]]
    assert len(server.posted) == len(faults) + 1


async def fails(
    script: Callable[[Sent], Reply], settings: EmbeddingSettings | None = None
) -> tuple[ProviderError, int]:
    """Return the error of a request, and how often its server was asked."""
    with serving(script) as server:
        async with at(server) as found:
            with pytest.raises(ProviderError) as e:
                await found.embedder().embed_documents(["a", "b"], settings=settings)
    return e.value, len(server.posted)


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (refused(f"Incorrect API key provided: {KEY}", 401), ProviderRefused, "HTTP 401"),
        (refused("no such model", 404), ProviderRefused, "no such model"),
        (refused("This model's maximum context length is 8192 tokens"), ProviderRefused, "8192"),
    ],
    ids=["key", "model", "length"],
)
async def test_a_refusal_is_told_at_once_without_the_key(
    reply: Reply, kind: type[ProviderError], says: str
) -> None:
    error, asked = await fails(lambda sent: reply)
    assert isinstance(error, kind)
    assert asked == 1
    assert says in str(error)
    assert KEY not in repr(error) + repr(error.__cause__) + repr(error.__context__)


@pytest.mark.parametrize(
    ("embeddings", "says"),
    [
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        ([[1.0, 2.0], [1.0]], "vectors of 1, 2 dimensions in one answer"),
        ([list[float]()] * 2, "vectors of 0 dimensions"),
        ([[1.0, 2.0], [3.0, float("nan")]], "a value that is no number"),
    ],
)
async def test_vectors_that_no_index_could_use_are_refused(
    embeddings: list[list[float]], says: str
) -> None:
    error, asked = await fails(lambda sent: (200, vectors(embeddings)))
    assert isinstance(error, ProviderGarbled)
    assert says in str(error)
    assert "check that it is an embedding model" in str(error)
    assert asked == 4


async def test_dimensions_that_a_server_does_not_heed_are_not_asked_for_again() -> None:
    error, asked = await fails(lengths, {"dimensions": 3})
    assert isinstance(error, ProviderRefused)
    assert "gave vectors of 2 dimensions where 3 were asked for" in str(error)
    assert asked == 1


@pytest.mark.parametrize("body", ["a text", {"data": [{"embedding": "%%%"}]}, {"data": 3}, []])
async def test_garbage_is_a_typed_error(body: Any) -> None:
    error, _ = await fails(lambda sent: (200, body))
    assert isinstance(error, ProviderGarbled)


async def test_a_provider_that_keeps_failing_is_left_alone_in_chat_too() -> None:
    with serving(lambda sent: refused("oops", 500)) as server:
        async with at(server) as found:
            guarded = replace(found, wrap=(Faults(), Circuit(failures=1)))
            with pytest.raises(ProviderDown):
                await guarded.embedder().embed_query("a")
            with pytest.raises(CircuitOpen):
                await Agent(guarded.resolve("chat-there")).run("hi")
    assert [each.path for each in server.sent] == ["/v1/embeddings"]


async def test_nobody_there_and_too_late_are_typed() -> None:
    found = Models(
        roles={"embed": "m"}, endpoint=Endpoint("http://127.0.0.1:9/v1"), wrap=(Faults(),)
    )
    async with aclosing(found):
        with pytest.raises(ProviderDown, match="model 'm' cannot be reached"):
            await found.embedder().embed_query("a")
    with serving(lengths) as server:
        async with at(server, careful=False) as plain:
            late = replace(plain, wrap=(Faults(within=1e-9),))
            with pytest.raises(ProviderTimeout, match="within 1e-09 s"):
                await late.embedder().embed_query("a")


async def test_one_limit_holds_for_vectors_and_chat() -> None:
    limiter = Limiter(most=2, patience=0, clock=Clock())
    with serving(lambda sent: refused("busy", 429)) as server:
        async with at(server) as found:
            limited = replace(found, wrap=(Faults(), limiter))
            with pytest.raises(ProviderBusy):
                await limited.embedder().embed_query("a")
            with pytest.raises(ProviderBusy, match="was not asked"):
                await Agent(limited.resolve("chat-there")).run("hi")
    (load,) = limiter.snapshot()
    assert (load.limit, load.halvings, len(server.sent)) == (1, 1, 1)


async def test_many_at_once_keep_to_the_limit() -> None:
    at_once: list[int] = []
    limiter = Limiter(most=2)

    def script(sent: Sent) -> Reply:
        at_once.append(limiter.snapshot()[0].under_way)
        return lengths(sent)

    with serving(script) as server:
        async with at(server) as found:
            embedder = replace(found, wrap=(limiter,)).embedder()
            await asyncio.gather(*(embedder.embed_query(f"text {i}") for i in range(12)))
    assert len(at_once) == 12
    assert max(at_once) <= 2


# -- what is not configured


async def test_what_is_missing_is_told_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="no model is named for embeddings; set ASSAY_EMBED_MODEL"
    ):
        Models(default="openai:gpt-5").embedder()
    with pytest.raises(ConfigError, match="'openai:text-embedding-3-small' has no key"):
        Models().embedder("openai:text-embedding-3-small")
    with pytest.raises(UnknownModel, match="such as 'openai:text-embedding-3-small'"):
        Models().embedder("text-embedding-3-small")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with pytest.raises(UnknownModel, match="Unknown embeddings model: anthropic:claude"):
        Models().embedder("anthropic:claude")


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("m", "pydantic_ai.embeddings.openai", "assay-agents[openai]"),
        ("openai:m", "pydantic_ai.providers.openai", "assay-agents[openai]"),
        ("cohere:m", "cohere", "cohere"),
    ],
)
def test_a_missing_library_is_told_with_what_installs_it(
    name: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    there = Endpoint("http://127.0.0.1:1/v1")
    with pytest.raises(MissingExtra, match=f"model '{name}' needs a library") as e:
        Models(endpoint=there).embedder(name)
    assert extra in str(e.value)
