"""Fill a model of yours from a text, with a verbatim quote for every field."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Generic, cast

from pydantic import BaseModel
from pydantic_ai import Agent, RunContext, ToolOutput
from pydantic_ai.models import Model

from ..deps.base import BaseDeps
from ..deps.baseline import BaselineModel
from ..deps.drafts import Draft, T, draft
from ..deps.fence import FENCE_RULE, fence, unfence
from ..deps.loop_guard import LoopGuard
from ..deps.models import by_name
from ..deps.streaming import OnEvent, Stream, filling, streamed
from ..tools.forms import proved
from ..tools.quotes import DOCUMENT, Quote, document, find_quote

__all__ = ("INSTRUCTIONS", "Deps", "Extraction", "Quote", "agent", "run", "stream")


@dataclass(frozen=True, kw_only=True)
class Deps(BaseDeps):
    """What extraction needs: the clock, for "tomorrow", and how to read what a text leaves open.

    Args:
        region: ISO 3166 code of the country whose phone numbers come without a prefix.
        day_first: Whether 03/04 is the 3rd of April; None to judge by the text.
    """

    region: str = "US"
    day_first: bool | None = None


class Extraction(BaseModel, Generic[T]):
    """A filled target, and for each filled field's dotted path the passage that proves it."""

    value: T
    quotes: dict[str, Quote]


INSTRUCTIONS = f"""\
You fill a form from a document. Give a field only what the document says of exactly that field, \
and prove it with a quote. A blank is a right answer; a guess is a wrong one.

- Not said, or said of something else (the sender's phone for the customer's, the subtotal for \
the total): null. Never fill a field from general knowledge, or to please its type.
- Two candidates: the one the field's description asks for; after a correction, the corrected \
one; if it stays open, null.
- Values are normalised to the field's type (dates in ISO form, numbers bare, an allowed value's \
exact spelling); free text stays as written, in its own language.
- Relative dates ("tomorrow", "next Friday") count from today's date below.
- Quotes are copied exactly, errors included: the shortest passage with the value in it, never a \
summary. Every field that is not null has its own, each item of a list too (lines.0.price).
- A quote that came back as not found: look the passage up with find_quote.

{FENCE_RULE}"""


def agent(target: type[T]) -> Agent[Deps, Extraction[T]]:
    """Return the agent that fills `target`; the same one for the same class.

    Raises:
        ConfigError: `target` contains itself.
    """
    return cast(Agent[Deps, Extraction[T]], _agent(target))


@lru_cache(maxsize=64)
def _agent(target: type[BaseModel]) -> Agent[Deps, Extraction[Any]]:
    def extraction(ctx: RunContext[Deps], form: Draft[Any]) -> Extraction[Any]:
        value, quotes = proved(target, document(ctx), form)
        # Subscripted with the class itself, so that the result can be dumped and read again.
        kind = cast(type[Extraction[Any]], cast(Any, Extraction)[target])
        return kind(value=value, quotes=quotes)

    extraction.__annotations__["form"] = draft(target)  # the schema that the model is shown
    agent = Agent(
        "small",
        name="extract",
        deps_type=Deps,
        output_type=ToolOutput(extraction, name="extraction", description=target.__doc__),
        instructions=INSTRUCTIONS,
        retries={"output": 3},
        capabilities=[by_name(partial(_baseline, target)), LoopGuard()],
    )
    agent.tool(find_quote)
    agent.instructions(today)
    return agent


def _baseline(target: type[BaseModel], deps: Deps) -> BaselineModel:
    from .baselines.extract import solve  # dateparser and its kind are heavy

    return BaselineModel("extract", lambda prompt: solve(unfence(DOCUMENT, prompt), target, deps))


def today(ctx: RunContext[Deps]) -> str:
    """Say what day it is, and how to read a date that leaves day and month open."""
    order = {True: " 03/04 is the 3rd of April.", False: " 03/04 is March 4th.", None: ""}
    return f"Today is {ctx.deps.now():%A, %Y-%m-%d}.{order[ctx.deps.day_first]}"


async def run(
    text: str, target: type[T], deps: Deps, *, model: Model | str | None = None
) -> Extraction[T]:
    """Fill `target` from `text`.

    Args:
        text: Any text; it is fenced, so it cannot give orders.
        target: The model to fill. Its docstring and its fields' descriptions are what the LLM is
            told, so describe each field as you would to a clerk.
        deps: The clock and the world.
        model: A model or its name, instead of the one `deps` stands for.

    Raises:
        NotFound: the text lacks a field that `target` requires.
        ConfigError: `target` contains itself.
    """
    result = await agent(target).run(
        fence(DOCUMENT, text),
        deps=deps,
        model=model,
        usage=deps.usage,
        usage_limits=deps.limits,
    )
    return result.output


def stream(
    text: str,
    target: type[T],
    deps: Deps,
    *,
    model: Model | str | None = None,
    on_event: OnEvent | None = None,
) -> AbstractAsyncContextManager[Stream[Mapping[str, object], Extraction[T]]]:
    """Fill `target` as `run` does, and give the fields as they are filled, not yet proved.

    Iterate for dotted paths and values, `await output()` for the whole and its quotes.
    """
    prompt, read = fence(DOCUMENT, text), filling(target)
    return streamed(agent(target), prompt, deps, read, model=model, on_event=on_event)
