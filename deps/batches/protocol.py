"""What it takes to have requests answered as a batch, whoever the provider is.

A request of a batch is the body that would have been sent by itself, and its answer is a status and
a body, as it would have been answered: who asked cannot tell the difference, but for the time and
the price.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError
from pydantic_ai.exceptions import ModelHTTPError

from ..resilience.causes import retry_after

__all__ = (
    "Answer",
    "BatchFormat",
    "Line",
    "Refusal",
    "Server",
    "Standing",
    "passes",
    "read",
    "read_lines",
    "shared_headers",
)


@dataclass(frozen=True)
class Line:
    """One request of a batch. Its body is JSON."""

    custom_id: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What came of one request: an HTTP status, and a body as JSON."""

    status: int
    body: bytes

    @classmethod
    def error(cls, status: int, message: str, kind: str) -> "Answer":
        """Return an error in the form that both providers' libraries read."""
        error = {"message": message, "type": kind, "code": kind}
        return cls(status, json.dumps({"type": "error", "error": error}).encode())

    @property
    def ok(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST


@dataclass(frozen=True)
class Standing:
    """How a batch stands.

    Attributes:
        id: The provider's name for it.
        ended: Whether all its requests have come to an end, good or bad.
        done: How many have.
        total: Requests in it.
        said: All that the provider says of it, for its own format to read.
    """

    id: str
    ended: bool
    done: int
    total: int
    said: object


class Refusal(Exception):
    """A provider's answer, to a request about a batch, that is an error."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.body = response.content
        self.retry_after = retry_after(
            ModelHTTPError(self.status, "", headers=dict(response.headers.items()))
        )
        super().__init__(f"HTTP {self.status} for {response.request.url.path}")


ModelT = TypeVar("ModelT", bound=BaseModel)


def read(response: httpx2.Response, kind: type[ModelT]) -> ModelT:
    """Return what a server says.

    Raises:
        RemoteProtocolError: that is something else than it should be.
    """
    return _read(response, response.content, kind)


def read_lines(response: httpx2.Response, kind: type[ModelT]) -> list[ModelT]:
    """Return what a server says line by line. Texts in JSON may hold other separators of lines."""
    lines = response.content.split(b"\n")
    return [_read(response, line, kind) for line in lines if line.strip()]


def _read(response: httpx2.Response, content: bytes, kind: type[ModelT]) -> ModelT:
    try:
        return kind.model_validate_json(content)
    except ValidationError as e:
        wrong = e.errors(include_input=False, include_url=False)[0]
        raise httpx2.RemoteProtocolError(
            f"{response.request.url.path} answers what cannot be read: {wrong['msg']}"
        ) from None


def passes(status: int) -> bool:
    """Tell whether the same request may have another answer later."""
    return status in (408, 425, 429) or status >= HTTPStatus.INTERNAL_SERVER_ERROR


# What belongs to one request alone, and not to all of a batch.
_OWN_HEADERS = ("host", "connection", "transfer-encoding", "idempotency-key", "traceparent")
_OWN_PREFIXES = ("accept", "content-", "x-stainless-", "tracestate", "baggage")


def shared_headers(request: httpx2.Request) -> tuple[tuple[str, str], ...]:
    """Return the headers that a request has in common with others of its client."""
    return tuple(
        (name, value)
        for name, value in sorted(request.headers.items())
        if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES)
    )


@dataclass(frozen=True)
class Server:
    """Where batches are sent to, and as whom.

    Attributes:
        base: The address, up to what names an endpoint.
        headers: Those of the requests that are batched, but for what belongs to each alone.
        query: The query of their address.
    """

    client: httpx2.AsyncClient
    base: str
    headers: tuple[tuple[str, str], ...]
    query: str = ""

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> httpx2.Response:
        return await self._ask("GET", path, params=params)

    async def post(
        self,
        path: str,
        *,
        json: object = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> httpx2.Response:
        return await self._ask("POST", path, json=json, data=data, files=files)

    async def _ask(self, method: str, path: str, **content: Any) -> httpx2.Response:
        params = httpx2.QueryParams(self.query).merge(content.pop("params", None))
        response = await self.client.request(
            method, self.base + path, headers=dict(self.headers), params=params, **content
        )
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise Refusal(response)
        return response


class BatchFormat(Protocol):
    """A provider's way with batches.

    Attributes:
        most: Requests that a batch may hold.
        most_bytes: Bytes that it may hold.
    """

    most: int
    most_bytes: int

    def endpoint(self, path: str) -> str | None:
        """Return the end of a path if what is posted there can be part of a batch."""
        ...

    async def submit(self, server: Server, endpoint: str, token: str, lines: Sequence[Line]) -> str:
        """Hand a batch in, marked with `token`; return the provider's name for it."""
        ...

    async def standing(self, server: Server, batch: str) -> Standing:
        """Return how a batch stands."""
        ...

    async def answers(self, server: Server, standing: Standing) -> dict[str, Answer]:
        """Return what an ended batch says of its requests, by their names."""
        ...

    def silence(self, standing: Standing) -> Answer:
        """Return what befell a request of which an ended batch says nothing."""
        ...

    async def lost(self, server: Server, token: str, since: datetime) -> list[tuple[str, bool]]:
        """Return what may be the batch that was handed in as `token` and not heard of again.

        Args:
            server: Where it was handed in.
            token: What it was marked with.
            since: When.

        Returns:
            Names of batches, newest first, each with whether it is certain to be the one.
        """
        ...
