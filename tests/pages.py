"""A web on loopback: pages by path, over HTTP or TLS, in the test's own event loop."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx2
import pytest
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from assay.deps.web import GuardedClient, Reach, Web
from assay.tools.web import Page, fetch_page

__all__ = (
    "LOOPBACK",
    "Deps",
    "Pages",
    "answer",
    "context",
    "fetched",
    "mocked",
    "opened",
    "redirect",
    "refused",
)

LOOPBACK = ip_network("127.0.0.1/32")

Served: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, kind: str = "text/plain", status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def redirect(to: str) -> bytes:
    return answer(b"", "text/plain", "302 Found", f"location: {to}")


@dataclass
class Pages:
    """Serves pages; what was asked for is in `heads`."""

    pages: Mapping[str, Served]
    tls: ssl.SSLContext | None = None
    heads: list[str] = field(default_factory=list[str])
    port: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            page = self.pages.get(head.split(" ")[1], answer(b"no", "text/plain", "404 Not Found"))
            if isinstance(page, bytes):
                writer.write(page)
                await writer.drain()
            else:
                await page(writer)
                await reader.read()  # until the client goes
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went first: that is what some tests are about
        finally:
            writer.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"


def opened(*, tls: ssl.SSLContext | None = None, resolve: Any = None, **limits: Any) -> Web:
    """Return a web in which this machine's loopback may be reached, on any port."""
    given = {} if resolve is None else {"resolve": resolve}
    reach = Reach(ports=None, exempt=(LOOPBACK,), **given)
    # One that trusts nobody: reading the system's certificates takes longer than most tests.
    client = GuardedClient(reach, tls=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout=5.0)
    return Web(client=client, **limits)


@dataclass
class Deps:
    web: Web


def context(web: Web) -> RunContext[Deps]:
    return RunContext(deps=Deps(web), model=TestModel(), usage=RunUsage())


async def fetched(web: Web, url: str, offset: int = 0) -> Page:
    async with web.client:
        return await fetch_page(context(web), url, offset)


async def refused(web: Web, url: str) -> str:
    with pytest.raises(ModelRetry) as e:
        await fetched(web, url)
    return str(e.value)


@contextmanager
def mocked(handle: Callable[[httpx2.Request], httpx2.Response]) -> Generator[None]:
    """Let clients that are made meanwhile send to a function, and not to the network."""

    def transport(**options: object) -> httpx2.MockTransport:
        return httpx2.MockTransport(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "AsyncHTTPTransport", transport)
        yield
