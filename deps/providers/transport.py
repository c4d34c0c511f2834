"""The same requests to OpenAI-compatible providers for less CPU: `ASSAY_TRANSPORT=lean`.

Two things cost most of the path to such a provider: the connection pool of httpx2, and what
OpenAI's library does to a chat request and its answer by Python reflection, though Pydantic AI has
made the one of plain JSON and validates the other itself. Both are replaced where that is foreseen:
`AioTransport` is a transport of httpx2, and `chat.completions` of the library's own client sends
plain JSON and reads the answer in one pass. All else stays the library's: headers, keys, errors,
streams, timeouts.

The library's `DefaultAioHttpClient` is faster too, but reports a refused connection as a timeout,
cannot be used from a second event loop and complains when a program ends without closing it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from types import TracebackType
from typing import Any, cast
from urllib.request import getproxies, proxy_bypass
from weakref import finalize

import aiohttp
import httpx2
from openai import AsyncOpenAI, AsyncStream, NotGiven, Omit, RequestOptions, not_given
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError
from pydantic_ai.models import get_user_agent
from pydantic_ai.providers import Provider
from yarl import URL

__all__ = ("AioTransport", "lean")

PATH = "/chat/completions"

MOST_CONNECTIONS = 1000
"""As Pydantic AI's own clients have it."""

# The first that fits. Left as they are, aiohttp's errors would be unknown to OpenAI's library.
ERRORS: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx2.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx2.ProxyError),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.ServerFingerprintMismatch, httpx2.ConnectError),
    (aiohttp.ClientConnectionError, httpx2.ReadError),
    (aiohttp.ClientPayloadError, httpx2.ReadError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
)


def lean(provider: Provider[Any]) -> Provider[Any]:
    """Return the same provider, its OpenAI client with less work per request.

    Leaving it as a context closes its connections; it may be used again. So does the end of the
    event loop, and each event loop has connections of its own.

    Args:
        provider: One of Pydantic AI that takes an `openai_client`. What its client was given, a
            key, an address, headers, timeouts, is kept.
    """
    given: AsyncOpenAI = provider.client
    transport = AioTransport()
    http = httpx2.AsyncClient(
        timeout=given.timeout or httpx2.Timeout(None),
        transport=transport,
        headers={"User-Agent": get_user_agent()},
    )
    client = given.with_options(http_client=http)
    vars(client)["chat"] = _Chat(client)  # a cached property: what it would make is there already
    made = _closing(type(provider))(openai_client=client)
    made.transport = transport
    return cast(Provider[Any], made)


@cache
def _closing(kind: type[Provider[Any]]) -> Any:
    """Return a kind of provider that closes its connections: Pydantic AI leaves a given client."""
    return type(kind.__name__, (_Closing, kind), {})


class _Closing(Provider[AsyncOpenAI]):
    transport: AioTransport
    _inside: int = 0

    async def __aenter__(self) -> Any:
        self._inside += 1
        return await super().__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        if self._inside == 1:
            await self.transport.aclose()
        self._inside = max(0, self._inside - 1)
        return await super().__aexit__(exc_type, exc_val, exc_tb)


# -- what is asked and answered


class _Chat(AsyncChat):
    @property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    """Sends what it is given, without a look at the type of each part."""

    async def create(self, **asked: Any) -> Any:
        timeout = asked.pop("timeout", not_given)
        options: dict[str, Any] = {
            "headers": asked.pop("extra_headers", None),
            "params": asked.pop("extra_query", None),
            "extra_json": asked.pop("extra_body", None),
        }
        given = {name: value for name, value in options.items() if value is not None}
        if not isinstance(timeout, NotGiven):
            given["timeout"] = timeout
        body = {n: value for n, value in asked.items() if not isinstance(value, (Omit, NotGiven))}
        return await self._ask(body, cast(RequestOptions, given))

    async def _ask(self, body: dict[str, Any], options: RequestOptions) -> object:
        if not body.get("stream"):
            whole = await self._post(PATH, body=body, options=options, cast_to=httpx2.Response)
            return _read(whole)
        return await self._post(
            PATH,
            body=body,
            options=options,
            cast_to=ChatCompletion,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )


def _read(response: httpx2.Response) -> object:
    """Return a completion; of an answer that is none, what OpenAI's library would return."""
    try:
        return ChatCompletion.model_validate_json(response.content)
    except ValidationError:
        return _unchecked(response)


def _unchecked(response: httpx2.Response) -> object:
    try:
        found: object = response.json()
    except ValueError:
        if response.headers.get("content-type", "").partition(";")[0].endswith("json"):
            raise
        return response.text
    if not isinstance(found, dict):
        return found
    # Some servers send no `created` or no reason to finish: that is for Pydantic AI to judge.
    return ChatCompletion.model_construct(**cast(dict[str, Any], found))


# -- how it travels


class AioTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of an httpx2 client through aiohttp.

    Connections belong to an event loop: each has its own, which are closed when it ends (as
    `asyncio.run` ends one) or by `aclose` within it. Proxies are those of the environment at the
    time of construction; certificates are verified as httpx2 does.
    """

    def __init__(self) -> None:
        self._proxies = getproxies()
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        session = await self._session()
        with _errors(request):
            response = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                ssl=self._tls if request.url.scheme == "https" else True,
                timeout=_timeout(request),
                **self._proxy(request.url),
            )
        return httpx2.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(request, response),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the connections of this event loop; another request would open new ones."""
        if held := self._open.pop(asyncio.get_running_loop(), None):
            held.forgotten.detach()
            await held.until.aclose()

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        held = self._open.get(loop)
        if held is None or held.session.closed:
            for ended in [one for one in list(self._open) if one.is_closed()]:
                self._open.pop(ended).forgotten.detach()
            until = _session_until_closed()
            forgotten = finalize(self, _close_soon, loop, until)
            held = self._open[loop] = _Open(until, await anext(until), forgotten)
        return held.session

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx2.create_ssl_context()  # takes a while: only who needs it reads certificates

    def _proxy(self, url: httpx2.URL) -> dict[str, Any]:
        """Return the proxy for an address, if there is one, as aiohttp takes it.

        Left to aiohttp, it would read the environment in a thread for each request.
        """
        found = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not found or proxy_bypass(url.host):
            return {}
        proxy = URL(found)
        if proxy.user is None:
            return {"proxy": proxy}
        login = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
        return {"proxy": proxy.with_user(None), "proxy_headers": {"authorization": login}}


@dataclass(frozen=True)
class _Open:
    """The connections of one event loop.

    Attributes:
        until: Closes them when it is closed.
        forgotten: Closes it if the transport is no more. It holds on to it, so that the two do not
            go at once, and aiohttp would complain of a session that nobody closed.
    """

    until: AsyncGenerator[aiohttp.ClientSession]
    session: aiohttp.ClientSession
    forgotten: finalize[..., Any]


def _close_soon(
    loop: asyncio.AbstractEventLoop, until: AsyncGenerator[aiohttp.ClientSession]
) -> None:
    async def close() -> None:
        await until.aclose()

    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(close(), loop)


async def _session_until_closed() -> AsyncGenerator[aiohttp.ClientSession]:
    """Yield a session. An event loop that ends closes the generators that it has begun."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),  # cookies and encodings are httpx2's business
        auto_decompress=False,
    ) as session:
        yield session


def _timeout(request: httpx2.Request) -> aiohttp.ClientTimeout:
    seconds: dict[str, float | None] = request.extensions.get("timeout", {})
    return aiohttp.ClientTimeout(
        connect=seconds.get("pool"),  # aiohttp counts the wait for a free connection to this
        sock_connect=seconds.get("connect"),
        sock_read=seconds.get("read"),
    )


class _Body(httpx2.AsyncByteStream):
    """What is still to come of an answer."""

    def __init__(self, request: httpx2.Request, response: aiohttp.ClientResponse) -> None:
        self._request = request
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors(self._request):
            async for data in self._response.content.iter_any():
                yield data

    async def aclose(self) -> None:
        self._response.close()  # a connection whose answer was read to its end is kept


@contextmanager
def _errors(request: httpx2.Request) -> Generator[None]:
    """Raise httpx2's errors for aiohttp's."""
    try:
        yield
    except Exception as e:
        kind = next((to for kind, to in ERRORS if isinstance(e, kind)), None)
        if kind is None:
            raise
        raise kind(str(e) or type(e).__name__, request=request) from e
