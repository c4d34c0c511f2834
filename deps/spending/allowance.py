"""What may be spent in a window of time, by each tenant: refused before it is asked for.

```python
allowance = Allowance(
    Cap(usd=20, per="day"),
    Cap(requests=60, per=timedelta(minutes=1)),
    ledger=SqlLedger(".assay/spend.db"),  # shared by processes, and kept; in memory without
)
account = allowance.of("tenant-7")
models = dataclasses.replace(models, wrap=(account, *models.wrap))
```

An account goes first into `Models.wrap`: so every attempt is counted, what waits for a limiter
reserves nothing yet, and what is replayed is free. One that covers all tenants is another allowance
around it: `wrap=(house.of("everyone"), each.of("tenant-7"), *models.wrap)`.

**What holds.** Before a request is made, what it may take is reserved, and a request is refused
when spent + reserved + that > cap. So in no window is there ever more than the cap, but for what
the requests under way took beyond their estimates: n at once overshoot by n times the largest
error of an estimate, however they interleave, and by no whole request.

A refusal is the caller's own, as Pydantic AI's `UsageLimitExceeded` is: it asks no other model of
a chain. Where a baseline should answer instead, say so:

```python
try:
    answer = await triage.run(message, deps)
except BudgetSpent:
    answer = await triage.run(message, deps, model="baseline")
```

Why not `SpendLimits` of pydantic-ai-harness: it looks at what was spent and reserves nothing, so
the request that crosses the line is made, and so are all that run beside it. It is given to agents
one by one, so a model that is asked in another way passes it by. It caps no requests, knows no
window that moves on, and between processes it needs Redis.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json

from ..baseline import is_baseline, layers
from ..clock import utc_now
from ..errors import BudgetSpent, ConfigError
from ..layer import AnswerT, Asked, Layer, Opening, response_of
from ..resilience.rates import CHARACTERS_PER_TOKEN, estimate
from .budget import in_dollars
from .budget import price as genai_price
from .caps import NOTHING, Amount, Cap, Full, Unit, counted
from .ledger import Entry, Ledger, MemoryLedger

__all__ = ("Account", "Allowance", "BudgetSpent", "Cap", "MemoryLedger", "Standing")

ANSWER_TOKENS = 1_000
"""What an answer is expected to take where no `max_tokens` bounds it."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an account stands under one of its caps, at this moment.

    Attributes:
        spent: What is counted in the window.
        reserved: What requests under way may take.
    """

    cap: Cap
    spent: Amount
    reserved: Amount


class Allowance:
    """Caps that hold for each of its accounts by itself. Make one, and share it between all runs.

    A failed request is free, and so is one that is cancelled before its answer began: a provider
    may see that otherwise. A stream that breaks off counts with what it told. Where an answer
    tells no tokens or no price, the estimate stands for it.

    Args:
        *caps: What each account may spend, all of them at once.
        ledger: Where spending is kept. Two allowances in one ledger need accounts of different
            names, or they count each other's requests.
        answer_tokens: What an answer is expected to take, where no `max_tokens` bounds it. The
            input is estimated by its characters, tools included.
        price: Dollars that a response cost, None if nobody knows; by genai-prices if not given. A
            request is priced before it is made, as a response without parts.
        now: The clock. Processes that share a ledger go by their own.

    Raises:
        ConfigError: there are no caps, or `answer_tokens` is less than 1.
    """

    def __init__(
        self,
        *caps: Cap,
        ledger: Ledger | None = None,
        answer_tokens: int = ANSWER_TOKENS,
        price: Callable[[ModelResponse], Decimal | None] = genai_price,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not caps:
            raise ConfigError("an allowance without caps allows everything; give it a Cap")
        if answer_tokens < 1:
            raise ConfigError(f"an answer of {answer_tokens} tokens is none; give 1 or more")
        self.caps = caps
        self.ledger = ledger or MemoryLedger()
        self.answer_tokens = answer_tokens
        self.price = price
        self.now = now

    def of(self, tenant: str) -> "Account":
        """Return the account of a tenant: of whoever is to have the caps for himself."""
        return Account(self, tenant)

    @property
    def in_dollars(self) -> bool:
        """Whether any cap is in dollars, so that prices matter."""
        return any(cap.usd is not None for cap in self.caps)


@dataclass(frozen=True)
class Account:
    """What one tenant may spend of an allowance. Calling it wraps a model; baselines are free."""

    allowance: Allowance
    tenant: str

    def __call__(self, model: Model) -> Model:
        """Return `model`, charged to this account; a baseline, or one so charged, as it is."""
        charged = (layer for layer in layers(model) if isinstance(layer, _ChargedModel))
        if is_baseline(model) or any(layer.account == self for layer in charged):
            return model
        return _ChargedModel(model, self)

    async def standing(self) -> tuple[Standing, ...]:
        """Return how the account stands, cap by cap."""
        now = self.allowance.now()
        counts = await self.allowance.ledger.counts(self.tenant)
        found: list[Standing] = []
        for cap in self.allowance.caps:
            pieces = [count for _, count in counted(counts, cap.period, now)]
            spent = sum((count.spent for count in pieces), NOTHING)
            reserved = sum((count.reserved for count in pieces), NOTHING)
            found.append(Standing(cap=cap, spent=spent, reserved=reserved))
        return tuple(found)

    async def reserve(self, amount: Amount) -> Entry:
        """Reserve what a request may take.

        Raises:
            BudgetSpent: that is more than is left.
        """
        entry = Entry(self.tenant, amount, self.allowance.now())
        full = await self.allowance.ledger.reserve(entry, self.allowance.caps)
        if full is not None:
            raise _refusal(self.tenant, full, entry.at)
        return entry

    async def settle(self, entry: Entry, spent: Amount) -> None:
        """Count what a request took instead of what was reserved for it."""
        await self.allowance.ledger.settle(entry, self.allowance.caps, spent)

    def estimate(self, asked: Asked, model: Model) -> Amount:
        """Return what a request may take.

        Raises:
            ConfigError: a cap is in dollars, and the model's price is unknown.
        """
        settings = merge_model_settings(model.settings, asked.settings)
        usage = RequestUsage(
            input_tokens=estimate(asked.messages, None) + _tokens_of_tools(asked.parameters),
            output_tokens=self._answer(settings),
        )
        if not self.allowance.in_dollars:
            return Amount(tokens=usage.total_tokens, requests=1)
        price = self.allowance.price(
            ModelResponse(
                parts=[],
                usage=usage,
                model_name=model.model_name,
                provider_name=model.system,
                provider_url=model.base_url,
            )
        )
        if price is None:
            raise ConfigError(
                f"the price of {model.model_name!r} is unknown, so a cap in dollars cannot hold; "
                "cap tokens or requests instead, or give Allowance(price=...)"
            )
        return Amount.of(price, usage.total_tokens, 1)

    def _answer(self, settings: ModelSettings | None) -> int:
        if settings and "max_tokens" in settings:
            return settings["max_tokens"]
        return self.allowance.answer_tokens

    def spent(self, response: ModelResponse, estimated: Amount, *, failed: bool) -> Amount:
        """Return what a response took, which may not be whole."""
        usage = response.usage
        if usage.total_tokens == 0 and usage.cost is None:  # else a break would make it free
            return NOTHING if failed and not response.parts else estimated
        if not self.allowance.in_dollars:
            return Amount(tokens=usage.total_tokens, requests=1)
        price = self.allowance.price(response)
        if price is None:
            return Amount(estimated.nanos, usage.total_tokens, 1)
        return Amount.of(price, usage.total_tokens, 1)


class _ChargedModel(Layer):
    """Asks its model when what that may take is reserved."""

    def __init__(self, wrapped: Model, account: Account) -> None:
        super().__init__(wrapped)
        self.account = account

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        account = self.account
        entry = await account.reserve(account.estimate(asked, self.wrapped))
        spent, failed = NOTHING, True
        try:
            async with opening() as answer:
                spent = entry.amount  # whatever becomes of reading what it told
                try:
                    yield answer
                    failed = False
                finally:
                    spent = account.spent(response_of(answer), entry.amount, failed=failed)
        finally:
            await account.settle(entry, spent)


def _tokens_of_tools(parameters: ModelRequestParameters) -> int:
    """Return how many tokens the tools may take that a model is told of, and the output's form."""
    tools = [*parameters.function_tools, *parameters.output_tools]
    told: list[object] = [_told(tool) for tool in tools]
    if parameters.output_mode == "native" and parameters.output_object is not None:
        told.append(parameters.output_object.json_schema)
    return len(to_json(told)) // CHARACTERS_PER_TOKEN if told else 0


def _told(tool: ToolDefinition) -> list[object]:
    return [tool.name, tool.description, tool.parameters_json_schema]


def _refusal(tenant: str, full: Full, at: datetime) -> BudgetSpent:
    cap, asked = _say(full.limit, full.unit), _say(full.asked, full.unit)
    spent, reserved = _say(full.spent, full.unit), _say(full.reserved, full.unit)
    message = (
        f"{tenant!r} may spend {cap} {full.cap.period.said}: {spent} spent, {reserved} reserved "
        f"for requests under way, and this request may take {asked}; {_next_step(full)}"
    )
    scale = 1e9 if full.unit == "usd" else 1
    return BudgetSpent(
        message,
        tenant=tenant,
        unit=full.unit,
        cap=full.limit / scale,
        spent=full.spent / scale,
        reserved=full.reserved / scale,
        estimate=full.asked / scale,
        frees=full.frees,
        retry_after=None if full.frees is None else (full.frees - at).total_seconds(),
    )


def _next_step(full: Full) -> str:
    if full.asked > full.limit:
        return "more than the cap: send less, give a smaller max_tokens, or raise the cap"
    if full.frees is None:
        return "raise the cap, or ask the baseline"
    when = f"{full.frees.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"there is room by {when}: wait, raise the cap, or ask the baseline"


def _say(figure: int, unit: Unit) -> str:
    if unit == "usd":
        return in_dollars(figure / 1e9)
    return f"{figure:,} {unit}" if figure != 1 else f"1 {unit[:-1]}"
