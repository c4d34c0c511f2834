"""What `assay models --check` asks a model, to see what works at its server."""

from collections.abc import AsyncIterable, Awaitable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, Field
from pydantic_ai import Agent, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from ...deps.providers.output_mode import MODES, Mode, in_mode
from ...deps.secrets import scrub

__all__ = ("EMBED", "TEXT", "Lists", "Step", "check_chat", "one_line", "step")

LONGEST = 500
"""Characters of an error that are shown."""

TEXT = "text"

EMBED = "embed"
"""The role of embeddings, and the one call that checks it."""

FOXES = 37
"""What only the tool of a check can know."""

PATIENCE = ModelSettings(timeout=60)
ONE_WORD = ModelSettings(timeout=60, max_tokens=16)  # OpenAI's responses API takes no fewer


class Sighting(BaseModel):
    """What was seen, and how often."""

    animal: str
    count: int = Field(ge=0)


SIGHTING = ToolOutput(Sighting, name="sighting")


@dataclass(frozen=True)
class Step:
    """One call of a check: whether it worked, how long it took in seconds, and why it did not."""

    ok: bool
    seconds: float
    error: str | None = None


async def check_chat(model: Model) -> dict[str, Step]:
    """Make a call of one word, and one for a validated output in each mode."""
    found = {TEXT: await step(model, _say(model))}
    for mode in MODES:
        fill = _fill_after_a_tool if mode == "native+tools" else _fill
        found[mode] = await step(model, fill(model, mode))
    return found


async def step(model: Model, call: Awaitable[None]) -> Step:
    """Make a call of a model, and tell how it went."""
    start = perf_counter()
    try:
        await call
    except Exception as e:  # whatever it is, it is what a check is asked to tell
        return Step(False, perf_counter() - start, one_line(e, model))
    return Step(True, perf_counter() - start)


async def _say(model: Model) -> None:
    prompt = ModelRequest.user_text_prompt("Answer with the word: ok")
    await model_request(model, [prompt], model_settings=ONE_WORD)


async def _fill(model: Model, mode: Mode) -> None:
    agent = Agent(in_mode(model, mode), output_type=SIGHTING, retries={"output": 1})
    await agent.run("We saw three foxes.", model_settings=PATIENCE)


async def _fill_after_a_tool(model: Model, mode: Mode) -> None:
    """Ask for what only a tool knows: a server may take tools beside a schema and forget them."""
    calls = 0

    def foxes_seen() -> int:
        """Return how many foxes we saw."""
        nonlocal calls
        calls += 1
        return FOXES

    agent = Agent(
        in_mode(model, mode), output_type=SIGHTING, tools=[foxes_seen], retries={"output": 1}
    )
    told = "We saw some foxes. Call the tool to learn how many before you answer."
    done = await agent.run(told, model_settings=PATIENCE)
    if not calls or done.output.count != FOXES:
        raise NotHeeded(
            f"the tool was called {calls} times and the output says {done.output.count}, where the "
            f"tool said {FOXES}: tools beside a schema are not heeded"
        )


class NotHeeded(Exception):
    """A server took what it was sent, and did not do all of it."""


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


class _Listing(Protocol):
    def list(self) -> AsyncIterable[_Listed]: ...


@runtime_checkable
class Lists(Protocol):
    """A client of OpenAI's or Anthropic's library: GET /models, page by page."""

    api_key: Any

    @property
    def models(self) -> _Listing: ...


def one_line(error: Exception, model: Model) -> str:
    """Return an error in one line, with what lies at its bottom and without keys."""
    said = [f"{type(error).__name__}: {error}"]
    if (bottom := _bottom(error)) is not error and str(bottom) not in said[0]:
        said.append(str(bottom))
    client = model.provider.client if model.provider else None
    keys = [str(client.api_key)] if isinstance(client, Lists) else []
    return scrub(" ".join("; ".join(said).split()), keys)[:LONGEST]


def _bottom(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
