"""Find values by their shape: money, counts, addresses of all kinds, identifiers."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Protocol, cast

import phonenumbers
from babel.numbers import list_currencies
from price_parser.parser import Price
from stdnum import bic as bic_numbers
from stdnum import iban as iban_numbers
from stdnum.eu import vat as eu_vat
from stdnum.in_ import gstin

from .extract_dates import NUMBERS, Found, number

__all__ = (
    "bics",
    "cities",
    "counts",
    "currencies",
    "emails",
    "ibans",
    "identifiers",
    "money",
    "numbers",
    "people",
    "phones",
    "postal_codes",
    "streets",
    "urls",
    "vat_ids",
)

SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "zł": "PLN",
    "₺": "TRY",
    "₩": "KRW",
    "₪": "ILS",
    "us$": "USD",
    "ca$": "CAD",
    "a$": "AUD",
    "au$": "AUD",
    "nz$": "NZD",
    "hk$": "HKD",
    "r$": "BRL",
    "rs": "INR",
    "rs.": "INR",
    "euro": "EUR",
    "euros": "EUR",
    "kč": "CZK",
    "us dollars": "USD",
    "dollars": "USD",
    "pounds": "GBP",
    "rupees": "INR",
    "yen": "JPY",
    "¥": "JPY",
    "chf": "CHF",
    "fr.": "CHF",
}
DOLLARS = {"US": "USD", "CA": "CAD", "AU": "AUD", "NZ": "NZD", "HK": "HKD", "SG": "SGD"}
PHONES_WITHIN = 20_000  # characters: the matcher of phonenumbers is slow on seas of digits

_SIGN = r"(?:[A-Z]{1,3}\$|[€£₹$¥₺₩₪]|zł|Rs\.?|Kč|[A-Z]{3}\b|euros?\b|kr\b)"
_DIGITS = r"\d{1,3}(?:[ .,'\u2019\u00a0\u202f]\d{3}){1,4}(?:[.,]\d{1,3})?|\d{1,12}(?:[.,]\d{1,4})?"
_MONEY = re.compile(
    rf"(?P<before>(?<![\w]){_SIGN}[ \u00a0]?)?(?P<minus>-[ ]?)?"
    rf"(?<![\w.,/-])(?P<digits>{_DIGITS})(?![\w%]|[.,/-]\d|[ ]?%)(?P<after>[ \u00a0]?(?:{_SIGN}))?"
)
_GLUED = re.compile(
    rf"(?P<before>[€£₹$¥])(?P<minus>-)?(?P<digits>{_DIGITS})(?![\w%]|[.,/-]\d)(?P<after>)"
)


def money(text: str) -> list[Found]:
    """Return amounts; a currency next to one, and decimals, speak for its being money."""
    found: dict[int, Found] = {}
    for pattern in (_GLUED, _MONEY):
        for match in pattern.finditer(text):
            digits = match["digits"]
            amount = _amount(digits)
            if amount is None or match.start("digits") in found:
                continue
            known = _is_sign(match["before"]) or _is_sign(match["after"])
            start = match.start() if _is_sign(match["before"]) else match.start("digits")
            end = match.end() if _is_sign(match["after"]) else match.end("digits")
            decimals = bool(re.search(r"[.,]\d\d$", digits))
            sign = -1 if match["minus"] else 1
            found[match.start("digits")] = Found(
                sign * amount, start, end, 0.2 * known + 0.1 * decimals
            )
    return sorted(found.values(), key=lambda f: f.start)


def _amount(digits: str) -> Decimal | None:
    """Read digits with any thousands and decimal signs: "1.234,50" is 1234.50."""
    return cast(Decimal | None, cast(Any, Price).fromstring(digits).amount)


def _is_sign(sign: str | None) -> bool:
    sign = (sign or "").strip()
    return bool(sign) and (
        sign.lower() in SIGNS or sign in "$¥" or sign in _codes() or sign == "kr"
    )


@cache
def _codes() -> frozenset[str]:
    return frozenset(list_currencies())


def numbers(text: str) -> list[Found]:
    """Return plain numbers, with or without decimals."""
    found: list[Found] = []
    for match in re.finditer(rf"(?<![\w.,/-])-?(?:{_DIGITS})(?!\d|[.,/-]\d)", text):
        amount = _amount(match.group())
        if amount is not None:
            sign = -1 if match.group().startswith("-") else 1
            found.append(Found(sign * abs(amount), *match.span()))
    return found


_COUNT = rf"\d{{1,6}}|{'|'.join(NUMBERS[1:])}"


def counts(text: str) -> list[Found]:
    """Return whole numbers, in digits or in words."""
    pattern = rf"(?<![\w.,:/#-])(?:{_COUNT})(?![\w%]|[.,:/-]\d|[ ]?(?:[ap]\.?m\b|uhr|o'clock|%))"
    return [Found(number(m.group()), *m.span()) for m in re.finditer(pattern, text, re.IGNORECASE)]


_HEADS = (
    r"(?:people|persons?|guests?|adults?|pax|diners?|seniors?|men|women|man|woman|kids?|children|"
    r"child|friends?|others?|couples?|teens?|brothers?|sisters?|sons?|daughters?|co-?workers|"
    r"colleagues|toddlers?|infants?|bab(?:y|ies)|personen|leute|erwachsene|kinder|gäste|personnes|"
    r"adultes|enfants|personas|adultos|niños|persone|adulti|bambini|mensen|volwassenen|kinderen)"
)
_N = rf"(?:{_COUNT}|a|an|zwei|drei|vier|fünf|sechs|acht|deux|trois|quatre|dos|tres|cuatro|due|twee|drie)"  # noqa: E501
_KIN = r"(?:wife|husband|partner|son|daughter|mother|father|mom|dad|friend|girlfriend|boyfriend|brother|sister|child|boss|colleague|fiancée?)"  # noqa: E501
_ONE = rf"(?:(?:me|myself|i)\b|(?:my|a|an|our|his|her)[ ](?:wife|husband|partner|{_KIN})\b)"
_SOME = rf"(?:(?:my|our|his|her|the|of my)[ ])?{_N}[ ](?:of[ ]my[ ])?(?:(?:more|other|young|small|lady)[ ])?{_HEADS}\b"  # noqa: E501
_ITEM = rf"(?:{_SOME}|{_ONE}|(?:my[ ])?parents\b)"
_PARTY = re.compile(
    rf"\b(?P<sum>{_ITEM}(?:[ ]?,[ ](?:and[ ])?{_ITEM}|[ ](?:and|plus|und|et|y|e|en)[ ]{_ITEM}){{0,4}})",  # noqa: E501
    re.IGNORECASE,
)
_CUED = re.compile(
    rf"\b(?:party[ ]of|table[ ]of|group[ ]of|table[ ]for|booking[ ]for|reservation[ ]for|be|"
    rf"seats[ ]for|tisch[ ]für|table[ ]pour|mesa[ ]para|tavolo[ ]per|tafel[ ]voor|wir[ ]sind|"
    rf"nous[ ](?:sommes|serons)|for|with|of|für|pour|para)[ ](?:about[ ]|around[ ]|the[ ])?(?P<n>{_COUNT}|zwei|drei|vier|fünf|"  # noqa: E501
    rf"sechs|deux|trois|quatre|dos|tres|cuatro|due|twee)\b(?![ ]?(?:[ap]\.?m\b|o'clock|uhr|days?|hours?|ish|in[ ]the|tonight|min|nights?|weeks?|%|euros?|€)|[:.,/-]?\d|st\b|nd\b|rd\b|th\b)",  # noqa: E501
    re.IGNORECASE,
)
_US = re.compile(
    rf"\b(?:the[ ])?(?P<n>{_COUNT})[ ](?:of[ ]us|in[ ](?:total|all|the[ ]party)|will[ ]be)\b",
    re.IGNORECASE,
)


def people(text: str) -> list[Found]:
    """Return sizes of parties: "6 people", "table for two", "me, my wife and 3 kids" (5)."""
    found: list[Found] = []
    for match in _PARTY.finditer(text):
        size = _party(match["sum"])
        if size and not re.match(r"(?:me|myself|i|a|my)\b[^,]*$", match["sum"], re.I):
            found.append(Found(size, *match.span(), 0.3))
        elif size > 1 and " and " in match["sum"]:
            found.append(Found(size, *match.span(), 0.25))
    for pattern, weight in ((_US, 0.25), (_CUED, 0.2)):
        for match in pattern.finditer(text):
            start, end = match.span("n")
            if not any(f.start < end and start < f.end for f in found):
                found.append(Found(number(match["n"]), start, end, weight))
    return sorted(found, key=lambda f: f.start)


def _party(phrase: str) -> int:
    """Count the heads in "me, my wife and 3 kids"."""
    total = 0
    for item in re.split(r"[ ]?,[ ](?:and[ ])?|[ ](?:and|plus|und|et|y|e|en)[ ]", phrase.lower()):
        counted = re.search(rf"\b({_N})[ ](?:of[ ]my[ ])?(?:\w+[ ])?{_HEADS}", item)
        size = (number(counted[1]) or 0) if counted else 2 if "parents" in item else 1
        total += size * (2 if "couple" in item else 1)
    return total


_EMAIL = re.compile(
    r"(?<![\w.+-])[\w+-]{1,40}(?:\.[\w+-]{1,40}){0,5}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{2,63}){1,4}(?<!-)"
)
_URL = re.compile(
    r"(?<![\w@./-])(?:https?://[^\s<>\"']{3,300}|www\.[A-Za-z0-9-]{1,63}\.[A-Za-z]{2,12}[^\s<>\"']{0,200}"
    r"|[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,3}\.(?:com|org|net|io|de|fr|nl|es|it|co\.uk|eu|dev)\b(?:/[^\s<>\"']{0,200})?)"
)


def emails(text: str) -> list[Found]:
    """Return e-mail addresses."""
    return [Found(m.group(), *m.span(), 0.3) for m in _EMAIL.finditer(text)]


def urls(text: str) -> list[Found]:
    """Return web addresses, without the full stop that ends the sentence."""
    found: list[Found] = []
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,;:!?)")
        if text[match.end() : match.end() + 1] != "@":
            found.append(Found(url, match.start(), match.start() + len(url), 0.3))
    return found


def phones(text: str, region: str) -> list[Found]:
    """Return phone numbers that are valid in `region` or with their country code."""
    matcher = cast(Any, phonenumbers).PhoneNumberMatcher(text[:PHONES_WITHIN], region)
    return [Found(str(m.raw_string), int(m.start), int(m.end), 0.3) for m in matcher]


class _Checked(Protocol):
    def is_valid(self, number: str) -> bool: ...


def _checked(text: str, pattern: str, *validators: object) -> Iterator[Found]:
    """Yield what has the shape and the check digits; trailing groups that break them are cut."""
    for match in re.finditer(pattern, text):
        written = match.group()
        while len(written) > 7:
            if any(cast(_Checked, validator).is_valid(written) for validator in validators):
                yield Found(written, match.start(), match.start() + len(written), 0.4)
                break
            written = re.sub(r"[ ]?[A-Z0-9]+$|[ ]$", "", written) if " " in written else ""


def ibans(text: str) -> list[Found]:
    """Return account numbers with right check digits."""
    pattern = r"(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?!\w)"
    return list(_checked(text, pattern, iban_numbers))


def vat_ids(text: str) -> list[Found]:
    """Return European VAT and Indian GST numbers with right check digits."""
    pattern = r"(?<!\w)(?:[A-Z]{2}[ ]?[A-Z0-9](?:[ .]?[A-Z0-9]){6,12}|\d{2}[A-Z]{5}\d{4}[A-Z0-9]{4})(?!\w)"  # noqa: E501
    return list(_checked(text, pattern, eu_vat, gstin))


def bics(text: str) -> list[Found]:
    """Return BIC (SWIFT) codes."""
    pattern = r"(?<!\w)[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)"
    found = ((m.group(), m.span()) for m in re.finditer(pattern, text))
    valid = cast(_Checked, bic_numbers)
    return [Found(code, *span) for code, span in found if valid.is_valid(code)]


def currencies(text: str, region: str) -> list[Found]:
    """Return currencies, named by code, sign or word; a bare $ is that of `region`, " " "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" "" ""else the US's."""  # noqa: E501
    pattern = (
        r"(?<![A-Za-z])(?:[A-Z]{3}(?![A-Za-z])|(?:US|CA|AU?|NZ|HK|R)\$|[€£₹$¥₺₩₪]|zł|Kč|"
        r"Rs\.?(?![A-Za-z])|(?:US[ ]dollars|euros?|dollars|pounds|rupees|yen)\b)"
    )
    found: list[Found] = []
    for match in re.finditer(pattern, text, re.IGNORECASE):
        written = match.group()
        code = SIGNS.get(written.lower())
        if written in _codes():
            code = written
        elif written == "$":
            code = DOLLARS.get(region, "USD")
        if code:
            found.append(Found(code, *match.span(), 0.3))
    return found


def identifiers(text: str) -> list[Found]:
    """Return words with a digit in them, such as numbers of invoices and orders."""
    pattern = r"(?<![\w./@-])#?(?P<id>(?=[A-Za-z/._-]{0,15}\d)[A-Za-z0-9]+(?:[-/._][A-Za-z0-9]+){0,6})(?![\w@])"  # noqa: E501
    found: list[Found] = []
    for match in re.finditer(pattern, text):
        if 1 <= len(match["id"]) <= 40:
            found.append(Found(match["id"], *match.span("id")))
    return found


_ROADS = (
    "street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|way|court|ct|square|terrace|close"
)
_STREETS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![\w-])\d{{1,5}}[a-zA-Z]?,?[ ](?:[A-Z][\w'.]{{0,20}}[ ]){{1,4}}(?i:{_ROADS})\b\.?"
        r"(?:[ ](?:North|South|East|West)\b)?",
        r"(?<![\w-])\d{1,4}(?:[ ]?(?:bis|ter))?,?[ ](?:rue|avenue|boulevard|place|chemin|"
        r"allée|quai|"
        r"cours)(?:[ ][\w'\u2019-]{1,25}){1,6}?(?=[ ]?[,;.\n]|[ ][-\u2013][ ]|$|[ ]\d{5})",
        r"(?<!\w)(?:Calle|Avenida|Av\.|Plaza|Paseo|Via|Viale|Piazza|Corso)(?:[ ][\w'.]{1,25}){1,5}?"
        r",?[ ](?:n[º°.][ ]?)?\d{1,4}\b",
    )
)
_STREET_END = re.compile(
    r"(?:straße|strasse|str\.|weg|gasse|platz|allee|ring|damm|ufer|laan|straat|gracht|plein|kade)"
    r"[ ]\d{1,4}(?:[ ]?[a-zA-Z])?\b",
    re.IGNORECASE,
)
_STREET_NAME = re.compile(r"(?:[A-ZÄÖÜ][\wäöüß.]{0,25}[ -])?[A-ZÄÖÜ][\wäöüß.]{0,25}[ -]?$")
_ZIP = re.compile(
    r"(?<![\w.,/-])(?:[A-Z]{1,2}-)?(?P<zip>\d{5}-\d{4}|\d{4}[ ]?[A-Z]{2}\b|\d{4,5}|"
    r"[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2})(?![\w.,:/-]\d|\w)"
)
_CAPITAL = r"[A-ZÄÖÜÉÎ][^\W\d_]{1,25}"
_PLACE = (
    rf"{_CAPITAL}(?:[ -](?:am|an der|sur|de|la|le|del|upon|den)(?=[ -]))?(?:[ -]{_CAPITAL}){{0,2}}"
)
_PLACE_AFTER = re.compile(rf"[ ]{{1,2}}(?P<city>{_PLACE})")
_PLACE_BEFORE = re.compile(
    rf"(?:^|[\s,])(?P<city>{_PLACE}),?[ ](?:[A-Z]{{2}}[ ])?(?:[A-Z]{{1,2}}-)?$"
)


def streets(text: str) -> list[Found]:
    """Return streets with a house number, in the ways of Europe and North America."""
    found = [Found(m.group(), *m.span(), 0.2) for p in _STREETS for m in p.finditer(text)]
    for match in _STREET_END.finditer(text):
        low = max(text.rfind("\n", 0, match.start()) + 1, match.start() - 40)
        name = _STREET_NAME.search(text[low : match.start()])
        if name or match.group()[0].isupper():
            start = low + name.start() if name else match.start()
            found.append(Found(text[start : match.end()], start, match.end(), 0.2))
    return sorted(found, key=lambda f: f.start)


def _places(text: str) -> Iterator[tuple[Found, Found]]:
    """Yield postal codes with the places beside them."""
    for match in _ZIP.finditer(text):
        code = Found(match["zip"], *match.span("zip"), 0.2)
        after = _PLACE_AFTER.match(text, match.end(), match.end() + 60)
        low = max(0, match.start() - 50)
        before = _PLACE_BEFORE.search(text[low : match.start()])
        if after:
            yield code, Found(after["city"], *after.span("city"), 0.2)
        elif before and len(match["zip"]) > 4:  # "April 2026" is no place
            start, end = before.span("city")
            yield code, Found(before["city"], low + start, low + end, 0.2)


def postal_codes(text: str) -> list[Found]:
    """Return postal codes that stand beside a place."""
    return [code for code, _ in _places(text)]


def cities(text: str) -> list[Found]:
    """Return places that stand beside a postal code."""
    return [city for _, city in _places(text)]
