"""A server on loopback that answers each request as a script says, and keeps what it was sent."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


@dataclass(frozen=True)
class Sent:
    """One request: `body` is None for a GET; `raw` is it as it was sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    raw: bytes = b""


@dataclass
class Scripted:
    """What a running server was sent, and where it is."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list[Sent])

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [each.body for each in self.sent if each.body is not None]


@contextmanager
def serving(script: Callable[[Sent], Reply]) -> Generator[Scripted]:
    """Serve until the end of the block; `script` gives the status and the JSON of each answer."""
    scripted = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(None, b"")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            self._answer(json.loads(raw), raw)

        def _answer(self, body: dict[str, Any] | None, raw: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent = Sent(self.path, headers, body, raw)
            scripted.sent.append(sent)
            status, reply = script(sent)
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(text: str) -> dict[str, Any]:
    """Return a chat completion that says `text`."""
    return _completion({"role": "assistant", "content": text}, "stop")


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion that calls a tool."""
    call = {"name": name, "arguments": json.dumps(arguments)}
    tool_calls = [{"id": "call_1", "type": "function", "function": call}]
    message = {"role": "assistant", "content": None, "tool_calls": tool_calls}
    return _completion(message, "tool_calls")


def refused(message: str, status: int = 400) -> Reply:
    """Return an error as OpenAI words it."""
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def listing(*names: str) -> dict[str, Any]:
    """Return an answer to GET /models."""
    data = [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in names]
    return {"object": "list", "data": data}


def vectors(embeddings: list[list[float]], *, tokens: int = 7) -> dict[str, Any]:
    """Return an answer to POST /embeddings."""
    data = [
        {"object": "embedding", "index": i, "embedding": vector}
        for i, vector in enumerate(embeddings)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": "stub-embed", "usage": usage}


def _completion(message: dict[str, Any], why: str) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": why}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
