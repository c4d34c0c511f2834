"""`extract` as a plain agent and in three modes of instructor: what each sends and costs.

Run it with `python benchmarks/extraction.py [RUNS]` (40 by default) where instructor is installed.
A scripted server on loopback, in a process of its own, knows the right answer and gives it in the
form that a request asks for. The first answer of every fifth run holds a quote that is not in the
text; that of every seventh stops in the middle. So the table tells of requests, tokens, CPU and
what comes out; it tells nothing of how well an LLM fills a form in each mode.

Tokens are the server's count of what it was sent and said, at four characters each.
"""

import asyncio
import json
import multiprocessing
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

from pydantic import BaseModel, Field
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage
from rich.console import Console
from rich.table import Table

from assay.agents import extract
from assay.deps.errors import AssayError, MissingExtra
from assay.deps.providers.instructed import instructed

WAYS = ("agent", "tools", "json", "md_json")
Body = dict[str, Any]


class Order(BaseModel):
    """An order as a customer writes of it."""

    number: str = Field(description="the order's number")
    city: str | None = Field(None, description="where it goes")


def text(run: int) -> str:
    """Return the document of a run."""
    return f"Hello, my order A-{run} has not come to Porto yet. Could you look into it?"


def answer(run: int, *, first: bool) -> str:
    """Return the arguments that a run is answered with."""
    number, city = f"A-{run}", "Porto"
    wrong = first and run % 5 == 0
    quotes = [
        {"field": "number", "quote": f"no. {number}" if wrong else number},
        {"field": "city", "quote": city},
    ]
    filled = json.dumps({"value": {"number": number, "city": city}, "quotes": quotes})
    return filled[:40] if first and run % 7 == 0 else filled


def reply(body: Body) -> Body:
    """Return the answer to a request, in the form that it asks for."""
    sent = json.dumps(body)
    run = int(sent.partition("my order A-")[2].partition(" ")[0])
    first = not any(message["role"] == "assistant" for message in body["messages"])
    said = answer(run, first=first)
    tools = [tool["function"]["name"] for tool in body.get("tools", ())]
    if "extraction" not in tools:  # asked by instructor: the answer has to choose a tool
        said = f'{{"answer": {{"tool": "extraction", "arguments": {said}}}}}'
    message: Body = {"role": "assistant", "content": said}
    if tools:
        name = "extraction" if "extraction" in tools else tools[0]
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": said}}
        message |= {"content": None, "tool_calls": [call]}
    elif "response_format" not in body:
        message["content"] = f"```json\n{said}\n```"
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": len(sent) // 4,
            "completion_tokens": len(said) // 4,
            "total_tokens": (len(sent) + len(said)) // 4,
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Answers by `reply`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def answered(self, body: Body) -> Body:
        """Return the answer to a request."""
        return reply(body)

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = json.dumps(self.answered(body)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def serve(pipe: Connection) -> None:
    """Serve for ever, and tell the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def asked_by(way: str) -> str:
    """Return what a request of one way holds beside model and messages."""
    seen: list[Body] = []

    class Recording(Handler):
        def answered(self, body: Body) -> Body:
            seen.append(body)
            return super().answered(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        asyncio.run(alone(way, f"http://127.0.0.1:{http.server_port}/v1"))
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
    return ", ".join(
        sorted(name for name in seen[0] if name not in ("model", "messages", "stream"))
    )


async def alone(way: str, url: str) -> None:
    """Extract once, and close the client."""
    asked = model(way, url)
    async with asked:
        await once(1, asked, Cost())


@contextmanager
def server() -> Generator[str]:
    """Run the server in a process, so that its CPU is not counted; give its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


@dataclass
class Cost:
    """What the runs of one way came to."""

    usage: RunUsage = field(default_factory=RunUsage)
    right: int = 0
    refused: int = 0
    cpu: float = 0.0
    wall: float = 0.0


def model(way: str, url: str) -> Model:
    """Return the model of one way."""
    provider = OpenAIProvider(base_url=url, api_key="none")
    if way == "agent":
        return OpenAIChatModel("scripted", provider=provider)
    return instructed(f"instructor:{way}:scripted", provider)


async def once(number: int, asked: Model, cost: Cost) -> None:
    """Extract once."""
    usage = RunUsage()
    deps = extract.Deps(usage=usage)
    try:
        found = await extract.run(text(number), Order, deps, model=asked)
    except (AssayError, AgentRunError):
        cost.refused += 1
    else:
        cost.right += found.value == Order(number=f"A-{number}", city="Porto")
    finally:
        cost.usage.incr(usage)


async def measure(url: str, runs: int) -> dict[str, Cost]:
    """Do every run in every way, taking turns, so that a busy machine is slow for all alike."""
    costs = {way: Cost() for way in WAYS}
    models = {way: model(way, url) for way in WAYS}
    for way in WAYS:  # imports, schemas and connections, before the clock starts
        await once(1, models[way], Cost())
    for number in range(1, runs + 1):
        for way, cost in costs.items():
            cpu, wall = process_time(), perf_counter()
            await once(number, models[way], cost)
            cost.cpu += process_time() - cpu
            cost.wall += perf_counter() - wall
    for each in models.values():
        async with each:  # leaving a model's context is what closes its client
            pass
    return costs


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    try:
        with server() as url:
            costs = asyncio.run(measure(url, runs))
    except MissingExtra as e:
        sys.exit(str(e))
    table = Table(title=f"extract on a scripted server, {runs} runs each; per run")
    for column in ("path", "right", "refused", "requests", "in", "out", "CPU ms", "ms", "sends"):
        table.add_column(column, justify="left" if column in ("path", "sends") else "right")
    for way, cost in costs.items():
        usage = cost.usage
        table.add_row(
            "agent (Pydantic AI)" if way == "agent" else f"instructor:{way}",
            f"{cost.right}/{runs}",
            str(cost.refused),
            f"{usage.requests / runs:.2f}",
            f"{usage.input_tokens / runs:.0f}",
            f"{usage.output_tokens / runs:.0f}",
            f"{1e3 * cost.cpu / runs:.1f}",
            f"{1e3 * cost.wall / runs:.1f}",
            asked_by(way) or "messages alone",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
