"""A provider on loopback: OpenAI's chat protocol over real HTTP, with a switch to die."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Provider:
    """Answers each request with arguments for the output tool, until `dies_after` requests.

    Afterwards it cuts every connection, as a crashed server behind a balancer does.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda request: {}
        self.dies_after: int | None = None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not provider.note(body, self.headers.get("authorization", "")):
                    self.close_connection = True
                    self.connection.close()
                    return
                content = json.dumps(_completion(body, provider.answer(body))).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def note(self, body: dict[str, Any], key: str) -> bool:
        """Remember a request; tell whether the provider is still alive."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            return self.dies_after is None or len(self.requests) <= self.dies_after

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _completion(request: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["function"]["name"] for tool in request.get("tools", [])]
    name = next(name for name in tools if name.startswith("final_result"))
    call = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
    }
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
