"""Who answers: our own server, always; stand-ins and engines, where they are installed.

| server | what it is | how it is had |
|---|---|---|
| `own` | every protocol, on loopback | needs nothing |
| `aimock` | aimock 1.43.0, Node | `npm i @copilotkit/aimock@1.43.0`; `ASSAY_AIMOCK`, or in PATH |
| `llmock` | llmock 0.2.2, Python | an environment of its own; `ASSAY_LLMOCK` |
| `proxy` | LiteLLM 1.83.0 before our own server | an environment of its own; `ASSAY_LITELLM` |
| `llama-server` | llama.cpp with a GGUF file of any weights | `ASSAY_LLAMA_SERVER`, `ASSAY_GGUF` |
| `process` | a model of random weights, under a grammar | `pip install '.[outlines]'` |

Each variable names an executable. Nothing is fetched here: what is absent is skipped, with the
reason. A job that runs all of the first four says:

```sh
npm install --prefix .tools/aimock @copilotkit/aimock@1.43.0
uv venv .tools/llmock && uv pip install --python .tools/llmock llmock==0.2.2
uv venv .tools/litellm && uv pip install --python .tools/litellm 'litellm[proxy]==1.83.0'
export ASSAY_AIMOCK=.tools/aimock/node_modules/.bin/aimock
export ASSAY_LLMOCK=.tools/llmock/bin/llmock ASSAY_LITELLM=.tools/litellm/bin/litellm
make matrix
```

The llama.cpp server is built from the sources of `llama-cpp-python` or taken from a release.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from .acts import Call, Say, Unable
from .own import Own, own
from .processes import free_port, running
from .server import Server
from .standins import Aimock, Engine, Llmock, Proxied
from .tiny import save_tiny

__all__ = ("KEY", "Programs", "Servers")

KEY = "sk-planted-matrix-0123456789"

UPSTREAM = ("gpt-4.1-mini", "claude-sonnet-4-6")


@dataclass(frozen=True)
class Programs:
    """Executables of the stand-ins; empty where there is none."""

    aimock: str = ""
    llmock: str = ""
    litellm: str = ""
    llama_server: str = ""
    gguf: str = ""

    @classmethod
    def found(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Return what the environment names."""
        return cls(
            aimock=variables.get("ASSAY_AIMOCK") or shutil.which("aimock") or "",
            # aimock too brings a command of this name, so PATH says nothing.
            llmock=variables.get("ASSAY_LLMOCK", ""),
            litellm=variables.get("ASSAY_LITELLM", ""),
            llama_server=variables.get("ASSAY_LLAMA_SERVER", ""),
            gguf=variables.get("ASSAY_GGUF", ""),
        )

    def absent(self, server: str) -> str:
        """Return why a server cannot be had here; nothing if it can."""
        named = {
            "aimock": {"ASSAY_AIMOCK": self.aimock},
            "llmock": {"ASSAY_LLMOCK": self.llmock},
            "proxy": {"ASSAY_LITELLM": self.litellm},
            "llama-server": {"ASSAY_LLAMA_SERVER": self.llama_server, "ASSAY_GGUF": self.gguf},
        }
        for variable, path in named.get(server, {}).items():
            if not path:
                return f"{variable} names none"
            if not Path(path).exists():
                return f"{variable} names {path!r}, which is not there"
        needed = ("outlines", "transformers", "torch", "xgrammar") if server == "process" else ()
        missing = [name for name in needed if find_spec(name) is None]
        return f"{missing[0]} is not installed: pip install '.[outlines]'" if missing else ""


class Servers:
    """Opens servers when they are first asked for, and closes them all at the end."""

    def __init__(self, programs: Programs, models: Iterable[str]) -> None:
        self._programs = programs
        self._models = tuple(models)
        self._stack = AsyncExitStack()
        self._opened: dict[str, Server | Unable] = {}
        self._makers: dict[str, Callable[[], Awaitable[Server]]] = {
            "own": self._own,
            "aimock": self._aimock,
            "llmock": self._llmock,
            "proxy": self._proxy,
            "llama-server": self._llama_server,
            "process": self._process,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def get(self, name: str) -> Server:
        """Return a server.

        Raises:
            Unable: it is not here.
        """
        if why := self._programs.absent(name):
            raise Unable(why)
        if name not in self._opened:
            try:
                self._opened[name] = await self._makers[name]()
            except Unable as e:
                self._opened[name] = e
        found = self._opened[name]
        if isinstance(found, Unable):
            raise Unable(*found.args)
        return found

    async def _own(self) -> Own:
        return await self._stack.enter_async_context(own(KEY, self._models))

    async def _aimock(self) -> Aimock:
        fixtures = self._folder() / "fixtures.json"
        fixtures.write_text('{"fixtures": []}', encoding="utf-8")
        config = fixtures.with_name("config.json")
        config.write_text(json.dumps({"llm": {"fixtures": str(fixtures)}}), encoding="utf-8")
        port = free_port()
        command = (self._programs.aimock, "--config", str(config), "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        await self._run(command, f"{url}/__aimock/health", {"AIMOCK_API_KEYS": KEY})
        return Aimock(url, KEY, control=await self._control())

    async def _llmock(self) -> Llmock:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = (self._programs.llmock, "serve", "--port", str(port))
        await self._run(command, f"{url}/health")
        return Llmock(url, KEY, control=await self._control())

    async def _proxy(self) -> Proxied:
        upstream = await self._stack.enter_async_context(own(KEY, UPSTREAM))
        config, port = self._folder() / "litellm.yaml", free_port()
        config.write_text(json.dumps(_litellm(upstream.url)), encoding="utf-8")  # JSON is YAML
        at = ("--host", "127.0.0.1", "--port", str(port))
        variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks GitHub for prices
        command = (self._programs.litellm, "--config", str(config), *at, "--telemetry", "False")
        url = f"http://127.0.0.1:{port}"
        await self._run(command, f"{url}/health/liveliness", variables)
        return Proxied(url, KEY, upstream=upstream)

    async def _llama_server(self) -> Engine:
        program, weights = self._programs.llama_server, self._programs.gguf
        port = free_port()
        at = ("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY)
        bounds = ("-c", "4096", "-np", "1", "-t", "1", "-n", "200", "--jinja", "--offline")
        url = f"http://127.0.0.1:{port}"
        await self._run((program, "-m", weights, *at, *bounds), f"{url}/health")
        # Its tool calls are held by nothing, so random weights make none.
        return Engine(url, KEY, does=(Say,), checks=("key",))

    async def _process(self) -> Engine:
        path = self._folder() / "tiny"
        save_tiny(path)
        return Engine(str(path), KEY, does=(Say, Call))

    async def _run(
        self, command: tuple[str, ...], ready: str, variables: Mapping[str, str] | None = None
    ) -> None:
        await self._stack.enter_async_context(running(command, ready, variables))

    async def _control(self) -> httpx2.AsyncClient:
        return await self._stack.enter_async_context(httpx2.AsyncClient(trust_env=False))

    def _folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))


def _litellm(upstream: str) -> dict[str, object]:
    """Return the configuration of a proxy that tells failures as they come, and asks once."""
    routes = {
        "to-openai": ("openai/gpt-4.1-mini", f"{upstream}/v1"),
        "to-anthropic": ("anthropic/claude-sonnet-4-6", upstream),
    }
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": url, "api_key": KEY, "max_retries": 0},
        }
        for name, (model, url) in routes.items()
    ]
    return {
        "model_list": models,
        "litellm_settings": {"num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": KEY},
    }
