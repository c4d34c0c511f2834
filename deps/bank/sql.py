"""A bank in a database.

```python
with SqlBank("bank.db") as bank:  # or postgresql://user@host/database
    await bank.fill(BankData.from_file(path))
```
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from ..clock import utc_now
from ..database import SqlStore
from .accounts import (
    Account,
    BankData,
    BankRefused,
    Blocked,
    Card,
    Customer,
    Loss,
    Payment,
    Refund,
    Snapshot,
    Ticket,
    Topic,
    Transaction,
    euros,
)

__all__ = ("SqlBank",)

metadata = sa.MetaData()

customers = sa.Table(
    "bank_customer",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)
accounts = sa.Table(
    "bank_account",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("customer", sa.String(64), sa.ForeignKey(customers.c.id), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),  # cents
)
cards = sa.Table(
    "bank_card",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("customer", sa.String(64), sa.ForeignKey(customers.c.id), nullable=False, index=True),
    sa.Column("account", sa.String(64), sa.ForeignKey(accounts.c.id), nullable=False),
    sa.Column("last4", sa.String(4), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("blocked", sa.String(16)),  # why; null if it works
)
payments = sa.Table(
    "bank_transaction",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(64), sa.ForeignKey(accounts.c.id), nullable=False, index=True),
    sa.Column("card", sa.String(64), sa.ForeignKey(cards.c.id)),
    sa.Column("at", sa.String(40), nullable=False),  # ISO 8601, in UTC
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("merchant", sa.Text, nullable=False),
    sa.Column("cents", sa.BigInteger, nullable=False),
    sa.Column("memo", sa.Text, nullable=False),
)
refunds = sa.Table(
    "bank_refund",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    # Unique: the database itself refuses to pay twice.
    sa.Column(
        "transaction", sa.String(64), sa.ForeignKey(payments.c.id), nullable=False, unique=True
    ),
    sa.Column("cents", sa.BigInteger, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("key", sa.String(128), nullable=False),
)
tickets = sa.Table(
    "bank_ticket",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("customer", sa.String(64), sa.ForeignKey(customers.c.id), nullable=False),
    sa.Column("topic", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("key", sa.String(128), nullable=False, unique=True),
)

_TRANSACTIONS = sa.select(
    *(column for column in payments.c if column.name != "memo"),
    refunds.c.at.label("refunded"),
).select_from(
    payments.join(accounts, accounts.c.id == payments.c.account).outerjoin(
        refunds, refunds.c.transaction == payments.c.id
    )
)


class SqlBank(SqlStore):
    """Keeps a bank in SQLite or PostgreSQL. Open one per process, and close it at the end.

    Args:
        url: A file (`bank.db`), or a URL (`postgresql://user@host/database`).
        now: The clock.

    Raises:
        ConfigError: it cannot be opened, now, or written, later.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | Path, *, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(url, metadata, "the bank", synchronous="FULL")
        self._now = now

    def now(self) -> datetime:
        return self._now()

    async def fill(self, data: BankData) -> None:
        """Put data into an empty bank.

        Raises:
            ConfigError: something of it is there already.
        """
        await self._write(_fill, data)

    async def empty(self) -> bool:
        """Tell whether there is no customer yet."""
        return await self._read(_empty)

    async def snapshot(self) -> Snapshot:
        """Return all that is kept, as of one moment, for checks."""
        return await self._read(_snapshot)

    async def customer(self, customer: str) -> Customer:
        return await self._read(_customer, customer)

    async def accounts(self, customer: str) -> Sequence[Account]:
        return await self._read(_accounts, customer)

    async def cards(self, customer: str) -> Sequence[Card]:
        return await self._read(_cards, customer)

    async def transactions(
        self, customer: str, *, since: datetime | None = None
    ) -> Sequence[Transaction]:
        return await self._read(_transactions, customer, since)

    async def payment(self, customer: str, transaction: str) -> Payment:
        return await self._read(_payment, customer, transaction)

    async def block(self, customer: str, card: str, why: Loss) -> Blocked:
        return await self._write(_block, customer, card, why)

    async def refund(self, customer: str, transaction: str, cents: int, *, key: str) -> Refund:
        return await self._write(_refund, customer, transaction, cents, self._now(), key)

    async def ticket(self, customer: str, topic: Topic, text: str, *, key: str) -> Ticket:
        return await self._write(_ticket, customer, topic, text, self._now(), key)


def _fill(connection: sa.Connection, data: BankData) -> None:
    rows = {
        customers: data.customers,
        accounts: data.accounts,
        cards: data.cards,
        payments: data.payments,
        refunds: data.refunds,
    }
    for table, models in rows.items():
        if models:
            connection.execute(table.insert(), [_stored(table, model) for model in models])


def _stored(table: sa.Table, model: Any) -> dict[str, Any]:
    row = {name: value for name, value in dict(model).items() if name in table.c}
    row |= {"at": _iso(row["at"])} if "at" in row else {}
    return row | ({"key": model.id} if "key" in table.c else {})


def _empty(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(customers.c.id).limit(1)).first() is None


def _snapshot(connection: sa.Connection) -> Snapshot:
    return {
        table.name: {row["id"]: dict(row) for row in _rows(connection, sa.select(table))}
        for table in metadata.sorted_tables
    }


def _customer(connection: sa.Connection, customer: str) -> Customer:
    rows = _rows(connection, sa.select(customers).where(customers.c.id == customer))
    return Customer.model_validate(_only(rows, "customer", customer))


def _accounts(connection: sa.Connection, customer: str) -> Sequence[Account]:
    of = sa.select(accounts).where(accounts.c.customer == customer).order_by(accounts.c.id)
    return [Account.model_validate(row) for row in _rows(connection, of)]


def _cards(connection: sa.Connection, customer: str) -> Sequence[Card]:
    of = sa.select(cards).where(cards.c.customer == customer).order_by(cards.c.id)
    return [Card.model_validate(row) for row in _rows(connection, of)]


def _transactions(
    connection: sa.Connection, customer: str, since: datetime | None
) -> Sequence[Transaction]:
    of = _TRANSACTIONS.where(accounts.c.customer == customer)
    if since is not None:
        of = of.where(payments.c.at >= _iso(since))
    of = of.order_by(payments.c.at.desc(), payments.c.id.desc())
    return [Transaction.model_validate(row) for row in _rows(connection, of)]


def _payment(connection: sa.Connection, customer: str, transaction: str) -> Payment:
    of = _TRANSACTIONS.add_columns(payments.c.memo).where(
        accounts.c.customer == customer, payments.c.id == transaction
    )
    return Payment.model_validate(_only(_rows(connection, of), "transaction", transaction))


def _block(connection: sa.Connection, customer: str, card: str, why: Loss) -> Blocked:
    own = (cards.c.id == card, cards.c.customer == customer)
    changed = connection.execute(
        cards.update().where(*own, cards.c.blocked.is_(None)).values(blocked=why)
    )
    if not changed.rowcount:
        _only(_rows(connection, sa.select(cards).where(*own)), "card", card)
        raise BankRefused("already_blocked", f"card {card!r} is blocked already")
    return Blocked(card=card, why=why)


def _refund(
    connection: sa.Connection, customer: str, transaction: str, cents: int, at: datetime, key: str
) -> Refund:
    # Locked first, so that on PostgreSQL two refunds of one transaction come one after the other.
    connection.execute(
        sa.select(payments.c.id).where(payments.c.id == transaction).with_for_update()
    )
    paid = _payment(connection, customer, transaction)
    before = connection.execute(
        sa.select(refunds).where(refunds.c.transaction == transaction)
    ).one_or_none()
    if before is not None:
        if before.key == key:
            return Refund(id=before.id, transaction=transaction, cents=before.cents, at=before.at)
        raise BankRefused(
            "already_refunded", f"{transaction!r} was refunded at {before.at[:10]}, as {before.id}"
        )
    _refundable(paid, cents)
    booked = Refund(id=_new("refund"), transaction=transaction, cents=cents, at=at)
    connection.execute(refunds.insert(), {**_stored(refunds, booked), "key": key})
    connection.execute(
        accounts.update()
        .where(accounts.c.id == paid.account)
        .values(balance=accounts.c.balance + cents)
    )
    return booked


def _refundable(paid: Payment, cents: int) -> None:
    if paid.kind == "deposit":
        raise BankRefused("not_refundable", f"{paid.id!r} came in: there is nothing to pay back")
    if not 0 < cents <= paid.cents:
        raise BankRefused(
            "too_much",
            f"of {paid.id!r} between €0.01 and {euros(paid.cents)} can be refunded, "
            f"not {euros(cents)}; sums are in cents",
        )


def _ticket(
    connection: sa.Connection, customer: str, topic: Topic, text: str, at: datetime, key: str
) -> Ticket:
    _customer(connection, customer)
    before = connection.execute(sa.select(tickets).where(tickets.c.key == key)).one_or_none()
    if before is not None:
        return Ticket(id=before.id, topic=before.topic, text=before.text, at=before.at)
    filed = Ticket(id=_new("ticket"), topic=topic, text=text, at=at)
    row = {**_stored(tickets, filed), "customer": customer, "key": key}
    connection.execute(tickets.insert(), row)
    return filed


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _only(rows: Sequence[dict[str, Any]], what: str, which: str) -> dict[str, Any]:
    if not rows:
        raise BankRefused("not_yours", f"this customer has no {what} {which!r}")
    return rows[0]


def _new(what: str) -> str:
    return f"{what}-{uuid4().hex[:12]}"


def _iso(at: datetime) -> str:
    """Return a moment as a text that sorts by time."""
    return at.astimezone(UTC).isoformat(timespec="seconds")
