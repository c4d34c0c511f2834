"""Support without an LLM: patterns tell what is wanted, rules do it, sentences are ready-made.

Nothing is understood. A wish in other words, or in another language than English and a few words
of German, is answered with a question; replies are in English alone.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...deps.acting import Calls, ToolRefused
from ...deps.bank import Blocked, Loss, Refund, Topic, Transaction, euros
from ...tools.bank import (
    block_card,
    file_ticket,
    my_accounts,
    my_cards,
    my_transactions,
    refund,
)
from ..support import Deps, Reply
from .support_rules import Intent, about, cards_in, intents, twins

__all__ = ("solve",)


@dataclass
class _Case:
    """One message, and what has come of it so far."""

    message: str
    call: Calls[Deps]
    deps: Deps
    said: list[str] = field(default_factory=list[str])
    done: set[Literal["block", "refund", "ticket"]] = field(
        default_factory=set[Literal["block", "refund", "ticket"]]
    )
    risk: int = 1
    escalate: bool = False

    def say(self, text: str, *, risk: int = 0) -> None:
        self.said.append(text)
        self.risk = max(self.risk, risk)

    async def hand_over(self, topic: Topic, text: str, *, risk: int) -> None:
        await self.call(file_ticket, topic, f"{topic}: {text} {self.message[:500].strip()}".strip())
        self.done.add("ticket")
        self.escalate = True
        self.say("A colleague takes over and will contact you.", risk=risk)


async def solve(message: str, call: Calls[Deps], deps: Deps) -> Reply:
    """Do what the patterns find in the message, in the order of the policies."""
    case, wanted = _Case(message, call, deps), intents(message)
    if "abuse" in wanted:
        case.say("I cannot help with that: I only serve the customer who is logged in.")
        await case.hand_over("abuse", "somebody asks for what is not theirs.", risk=7)
    elif "fraud" in wanted:
        await _fraud(case)
    else:
        await _ordinary(case, wanted)
    if not case.said:
        case.say("I am not sure what you need. Could you say it in other words, please?")
    return Reply(
        reply=" ".join(case.said), says=sorted(case.done), risk=case.risk, escalate=case.escalate
    )


async def _ordinary(case: _Case, wanted: Sequence[Intent]) -> None:
    if "stolen" in wanted or "lost" in wanted:
        await _block(case, "stolen" if "stolen" in wanted else "lost")
    elif "damaged" in wanted:
        await _damaged(case)
    first = next((work for intent, work in _MONEY.items() if intent in wanted), None)
    if first is not None:
        await first(case)
    if "complaint" in wanted:
        await case.hand_over("complaint", "the customer complains.", risk=4)


async def _fraud(case: _Case) -> None:
    """Block the card that paid, and hand over; which card it was, the booking tells."""
    cards = await case.call(my_cards)
    booked = about(case.message, await case.call(my_transactions))
    paid = {one.card for one in booked if one.card}
    named = [card for card in cards if card.id in paid] or cards_in(case.message, cards) or []
    await _block_each(case, [card.id for card in named if card.blocked is None], "fraud")
    if not named:
        case.say("Which card was used?")
    await case.hand_over("fraud", f"not made: {[one.id for one in booked]}.", risk=8)


async def _block(case: _Case, why: Loss) -> None:
    cards = await case.call(my_cards)
    found = cards_in(case.message, cards)
    if not cards:
        case.say("You have no card with us, so there is none to block.", risk=3)
    elif found is None:
        case.say("You have no such card. Please check its last four digits.", risk=3)
    elif not found:
        case.say("Which card is it? Please tell me its last four digits.", risk=3)
    for card in found or []:
        if card.blocked is not None:
            case.say(f"Your card ending {card.last4} is blocked already.", risk=3)
    await _block_each(case, [card.id for card in found or [] if card.blocked is None], why)


async def _block_each(case: _Case, cards: Iterable[str], why: Loss) -> None:
    for card in cards:
        result = await case.call(block_card, card, why)
        if isinstance(result, Blocked):
            case.done.add("block")
            cost = "free of charge" if why != "lost" else "for €10.00"
            case.say(f"I have blocked {card}. A new card comes by post, {cost}.", risk=4)


async def _double(case: _Case) -> None:
    booked = await case.call(my_transactions)
    named = about(case.message, booked)
    found = twins(named or booked)
    if len(found) == 1:
        await _pay_back(case, found[0])
    else:
        case.say("Which booking was charged twice? I find no two of one day and sum.")


async def _refund(case: _Case) -> None:
    booked = await case.call(my_transactions)
    found = [one for one in about(case.message, booked) if one.kind == "purchase"]
    if len(found) == 1:
        await _pay_back(case, found[0])
    else:
        case.say("Which booking do you mean? Please tell me the merchant and the sum.")


async def _fee_back(case: _Case) -> None:
    fees = [one for one in await case.call(my_transactions) if one.kind == "fee"]
    found = [one for one in about(case.message, fees) if "ATM" in one.merchant]
    if len(found) == 1:
        await _pay_back(case, found[0])
    else:
        case.say("I am sorry: that fee is not refunded.")


async def _pay_back(case: _Case, paid: Transaction) -> None:
    what = f"{euros(paid.cents)} of {paid.merchant}"
    age = (case.deps.bank.now().date() - paid.at.date()).days
    if paid.refunded is not None:
        return case.say(f"{what} was refunded before, on {paid.refunded:%Y-%m-%d}.")
    if age > case.deps.policies.refund_days:
        days = case.deps.policies.refund_days
        return case.say(f"It is too late to refund {what}: {days} days have passed.")
    try:
        result = await case.call(refund, paid.id, paid.cents)
    except ToolRefused:
        return case.say(f"The refund of {what} was not approved.")
    if isinstance(result, Refund):
        case.done.add("refund")
        return case.say(f"I have refunded {what}.")
    return case.say(f"{what} cannot be refunded.")


async def _balance(case: _Case) -> None:
    for account in await case.call(my_accounts):
        case.say(f"Your {account.kind} account has {euros(account.balance)}.")


async def _tell(case: _Case) -> None:
    for one in about(case.message, await case.call(my_transactions))[:3]:
        case.say(f"{one.merchant} was paid {euros(one.cents)} on {one.at:%Y-%m-%d}.")


async def _damaged(case: _Case) -> None:
    case.say("A damaged card need not be blocked; a new one comes by post for €10.00.")


async def _unwanted(case: _Case) -> None:
    case.say("Please turn to the merchant: we refund only what never came.")


async def _fees(case: _Case) -> None:
    case.say(
        "The monthly fee is €4.90, ATMs of other banks cost €2.50, and the currency fee is 1.5% of "
        "the sum. Transfers are free."
    )


_MONEY: dict[Intent, Callable[[_Case], Awaitable[None]]] = {
    "double": _double,
    "unwanted": _unwanted,
    "fee_back": _fee_back,
    "refund": _refund,
    "balance": _balance,
    "fees": _fees,
    "booking": _tell,
}
"""What is done of several wishes about money: the first of these."""
