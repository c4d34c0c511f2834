"""A bank acts once, as a whole, and for its own customer; tools refuse by saying so."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_ai import ApprovalRequired

from assay.agents.support import Deps
from assay.deps.bank import (
    BankData,
    BankRefused,
    Blocked,
    Customer,
    Payment,
    Policies,
    Refund,
    euros,
)
from assay.deps.bank.sql import SqlBank
from assay.deps.errors import BadDataset, ConfigError, OutcomeUnknown
from assay.deps.idempotency import Idempotency
from assay.tools.bank import (
    Refused,
    block_card,
    file_ticket,
    my_accounts,
    my_cards,
    my_transactions,
    read_memo,
    refund,
)

from .banking import DATA, NOON, POLICIES, SECRET, balances, bank, context, deps, place
from .stores import postgres

__all__ = ("bank", "place", "postgres")  # fixtures


async def test_a_customer_sees_what_is_theirs_alone(bank: SqlBank) -> None:
    for customer in ("ada", "ben"):
        ctx = context(deps(bank, customer))
        assert [one.id for one in await my_accounts(ctx)] == [f"a-{customer}"]
        assert [one.id for one in await my_cards(ctx)] == [f"c-{customer}"]
        booked = await my_transactions(ctx)
        assert {one.account for one in booked} == {f"a-{customer}"}
        assert booked == sorted(booked, key=lambda one: (one.at, one.id), reverse=True)


async def test_transactions_are_found_by_merchant_and_age_and_without_their_memo(
    bank: SqlBank,
) -> None:
    ctx = context(deps(bank))
    (found,) = await my_transactions(ctx, "kIOs")
    assert (found.id, found.cents, found.refunded) == ("p-cheap", 1_500, None)
    assert "SYSTEM" not in found.model_dump_json()
    recent = {one.id for one in await my_transactions(ctx, days=60)}
    assert recent == {one.id for one in DATA.payments} - {"p-late", "p-ben"}
    (back,) = await my_transactions(ctx, "books")
    assert back.refunded == NOON
    assert await read_memo(ctx, "p-cheap") == SECRET
    assert await read_memo(ctx, "p-dear") == "There is no memo."


async def test_no_more_bookings_are_shown_than_a_model_can_read(bank: SqlBank) -> None:
    many = [
        Payment(id=f"m-{n}", account="a-ben", at=NOON, kind="fee", merchant="Many", cents=1 + n)
        for n in range(201)
    ]
    await bank.fill(BankData(customers=(Customer(id="new", name="New"),), payments=tuple(many)))
    assert len(await my_transactions(context(deps(bank, "ben")), "many")) == 200


Asking = Callable[[Deps], Awaitable[object]]
REFUSED: list[tuple[Asking, str]] = [
    (lambda d: block_card(context(d), "c-ben", "lost"), "not_yours"),
    (lambda d: block_card(context(d), "no-card", "lost"), "not_yours"),
    (lambda d: refund(context(d), "p-ben", 300), "not_yours"),
    (lambda d: refund(context(d), "p-none", 300), "not_yours"),
    (lambda d: refund(context(d), "p-back", 700), "already_refunded"),
    (lambda d: refund(context(d), "p-wages", 100), "not_refundable"),
    (lambda d: refund(context(d), "p-cheap", 1_501), "too_much"),
    (lambda d: refund(context(d), "p-dear", 10_002), "too_much"),
    (lambda d: refund(context(d, approved=True), "p-dear", 10_002), "too_much"),
    (lambda d: refund(context(d, approved=True), "p-ben", 300), "not_yours"),
]


@pytest.mark.parametrize(("ask", "why"), REFUSED)
async def test_what_may_not_be_is_refused_and_changes_nothing(
    bank: SqlBank, ask: Asking, why: str
) -> None:
    before = await bank.snapshot()
    found = await ask(deps(bank))
    assert isinstance(found, Refused)
    assert found.why == why
    assert await bank.snapshot() == before


async def test_anothers_is_refused_in_the_words_of_what_is_nobodys(bank: SqlBank) -> None:
    ctx = context(deps(bank))
    theirs, nobodys = await read_memo(ctx, "p-ben"), await read_memo(ctx, "p-none")
    assert (
        theirs
        == nobodys.replace("p-none", "p-ben")
        == ("Refused: this customer has no transaction 'p-ben'.")
    )


async def test_a_card_is_blocked_once(bank: SqlBank) -> None:
    ctx = context(deps(bank))
    assert await block_card(ctx, "c-ada", "stolen") == Blocked(card="c-ada", why="stolen")
    again = await block_card(ctx, "c-ada", "fraud")
    assert isinstance(again, Refused)
    assert again.why == "already_blocked"
    assert [card.blocked for card in await my_cards(ctx)] == ["stolen"]


async def test_a_refund_is_paid_to_the_cent(bank: SqlBank) -> None:
    paid = await refund(context(deps(bank)), "p-cheap", 1_499)
    assert isinstance(paid, Refund)
    assert (paid.transaction, paid.cents, paid.at) == ("p-cheap", 1_499, NOON)
    assert await balances(bank) == {"a-ada": 6_499, "a-ben": 700}


@pytest.mark.parametrize("transaction", ["p-limit", "p-last-day"])
async def test_at_the_limit_nobody_is_asked(bank: SqlBank, transaction: str) -> None:
    cents = next(one.cents for one in DATA.payments if one.id == transaction)
    assert isinstance(await refund(context(deps(bank)), transaction, cents), Refund)


@pytest.mark.parametrize(
    ("transaction", "cents", "why"),
    [
        ("p-dear", 10_001, "€100.01 for 'Bikes' is more than €100.00"),
        ("p-late", 1, "'Tea' was paid 61 days ago, more than 60"),
    ],
)
async def test_beyond_the_limits_a_person_is_asked_first(
    bank: SqlBank, transaction: str, cents: int, why: str
) -> None:
    before = await bank.snapshot()
    with pytest.raises(ApprovalRequired) as asked:
        await refund(context(deps(bank)), transaction, cents)
    assert asked.value.metadata == {"why": why}
    assert await bank.snapshot() == before
    assert isinstance(await refund(context(deps(bank), approved=True), transaction, cents), Refund)


async def test_within_a_run_the_same_refund_is_the_same(bank: SqlBank) -> None:
    mine = deps(bank)
    first = await refund(context(mine), "p-cheap", 1_500)
    assert await refund(context(mine), "p-cheap", 1_500) == first
    other = await refund(context(mine, "run-2"), "p-cheap", 1_500)
    assert isinstance(other, Refused)
    assert (await balances(bank))["a-ada"] == 6_500


async def test_a_worker_that_died_before_its_note_pays_no_second_time(bank: SqlBank) -> None:
    class Dies(SqlBank):
        async def refund(self, *args: Any, **kwargs: Any) -> Refund:
            await super().refund(*args, **kwargs)
            raise KeyboardInterrupt

    acts = Idempotency().of("message-7")
    with Dies(bank.url, now=lambda: NOON) as dying, pytest.raises(KeyboardInterrupt):
        await refund(context(deps(dying, idempotency=acts)), "p-cheap", 1_500)
    with pytest.raises(OutcomeUnknown):
        await refund(context(deps(bank, idempotency=acts), "run-2"), "p-cheap", 1_500)
    assert (await balances(bank))["a-ada"] == 6_500


async def test_of_many_at_once_one_is_paid(bank: SqlBank) -> None:
    with SqlBank(bank.url, now=lambda: NOON) as other:
        asked = [
            refund(context(deps(each), f"run-{n}"), "p-cheap", 1_500)
            for n, each in enumerate([bank, other] * 6)
        ]
        found = await asyncio.gather(*asked)
    assert sum(isinstance(one, Refund) for one in found) == 1
    assert {one.why for one in found if isinstance(one, Refused)} == {"already_refunded"}
    assert (await balances(bank))["a-ada"] == 6_500


async def test_the_same_key_books_and_files_once(bank: SqlBank) -> None:
    one = await bank.refund("ada", "p-cheap", 1_500, key="k")
    assert await bank.refund("ada", "p-cheap", 1_500, key="k") == one
    filed = await bank.ticket("ada", "fraud", "help", key="t")
    assert await bank.ticket("ada", "fraud", "help", key="t") == filed
    after = await bank.snapshot()
    assert (len(after["bank_refund"]), len(after["bank_ticket"])) == (2, 1)


async def test_a_ticket_holds_what_databases_can_hold(bank: SqlBank) -> None:
    filed = await file_ticket(context(deps(bank)), "other", "a\x00b\ud800c")
    assert filed.text == "ab?c"
    (row,) = (await bank.snapshot())["bank_ticket"].values()
    assert (row["customer"], row["topic"], row["text"]) == ("ada", "other", "ab?c")


async def test_who_is_no_customer_is_refused(bank: SqlBank) -> None:
    with pytest.raises(BankRefused, match="no customer 'eve'"):
        await bank.customer("eve")
    assert await my_cards(context(deps(bank, "eve"))) == []


async def test_a_bank_is_filled_once(bank: SqlBank) -> None:
    assert not await bank.empty()
    with pytest.raises(ConfigError, match="the bank"):
        await bank.fill(DATA)


def test_policies_say_the_figures_that_are_enforced(tmp_path: Path) -> None:
    assert POLICIES.document == "At most €100.00, 60 days."
    path = tmp_path / "p.yaml"
    path.write_text("approval_above: -1\nrefund_days: 1\ntext: x", encoding="utf-8")
    with pytest.raises(BadDataset, match=r"p\.yaml.*approval_above"):
        Policies.from_file(path)
    with pytest.raises(BadDataset, match="a bank's data"):
        BankData.from_file(tmp_path / "none.yaml")


def test_sums_are_whole_cents_above_nothing() -> None:
    for cents in (0, -1, 1.5, True):
        with pytest.raises(ValidationError):
            Refund.model_validate({"id": "r", "transaction": "t", "cents": cents, "at": NOON})
    assert [euros(one) for one in (5, -250, 123_456)] == ["€0.05", "-€2.50", "€1,234.56"]


def test_a_moved_bank_is_the_same_bank_later() -> None:
    later = DATA.moved(timedelta(days=2))
    assert later.refunds[0].at == NOON + timedelta(days=2)
    assert later.moved(timedelta(days=-2)) == DATA


_ONE_REFUND = """
import asyncio, sys
from assay.deps.bank import BankRefused
from assay.deps.bank.sql import SqlBank

async def main():
    with SqlBank(sys.argv[1]) as bank:
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            await bank.refund("ada", "p-cheap", 1_500, key=sys.argv[2])
            print("paid")
        except BankRefused as e:
            print(e.why)

asyncio.run(main())
"""


def told(process: "subprocess.Popen[str]", line: str = "") -> str:
    """Send a line if there is one, and return the next line that is said."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    return process.stdout.readline()


def refunded_by_two_at_once(url: str) -> list[str]:
    def start(key: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", _ONE_REFUND, url, key]
        process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)
        stack.enter_context(process)
        stack.callback(process.kill)
        return process

    def go(process: "subprocess.Popen[str]") -> str:
        return told(process, "go\n")

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        both = [start("one"), start("two")]
        assert [told(process) for process in both] == ["ready\n"] * 2
        return sorted(pool.map(go, both))


@pytest.mark.slow
async def test_of_two_processes_one_pays(bank: SqlBank) -> None:
    said = await asyncio.to_thread(refunded_by_two_at_once, str(bank.url))
    assert said == ["already_refunded\n", "paid\n"]
    assert (await balances(bank))["a-ada"] == 6_500
