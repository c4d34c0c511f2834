"""A bank's customers with their cards, accounts and payments, and what support may do with them.

Sums are whole cents of one currency, the euro. Every method names the customer it is done for, and
sees that customer's data alone: what is another's is refused as what does not exist is, so nobody
learns which of the two it was.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, TypeAlias, TypeVar

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..errors import BadDataset, InputError

__all__ = (
    "Account",
    "Bank",
    "BankData",
    "BankRefused",
    "Blocked",
    "Card",
    "Customer",
    "HasBank",
    "Loss",
    "Payment",
    "Policies",
    "Refund",
    "Snapshot",
    "Ticket",
    "Topic",
    "Transaction",
    "Why",
    "euros",
)

ModelT = TypeVar("ModelT", bound=BaseModel)

Cents = Annotated[int, Field(gt=0, strict=True)]
Loss = Literal["lost", "stolen", "fraud"]
Topic = Literal["fraud", "abuse", "complaint", "refund", "other"]
Why = Literal["not_yours", "already_blocked", "already_refunded", "not_refundable", "too_much"]

Snapshot: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Every row of every table, by its id."""


class BankRefused(InputError):
    """The bank did not do what was asked, and nothing was changed; `why` is the reason's name."""

    def __init__(self, why: Why, message: str) -> None:
        self.why: Why = why
        super().__init__(message)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Customer(_Row):
    """A person with accounts."""

    id: str
    name: str


class Account(_Row):
    """An account and its balance; `kind` is current or savings."""

    id: str
    customer: str
    kind: Literal["current", "savings"]
    balance: int = Field(description="in cents")


class Card(_Row):
    """A card. Its whole number is not kept here, so it cannot be told."""

    id: str
    customer: str
    account: str
    last4: str
    kind: Literal["debit", "credit"]
    blocked: Loss | None = Field(default=None, description="why it is blocked; null if it works")


class Transaction(_Row):
    """A booking on an account, without its memo.

    `cents` went out for a purchase or a fee, and came in with a deposit.
    """

    id: str
    account: str
    card: str | None = None
    at: AwareDatetime
    kind: Literal["purchase", "fee", "deposit"]
    merchant: str = Field(max_length=200, description="by the bank's register; empty for a deposit")
    cents: Cents
    refunded: AwareDatetime | None = Field(default=None, description="when it was paid back")


class Payment(Transaction):
    """A booking with its memo: whoever sent it wrote that."""

    memo: str = Field(default="", max_length=2000)


class Refund(_Row):
    """A booked refund."""

    kind: Literal["refund"] = "refund"
    id: str
    transaction: str
    cents: Cents
    at: AwareDatetime


class Blocked(_Row):
    """A card that was blocked."""

    kind: Literal["block"] = "block"
    card: str
    why: Loss


class Ticket(_Row):
    """A ticket for the people who take over."""

    kind: Literal["ticket"] = "ticket"
    id: str
    topic: Topic
    text: str
    at: AwareDatetime


class Bank(Protocol):
    """Where a customer's data is kept and acted on. Each act is done as a whole, or not at all.

    Methods raise `BankRefused` with the reason.
    """

    def now(self) -> datetime:
        """Return the moment at which something would be booked."""
        ...

    async def customer(self, customer: str) -> Customer:
        """Return the customer of that id."""
        ...

    async def accounts(self, customer: str) -> Sequence[Account]: ...

    async def cards(self, customer: str) -> Sequence[Card]: ...

    async def transactions(
        self, customer: str, *, since: datetime | None = None
    ) -> Sequence[Transaction]:
        """Return what was booked, the newest first."""
        ...

    async def payment(self, customer: str, transaction: str) -> Payment:
        """Return one booking with its memo."""
        ...

    async def block(self, customer: str, card: str, why: Loss) -> Blocked: ...

    async def refund(self, customer: str, transaction: str, cents: int, *, key: str) -> Refund:
        """Pay a purchase or a fee back to its account: once, and at most its sum.

        Whoever comes with the same `key` again is given the refund that was booked.
        """
        ...

    async def ticket(self, customer: str, topic: Topic, text: str, *, key: str) -> Ticket:
        """File a ticket; the same `key` files it once."""
        ...


class HasBank(Protocol):
    """Deps of tools that look into a bank, for the customer who logged in."""

    @property
    def bank(self) -> Bank: ...

    @property
    def customer(self) -> str: ...


class BankData(BaseModel):
    """The content of a bank, to fill one with; refunds name what was paid back before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customers: tuple[Customer, ...]
    accounts: tuple[Account, ...] = ()
    cards: tuple[Card, ...] = ()
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()

    def moved(self, by: timedelta) -> Self:
        """Return a copy in which all was booked so much later."""
        paid = tuple(one.model_copy(update={"at": one.at + by}) for one in self.payments)
        back = tuple(one.model_copy(update={"at": one.at + by}) for one in self.refunds)
        return self.model_copy(update={"payments": paid, "refunds": back})

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a YAML (or JSON) file.

        Raises:
            BadDataset: the file is absent, unreadable or holds no bank.
        """
        return _read(cls, path, "a bank's data: customers, accounts, cards, payments, refunds")


class Policies(BaseModel):
    """What support must follow, for people and models to read, and the figures tools hold to.

    Args:
        approval_above: A refund of more cents than this needs a person's approval.
        refund_days: A booking older than this is not refunded without one.
        text: The document. `{approval_above}` and `{refund_days}` in it stand for the figures,
            so that what is read and what is enforced cannot differ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approval_above: int = Field(ge=0)
    refund_days: int = Field(ge=0)
    text: str

    @property
    def document(self) -> str:
        """The text with the figures in their places."""
        figures = {
            "{approval_above}": euros(self.approval_above),
            "{refund_days}": str(self.refund_days),
        }
        text = self.text
        for place, figure in figures.items():
            text = text.replace(place, figure)
        return text

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            BadDataset: the file is absent, unreadable or holds no policies.
        """
        return _read(cls, path, "policies: approval_above, refund_days, text")


def euros(cents: int) -> str:
    """Write a sum for people: `€1,234.50`."""
    return f"{'-' if cents < 0 else ''}€{abs(cents) // 100:,}.{abs(cents) % 100:02}"


def _read(kind: type[ModelT], path: Path, what: str) -> ModelT:
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as e:
        raise BadDataset(f"{str(path)!r} does not hold {what}: {e}") from e
