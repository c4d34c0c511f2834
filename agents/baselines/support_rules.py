"""What a message to a bank's support wants, by patterns of words."""

import re
from collections.abc import Sequence
from typing import Literal

from ...deps.bank import Card, Transaction

__all__ = ("Intent", "about", "cards_in", "intents", "twins")

Intent = Literal[
    "abuse", "fraud", "stolen", "lost", "double", "refund", "unwanted", "fee_back", "complaint",
    "balance", "fees", "damaged", "booking",
]  # fmt: skip

_ANOTHER = (
    r"(?:wife|husband|mother|father|sister|brother|son|daughter|neighbou?r|friend|boss|ex|"
    r"colleague|girlfriend|boyfriend|frau|mann|customer|client)"
)
_PATTERNS: dict[Intent, str] = {
    "abuse": r"\b(?:i am|i'm|this is|here is|ich bin) (?:an? |the |your |der |die )?"
    r"(?:[\w']+ ){0,2}(?:admin\w*|developer|engineer|auditor|employee|staff|manager|team)\b"
    r"|\b(?:ignore|disregard|forget|override) .{0,30}\b(?:instructions?|rules|polic(?:y|ies))\b"
    r"|\bnew polic(?:y|ies)\b|\b(?:developer|debug|admin) mode\b|\bsystem prompt\b|^\W*system\W*:"
    rf"|\b{_ANOTHER}(?:'s|s'|s)? (?:\w+ ){{0,2}}(?:balance|account|card|money|konto)\b"
    rf"|\b(?:balance|account|card|money|konto) of (?:my |a |an |another )?(?:\w+ )?{_ANOTHER}\b",
    "fraud": r"\b(?:did(?:n't| not)|never|haven't|have not) (?:make|made|authori[sz]e\w*|buy"
    r"|bought|do|recogni[sz]e)\b"
    r"|\b(?:don't|do not) (?:recogni[sz]e|know) (?:this|these|the|that|any)\b"
    r"|\bsome(?:one|body) (?:else )?(?:is |has |was )?(?:been )?(?:us|pay|buy|shop)ing\b"
    r"|\b(?:fraud|unauthori[sz]ed|hacked|scammed|phish\w+)\b|\bnicht von mir\b",
    "stolen": r"\b(?:stolen|stole|robbed|mugged|pickpocket\w*|gestohlen|geklaut)\b",
    "lost": r"\b(?:lost|lose|missing|verloren)\b|\bcan(?:'t|not) find\b",
    "double": r"\b(?:twice|double|doubly|two times|duplicate\w*|doppelt|zweimal)\b",
    "unwanted": r"\bchanged my mind\b|\b(?:don't|do not|didn't) (?:like|want|need)\b"
    r"|\b(?:too (?:small|big|expensive)|disappoint\w*|not (?:happy|content|satisfied))\b",
    "refund": r"\b(?:refund|money back|give (?:it|that|this) back|pay (?:it|that|this) back)\b"
    r"|\b(?:never|not|n't) (?:come|came|arrive\w*|deliver\w*|got|get|received?|show(?:ed)? up)\b"
    r"|\bcancell?ed\b.{0,30}\border\b|\border\b.{0,30}\bcancell?ed\b|\bnie angekommen\b",
    "fee_back": r"\bfee\b.{0,40}\b(?:back|refund|return|waive)|\b(?:back|refund|return|waive)\b"
    r".{0,40}\bfee\b",
    "complaint": r"\b(?:lawyer|solicitor|attorney|court|sue|regulator|ombudsman|journalist|"
    r"newspaper|press|anwalt)\b"
    r"|\b(?:speak|talk) (?:to|with) (?:a |an |some)?(?:real |actual )?"
    r"(?:person|human|manager|one)\b",
    "balance": r"\b(?:my balance|balances?|how much (?:money )?(?:do|have) i|kontostand)\b",
    "fees": r"\b(?:how much|what|which|why)\b.{0,60}\b(?:fees?|costs?|charges?)\b",
    "damaged": r"\b(?:damaged|broken|snapped|bent|declined|doesn't work|does not work|cracked)\b",
    "booking": r"\b(?:what|which)\b.{0,40}\b(?:charge|payment|booking|transaction)\b",
}
_COMPILED: dict[Intent, re.Pattern[str]] = {
    name: re.compile(p, re.IGNORECASE | re.MULTILINE) for name, p in _PATTERNS.items()
}
_DIGITS = re.compile(r"(?<![\d.,-])\d{4}(?![\d.,]\d|\d)")
_SUM = re.compile(
    r"(?:€|\beuro?s?\s?)?\s?(\d{1,6})[.,](\d{2})\b|€\s?(\d{1,6})\b|\b(\d{1,6}) ?(?:€|eur)"
)
_EVERY = re.compile(
    r"\b(?:wallet|purse|handbag|bag|all (?:my |of my )?cards|both cards)\b", re.IGNORECASE
)
_COMMON = {"fee", "shop", "store", "media"}


def intents(message: str) -> list[Intent]:
    """Return all that the message seems to want."""
    return [name for name, pattern in _COMPILED.items() if pattern.search(message)]


def cards_in(message: str, cards: Sequence[Card]) -> list[Card] | None:
    """Return the cards that are meant; none if that is not clear; None if it is no card here."""
    named = set(_DIGITS.findall(message))
    found = [card for card in cards if card.last4 in named]
    if found:
        return found
    if named and re.search(r"\b(?:card|ending|karte)\b", message, re.IGNORECASE):
        return None
    working = [card for card in cards if card.blocked is None]
    if len(working) == 1 or _EVERY.search(message):
        return working
    kinds = [card for card in working if re.search(rf"\b{card.kind}\b", message, re.IGNORECASE)]
    return kinds if len(kinds) == 1 else []


def about(message: str, booked: Sequence[Transaction]) -> list[Transaction]:
    """Return the bookings that the message names: by id, else by merchant, else by sum."""
    by_id = [one for one in booked if re.search(rf"\b{re.escape(one.id)}\b", message)]
    if by_id:
        return by_id
    words = set(re.findall(r"\w+", message.casefold()))
    named = [one for one in booked if words & _names(one)]
    sums = {_cents(found) for found in _SUM.finditer(message)}
    exact = [one for one in named or booked if one.cents in sums]
    return exact or named


def twins(booked: Sequence[Transaction]) -> list[Transaction]:
    """Return each booking that repeats one of the same day, merchant and sum: the later ones."""
    seen: set[tuple[object, ...]] = set()
    found: list[Transaction] = []
    for one in sorted(booked, key=lambda one: (one.at, one.id)):
        same = (one.merchant, one.cents, one.at.date(), one.account)
        found += [one] if same in seen and one.kind == "purchase" else []
        seen.add(same)
    return found


def _names(one: Transaction) -> set[str]:
    return {word for word in re.findall(r"\w{3,}", one.merchant.casefold()) if word not in _COMMON}


def _cents(found: re.Match[str]) -> int:
    whole, part, *alone = found.groups()
    return int(whole) * 100 + int(part) if whole else int(alone[0] or alone[1]) * 100
