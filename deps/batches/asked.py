"""Ask in batches: slower by hours, for about half the price, where a provider offers it.

```python
async with Batches(Path(".assay/batches.db")) as batches:
    models = batched(settings.models(), batches)
    with asking("this case, this trial"):
        await triage.run(message, replace(deps, models=models))
```

Requests are collected until no more come for a moment, which they do when everybody waits; then
they go out as one batch, and each gets its own answer when that has ended. So ask much side by
side. Agents that take several turns make several batches, one after another.

It stands where HTTP does, beneath the clients of OpenAI and Anthropic: they write what they always
write and read what they always read. What cannot be part of a batch (a list of models, a count of
tokens, embeddings) passes through; a stream is refused.

Every batch is noted in a file before it is handed in. A process that was killed, begun again, finds
what it had asked: what is under way is waited for, what has ended is read, nothing is paid twice.
Were it killed between handing a batch in and hearing its name, the batch is looked for among the
provider's newest: at OpenAI by a mark in its metadata, at Anthropic, where there is none, by the
names of its requests, once it has ended. Not found is what a provider does not list, or has 100
newer ones of.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

import httpx2
from pydantic_ai.models import Model

from ..baseline import is_baseline
from ..clock import utc_now
from ..errors import ConfigError
from ..resilience.circuit import Circuit
from ..resilience.faults import Faults
from ..resilience.limiter import Limiter
from ..resilience.retry import Retry
from .flight import Flight, Lane, Outcome, Pace, Progress, World
from .formats import FORMATS
from .journal import Journal
from .protocol import Answer, BatchFormat, Server, passes, shared_headers
from .requests import ASKER, TICKET, Asker, BatchedModel, Ticket, WouldStream, asking

if TYPE_CHECKING:
    from pydantic_ai.providers import Provider

    from ..models import Models

__all__ = ("UNDER_WAY", "Asker", "Batches", "Pace", "Progress", "asking", "batched")

UNDER_WAY = 5_000
"""How many trials wait for batches at once, if nothing else is said; each takes some 0.2 MB."""

LONGEST = 7 * 24 * 3600.0
"""Seconds that a provider's client waits for an answer, which comes within days or not at all."""

_NO_BATCHES = (
    "{} is asked request by request; batches are taken by openai:..., openai-chat:..., "
    "anthropic:..., litellm:..., and by names at an OpenAI-compatible server (ASSAY_BASE_URL) that "
    "has them: name one of these, or leave --batch away"
)


class Batches:
    """Asks in batches. Calling it wraps a model whose client it is in; see `batched`.

    One event loop at a time may use it. Leaving its context leaves batches under way at their
    provider: whoever asks the same again, with the same file, gets what they came to.

    Args:
        path: The file that a crash is survived by; None remembers nothing.
        under_way: How many trials should wait at once, for whoever begins them.
        pace: How long is waited for what.
        told: Hears how batches stand, whenever that has changed.
        sleep: Waits for so many seconds.
        now: The time of day.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        under_way: int = UNDER_WAY,
        pace: Pace | None = None,
        told: Callable[[Progress], object] = lambda progress: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.under_way = under_way
        self.told = told
        self.left: tuple[str, ...] = ()
        self._journal = Journal(path, now())
        self._world = World(
            journal=self._journal,
            pace=pace or Pace(),
            told=lambda standing: self.told(standing),
            sleep=sleep,
            now=now,
        )
        self._filling: dict[Lane, Flight] = {}
        self._flights: dict[str, Flight] = {}
        # Uploads and results are long, and what answers them may think for a while.
        self._client = httpx2.AsyncClient(timeout=httpx2.Timeout(300.0, connect=10.0))
        self._outer = httpx2.AsyncClient(transport=_Transport(self))

    def __call__(self, model: Model) -> Model:
        """Return `model`, asked in batches; a baseline as it is."""
        return model if is_baseline(model) else BatchedModel(model, self.forget_answer)

    def provider(self, prefix: str, provider: Provider[Any]) -> Provider[Any]:
        """Return a provider whose requests pass through here.

        Raises:
            ConfigError: it has no batches.
        """
        argument = _ARGUMENTS.get(prefix)
        if argument is None or not isinstance(provider.client, _SdkClient):
            raise self.unable(f"provider {prefix!r}")
        client = provider.client.with_options(http_client=self._outer)
        make = cast("Callable[..., Provider[Any]]", type(provider))
        return make(**{argument: client})

    def unable(self, name: str) -> ConfigError:
        """Return what is wrong with asking someone in batches who has none."""
        return ConfigError(_NO_BATCHES.format(name))

    async def forget(self, askers: str) -> None:
        """Forget what was asked by those whose names begin so: their answers are kept elsewhere."""
        await asyncio.to_thread(self._journal.forget, askers)

    async def forget_answer(self, name: str) -> None:
        """Forget an answer that cannot be read, so that it is asked for anew the next time."""
        await asyncio.to_thread(self._journal.drop_answer, name)

    async def aclose(self) -> None:
        """Close what is open. `left` then names the batches that go on at their provider."""
        flights = [flight for flight in self._flights.values() if not flight.task.done()]
        self.left = tuple(flight.id for flight in flights if flight.id is not None)
        for flight in flights:
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)
        await self._outer.aclose()
        await self._client.aclose()
        self._journal.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request of a provider's client, from a batch if it can be part of one."""
        ticket = TICKET.get()
        form, endpoint = _format_of(request)
        if ticket is None or form is None:
            return await self._client.send(request, stream=True)
        body: dict[str, Any] = json.loads(await request.aread())
        try:
            if body.pop("stream", False):
                raise WouldStream(body.get("max_tokens"))
            lane = self._lane(form, endpoint, request, str(body.get("model")))
            with ASKER.get().waiting():
                answer = await self._answer(lane, body, ticket)
        except (ConfigError, WouldStream) as e:
            ticket.error = e  # whatever else the client makes of it on the way
            raise httpx2.UnsupportedProtocol(str(e)) from e
        headers = {"content-type": "application/json"}
        return httpx2.Response(answer.status, headers=headers, content=answer.body, request=request)

    async def _answer(self, lane: Lane, body: dict[str, Any], ticket: Ticket) -> Answer:
        key = (ASKER.get().name, _digest(lane.url, body))
        sent = json.dumps(body, separators=(",", ":")).encode()
        attempts = 0
        while True:
            ticket.name, outcome = await self._once(lane, key, sent)
            if outcome.wrong:
                raise ConfigError(outcome.wrong)
            if outcome.unreached:
                raise httpx2.ConnectError(outcome.unreached)
            if outcome.refused is not None:
                return outcome.refused
            if answer := outcome.answers.get(ticket.name):
                attempts += 1
                if attempts >= self._world.pace.attempts or not passes(answer.status):
                    return answer

    async def _once(self, lane: Lane, key: tuple[str, str], sent: bytes) -> tuple[str, Outcome]:
        """Return a request's name, and what its batch came to."""
        if name := self._journal.take(*key):
            if kept := await asyncio.to_thread(self._journal.answer, name):
                return name, Outcome(answers={name: kept})
            flight = await self._resumed(lane, name)
            if flight is None:
                return name, Outcome()
        else:
            flight = self._flight(lane, sent)
            name = flight.add(key, sent)
        try:
            return name, await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            flight.withdraw(name)
            raise

    def _flight(self, lane: Lane, body: bytes) -> Flight:
        """Return the batch that fills up for a lane."""
        flight = self._filling.get(lane)
        if flight is None or not flight.takes(body):
            flight = self._filling[lane] = self._begun(Flight(self._world, lane))
        return flight

    async def _resumed(self, lane: Lane, name: str) -> Flight | None:
        """Return the batch of an earlier process that a request went out with."""
        noted = await asyncio.to_thread(self._journal.batch_of, name)
        if noted is None:
            return None
        return self._flights.get(noted.token) or self._begun(Flight(self._world, lane, noted))

    def _begun(self, flight: Flight) -> Flight:
        self._flights[flight.token] = flight
        return flight

    def _lane(self, form: BatchFormat, endpoint: str, request: httpx2.Request, model: str) -> Lane:
        url = request.url
        base = str(url.copy_with(query=None, userinfo=b"")).removesuffix(endpoint)
        return Lane(
            form,
            Server(self._client, base, shared_headers(request), url.query.decode()),
            endpoint,
            model,
        )


class _Transport(httpx2.AsyncBaseTransport):
    """Takes the place of a network beneath a provider's client."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._batches.handle(request)


@runtime_checkable
class _SdkClient(Protocol):
    """What the clients of OpenAI and Anthropic have in common."""

    def with_options(self, *, http_client: httpx2.AsyncClient) -> object: ...


_ARGUMENTS = {
    "anthropic": "anthropic_client",
    "openai": "openai_client",
    "openai-chat": "openai_client",
    "openai-responses": "openai_client",
    "litellm": "openai_client",
}
"""Providers that have batches, or may, by prefix; and what their class calls a client."""


def batched(models: Models, batches: Batches) -> Models:
    """Return models that ask providers in batches.

    What stands before providers for the sake of single requests goes: limits at once and a minute,
    a circuit, retries, time limits. A batch has its own, and what befell a request of it and may
    pass is asked again in the next.
    """
    single = (Faults, Circuit, Limiter, Retry)
    around = [wrap for wrap in models.wrap if not isinstance(wrap, single)]
    clients = replace(models.clients, batches=batches, timeout=LONGEST)
    return replace(models, clients=clients, wrap=(batches, Faults(secrets=models.secrets), *around))


def _format_of(request: httpx2.Request) -> tuple[BatchFormat | None, str]:
    if request.method == "POST":
        for form in FORMATS:
            if endpoint := form.endpoint(request.url.path):
                return form, endpoint
    return None, ""


def _digest(url: str, body: dict[str, Any]) -> str:
    said = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{url} {said}".encode()).hexdigest()
