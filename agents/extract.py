"""Fill a model of yours from a text, with a verbatim quote for every field."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Generic, cast

from pydantic import BaseModel, ValidationError
from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.models import Model

from ..deps.base import BaseDeps
from ..deps.baseline import BaselineModel
from ..deps.drafts import Draft, T, demand, draft, filled
from ..deps.fence import FENCE_RULE, fence, unfence
from ..deps.models import by_name
from ..tools.quotes import DOCUMENT, Quote, document, find_quote, not_there, verbatim

__all__ = ("INSTRUCTIONS", "Deps", "Extraction", "Quote", "agent", "run")


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
        return _check(target, document(ctx), form)

    extraction.__annotations__["form"] = draft(target)  # the schema that the model is shown
    agent = Agent(
        "small",
        name="extract",
        deps_type=Deps,
        output_type=ToolOutput(extraction, name="extraction", description=target.__doc__),
        instructions=INSTRUCTIONS,
        retries={"output": 3},
        capabilities=[by_name(partial(_baseline, target))],
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


def _check(target: type[T], text: str, form: Draft[Any]) -> Extraction[T]:
    """Find every quote in the text and make a target of the values, or send the form back."""
    leaves = [path for path, _ in filled(form.value)]
    claims = {claim.field: claim for claim in form.quotes}
    wrong = [f"{path!r} has a value but no quote." for path in leaves if path not in claims]
    wrong += [f"{path!r} has a quote but no value." for path in claims if path not in leaves]
    quotes = {path: verbatim(text, c.quote, after=c.after) for path, c in claims.items()}
    wrong += [
        f"{path!r}: {not_there(text, claims[path].quote)}"
        for path, quote in quotes.items()
        if quote is None
    ]
    if wrong:
        raise ModelRetry("\n".join([*wrong, "Correct this, or leave fields null."]))
    try:
        value = demand(target, form.value)
    except ValidationError as e:
        raise ModelRetry(f"The form does not hold together: {e}. Read the text again.") from e
    # Subscripted with the class itself, so that the result can be dumped and read again.
    kind = cast(type[Extraction[T]], cast(Any, Extraction)[target])
    return kind(value=value, quotes={path: quote for path, quote in quotes.items() if quote})


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
