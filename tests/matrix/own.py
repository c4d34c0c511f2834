"""Our own stand-in for every provider: a server on loopback that needs nothing installed."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from ..faulty import Answer
from .acts import Act, Fail, Script
from .dialects import Asked, dialect
from .server import Server

__all__ = ("Own", "own")


@dataclass
class Own(Server):
    """Speaks every protocol, by the path that is asked.

    It checks keys and models as a provider does, and quotes a wrong key in its error, as some do.

    Attributes:
        asked: The requests since the last `will`.
    """

    models: frozenset[str] = frozenset()
    asked: list[Asked] = field(default_factory=list[Asked])
    _acts: list[Act] = field(default_factory=list[Act])

    async def will(self, script: Script) -> None:
        """Play `script` from the next request on."""
        self._acts, self.asked = list(script), []

    def seen(self) -> list[Asked] | None:
        return self.asked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (answer := await self._next(reader)).ends == "whole":
                await _send(writer, answer)
            await _send(writer, answer)
            if answer.ends == "hangs":
                await reader.read(1)  # returns when the client leaves
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, as after every timeout
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        said = json.loads(await reader.readexactly(int(headers["content-length"])))
        path = first.split()[1]
        spoken = dialect(path)
        tools, schema = spoken.tools(said), spoken.schema(said)
        asked = Asked(path, _key(headers), said, tools, schema, monotonic())
        self.asked.append(asked)
        return spoken.answer(self._refusal(asked) or self._act(), asked)

    def _act(self) -> Act:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    def _refusal(self, asked: Asked) -> Fail | None:
        if asked.key != self.key:
            return Fail(401, f"Incorrect API key provided: {asked.key}.", "authentication_error")
        if asked.model not in self.models:
            return Fail(404, f"The model `{asked.model}` does not exist", "not_found_error")
        return None


def _key(headers: dict[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(answer.sent)
    await writer.drain()


@asynccontextmanager
async def own(key: str, models: Iterable[str]) -> AsyncGenerator[Own]:
    """Serve on loopback while the context is open; `models` are the names that it knows."""
    server = Own("", key, models=frozenset(models))
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await listening.wait_closed()
