"""Run one cell, and say what it came to and what is wrong with that."""

import asyncio
import os
import traceback
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import monotonic
from types import TracebackType
from typing import Literal, Self
from unittest.mock import patch

from pydantic import SecretStr

from assay.deps import BaseDeps, Endpoint, Models, Settings
from assay.deps.resilience.circuit import Circuit
from assay.deps.resilience.faults import Faults
from assay.deps.resilience.limiter import Limiter
from assay.deps.resilience.retry import Retry

from .acts import Script, Unable
from .cells import Behaviour, fill, look_and_fill
from .columns import Column, Ending
from .server import Checked, Server
from .servers import Servers

__all__ = ("Cell", "Place", "Places")

FASTER = 50
"""How many times faster than the real one the clock of the layers runs."""

READ = ("ASSAY_", "OPENAI_", "ANTHROPIC_", "OPENROUTER_", "OLLAMA_", "SSL_CERT_")
"""Variables that say which model is asked where: those of the user are out of the way."""

NO_TLS = {"SSL_CERT_DIR": os.devnull}
"""Nobody is asked over TLS; for each client to read all certificates takes most of the time."""


class Haste:
    """A clock that runs faster, for all that waits between requests, and what has been waited."""

    def __init__(self) -> None:
        self.waited = 0.0

    def clock(self) -> float:
        return FASTER * monotonic()

    async def sleep(self, seconds: float) -> None:
        self.waited += seconds
        await asyncio.sleep(seconds / FASTER)


@dataclass
class Came:
    """What a run came to, by the clock on the wall."""

    seconds: float
    waited: float
    output: object = None
    error: Exception | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of the table: `why` it was skipped or is wrong; else what it came to."""

    verdict: Literal["ok", "skipped", "WRONG"]
    came_to: str
    seconds: float = 0.0
    why: str = ""


@dataclass
class Place:
    """A column at one server; its clients are kept from cell to cell, as a service keeps them."""

    column: Column
    server: Server
    _known: dict[tuple[str, str, str], Models] = field(
        default_factory=dict[tuple[str, str, str], Models]
    )

    async def cell(self, behaviour: Behaviour) -> Cell:
        """Run a cell."""
        try:
            if why := self.column.hides.get(behaviour.name):
                raise Unable(why)
            await self.server.will(self._script(behaviour))
        except Unable as e:
            return Cell("skipped", "", why=str(e))
        came = await self._come_to(behaviour)
        what = "ok" if came.error is None else type(came.error).__name__
        wrong = self._wrong(behaviour, came)
        return Cell("WRONG" if wrong else "ok", what, came.seconds, wrong)

    async def aclose(self) -> None:
        """Close the clients."""
        for models in self._known.values():
            await models.aclose()

    def _script(self, behaviour: Behaviour) -> Script:
        """Return what the server is told; of what it looks at by itself, nothing."""
        looked_at: Checked = "key" if behaviour.key is not None else "model"
        if behaviour.denial is None or looked_at in self.server.checks:
            return behaviour.script
        return (behaviour.denial,)

    async def _come_to(self, behaviour: Behaviour) -> Came:
        haste, came = Haste(), Came(0.0, 0.0)
        bound = behaviour.bound * self.server.slack
        key = behaviour.key or self.server.key
        with patch.dict(os.environ, self._environment(behaviour, key), clear=True):
            started = monotonic()
            try:
                models, started = self._models(behaviour, key, haste), monotonic()
                async with asyncio.timeout(bound):
                    came.output = await behaviour.way(BaseDeps(models=models))
            except Exception as e:
                came.error = e
        came.seconds, came.waited = monotonic() - started, haste.waited
        return came

    def _environment(self, behaviour: Behaviour, key: str) -> dict[str, str]:
        others = {n: v for n, v in os.environ.items() if not n.startswith(READ)}
        column, server = self.column, self.server
        model = column.model if behaviour.model is None else column.named(behaviour.model)
        asked = {"ASSAY_MODEL": model, "ASSAY_OUTPUT_MODE": behaviour.mode, **column.variables}
        there = {"url": server.url, "anthropic": server.anthropic, "key": key}
        return {
            **others,
            **NO_TLS,
            **{name: value.format(**there) for name, value in asked.items()},
        }

    def _models(self, behaviour: Behaviour, key: str, haste: Haste) -> Models:
        """Return what the settings say, in the usual layers with a faster clock."""
        wanted = behaviour.mode, key, behaviour.model or ""
        if wanted not in self._known:
            self._known[wanted] = self._settled(key)
            self._known[wanted].resolve("small")  # libraries are loaded before the clock starts
        models, clock, sleep = self._known[wanted], haste.clock, haste.sleep
        slack = self.server.slack
        layers = (
            Faults(within=behaviour.within * slack, secrets=models.secrets),
            Circuit(clock=clock),
            Limiter(20, clock=clock, sleep=sleep, patience=FASTER * 60),
            Retry(within=FASTER * 60, clock=clock, sleep=sleep),
        )
        return replace(models, wrap=layers)

    def _settled(self, key: str) -> Models:
        models = Settings().models()
        if not self.column.router:
            return models
        at = Endpoint(f"{self.server.url}/api/v1", SecretStr(key))
        return replace(models, clients=replace(models.clients, endpoints=(("openrouter", at),)))

    def _wrong(self, behaviour: Behaviour, came: Came) -> str:
        """Return what is wrong; nothing if all is right."""
        ending = self.column.ends.get(
            behaviour.name, Ending(behaviour.ends, requests=behaviour.requests)
        )
        if came.error is not None:
            wrong = self._wrong_error(behaviour, ending, came.error)
        else:
            wrong = self._wrong_answer(behaviour, came)
        return wrong or self._wrong_requests(behaviour, ending.requests)

    def _wrong_answer(self, behaviour: Behaviour, came: Came) -> str:
        right = behaviour.right if self.server.exact else behaviour.sound
        if right is None or not right(came.output):
            return f"answered {came.output!r}"
        return self._wrong_wait(behaviour, came) if self.column.relays_retry_after else ""

    def _wrong_wait(self, behaviour: Behaviour, came: Came) -> str:
        # What has passed since the refusal need not be waited for: on a busy machine, a good part.
        if came.waited < behaviour.waits / 2:
            return f"waited {came.waited:.2f} s where the server wants {behaviour.waits:g}"
        seen = self.server.seen() or ()
        apart = min((FASTER * (b.at - a.at) for a, b in pairwise(seen)), default=behaviour.waits)
        if apart < behaviour.waits:
            return f"asked again after {apart:.2f} s where the server wants {behaviour.waits:g}"
        return ""

    def _wrong_error(self, behaviour: Behaviour, ending: Ending, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"not at its end after {behaviour.bound * self.server.slack:g} s"
        if type(error) not in ending.kinds:
            return f"{type(error).__name__}: {error}"
        shown = "".join(traceback.format_exception(error))
        keys = self.server.key, behaviour.key
        return "a key is in the error" if any(key and key in shown for key in keys) else ""

    def _wrong_requests(self, behaviour: Behaviour, requests: int | None) -> str:
        seen = self.server.seen()
        if seen is None or requests is None:
            return ""
        if len(seen) != requests:
            return f"{len(seen)} requests instead of {requests}"
        tool = behaviour.mode == "auto" and behaviour.way in (fill, look_and_fill)
        form = "final_result" in seen[0].tools, seen[0].schema
        if form != (tool, behaviour.mode == "native"):
            return f"asked for the output in another way: {seen[0].body}"
        return ""


class Places:
    """The columns at their servers, each opened when it is first asked for."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._places: dict[tuple[str, str], Place] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for place in self._places.values():
            await place.aclose()

    async def get(self, column: Column, server: str) -> Place:
        """Return a column at one of its servers.

        Raises:
            Unable: the server is not here.
        """
        key = column.name, server
        if key not in self._places:
            self._places[key] = Place(column, await self._servers.get(server))
        return self._places[key]
