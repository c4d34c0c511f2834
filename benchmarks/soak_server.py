"""A provider on loopback that fails at random, and counts: `python soak_server.py '{"seed": 1}'`.

It speaks OpenAI's chat protocol, whole and streamed: a first request is answered with a call of
`similar_messages`, one with its result with `final_result`. The seed decides how often it fails and
how long it takes, so that a soak can be had again, but for the order in which requests come.

It prints its port. Each further line on stdin is answered with its counts, as JSON.
"""

import asyncio
import json
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]

RATES = {"429": 0.10, "500": 0.03, "disconnect": 0.01, "garbage": 0.01}
"""How often a request is answered so."""


@dataclass
class Provider:
    """What it does, and what it has counted.

    Attributes:
        slowest: Seconds that an answer takes at most.
        retry_after: Seconds that a 429 asks to wait.
        arrivals: When each request had come in, in seconds of a clock that never goes back.
        busiest: The most requests that were under way at once.
        open: Connections that are.
        fates: How requests were answered.
    """

    seed: int = 1
    slowest: float = 0.04
    retry_after: float = 0.05
    arrivals: list[float] = field(default_factory=list[float])
    under_way: int = 0
    busiest: int = 0
    open: int = 0
    fates: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the client leaves, or until one is to see a disconnect."""
        self.open += 1
        try:
            whole = True
            while whole:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].split()[0])
                whole = await self._answer(json.loads(await reader.readexactly(length)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()
            self.open -= 1

    async def _answer(self, body: Body, writer: asyncio.StreamWriter) -> bool:
        self.arrivals.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.busiest = max(self.busiest, self.under_way)
        fate = self._fate()
        try:
            await asyncio.sleep(self.chance.uniform(0.0, self.slowest))
            writer.write(self._bytes(body, fate))
            await writer.drain()
        finally:
            self.under_way -= 1
        return fate != "disconnect"

    def _fate(self) -> str:
        fate = self.chance.choices(["fine", *RATES], [1 - sum(RATES.values()), *RATES.values()])[0]
        self.fates[fate] += 1
        return fate

    def _bytes(self, body: Body, fate: str) -> bytes:
        if fate in ("429", "500"):
            more = f"retry-after: {self.retry_after}\r\n" if fate == "429" else ""
            return _whole(json.dumps({"error": {"message": "not now"}}), int(fate), more)
        if fate == "garbage" and self.chance.random() < 0.5:
            return _whole(self.chance.choice(["<html>busy</html>", '{"choices": [', "{}", "null"]))
        answer = _stream(body) if body.get("stream") else _whole(json.dumps(_completion(body)))
        if fate == "disconnect":  # before the first byte, or anywhere within
            return answer[: self.chance.choice((0, self.chance.randrange(len(answer))))]
        if fate == "garbage":  # the last that it says is no JSON, or lacks what it should have
            begun, _, end = answer.rpartition(b'"choices"')
            return begun + self.chance.choice((b'"choice\\"', b'"chances"')) + end
        return answer


def _whole(text: str, status: int = 200, more: str = "") -> bytes:
    head = f"content-type: application/json\r\ncontent-length: {len(text)}\r\n{more}"
    return f"HTTP/1.1 {status} x\r\n{head}\r\n{text}".encode()


def _stream(body: Body) -> bytes:
    name, arguments = _call(body)
    function = {"name": name, "arguments": ""}
    deltas: list[Body] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    for piece in re.findall(".{1,24}", arguments):
        deltas.append({"index": 0, "function": {"arguments": piece}})
    events = [_said({"delta": {"tool_calls": [delta]}}, ".chunk") for delta in deltas]
    events.append(_said({"delta": {}, "finish_reason": "tool_calls"}, ".chunk"))
    sent = "HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for data in (*map(json.dumps, events), "[DONE]"):
        sent += f"{len(data) + 8:x}\r\ndata: {data}\n\n\r\n"
    return (sent + "0\r\n\r\n").encode()


def _completion(body: Body) -> Body:
    name, arguments = _call(body)
    function = {"name": name, "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return _said({"message": message, "finish_reason": "tool_calls"}) | {"usage": usage}


def _said(choice: Body, kind: str = "") -> Body:
    about = {"id": "c", "object": f"chat.completion{kind}", "created": 1, "model": "m"}
    return {**about, "choices": [{"index": 0} | choice]}


def _call(body: Body) -> tuple[str, str]:
    if not any(message["role"] == "tool" for message in body["messages"]):
        return "similar_messages", json.dumps({"text": "money back"})
    number = re.findall(r"message (\d+)", json.dumps(body["messages"]))[0]
    found = {"reason": f"of message {number}", "label": "refund", "confidence": 0.9, "urgency": 2}
    return "final_result", json.dumps(found)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    provider = Provider(**json.loads(sys.argv[1]))
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(vars(provider), default=repr), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
