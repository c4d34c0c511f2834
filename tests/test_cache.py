"""A service's responses are kept: what was asked before is answered at once, for nothing."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from pydantic_evals import Case, Dataset

from assay.agents import triage
from assay.deps import ConfigError, Models, Settings, Trail
from assay.deps.baseline import BaselineModel
from assay.deps.replay.answers import replayed_latency
from assay.deps.replay.cache import Cache, CacheWarning
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Replay, ReplayMiss
from assay.deps.taxonomy import Label, Taxonomy
from assay.evals import Suite
from assay.evals.cases import Unit
from assay.evals.env import Env

NOW = datetime(2026, 3, 4, tzinfo=UTC)


class Provider:
    """Answers with its own count, after `gate`; fails while `down`."""

    def __init__(self) -> None:
        self.asked = 0
        self.finish: Any = "stop"
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    @property
    def model(self) -> Model:
        return Finishing(FunctionModel(self.answer, stream_function=self.stream), self)

    async def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        number = self.asked
        self.arrived.set()
        await self.gate.wait()
        if self.down:
            raise RuntimeError("down")
        usage = RequestUsage(input_tokens=100, output_tokens=10)
        return ModelResponse(parts=[TextPart(f"answer {number}")], usage=usage)

    async def stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.asked += 1
        yield "answer "
        if self.down:
            raise RuntimeError("down")
        yield f"{self.asked}"


class Finishing(WrapperModel):
    def __init__(self, wrapped: Model, provider: Provider) -> None:
        super().__init__(wrapped)
        self._answering = provider

    async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await super().request(*args, **kwargs)
        return replace(response, finish_reason=self._answering.finish)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(Recordings(tmp_path), now=lambda: NOW)


async def ask(
    model: Model, text: str = "hi", settings: ModelSettings | None = None
) -> ModelResponse:
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt(text)]
    return await model_request(model, messages, model_settings=settings)


async def streamed(model: Model, text: str = "hi") -> str | None:
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt(text)]
    async with model_request_stream(model, messages) as stream:
        async for _ in stream:
            pass
        return stream.get().text


def text_of(folder: Path) -> str:
    (file,) = folder.rglob("*.json")
    return file.read_text(encoding="utf-8")


def damage(folder: Path) -> None:
    (file,) = folder.rglob("*.json")
    file.write_text("{", encoding="utf-8")


# -- hits


async def test_an_equal_request_is_answered_for_nothing(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    first, again = await ask(model), await ask(model)
    assert (first.text, again.text, provider.asked) == ("answer 1", "answer 1", 1)
    assert again.usage.cost == 0
    assert replayed_latency(first) is None
    assert replayed_latency(again) is not None
    assert again.usage.input_tokens == 100
    await ask(model, "something else")
    await ask(model, settings=ModelSettings(temperature=0.5))
    await ask(cache(FunctionModel(provider.answer, model_name="another")))
    assert provider.asked == 4


async def test_a_stream_and_a_whole_answer_serve_one_another(
    provider: Provider, cache: Cache
) -> None:
    model = cache(provider.model)
    assert [await streamed(model), await streamed(model)] == ["answer 1", "answer 1"]
    assert (await ask(model)).text == "answer 1"
    await ask(model, "other")
    assert await streamed(model, "other") == "answer 2"
    assert provider.asked == 2


async def test_another_process_finds_what_was_kept(provider: Provider, cache: Cache) -> None:
    await ask(cache(provider.model))
    assert (await ask(Cache(cache.recordings)(provider.model))).text == "answer 1"
    assert provider.asked == 1


def test_a_baseline_is_left_alone(cache: Cache) -> None:
    baseline = BaselineModel("triage", lambda prompt: prompt)
    assert cache(baseline) is baseline


# -- what is not kept


@pytest.mark.parametrize("finish", ["length", "content_filter", "error"])
async def test_an_answer_cut_short_is_not_kept(
    finish: str, provider: Provider, cache: Cache
) -> None:
    provider.finish = finish
    model = cache(provider.model)
    assert [(await ask(model)).text, (await ask(model)).text] == ["answer 1", "answer 2"]


async def test_a_failure_is_not_kept(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    provider.down = True
    for asking in (ask, streamed):
        with pytest.raises(RuntimeError, match="down"):
            await asking(model)
    provider.down = False
    assert (await ask(model)).text == "answer 3"


async def test_a_stream_that_is_left_early_is_not_kept(provider: Provider, cache: Cache) -> None:
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt("hi")]
    async with model_request_stream(cache(provider.model), messages) as stream:
        async for _ in stream:
            break
    assert await streamed(cache(provider.model)) == "answer 2"


async def test_keys_do_not_reach_a_file(provider: Provider, tmp_path: Path) -> None:
    cache = Cache(Recordings(tmp_path), secrets=(SecretStr("hunter2hunter2"),))
    await ask(cache(provider.model), f"my keys: hunter2hunter2 and {'sk-proj-' + 'a1b2' * 8}")
    kept = text_of(tmp_path)
    assert "hunter2" not in kept
    assert "a1b2" not in kept


# -- age


@given(age=st.integers(0, 200), limit=st.one_of(st.none(), st.integers(1, 100)))
def test_what_is_too_old_is_asked_anew(
    age: int, limit: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def scenario() -> int:
        provider = Provider()
        cache = Cache(Recordings(tmp_path_factory.mktemp("kept")), limit, now=lambda: NOW)
        await ask(cache(provider.model))
        (file,) = cache.recordings.folder.rglob("*.json")
        written = (NOW - timedelta(seconds=age)).timestamp()
        os.utime(file, (written, written))
        await ask(cache(provider.model))
        return provider.asked

    old = limit is not None and age > limit
    assert asyncio.run(scenario()) == (2 if old else 1)


def test_an_age_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 seconds old is never good"):
        Cache(Recordings(tmp_path), 0)


# -- files that cannot be used


async def test_a_damaged_file_is_told_and_replaced(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    await ask(model)
    damage(cache.recordings.folder)
    with pytest.warns(CacheWarning, match="cannot be read.*the provider is asked"):
        assert (await ask(model)).text == "answer 2"
    assert (await ask(model)).text == "answer 2"


async def test_a_folder_that_cannot_be_written_costs_no_answer(
    provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(CacheWarning) as told:
        assert (await ask(Cache(Recordings(tmp_path / "file"))(provider.model))).text == "answer 1"
    assert "cannot write the recording" in str(told[-1].message)


# -- at one moment


async def test_equal_requests_at_one_moment_are_asked_once(
    provider: Provider, cache: Cache
) -> None:
    model = cache(provider.model)
    provider.gate.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(model)) for _ in range(20)]
        await provider.arrived.wait()
        provider.gate.set()
    assert {task.result().text for task in asking} == {"answer 1"}
    assert provider.asked == 1


async def test_who_waits_takes_over_from_who_is_cancelled(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    provider.gate.clear()
    first = asyncio.create_task(ask(model))
    await provider.arrived.wait()
    provider.arrived.clear()
    others = [asyncio.create_task(ask(model)) for _ in range(5)]
    first.cancel()
    await provider.arrived.wait()
    provider.gate.set()
    assert {(await task).text for task in others} == {"answer 2"}
    assert first.cancelled()
    assert provider.asked == 2


async def test_who_waits_and_is_cancelled_disturbs_nobody(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    provider.gate.clear()
    first = asyncio.create_task(ask(model))
    await provider.arrived.wait()
    waiting = asyncio.create_task(ask(model))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    provider.gate.set()
    assert (await first).text == "answer 1"


async def test_after_a_failure_who_waited_asks_at_once(provider: Provider, cache: Cache) -> None:
    model = cache(provider.model)
    provider.down = True
    provider.gate.clear()
    asking = [asyncio.create_task(ask(model)) for _ in range(5)]
    await provider.arrived.wait()
    provider.gate.set()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(each) for each in done] == ["down"] * 5


# -- in a service, and in an evaluation


TAXONOMY = Taxonomy(labels=(Label(name="card"), Label(name="loan")))


async def test_settings_keep_responses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "kept"))
    monkeypatch.setenv("ASSAY_CACHE_SECONDS", "60")
    known = Settings().models()
    cache = known.wrap[-1]
    assert isinstance(cache, Cache)
    assert (cache.recordings, cache.max_age) == (Recordings(tmp_path / "kept"), 60)
    output = {"reason": "r", "label": "card", "confidence": 0.9, "urgency": 2}

    def built(name: str, *_: object) -> Model:
        return FunctionModel(
            lambda messages, info: ModelResponse(
                parts=[TextPart(json.dumps(output))],
                usage=RequestUsage(input_tokens=5, output_tokens=5),
            ),
            profile={"default_structured_output_mode": "prompted"},
        )

    monkeypatch.setattr("assay.deps.models.build", built)
    trail = Trail()
    deps = triage.Deps(taxonomy=TAXONOMY, models=known.using("m")).noting(trail)
    for _ in range(2):
        assert (await triage.run("a card", deps)).label == "card"
    assert [(run.replayed, run.cost) for run in trail.runs] == [(0, None), (1, 0.0)]


async def test_a_first_trial_is_replayed_from_a_services_cache(
    provider: Provider, cache: Cache, tmp_path: Path
) -> None:
    await ask(cache(provider.model))
    replay = Replay(mode="only", write=Recordings(tmp_path / "tapes"), read=(cache,))
    first = replay.tape("case", 0)
    assert (await ask(first(provider.model))).text == "answer 1"
    assert first.all_replayed
    with pytest.raises(ReplayMiss):
        await ask(first(provider.model))  # for the second time: that is another sample
    with pytest.raises(ReplayMiss):
        await ask(replay.tape("case", 1)(provider.model))


async def test_an_evaluation_samples_anew_in_every_trial(provider: Provider, cache: Cache) -> None:
    async def echo(text: str) -> str:
        return text

    case = Case[str, str, Any](name="n", inputs="hi")
    suite = Suite.of(Dataset[str, str, Any](name="echo", cases=[case]), echo)
    env = Env(suite=suite, models=Models(wrap=(cache,)))
    for trial in range(2):
        unit = Unit(case=case, key="k", position=0, trial=trial)
        await ask(env.of(unit).models.wrapped(provider.model))
    assert provider.asked == 2
