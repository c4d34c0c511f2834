"""A provider that fails as it is told: answers are bytes on loopback, not a library's idea of them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic_ai.models import StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel

End = Literal["whole", "cut", "hangs"]
Event = str | dict[str, Any] | tuple[str, str | dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What is sent for one request: bytes, and whether they are all.

    Attributes:
        ends: `cut` closes the connection, `hangs` sends no more and leaves it open.
    """

    sent: bytes = b""
    ends: End = "whole"


def body(
    content: object, status: int = 200, kind: str = "application/json", **headers: str
) -> Answer:
    """Return an answer with a body: text as it is, anything else as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {"content-type": kind, "content-length": str(len(text.encode())), **named}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Answer(f"HTTP/1.1 {status} x\r\n{head}\r\n{text}".encode())


def events(*items: Event, ends: End = "whole") -> Answer:
    """Return a stream of server-sent events: text as it is, pairs with a name, the rest as JSON."""
    sent = (
        b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for item in items:
        data = _event(item).encode()
        sent += f"{len(data):x}\r\n".encode() + data + b"\r\n"
    return Answer(sent + (b"0\r\n\r\n" if ends == "whole" else b""), ends)


def _event(item: Event) -> str:
    if isinstance(item, str):
        return f"data: {item}\n\n"
    if isinstance(item, tuple):
        name, data = item
        return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n"
    return f"data: {json.dumps(item)}\n\n"


@dataclass
class Faulty:
    """Gives its answers one after another, and the last one for ever.

    Attributes:
        asked: The bodies of the requests.
        open: Connections that the client holds at this moment.
        arrived: Set by the first request.
    """

    answers: list[Answer] = field(default_factory=list[Answer])
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    open: int = 0
    port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *answers: Answer) -> Self:
        self.answers = list(answers)
        return self

    async def all_closed(self) -> None:
        """Wait until the client holds no connection any more."""
        async with asyncio.timeout(5), self.closed:
            await self.closed.wait_for(lambda: self.open == 0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, which some tests are about
        finally:
            writer.close()
            self.open -= 1
            async with self.closed:
                self.closed.notify_all()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        self.arrived.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(answer.sent)
        await writer.drain()
        if answer.ends == "hangs":
            await reader.read(1)  # returns when the client leaves
        return answer.ends == "whole"


@asynccontextmanager
async def faulty() -> AsyncGenerator[Faulty]:
    """Serve on loopback while the context is open."""
    server = Faulty()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
        await server.all_closed()
    finally:
        listening.close()
        await listening.wait_closed()


# -- what OpenAI's chat protocol says when all is well


def completion(text: str = "yes", **changes: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **changes,
    }


def delta(text: str | None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }


WHOLE = events(delta("ye"), delta("s", "stop"), "[DONE]")
"""A stream that says "yes"."""


class Counted(WrapperModel):
    """Counts the streams that are open."""

    open = 0

    @asynccontextmanager
    async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[StreamedResponse]:
        self.open += 1
        try:
            async with super().request_stream(*args, **kwargs) as answer:
                yield answer
        finally:
            self.open -= 1
