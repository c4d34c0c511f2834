"""`assay models`: which models are configured, what their servers offer, and what works there."""

import sys
from collections.abc import AsyncIterable, Iterable
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import typer
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_json
from rich.markup import escape
from rich.table import Table

from ...deps.baseline import layers
from ...deps.errors import ConfigError
from ...deps.models import BASELINE, NOT_AN_LLM, ROLES, Models
from ...deps.output_mode import MODES, Mode, current_mode, in_mode
from ...deps.secrets import scrub
from .door import PASS, PROVIDER, USAGE, out, wait_for

__all__ = ("show_models",)

KINDS = (
    "openai:*",
    "anthropic:*",
    "openrouter:a/b",
    "litellm:*",
    "ollama:*",
    "vllm:*",
    "gateway/openai:*",
)
"""A name of each kind, to see whether its provider could be asked."""

SHOWN = 5
"""How many of a server's models a table names."""

LONGEST = 500
"""Characters of an error that are shown."""

TEXT = "text"

PATIENCE = ModelSettings(timeout=60)
ONE_WORD = ModelSettings(timeout=60, max_tokens=16)  # OpenAI's responses API takes no fewer


class Sighting(BaseModel):
    """What was seen, and how often."""

    animal: str
    count: int = Field(ge=0)


@dataclass(frozen=True)
class Step:
    """One call of a check: whether it worked, how long it took in seconds, and why it did not."""

    ok: bool
    seconds: float
    error: str | None = None


@dataclass
class Known:
    """What is known of a configured model.

    `state` is `ready`, or what is wrong; `listed` tells whether its server lists it, or is None.
    """

    name: str
    used_as: list[str]
    endpoint: str | None = None
    output_mode: Mode | None = None
    state: str = "ready"
    listed: bool | None = None
    checks: dict[str, Step] = field(default_factory=dict[str, Step])

    @property
    def works(self) -> list[str]:
        """The output modes that a check has seen to work, best first."""
        return [mode for mode in MODES if mode in self.checks and self.checks[mode].ok]


@dataclass
class Offer:
    """What a server says that it has; `offered` is None where it does not say."""

    endpoint: str
    offered: list[str] | None = None
    error: str | None = None


@dataclass
class Seen:
    """Everything that the command tells."""

    models: list[Known]
    endpoints: list[Offer] = field(default_factory=list[Offer])
    providers: dict[str, str] = field(default_factory=dict[str, str])
    code: int = PASS


def show_models(models: Models, names: list[str], check: bool, json: bool) -> None:
    """Tell what is configured, or of the models in `names`; with `check`, call each of them."""
    plain = replace(models, fallback=(), wrap=(), trail=None)
    seen = wait_for(_look(plain, _uses(models, names), check), models)
    if json:
        sys.stdout.write(to_json(asdict(seen), indent=2).decode() + "\n")
    else:
        _print(seen)
    raise typer.Exit(seen.code)


def _uses(models: Models, names: list[str]) -> dict[str, list[str]]:
    """Return the names of the models to look at, each with what it is used as."""
    if names:
        return {models.named(name): ["named here"] for name in names}
    uses: dict[str, list[str]] = {}
    for role in ROLES:
        if role != "embed" or role in models.roles:
            uses.setdefault(models.named(role), []).append(role)
    for place, name in enumerate(models.fallback, 1):
        uses.setdefault(name, []).append(f"fallback {place}")
    return uses


async def _look(models: Models, uses: dict[str, list[str]], check: bool) -> Seen:
    seen = Seen([Known(name, used_as) for name, used_as in uses.items()])
    built: dict[str, Model] = {}
    for known in seen.models:
        if known.name == BASELINE:
            known.state = NOT_AN_LLM
        elif (model := _built(known, models)) is None:
            seen.code = max(seen.code, USAGE)
        else:
            built[known.name] = model
    await _ask_endpoints(seen, built)
    for known in seen.models if check else []:
        if known.name in built and known.used_as != ["embed"]:
            await _check(known, built[known.name])
            if not (known.checks[TEXT].ok and known.works):
                seen.code = PROVIDER
    seen.providers = {kind.partition(":")[0]: _reachable(kind, models) for kind in KINDS}
    return seen


def _built(known: Known, models: Models) -> Model | None:
    """Return the model itself, without layers, or None, and tell why in its state."""
    try:
        model = models.resolve(known.name)
    except ConfigError as e:
        known.state = str(e)
        return None
    known.output_mode = current_mode(model)
    *_, innermost = layers(model)
    known.endpoint = _public(innermost.base_url)
    return innermost


def _reachable(kind: str, models: Models) -> str:
    """Return `ready`, or what to set or install for models of a kind."""
    try:
        models.resolve(kind)
    except ConfigError as e:
        return str(e).partition(": ")[2] or str(e)
    return "ready"


def _public(url: str | None) -> str | None:
    """Return an address without what may be a secret in it."""
    if url is None:
        return None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")


# -- what a server offers


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


class _Listing(Protocol):
    def list(self) -> AsyncIterable[_Listed]: ...


@runtime_checkable
class _Lists(Protocol):
    """A client of OpenAI's or Anthropic's library: GET /models, page by page."""

    api_key: Any

    @property
    def models(self) -> _Listing: ...


async def _ask_endpoints(seen: Seen, built: dict[str, Model]) -> None:
    """Ask each endpoint once for its models, and note which of ours are among them."""
    offers: dict[str, Offer] = {}
    for known in seen.models:
        if known.endpoint is None or known.name not in built:
            continue
        if known.endpoint not in offers:
            offers[known.endpoint] = await _offer(known.endpoint, built[known.name])
        if offered := offers[known.endpoint].offered:
            known.listed = built[known.name].model_name in offered
    seen.endpoints = list(offers.values())
    if any(offer.error for offer in seen.endpoints):
        seen.code = PROVIDER


async def _offer(endpoint: str, model: Model) -> Offer:
    client = model.provider.client if model.provider else None
    if not isinstance(client, _Lists):
        return Offer(endpoint)
    try:
        return Offer(endpoint, sorted([each.id async for each in client.models.list()]))
    except Exception as e:  # whatever it is, it is what this command is asked to tell
        if getattr(e, "status_code", None) in (404, 405, 501):
            return Offer(endpoint)
        return Offer(endpoint, error=_line(e, model))


# -- what works there


async def _check(known: Known, model: Model) -> None:
    """Make a call of one word, and one for a validated output in each mode."""
    known.checks[TEXT] = await _step(model, None)
    for mode in MODES:
        known.checks[mode] = await _step(model, mode)


async def _step(model: Model, mode: Mode | None) -> Step:
    start = perf_counter()
    try:
        await (_say(model) if mode is None else _fill(in_mode(model, mode)))
    except Exception as e:  # as above: the error is the result
        return Step(False, perf_counter() - start, _line(e, model))
    return Step(True, perf_counter() - start)


async def _say(model: Model) -> None:
    prompt = ModelRequest.user_text_prompt("Answer with the word: ok")
    await model_request(model, [prompt], model_settings=ONE_WORD)


async def _fill(model: Model) -> None:
    agent = Agent(model, output_type=ToolOutput(Sighting, name="sighting"), retries={"output": 1})
    await agent.run("We saw three foxes.", model_settings=PATIENCE)


def _line(error: Exception, model: Model) -> str:
    """Return an error in one line, with what lies at its bottom and without keys."""
    said = [f"{type(error).__name__}: {error}"]
    if (bottom := _bottom(error)) is not error and str(bottom) not in said[0]:
        said.append(str(bottom))
    client = model.provider.client if model.provider else None
    keys = [str(client.api_key)] if isinstance(client, _Lists) else []
    return scrub(" ".join("; ".join(said).split()), keys)[:LONGEST]


def _bottom(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# -- for people


def _print(seen: Seen) -> None:
    console = out()
    rows = ((m.name, ", ".join(m.used_as), m.endpoint or "", _state(m)) for m in seen.models)
    console.print(_table(("model", "used as", "asked at", "state"), rows))
    if seen.endpoints:
        offers = ((offer.endpoint, _offered(offer)) for offer in seen.endpoints)
        console.print(_table(("endpoint", "its models"), offers))
    for known in seen.models:
        if known.checks:
            console.print(_checks(known))
            console.print(_advice(known), markup=False, soft_wrap=True)
    providers = seen.providers.items()
    console.print(_table(("provider", "keys and libraries"), providers))


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _state(known: Known) -> str:
    mode = f", output by {known.output_mode}" if known.output_mode else ""
    return known.state + mode + ("; its server does not list it" if known.listed is False else "")


def _offered(offer: Offer) -> str:
    if offer.error:
        return offer.error
    if offer.offered is None:
        return "it does not list them"
    more = len(offer.offered) - SHOWN
    return ", ".join(offer.offered[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _checks(known: Known) -> Table:
    rows = (
        (call, "yes" if step.ok else "no", f"{step.seconds:.2f} s", step.error or "")
        for call, step in known.checks.items()
    )
    table = _table(("call", "works", "took", "error"), rows)
    table.title, table.title_justify = escape(known.name), "left"
    return table


def _advice(known: Known) -> str:
    if not known.works:
        return f"{known.name}: no output mode works"
    if known.output_mode in known.works:
        return f"{known.name}: {known.output_mode}, as it is set, works"
    return f"{known.name}: set ASSAY_OUTPUT_MODE='{known.name}={known.works[0]}'"
