"""OpenAI's chat protocol on loopback, for many requests at once."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic_ai import models

NOON = "Tue, 03 Nov 2026 12:00:00 GMT"


class Crowd:
    """OpenAI's chat protocol on loopback, answering in phases: each waits until it is complete.

    Attributes:
        refused: From a phase, counted from 0, to how many of it get a 429 with `headers`.
        on_phase: Called while all requests of a phase wait for their answers.
        requests: Those of complete phases.
    """

    def __init__(self) -> None:
        self.refused: dict[int, int] = {}
        self.headers: dict[str, str] = {}
        self.on_phase: Callable[[], object] = lambda: None
        self.requests = 0
        self._phase = 0
        crowd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return NOON

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if crowd.meet():
                    self.send(429, "application/json", '{"error": {"message": "slow down"}}')
                elif body.get("stream"):
                    self.send(200, "text/event-stream", _events())
                else:
                    self.send(200, "application/json", json.dumps(_completion("message")))

            def send(self, status: int, kind: str, text: str) -> None:
                self.send_response(status)
                for name, value in crowd.headers.items() if status == 429 else ():
                    self.send_header(name, value)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def begin(self, *phases: int) -> None:
        """Complete phases of so many requests; those after them are of one request each."""
        self._phases = iter(phases)
        self._gate = threading.Barrier(next(self._phases), self._complete)

    def meet(self) -> bool:
        """Wait for the others of the phase; tell whether this one is refused."""
        gate, phase = self._gate, self._phase
        return gate.wait(timeout=20) < self.refused.get(phase, 0)

    def _complete(self) -> None:
        self.requests += self._gate.parties
        self.on_phase()
        # Whoever comes from now on belongs to the next phase.
        self._gate = threading.Barrier(next(self._phases, 1), self._complete)
        self._phase += 1

    def __enter__(self) -> "Crowd":
        self.begin(1)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _completion(part: str) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion" if part == "message" else "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, part: {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def _events() -> str:
    return f"data: {json.dumps(_completion('delta'))}\n\ndata: [DONE]\n\n"


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    with Crowd() as server:
        yield server
