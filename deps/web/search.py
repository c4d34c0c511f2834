"""Web search: what there is about a question, as a search engine knows it.

`SearXNG` asks an instance of the operator's own, `Brave` asks Brave's Search API. Both ask through
the guarded client of `web`, which keeps a redirect or a rebound name from reaching further.
Libraries that scrape result pages, such as `ddgs`, bring clients of their own, past that guard, so
there is none here.

What engines return was written by whoever wants to be found: titles and snippets are no orders.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx2
from pydantic import JsonValue, SecretStr

from ..errors import ConfigError, InputError
from .pages import GuardedClient

__all__ = ("Brave", "HasSearch", "Hit", "SearXNG", "Search")

QUERY_CHARS = 400
QUERY_WORDS = 50
"""Brave refuses what is longer; the same for all, so that one can stand in for the other."""

MOST = 20
SNIPPET_CHARS = 600

BRAVE = "https://api.search.brave.com/res/v1/web/search"


@dataclass(frozen=True)
class Hit:
    """A page that a search engine names: plain text from outside, shortened."""

    title: str
    url: str
    snippet: str


class Search(Protocol):
    """A search engine."""

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        """Return at most `limit` pages about `query`, the engine's best first.

        Raises:
            InputError: the query is refused, or the engine gives no answer now.
            ConfigError: the engine refuses the key or is not set up for this.
        """
        ...


class HasSearch(Protocol):
    """Deps with a search engine."""

    @property
    def search(self) -> Search: ...


@dataclass(frozen=True, kw_only=True)
class _Engine:
    """Asks for JSON, bounded in time and bytes.

    Args:
        client: The client; its owner closes it.
        seconds: How long one search may take.
        max_bytes: How large an answer may be.
    """

    client: GuardedClient
    seconds: float = 10.0
    max_bytes: int = 2_000_000

    async def _json(self, url: str, params: Mapping[str, str], key: str | None = None) -> JsonValue:
        headers = {"accept": "application/json"}
        headers |= {"x-subscription-token": key} if key else {}
        request = self.client.build_request("GET", url, params=params, headers=headers)
        try:
            async with asyncio.timeout(self.seconds):
                # No redirect is followed: it would take the key along.
                response = await self.client.send(request, stream=True, follow_redirects=False)
                try:
                    answer: JsonValue = json.loads(await self._body(response))
                    return answer
                finally:
                    await response.aclose()
        except TimeoutError as e:
            raise _failed(f"it took longer than {self.seconds:g} s") from e
        except (httpx2.HTTPError, httpx2.InvalidURL) as e:
            raise _failed(str(e) or type(e).__name__) from e
        except (ValueError, RecursionError) as e:
            raise _failed("its answer is not JSON") from e

    async def _body(self, response: httpx2.Response) -> bytes:
        status = response.status_code
        if status in (400, 401, 402, 403, 404, 422):
            raise ConfigError(
                f"the search engine at {response.url.host!r} refuses requests (HTTP {status}); "
                f"{self._next_step}"
            )
        if status != 200:
            raise _failed(f"it answers {status}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.max_bytes:
                raise _failed(f"its answer is larger than {self.max_bytes} bytes")
        return bytes(body)

    @property
    def _next_step(self) -> str:
        return "check its address"


@dataclass(frozen=True, kw_only=True)
class SearXNG(_Engine):
    """A SearXNG instance of the operator's own (https://docs.searxng.org/dev/search_api.html).

    It must know the format: `search: formats: [html, json]` in its `settings.yml`. One on loopback
    needs a client that may go there, and that is not the one which fetches pages:

    ```python
    here = Reach(ports=frozenset({8888}), exempt=(ip_network("127.0.0.1/32"),))
    SearXNG(url="http://127.0.0.1:8888", client=GuardedClient(here))
    ```

    Args:
        url: Its address, without `/search`.
        client, seconds, max_bytes: As for every engine: the client, whose owner closes it, how long
            one search may take, and how large an answer may be.
    """

    url: str

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        params = {"q": _asked(query), "format": "json"}
        answer = await self._json(f"{self.url.rstrip('/')}/search", params)
        return _hits(_of(answer, "results"), "content", limit)

    @property
    def _next_step(self) -> str:
        return (
            "allow JSON in its settings.yml (search: formats: [html, json]), and check its address"
        )


@dataclass(frozen=True, kw_only=True)
class Brave(_Engine):
    """Brave's Search API (https://api-dashboard.search.brave.com/app/documentation/web-search).

    Args:
        key: The key of a subscription.
        url: Another address of the same API.
        client, seconds, max_bytes: As for every engine: the client, whose owner closes it, how long
            one search may take, and how large an answer may be.
    """

    key: SecretStr
    url: str = BRAVE

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        count = str(max(1, min(limit, MOST)))
        params = {"q": _asked(query), "count": count, "text_decorations": "false"}
        answer = await self._json(self.url, params, self.key.get_secret_value())
        return _hits(_of(_of(answer, "web"), "results"), "description", limit)

    @property
    def _next_step(self) -> str:
        return "check the key and what its subscription includes"


def _asked(query: str) -> str:
    """Return a query that an engine takes."""
    words = query.split()
    if not words or len(query) > QUERY_CHARS or len(words) > QUERY_WORDS:
        raise InputError(
            f"the query {query[:60]!r} has {len(query)} characters and {len(words)} words; give 1 "
            f"to {QUERY_CHARS} characters, {QUERY_WORDS} words at most"
        )
    try:
        query.encode()
    except UnicodeEncodeError as e:
        raise InputError(f"the query {query[:60]!r} is no text: {e.reason}; write it anew") from e
    return " ".join(words)


def _of(answer: JsonValue, name: str) -> JsonValue:
    """Return a member of an answer; an engine leaves out what is empty."""
    if not isinstance(answer, dict):
        raise _failed(f"its answer is not as documented: {name!r} is looked for in no object")
    return answer.get(name, {})


def _hits(results: JsonValue, snippet: str, limit: int) -> list[Hit]:
    """Return the results that lead to a web page, once each."""
    found: dict[str, Hit] = {}
    for result in results if isinstance(results, list) else ():
        url = str(_of(result, "url"))
        if url.startswith(("http://", "https://")) and len(url) <= 2_000 and url.isprintable():
            text = (_line(_of(result, name)) for name in ("title", snippet))
            found.setdefault(url, Hit(next(text), url, next(text)))
    return list(found.values())[: max(0, limit)]


def _line(value: JsonValue) -> str:
    return " ".join(value.split())[:SNIPPET_CHARS] if isinstance(value, str) else ""


def _failed(why: str) -> InputError:
    return InputError(f"the search failed: {why}. Try again later, or go on without it")
