"""Many runs at once against a provider that fails at random; `benchmarks/soak.py` does thousands."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic_ai import models as pydantic_ai_models

from assay.agents import triage
from assay.deps.errors import ProviderError
from assay.deps.models import Models
from assay.deps.providers import Transport
from assay.deps.resilience.limiter import Limiter
from assay.deps.settings import Settings
from assay.deps.taxonomy import Label, Taxonomy

from .faulty import Answer, Faulty, body, completion, events

pytestmark = pytest.mark.slow

RUNS, AT_ONCE, MOST, PER_MINUTE = 32, 20, 8, 25

DECK = ["fine"] * 24 + ["429"] * 3 + ["500", "cut", "garbage"]
TAXONOMY = Taxonomy(labels=(Label(name="refund"), Label(name="outage")))


def call(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the model says: look similar messages up, then answer for this message."""
    sent = json.dumps(request["messages"])
    name, arguments = "similar_messages", {"text": "money"}
    if '"role": "tool"' in sent:
        number = sent.partition("message #")[2].partition(":")[0]
        about = {"label": "refund", "confidence": 0.9, "urgency": 2}
        name, arguments = "final_result", {"reason": f"of #{number}", **about}
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"index": 0, "id": "call_1", "type": "function", "function": function}


def whole(request: dict[str, Any]) -> Answer:
    message = {"role": "assistant", "content": None, "tool_calls": [call(request)]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return body(completion(choices=[choice]))


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return completion(object="chat.completion.chunk", choices=[choice])


def streamed(request: dict[str, Any]) -> Answer:
    return events(chunk({"tool_calls": [call(request)]}), chunk({}, "tool_calls"), "[DONE]")


@dataclass
class Clock:
    """A clock that moves while a limiter sleeps, and then at once."""

    now: float = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Moody(Faulty):
    """Fails at random, and counts what it is asked at once and when.

    A request holds its place until its answer is written, as a provider counts it.
    """

    clock: Clock = field(default_factory=Clock)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    deck: list[str] = field(default_factory=list[str])
    fates: Counter[str] = field(default_factory=Counter[str])
    arrivals: list[float] = field(default_factory=list[float])
    under_way: int = 0
    busiest: int = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        request = json.loads(await reader.readexactly(length))
        self.arrivals.append(self.clock.now)
        self.under_way += 1
        self.busiest = max(self.busiest, self.under_way)
        try:
            answer = self._moody(request)
            await asyncio.sleep(self.chance.uniform(0.0, 0.01))
            writer.write(answer.sent)
            await writer.drain()
        finally:
            self.under_way -= 1
        return answer.ends == "whole"

    def _moody(self, request: dict[str, Any]) -> Answer:
        self.deck = self.deck or self.chance.sample(DECK, len(DECK))
        fate = self.deck.pop()
        self.fates[fate] += 1
        if fate == "429":
            return body({"error": {"message": "not now"}}, 429, retry_after="0.05")
        if fate == "500":
            return body({"error": {"message": "oh"}}, 500)
        if fate == "garbage":
            return body(self.chance.choice(["<html>busy</html>", '{"choices": [', "null"]))
        answer = streamed(request) if request.get("stream") else whole(request)
        if fate == "cut":
            return Answer(answer.sent[: self.chance.randrange(len(answer.sent))], "cut")
        return answer


@asynccontextmanager
async def serving() -> AsyncGenerator[Moody]:
    server = Moody()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def layer(server: Moody, transport: Transport) -> Models:
    """Return the layer as settings make it, but for the limiter's clock."""
    models = Settings(model="m", base_url=server.url, transport=transport).models()
    clock = server.clock
    limiter = Limiter(MOST, per_minute=PER_MINUTE, clock=lambda: clock.now, sleep=clock.sleep)
    wrap = tuple(limiter if isinstance(one, Limiter) else one for one in models.wrap)
    assert limiter in wrap
    return replace(models, wrap=wrap)


async def one(number: int, deps: triage.Deps) -> str:
    """Do one run, every other one streamed, and tell how it ended."""
    message = f"message #{number}: please send my money back"
    try:
        if number % 2:
            output = await triage.run(message, deps)
        else:
            async with triage.stream(message, deps) as answers:
                output = await answers.output()
    except ProviderError as e:
        return type(e).__name__
    assert output.reason == f"of #{number}"
    return "valid"


async def soak(deps: triage.Deps) -> Counter[str]:
    """Do all runs, so many at once, and count how they ended."""
    ends: Counter[str] = Counter()
    numbers = iter(range(RUNS))

    async def work() -> None:
        for number in numbers:
            ends[await one(number, deps)] += 1

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return ends


def most_within(seconds: float, moments: list[float]) -> int:
    return max(sum(start <= one < start + seconds for one in moments) for start in moments)


@pytest.mark.parametrize("transport", ["sdk", "lean"])
async def test_no_run_is_lost_and_nothing_is_left_when_a_provider_fails_at_random(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    if transport == "lean":
        pytest.importorskip("aiohttp", reason="the extra `fast` is not installed")
    monkeypatch.setattr(pydantic_ai_models, "ALLOW_MODEL_REQUESTS", True)
    files, tasks = len(os.listdir("/dev/fd")), len(asyncio.all_tasks())
    async with serving() as server:
        deps = triage.Deps(taxonomy=TAXONOMY, models=layer(server, transport))
        ends = await soak(deps)
        await deps.models.aclose()
        await server.all_closed()
    assert sum(ends.values()) == RUNS
    assert ends["valid"] > RUNS / 2, ends
    assert set(server.fates) == set(DECK), "each fault has been there, else this proves little"
    assert server.busiest <= MOST
    # The clock may jump between a request's start, which is limited, and when it comes.
    assert most_within(60, server.arrivals) <= PER_MINUTE + MOST
    assert len(asyncio.all_tasks()) == tasks
    assert len(os.listdir("/dev/fd")) <= files  # an earlier test's may have been closed meanwhile
