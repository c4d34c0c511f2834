"""`assay models`: which models are configured, what their servers offer, and what works there."""

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlsplit

import typer
from pydantic_ai.models import Model
from pydantic_core import to_json
from rich.markup import escape
from rich.table import Table

from ...deps.baseline import layers
from ...deps.errors import ConfigError
from ...deps.models import BASELINE, NOT_AN_LLM, ROLES, Models
from ...deps.providers.embeddings import LayeredEmbedding
from ...deps.providers.output_mode import MODES, Mode, current_mode
from .door import PASS, PROVIDER, USAGE, out, wait_for
from .model_checks import EMBED, TEXT, Lists, Step, check_chat, one_line, step

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


@dataclass
class Known:
    """What is known of a configured model.

    `state` is `ready`, or what is wrong; `listed` tells whether its server lists it, or is None.
    `dimensions` are those of its vectors, if a check has seen one.
    """

    name: str
    used_as: list[str]
    endpoint: str | None = None
    output_mode: Mode | None = None
    state: str = "ready"
    listed: bool | None = None
    dimensions: int | None = None
    checks: dict[str, Step] = field(default_factory=dict[str, Step])

    @property
    def works(self) -> list[str]:
        """The output modes that a check has seen to work, best first."""
        return [mode for mode in MODES if mode in self.checks and self.checks[mode].ok]

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors, and nothing else."""
        return self.used_as == [EMBED]

    @property
    def passed(self) -> bool:
        """Whether a check has seen it do what it is for."""
        said = self.embeds or (self.checks[TEXT].ok and bool(self.works))
        return said and (EMBED not in self.checks or self.checks[EMBED].ok)


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
        return {models.named(name): [_as_named(name, models)] for name in names}
    uses: dict[str, list[str]] = {}
    for role in ROLES:
        if role != EMBED or role in models.roles:
            uses.setdefault(models.named(role), []).append(role)
    for place, name in enumerate(models.fallback, 1):
        uses.setdefault(name, []).append(f"fallback {place}")
    return uses


def _as_named(name: str, models: Models) -> str:
    """Return what a model is looked at as; one that is used for vectors alone, as that."""
    others = [models.named(role) for role in ROLES if role != EMBED]
    embeds = name == EMBED or (name == models.roles.get(EMBED) and name not in others)
    return EMBED if embeds else "named here"


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
        if known.name in built:
            await _check(known, built[known.name], models)
            if not known.passed:
                seen.code = PROVIDER
    seen.providers = {kind.partition(":")[0]: _reachable(kind, models) for kind in KINDS}
    return seen


def _built(known: Known, models: Models) -> Model | None:
    """Return the model itself, without layers, or None, and tell why in its state."""
    try:
        model = _asked(models, known.name) if known.embeds else models.resolve(known.name)
    except ConfigError as e:
        known.state = str(e)
        return None
    known.output_mode = None if known.embeds else current_mode(model)
    *_, innermost = layers(model)
    known.endpoint = _public(innermost.base_url)
    return innermost


def _asked(models: Models, name: str) -> Model:
    """Return an embedding model as what is asked: it has an address and a client as others do."""
    model = models.embedder(name).model
    assert isinstance(model, LayeredEmbedding)
    return model.asked


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
    if not isinstance(client, Lists):
        return Offer(endpoint)
    try:
        return Offer(endpoint, sorted([each.id async for each in client.models.list()]))
    except Exception as e:  # whatever it is, it is what this command is asked to tell
        if getattr(e, "status_code", None) in (404, 405, 501):
            return Offer(endpoint)
        return Offer(endpoint, error=one_line(e, model))


async def _check(known: Known, model: Model, models: Models) -> None:
    """Make the calls that show what a model is used as."""

    async def embed() -> None:
        found = await models.embedder(known.name).embed_query("ok")
        known.dimensions = len(found.embeddings[0])

    if EMBED in known.used_as:
        known.checks[EMBED] = await step(model, embed())
    if not known.embeds:
        known.checks |= await check_chat(model)


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
    mode += f", {known.dimensions} dimensions" if known.dimensions else ""
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
    if known.embeds:
        return f"{known.name}: {'makes vectors' if known.passed else 'makes no vectors'}"
    if not known.works:
        return f"{known.name}: no output mode works"
    if known.output_mode in known.works:
        return f"{known.name}: {known.output_mode}, as it is set, works"
    return f"{known.name}: set ASSAY_OUTPUT_MODE='{known.name}={known.works[0]}'"
