"""`assay mcp`: serve agents as MCP tools, over standard input and output or HTTP.

Standard output belongs to the protocol; whatever is said to people goes to standard error.
"""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import typer

from ...deps.errors import ConfigError, MissingExtra
from ...deps.models import Models
from ..suites import NAMES
from .door import INTERRUPTED, PASS, err, say_model, wait_for
from .runners import Options

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from .mcp_server import Served

__all__ = ("Listening", "serve_agents")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PATH = "/mcp"
GRACE = 10
"""Seconds that calls under way have to end, once the server is told to stop."""


@dataclass(frozen=True)
class Listening:
    """Where a server listens over HTTP; port 0 is a free one."""

    host: str
    port: int


def serve_agents(
    names: list[str],
    models: Models,
    options: Options,
    listening: Listening | None,
    max_concurrency: int,
) -> None:
    """Serve until the client leaves, or a signal comes.

    Raises:
        ConfigError: an agent's name or option is wrong, or the port is taken.
        MissingExtra: the library for MCP is not installed.
    """
    try:
        from .mcp_server import server_of
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] != "mcp":
            raise
        raise MissingExtra(
            "serving agents over MCP needs a library that is not installed; "
            "install it with: pip install 'assay-agents[mcp]'"
        ) from e
    served = _served(names, models, options)
    say_model(models.describe())
    server = server_of(served, version("assay-agents"), max_concurrency)
    named = ", ".join(agent.name for agent in served)
    raise typer.Exit(wait_for(_until_signalled(_serving(server, listening, named)), models))


def _served(names: list[str], models: Models, options: Options) -> "list[Served]":
    """Return the agents that are asked for; if none is, those that only read and need no option."""
    from .mcp_server import READING, serving

    if names:
        return [serving(name, models, options) for name in dict.fromkeys(names)]
    found: list[Served] = []
    for name in (name for name in NAMES if name in READING):
        try:
            found.append(serving(name, models, options))
        except ConfigError as e:
            err().print(f"left out: {e}", style="dim", markup=False, soft_wrap=True)
    return found


async def _until_signalled(work: Coroutine[Any, Any, None]) -> int:
    """Do the work to its end, or until SIGINT or SIGTERM; return the exit code."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals: list[signal.Signals] = []

    def note(which: signal.Signals) -> None:
        signals.append(which)
        stop.set()

    for which in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C is raised as KeyboardInterrupt
            loop.add_signal_handler(which, note, which)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    return INTERRUPTED if signal.SIGINT in signals else PASS


async def _serving(server: "Server[Any]", listening: Listening | None, named: str) -> None:
    err().print(f"tools: {named}", markup=False, soft_wrap=True)  # a signal is heeded from now on
    await (_over_stdio(server) if listening is None else _over_http(server, listening))


async def _over_stdio(server: "Server[Any]") -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server(stdin=cast(Any, _lines())) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _lines() -> AsyncIterator[str]:
    """Yield the lines of standard input.

    A daemon reads them: a thread that waits for input could not be left when a signal comes, and
    one that holds a lock of `sys.stdin` would spoil the interpreter's end.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        chunk = b"-"
        while chunk:
            chunk = os.read(0, 65536)
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)

    threading.Thread(target=read, daemon=True).start()
    rest = b""
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


async def _over_http(server: "Server[Any]", listening: Listening) -> None:
    import uvicorn

    listener = _listener(listening)
    app = server.streamable_http_app(streamable_http_path=PATH, host=listening.host)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE)
    async with _running(uvicorn.Server(config), listener) as serving:
        address = f"[{listening.host}]" if ":" in listening.host else listening.host
        port = listener.getsockname()[1]
        err().print(f"serving http://{address}:{port}{PATH}", markup=False, soft_wrap=True)
        if listening.host not in LOOPBACK:
            err().print("whoever reaches this address can use these agents", style="yellow")
        await asyncio.shield(serving)  # it ends by itself, once it is told to


@asynccontextmanager
async def _running(server: Any, listener: socket.socket) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a web server; at the end, calls under way may end, and its sockets are closed."""

    @contextmanager
    def ours() -> Generator[None]:
        yield

    server.capture_signals = ours  # signals are handled by who started this
    serving: asyncio.Task[None] = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield serving
    finally:
        server.should_exit = True
        await serving


def _listener(listening: Listening) -> socket.socket:
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    try:
        return socket.create_server((listening.host, listening.port), family=family)
    except OSError as e:
        raise ConfigError(
            f"cannot listen at {listening.host!r}, port {listening.port}: {e}; "
            "choose another one: --http PORT"
        ) from e
