"""Run a server as a process of its own, on a free port of loopback."""

import asyncio
import os
import socket
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx2

from .acts import Unable

__all__ = ("free_port", "running")

PATIENCE = 90.0
"""Seconds in which a server must be up; LiteLLM needs 20 on an idle machine."""


def free_port() -> int:
    """Return a port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    command: Sequence[str], ready: str, variables: Mapping[str, str] | None = None
) -> AsyncGenerator[None]:
    """Run a command until the context is left; it has begun when the address `ready` answers.

    Raises:
        Unable: it ended, or did not answer in time; with the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        # A Node script asks PATH for its interpreter, a Python one for its neighbours.
        environment = {**os.environ, **(variables or {})}
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said, env=environment
        )
        try:
            if not await _up(process, ready):
                said.seek(0)
                last = said.read().decode(errors="replace")[-500:]
                raise Unable(f"{command[0]} did not start: {last}")
            yield
        finally:
            await _ended(process)


async def _up(process: Process, ready: str) -> bool:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            try:
                await client.get(ready)
            except httpx2.TransportError:
                await asyncio.sleep(0.1)  # it is another's process: there is nothing to wait on
            else:
                return True
    return False


async def _ended(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
