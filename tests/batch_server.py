"""A provider on loopback that takes batches: OpenAI's files and batches, Anthropic's messages."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

Body = dict[str, Any]
Fate = Literal["expired", "cancelled", "missing"] | int
"""What befalls a request instead of an answer: an HTTP status, or no run at all."""

Lose = Literal["lose"]
"""Do what was asked, and cut the connection before saying so."""


@dataclass
class Batch:
    """A batch as it was handed in; it ends with the look after `looks` more."""

    id: str
    lines: dict[str, Body]
    endpoint: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    looks: int = 0
    status: str = "completed"
    ended: bool = False
    results: dict[str, Body | Fate] = field(default_factory=dict[str, Body | Fate])


class BatchServer:
    """Answers batches with what `answer` says to each request's body.

    Attributes:
        answer: Makes an answer of a request's body, or says what befalls it instead.
        looks: How often a batch is looked at before it ends.
        held: No batch ends while this is set.
        faults: By what is asked (`upload`, `submit`, `look`, `results`, `list`), what goes wrong
            with the first requests for it: a status, or `lose`.
        failing: Errors with which the whole batch fails, as OpenAI has them.
        batches: Those that were handed in, in their order.
        single: Bodies that were asked without a batch.
        asked: What was asked, in words.
        headers: Of the last request.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Body], Body | Fate] = lambda body: chat(body, "yes")
        self.looks = 1
        self.held = False
        self.faults: dict[str, list[int | Lose]] = {}
        self.failing: list[Body] = []
        self.batches: list[Batch] = []
        self.single: list[Body] = []
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.submitted = threading.Event()
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._serve(b"")

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers["content-length"])))

            def _serve(self, content: bytes) -> None:
                kind = self.headers.get("content-type", "")
                server.headers = {name.lower(): value for name, value in self.headers.items()}
                path = urlsplit(self.path).path.removeprefix("/v1")
                with server._lock:
                    found = server.serve(self.command, path, content, kind)
                if found is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, said = found
                sent = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def requests(self) -> list[Body]:
        """All bodies that were handed in, and so paid."""
        return [body for batch in self.batches for body in batch.lines.values()]

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

    def serve(
        self, method: str, path: str, content: bytes, kind: str
    ) -> tuple[int, Body | bytes] | None:
        what, serve = self._what(method, path)
        self.asked.append(what)
        fault = self.faults[what].pop(0) if self.faults.get(what) else None
        if isinstance(fault, int):
            return fault, {"error": {"message": f"HTTP {fault}", "type": "fault"}}
        found = serve(path, content, kind)
        return None if fault == "lose" else found

    def _what(
        self, method: str, path: str
    ) -> tuple[str, Callable[[str, bytes, str], tuple[int, Body | bytes]]]:
        parts = path.strip("/").split("/")
        match (method, parts):
            case ("POST", ["files"]):
                return "upload", self._upload
            case ("GET", ["files", _, "content"]):
                return "results", self._content
            case ("POST", ["batches"]):
                return "submit", self._submit
            case ("GET", ["batches"] | ["messages", "batches"]):
                return "list", self._list
            case ("GET", ["batches", _] | ["messages", "batches", _]):
                return "look", self._look
            case ("POST", ["messages", "batches"]):
                return "submit", self._submit_messages
            case ("GET", ["messages", "batches", _, "results"]):
                return "results", self._message_results
            case ("POST", ["chat", "completions"] | ["responses"] | ["messages"]):
                return "single", self._one
            case _:
                return "unknown", lambda path, content, kind: (404, {"error": {"message": path}})

    # -- OpenAI's

    def _upload(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        head = b"content-type: " + kind.encode() + b"\r\n\r\n"
        parts = list(BytesParser(policy=HTTP).parsebytes(head + content).iter_parts())
        named = {part.get_param("name", header="content-disposition"): part for part in parts}
        assert named["purpose"].get_payload(decode=True) == b"batch"
        file = f"file-{len(self._files)}"
        uploaded = named["file"].get_payload(decode=True)
        assert isinstance(uploaded, bytes)
        self._files[file] = uploaded
        return 200, {"id": file, "object": "file"}

    def _submit(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        asked = json.loads(content)
        assert asked["completion_window"] == "24h"
        lines = [json.loads(line) for line in self._files[asked["input_file_id"]].splitlines()]
        assert {line["url"] for line in lines} == {asked["endpoint"]}
        found = {line["custom_id"]: line["body"] for line in lines}
        batch = self._begin(found, asked["endpoint"], asked.get("metadata") or {})
        return 200, self._openai(batch)

    def _openai(self, batch: Batch) -> Body:
        done = len(batch.lines) if batch.ended else 0
        status = batch.status if batch.ended else "in_progress"
        ended = batch.ended and status != "failed"
        return {
            "id": batch.id,
            "object": "batch",
            "status": status,
            "request_counts": {"total": len(batch.lines), "completed": done, "failed": 0},
            "output_file_id": f"out-{batch.id}" if ended else None,
            "error_file_id": f"err-{batch.id}" if ended else None,
            "errors": {"data": self.failing} if status == "failed" else None,
            "metadata": batch.metadata,
        }

    def _content(self, path: str, content: bytes, kind: str) -> tuple[int, bytes]:
        file, _, name = path.split("/")[2].partition("-")
        lines: list[Body] = []
        for custom_id, result in self._batch(name).results.items():
            line: Body = {"id": "l", "custom_id": custom_id, "response": None, "error": None}
            if isinstance(result, dict):
                response = {"status_code": 200, "request_id": "r", "body": result}
                lines += [line | {"response": response}] if file == "out" else []
            elif isinstance(result, int):
                error = {"error": {"message": f"status {result}", "type": "x"}}
                response = {"status_code": result, "request_id": "r", "body": error}
                lines += [line | {"response": response}] if file == "err" else []
            elif result != "missing":
                error = {"code": f"batch_{result}", "message": f"This was {result}."}
                lines += [line | {"error": error}] if file == "err" else []
        return 200, b"\n".join(json.dumps(line, ensure_ascii=False).encode() for line in lines)

    # -- Anthropic's

    def _submit_messages(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        requests = json.loads(content)["requests"]
        found = {request["custom_id"]: request["params"] for request in requests}
        return 200, self._anthropic(self._begin(found, "/v1/messages", {}))

    def _anthropic(self, batch: Batch) -> Body:
        total = len(batch.lines)
        counts = {"processing": 0 if batch.ended else total, "succeeded": 0}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": counts | ({"succeeded": total} if batch.ended else {}),
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "results_url": "https://elsewhere.invalid/results",
        }

    def _message_results(self, path: str, content: bytes, kind: str) -> tuple[int, bytes]:
        lines: list[Body] = []
        for custom_id, found in self._batch(path.split("/")[3]).results.items():
            if found == "missing":
                continue
            result: Body = {"type": "canceled" if found == "cancelled" else found}
            if isinstance(found, dict):
                result = {"type": "succeeded", "message": found}
            elif isinstance(found, int):
                name = {429: "rate_limit_error", 529: "overloaded_error"}.get(found)
                error = {"type": name or "invalid_request_error", "message": f"status {found}"}
                result = {"type": "errored", "error": {"type": "error", "error": error}}
            lines.append({"custom_id": custom_id, "result": result})
        return 200, b"\n".join(json.dumps(line).encode() for line in lines)

    # -- both

    def _one(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        body = json.loads(content)
        self.single.append(body)
        found = self.answer(body)
        return (200, found) if isinstance(found, dict) else (500, {})

    def _begin(self, lines: dict[str, Body], endpoint: str, metadata: dict[str, str]) -> Batch:
        name = f"batch{len(self.batches)}"
        batch = Batch(name, lines, endpoint, metadata, looks=self.looks)
        self.batches.append(batch)
        self.submitted.set()
        return batch

    def _batch(self, name: str) -> Batch:
        return next(batch for batch in self.batches if batch.id == name)

    def _list(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        shown = self._anthropic if "messages" in path else self._openai
        return 200, {"data": [shown(batch) for batch in reversed(self.batches)]}

    def _look(self, path: str, content: bytes, kind: str) -> tuple[int, Body]:
        batch = self._batch(path.rsplit("/", 1)[1])
        if not batch.ended and batch.looks <= 0 and not self.held:
            batch.ended = True
            batch.status = "failed" if self.failing else batch.status
            batch.results = {name: self.answer(body) for name, body in batch.lines.items()}
        batch.looks -= 1
        return 200, self._anthropic(batch) if "messages" in path else self._openai(batch)


# -- what each protocol says when all is well


def chat(body: Body, text: str | None = None, **arguments: object) -> Body:
    """Return a text, or a call of the output tool, as OpenAI's chat protocol has it."""
    message: Body = {"role": "assistant", "content": text}
    if text is None:
        call = {"name": output_tool(body), "arguments": json.dumps(arguments)}
        message["tool_calls"] = [{"id": "c", "type": "function", "function": call}]
    choice = {"index": 0, "message": message, "finish_reason": "stop" if text else "tool_calls"}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def message(body: Body, text: str | None = None, **arguments: object) -> Body:
    """Return the same as Anthropic has it."""
    block: Body = {"type": "text", "text": text}
    if text is None:
        block = {"type": "tool_use", "id": "t", "name": output_tool(body), "input": arguments}
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": "end_turn" if text else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }


def output_tool(body: Body) -> str:
    names = [tool.get("function", tool)["name"] for tool in body["tools"]]
    return next(name for name in names if name.startswith("final_result"))
