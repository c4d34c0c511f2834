"""The rows: what a server does, and what a run against it must come to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent
from typing_extensions import TypeIs

from assay.deps import BaseDeps
from assay.deps.errors import (
    ProviderGarbled,
    ProviderRefused,
    ProviderTimeout,
    StreamCutShort,
)
from assay.deps.models import by_name

from .acts import Call, Fail, Say, Script

__all__ = (
    "ABSENT",
    "BEHAVIOURS",
    "WRONG_KEY",
    "Behaviour",
    "Kind",
    "Mode",
    "Way",
    "fill",
    "look_and_fill",
)

Mode = Literal["auto", "native", "prompted"]
Kind = type[Exception]
Way = Callable[[BaseDeps], Awaitable[object]]

ABSENT = "openai/no-such-model"  # OpenRouter takes none without a vendor
WRONG_KEY = "planted-wrong-key-000"  # of no form by which it would be known for one

PROMPT = "How many of which animal were seen?"
PROSE = "Three foxes were seen near the old mill, and no hare."


class Fact(BaseModel):
    """What was seen."""

    animal: Literal["fox", "hare", "owl"]
    count: int = Field(ge=0, le=9)


class Looked(Fact):
    """What was seen, and how often was looked."""

    times: int


SEEN = Fact(animal="fox", count=3)
ANSWER = Call("final_result", SEEN.model_dump())

texts = Agent("small", name="texts", deps_type=BaseDeps, output_type=str, capabilities=[by_name()])
facts = Agent("small", name="facts", deps_type=BaseDeps, output_type=Fact, capabilities=[by_name()])
looks = Agent("small", name="looks", deps_type=BaseDeps, output_type=Fact, capabilities=[by_name()])


@looks.tool_plain
def look(place: Literal["mill", "wood"]) -> str:
    """Look at a place."""
    return f"three foxes at the {place}"


async def say(deps: BaseDeps) -> object:
    """Ask for a text."""
    return (await texts.run(PROMPT, deps=deps)).output


async def fill(deps: BaseDeps) -> object:
    """Ask for a validated output."""
    return (await facts.run(PROMPT, deps=deps)).output


async def look_and_fill(deps: BaseDeps) -> object:
    """Ask for a validated output, with a tool to call before."""
    result = await looks.run(PROMPT, deps=deps)
    calls = [p for m in result.all_messages() for p in m.parts if p.part_kind == "tool-call"]
    times = sum(call.tool_name == "look" for call in calls)
    return Looked(**result.output.model_dump(), times=times)


async def stream(deps: BaseDeps) -> object:
    """Ask for a text, piece by piece."""
    async with texts.run_stream(PROMPT, deps=deps) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    return Pieces(tuple(pieces))


@dataclass(frozen=True)
class Pieces:
    """A text as it came."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Behaviour:
    """What a server does, and what must come of it.

    Attributes:
        name: The row.
        way: How the model is asked.
        script: What the server does.
        right: Whether an output is the one that was scripted; None where only an error is right.
        sound: Whether an output is one that an engine which says what it likes may give.
        ends: The errors that are right; empty where only an answer is.
        mode: How the output is asked for.
        key: The key that is sent instead of the right one.
        model: The model that is asked for instead of one that there is.
        denial: What a server says to these that does not look at them itself.
        requests: How many the server must see; None where that cannot be said.
        waits: Seconds that the layer must have waited at least.
        within: Seconds that a request may take.
        bound: Seconds in which the cell must come to its end.
    """

    name: str
    way: Way
    script: Script
    right: Callable[[object], bool] | None = None
    sound: Callable[[object], bool] | None = None
    ends: tuple[Kind, ...] = ()
    mode: Mode = "auto"
    key: str | None = None
    model: str | None = None
    denial: Fail | None = None
    requests: int | None = 1
    waits: float = 0.0
    within: float = 5.0
    bound: float = 10.0


def _is_prose(output: object) -> bool:
    return output == PROSE


def _is_streamed_prose(output: object) -> bool:
    return _is_streamed(output) and "".join(output.texts) == PROSE


def _is_text(output: object) -> bool:
    return isinstance(output, str) and bool(output)


def _is_streamed(output: object) -> TypeIs[Pieces]:
    return isinstance(output, Pieces) and len(output.texts) > 1


def _is_seen(output: object) -> bool:
    return output == SEEN


def _is_looked(output: object) -> bool:
    return output == Looked(**SEEN.model_dump(), times=1)


def _is_fact(output: object) -> bool:
    return isinstance(output, Fact)


IN_WORDS = Say(f"Here it is:\n```json\n{SEEN.model_dump_json()}\n```")
BUSY = Fail(429, "slow down", "rate_limit_error", retry_after=2)
CRASH = Fail(500, "boom", "api_error")
TRIES = 4
"""How often the layer asks again what may pass."""

BEHAVIOURS = (
    Behaviour("text", say, (Say(PROSE),), _is_prose, _is_text),
    Behaviour("tool output", fill, (ANSWER,), _is_seen, _is_fact),
    Behaviour(
        "native output", fill, (Say(SEEN.model_dump_json()),), _is_seen, _is_fact, mode="native"
    ),
    Behaviour("prompted output", fill, (IN_WORDS,), _is_seen, _is_fact, mode="prompted"),
    Behaviour(
        "tool loop",
        look_and_fill,
        (Call("look", {"place": "mill"}), ANSWER),
        _is_looked,
        _is_fact,
        requests=2,
    ),
    Behaviour("streaming", stream, (Say(PROSE),), _is_streamed_prose, _is_streamed),
    Behaviour("429 Retry-After", say, (BUSY, Say(PROSE)), _is_prose, requests=2, waits=2.0),
    Behaviour("500 twice", say, (CRASH, CRASH, Say(PROSE)), _is_prose, requests=3),
    Behaviour("malformed body", say, ("malformed",), ends=(ProviderGarbled,), requests=TRIES),
    Behaviour("corrupt SSE", stream, ("corrupt",), ends=(ProviderGarbled,)),
    Behaviour(
        "cut before a token", stream, ("cut before", Say(PROSE)), _is_streamed_prose, requests=2
    ),
    Behaviour("cut after a token", stream, ("cut after",), ends=(StreamCutShort,)),
    Behaviour("early end", stream, ("ends early",), ends=(StreamCutShort,)),
    # On a busy machine the time of an attempt may be over before the server has seen it.
    Behaviour("slow", say, ("hangs",), ends=(ProviderTimeout,), requests=None, within=0.05),
    Behaviour("empty choices", say, ("empty",), ends=(ProviderGarbled,), requests=TRIES),
    Behaviour(
        "wrong model",
        say,
        (Say(PROSE),),
        ends=(ProviderRefused,),
        model=ABSENT,
        denial=Fail(404, "no such model", "not_found_error"),
    ),
    Behaviour(
        "bad key",
        say,
        (Say(PROSE),),
        ends=(ProviderRefused,),
        key=WRONG_KEY,
        denial=Fail(401, "no such key", "authentication_error"),
    ),
)
