"""The web, as far as a model may reach it: public addresses, bounded answers.

A model chooses the URL, and a page it has read may have told it which. So nothing that stands
behind the firewall may answer. The guard sits in the client's transport, under every request and
every redirect: it resolves the host once, refuses it if *any* of its addresses is not public, and
connects to an address that it has checked. A name that changes its address in between (DNS
rebinding) changes nothing. TLS still verifies the name and not the address.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from socket import SOCK_STREAM
from typing import Protocol, TypeAlias

import httpx2

from ..errors import InputError
from .addresses import Network, parsed, why_refused

__all__ = ("Fetched", "GuardedClient", "HasWeb", "Reach", "Resolve", "Web", "system_resolver")

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to the host's addresses."""

URL_CHARS = 2_000
ADDRESSES = 4  # of one host that are tried

# A host whose last label is a number is an IPv4 address to a browser, and to some resolvers, in
# whatever notation: 127.1, 2130706433, 0x7f.1, 0177.0.0.1 (WHATWG URL, "ends in a number").
_NUMERIC = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)$")

_TEXT = re.compile(r"text/.+|application/((.+\+)?(json|xml)|javascript|yaml|x-ndjson)")

# Python knows more encodings than the web does; some are no text, one takes quadratic time.
_CHARSET = re.compile(
    r"utf-?8|utf-?16(le|be)?|(us-)?ascii|latin-?1|iso-?8859-\d+|(windows-|cp)125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gb2312|gbk|gb18030|big5"
)
_META = re.compile(rb"<meta[^>]{0,200}charset\s{0,9}=\s{0,9}[\"']?([\w-]{1,20})", re.IGNORECASE)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as the system knows them, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What may be reached: by default public addresses alone, on the web's own ports.

    Args:
        ports: The ports; None for every one.
        exempt: Networks that may be reached although they are not public, such as an intranet's.
        resolve: How the addresses of a host are found.
    """

    ports: frozenset[int] | None = frozenset({80, 443})
    exempt: tuple[Network, ...] = ()
    resolve: Resolve = system_resolver

    async def addresses(self, url: httpx2.URL) -> list[str]:
        """Return the addresses that may be connected to for a URL.

        Raises:
            InputError: the URL may not be asked for, or one of its addresses not reached.
        """
        host, port = self._host(url)
        literal = parsed(host)
        texts = [host] if literal else await self._resolved(host, port)
        for text in texts:
            address = parsed(text)
            why = why_refused(address, self.exempt) if address else "no address"
            if why:
                raise InputError(
                    f"host {host!r} is refused: its address {text!r} is {why}; "
                    "only public addresses may be reached. Use a public page"
                )
        return texts[:ADDRESSES]

    def _host(self, url: httpx2.URL) -> tuple[str, int]:
        """Return the host and port of a URL whose form may be asked for."""
        host = url.raw_host.decode("ascii").rstrip(".")
        port = (443 if url.scheme == "https" else 80) if url.port is None else url.port
        if url.scheme not in ("http", "https"):
            raise _refused(url, f"its scheme is {url.scheme!r}", "use http or https")
        if url.userinfo:
            raise _refused(url, "it holds a user or a password", "leave that out")
        if not host or "%" in host:
            raise _refused(url, f"{host!r} is no host", "give a full address")
        if self.ports is not None and port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise _refused(url, f"port {port} is closed to you", f"open are {allowed}")
        if _NUMERIC.search(host) and parsed(host) is None:
            raise _refused(url, f"{host!r} is an odd way to write an address", "write it plainly")
        return host, port

    async def _resolved(self, host: str, port: int) -> list[str]:
        try:
            found = list(await self.resolve(host, port))
        except (OSError, UnicodeError) as e:
            raise InputError(f"host {host!r} cannot be found: {e}. Check its spelling") from e
        if not found:
            raise InputError(f"host {host!r} has no address. Check its spelling")
        return found


class _Guard(httpx2.AsyncBaseTransport):
    """Sends requests to addresses that were checked, and to no others."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, reach: Reach) -> None:
        self._inner = inner
        self._reach = reach

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        failure: httpx2.TransportError | None = None
        for address in await self._reach.addresses(request.url):
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as e:
                failure = e
        raise failure or httpx2.ConnectError("there is no address to connect to")

    async def aclose(self) -> None:
        await self._inner.aclose()


def _pinned(request: httpx2.Request, address: str) -> httpx2.Request:
    """Return the same request to an address: the header Host and the name in TLS stay."""
    name = request.url.raw_host.decode("ascii").rstrip(".")
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )


class GuardedClient(httpx2.AsyncClient):
    """A client that reaches no further than it may, whatever it is asked for, redirects included.

    It reads no proxy from the environment, for a proxy would connect where it likes; it keeps no
    cookies, so that one run learns nothing of another.

    Args:
        reach: What may be reached.
        timeout: Seconds to wait for a connection, and for each next byte.
        tls: How certificates are verified; None for the system's way.
    """

    def __init__(
        self,
        reach: Reach | None = None,
        *,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # A connection is verified for one name, and known to the pool by its address alone: kept
        # open, it would serve the next name at that address unverified.
        inner = httpx2.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        super().__init__(
            transport=_Guard(inner, reach or Reach()),
            timeout=timeout,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "accept": "text/markdown, text/html;q=0.9, text/*;q=0.8, application/json;q=0.8",
                # What is packed can unpack to a thousand times its size in one step.
                "accept-encoding": "identity",
                "user-agent": "assay",
            },
        )


@dataclass(frozen=True)
class Fetched:
    """What stands at a URL: `url` is where the redirects ended, `text` as it was sent."""

    url: str
    media_type: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Web:
    """Fetches pages.

    Args:
        client: The client; its owner closes it.
        seconds: How long one fetch may take, redirects and name look-ups included.
        max_bytes: How large a page may be.
        redirects: How many redirects are followed.
    """

    client: GuardedClient
    seconds: float = 20.0
    max_bytes: int = 1_000_000
    redirects: int = 5

    async def fetch(self, url: str) -> Fetched:
        """Return the text that stands at a URL.

        Raises:
            InputError: the URL is refused, nothing answers there in time, or its answer is an
                error, too large, or not text.
        """
        try:
            async with asyncio.timeout(self.seconds):
                return await self._fetched(_url(url))
        except TimeoutError as e:
            raise InputError(
                f"{url[:200]!r} took longer than {self.seconds:g} s. Try another page"
            ) from e
        except (httpx2.HTTPError, httpx2.InvalidURL) as e:
            raise InputError(
                f"{url[:200]!r} cannot be fetched: {e or type(e).__name__}. Try another page"
            ) from e

    async def _fetched(self, url: httpx2.URL) -> Fetched:
        request = self.client.build_request("GET", url)
        for _ in range(self.redirects + 1):
            # By hand: the client would read the whole body of a redirect, however long.
            response = await self.client.send(request, stream=True, follow_redirects=False)
            try:
                if response.next_request is None:
                    return await self._read(response)
                request = response.next_request
            finally:
                await response.aclose()
        raise _refused(url, f"it redirects more than {self.redirects} times", "try another page")

    async def _read(self, response: httpx2.Response) -> Fetched:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._accept(response, media_type)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.max_bytes:
                raise self._too_large(response.url)
        encoding = _encoding(response.charset_encoding, bytes(body[:1024]))
        text = body.decode(encoding, "replace")
        return Fetched(str(response.url), media_type or "text/plain", text)

    def _accept(self, response: httpx2.Response, media_type: str) -> None:
        """Refuse an answer by its head."""
        url, length = response.url, response.headers.get("content-length", "")
        packed = response.headers.get("content-encoding", "identity").strip().lower()
        if not response.is_success:
            raise _refused(url, f"it answers {response.status_code}", "try another page")
        if media_type and not _TEXT.fullmatch(media_type):
            raise _refused(url, f"it is {media_type!r} and not text", "try another page")
        if packed not in ("identity", ""):
            raise _refused(url, f"it comes packed as {packed!r}", "try another page")
        if length.isdecimal() and int(length[:20]) > self.max_bytes:
            raise self._too_large(url)

    def _too_large(self, url: httpx2.URL) -> InputError:
        return _refused(url, f"it is larger than {self.max_bytes} bytes", "try a smaller page")


class HasWeb(Protocol):
    """Deps with a reach into the web."""

    @property
    def web(self) -> Web: ...


def _url(text: str) -> httpx2.URL:
    """Return a URL that reads the same to everybody: browsers drop some characters silently."""
    if len(text) > URL_CHARS:
        raise InputError(f"the URL has {len(text)} characters; at most {URL_CHARS} are taken")
    if "\\" in text or any(not c.isprintable() or c.isspace() for c in text):
        raise InputError(
            f"{text!r} is no URL: it holds a space, a backslash or a control character. "
            "Percent-encode it"
        )
    return httpx2.URL(text)


def _encoding(named: str | None, head: bytes) -> str:
    """Return the encoding that the header names, else the document; UTF-8 if neither is known."""
    found = _META.search(head)
    name = (named or (found[1].decode("ascii") if found else "")).lower()
    return name if _CHARSET.fullmatch(name) else "utf-8"


def _refused(url: httpx2.URL, why: str, next_step: str) -> InputError:
    shown = url.copy_with(username=None, password=None)
    return InputError(f"{str(shown)[:200]!r} is refused: {why}; {next_step}")
