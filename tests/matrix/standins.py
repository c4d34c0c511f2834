"""Stand-ins that others have written, told through their control APIs what to do."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import httpx2

from .acts import Act, Call, Fail, Fault, Say, Script, Unable
from .own import Own
from .server import Checked, Server

__all__ = ("Aimock", "Engine", "Llmock", "Proxied")

Json = dict[str, Any]
LONG = 20
"""Seconds of silence; longer than any cell waits."""


@dataclass
class Aimock(Server):
    """aimock: fixtures by the number of the request."""

    _: KW_ONLY
    control: httpx2.AsyncClient
    slack: float = 2.0
    checks: tuple[Checked, ...] = ("key",)

    async def will(self, script: Script) -> None:
        fixtures = [self._fixture(act, n, len(script)) for n, act in enumerate(script)]
        headers = {"authorization": f"Bearer {self.key}"}
        for path, told in (("reset", {}), ("fixtures", {"fixtures": fixtures})):
            answer = await self.control.post(
                f"{self.url}/__aimock/{path}", json=told, headers=headers
            )
            answer.raise_for_status()

    def _fixture(self, act: Act, number: int, of: int) -> Json:
        match: Json = {} if number == of - 1 else {"sequenceIndex": number}
        return {"match": match, **self._said(act)}

    def _said(self, act: Act) -> Json:
        if isinstance(act, Say):
            return {"response": {"content": act.text}}
        if isinstance(act, Call):
            call = {"name": act.tool, "arguments": dict(act.arguments)}
            return {"response": {"toolCalls": [call]}}
        if isinstance(act, Fail):
            error = {"message": act.message, "type": act.code}
            after = {} if act.retry_after is None else {"retryAfter": act.retry_after}
            return {"response": {"error": error, "status": act.status, **after}}
        return {"response": {"content": "All is well with the foxes at the mill."}, **_broken(act)}


def _broken(fault: Fault) -> Json:
    known: Mapping[str, Json] = {
        "malformed": {"chaos": {"malformedRate": 1}},
        "cut before": {"chaos": {"disconnectRate": 1}},
        # Without a pause it cuts before anything is on its way.
        "cut after": {"truncateAfterChunks": 4, "chunkSize": 5, "latency": 10},
        "hangs": {"chaos": {"latencyMs": LONG * 1000}},
    }
    return _known(known, fault)


def _known(known: Mapping[str, Json], fault: Fault) -> Json:
    if fault not in known:
        raise Unable("it cannot be told to do this")
    return known[fault]


@dataclass
class Llmock(Server):
    """llmock: a queue of behaviours."""

    _: KW_ONLY
    control: httpx2.AsyncClient
    slack: float = 2.0
    checks: tuple[Checked, ...] = ()

    @property
    def anthropic(self) -> str:
        return f"{self.url}/anthropic"

    async def will(self, script: Script) -> None:
        *first, last = script
        queue = [{**self._said(act), "times": 1} for act in first]
        queue.append({**self._said(last), "times": None})
        (await self.control.post(f"{self.url}/_llmock/reset")).raise_for_status()
        told = await self.control.post(f"{self.url}/_llmock/scenario", json={"behaviors": queue})
        told.raise_for_status()

    def _said(self, act: Act) -> Json:
        if isinstance(act, Say):
            return {"type": "reply", "text": act.text}
        if isinstance(act, Call):
            call = {"name": act.tool, "arguments": dict(act.arguments)}
            return {"type": "reply", "tool_calls": [call]}
        if isinstance(act, Fail):
            error = {"status": act.status, "message": act.message}
            after = {} if act.retry_after is None else {"retry_after": act.retry_after}
            return {"type": "fail", **error, **after}
        return self._broken(act)

    def _broken(self, fault: Fault) -> Json:
        known: Mapping[str, Json] = {
            "corrupt": {"type": "stream_fault", "kind": "malformed", "after_chunks": 5},
            "cut before": {"type": "stream_fault", "kind": "disconnect", "after_chunks": 0},
            "cut after": {"type": "stream_fault", "kind": "disconnect", "after_chunks": 5},
            "ends early": {"type": "stream_fault", "kind": "truncate", "after_chunks": 5},
            "hangs": {"type": "delay", "seconds": LONG},
        }
        return _known(known, fault)


@dataclass
class Proxied(Server):
    """A proxy before our own server, which does what is told."""

    _: KW_ONLY
    upstream: Own
    slack: float = 4.0

    async def will(self, script: Script) -> None:
        await self.upstream.will(script)


@dataclass
class Engine(Server):
    """A model that generates: it says what it likes, and fails only as it must.

    Attributes:
        does: The acts that it can be asked for.
    """

    _: KW_ONLY
    does: tuple[type, ...]
    slack: float = 12.0
    exact: bool = False

    async def will(self, script: Script) -> None:
        if not all(isinstance(act, self.does) for act in script):
            raise Unable("an engine cannot be told to do this")
