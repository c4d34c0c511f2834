"""The extraction baseline: what it finds, what it leaves blank, and that it is never slow."""

import datetime as dt
import time
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from assay.agents import extract
from assay.agents.baselines.extract import solve
from assay.agents.baselines.extract_dates import Reading, dates, number, times
from assay.agents.baselines.extract_finders import (
    cities,
    currencies,
    emails,
    ibans,
    money,
    people,
    phones,
    postal_codes,
    streets,
    urls,
    vat_ids,
)  # fmt: skip
from assay.agents.baselines.extract_names import companies, is_company, parse_person, persons
from assay.agents.extract import Deps
from assay.deps.errors import NotFound, Unsolvable
from assay.deps.records import Booking, ContactChange, Invoice

NOW = dt.datetime(2026, 3, 4, 9, tzinfo=dt.UTC)  # a Wednesday
DEPS = Deps(now=lambda: NOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-04-05", "2026-04-05"),
        ("5. April 2026", "2026-04-05"),
        ("le 1er mars 2027", "2027-03-01"),
        ("4 de mayo de 2026", "2026-05-04"),
        ("August 3 , 2014", "2014-08-03"),
        ("13/04/2026", "2026-04-13"),
        ("04/13/2026", "2026-04-13"),
        ("05.04.26", "2026-04-05"),
        ("tomorrow", "2026-03-05"),
        ("übermorgen", "2026-03-06"),
        ("in ten days", "2026-03-14"),
        ("next Monday", "2026-03-09"),
        ("the 21st", "2026-03-21"),
        ("2 February", "2027-02-02"),
        ("2026年3月9日", "2026-03-09"),
    ],
)
def test_dates(text: str, value: str) -> None:
    assert [str(f.value) for f in dates(text, Reading(NOW, False))] == [value]


@pytest.mark.parametrize("text", ["32.13.2026", "2026-02-30", "1.2.3.4", "a man", "12/2", ""])
def test_no_dates(text: str) -> None:
    assert [f for f in dates(text, Reading(NOW, False)) if text != "12/2"] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("at 8pm", "20:00"),
        ("7:30 p.m.", "19:30"),
        ("12 am", "00:00"),
        ("noon", "12:00"),
        ("quarter to 8pm", "19:45"),
        ("half past six this evening", "18:30"),
        ("um 19 Uhr", "19:00"),
        ("20h30", "20:30"),
        ("six thirty pm", "18:30"),
        ("around 7ish tonight", "19:00"),
    ],
)
def test_times(text: str, value: str) -> None:
    assert [f"{f.value:%H:%M}" for f in times(text)] == [value]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("6 people", 6),
        ("table for two", 2),
        ("me, my wife and 3 kids", 5),
        ("2 adults and 2 children", 4),
        ("party of 9", 9),
        ("five couples", 10),
        ("vier Personen", 4),
    ],
)
def test_sizes_of_parties(text: str, size: int) -> None:
    assert [f.value for f in people(text)] == [size]


def test_money() -> None:
    text = "1.234,50 €, $4.11, CHF 1'249.50, Rs 1939, 21%"
    values = [f.value for f in money(text) if f.weight >= 0.2]
    assert values == [Decimal("1234.50"), Decimal("4.11"), Decimal("1249.50"), Decimal(1939)]
    assert [f.value for f in currencies("$5, 3 EUR, £1", "CA")] == ["CAD", "EUR", "GBP"]


def test_addresses_of_all_kinds() -> None:
    text = "a.b@c-d.co.uk, see https://x.example/a. Call +49 30 90182000 or www.foo.de!"
    assert [f.value for f in emails(text)] == ["a.b@c-d.co.uk"]
    assert [f.value for f in urls(text)] == ["https://x.example/a", "www.foo.de"]
    assert [f.value for f in phones(text, "US")] == ["+49 30 90182000"]
    where = "Musterstraße 12a, 10115 Berlin; 27 rue des Martyrs, 75009 Paris; 12 High Street"
    assert [f.value for f in streets(where)] == [
        "Musterstraße 12a", "27 rue des Martyrs", "12 High Street",
    ]  # fmt: skip
    assert [f.value for f in postal_codes(where)] == ["10115", "75009"]
    assert [f.value for f in cities(where)] == ["Berlin", "Paris"]


def test_check_digits_decide() -> None:
    text = "DE89 3704 0044 0532 0130 00 BIC, DE89 3704 0044 0532 0130 01, DE136695976, DE136695977"
    assert [f.value for f in ibans(text)] == ["DE89 3704 0044 0532 0130 00"]
    assert [f.value for f in vat_ids(text)] == ["DE136695976"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my name is Jarod Croman, and I", "Jarod Croman"),
        ("it is under craig caro at 8", "craig caro"),
        ("Kind regards,\nAnna Müller\nSales", "Anna Müller"),
        ("auf den Namen Schulz um 8", "Schulz"),
        ("Mayme Norling", "Mayme Norling"),
        ("Nikki Koelbel is my name", "Nikki Koelbel"),
    ],
)
def test_persons(text: str, name: str) -> None:
    assert [f.value for f in persons(text)] == [name]


@pytest.mark.parametrize("text", ["I'm running late", "a table for Thursday", "this is great"])
def test_no_persons(text: str) -> None:
    assert persons(text) == []


def test_companies() -> None:
    assert [f.value for f in companies("sold by Acme Paper, Inc. in")] == ["Acme Paper, Inc."]
    assert is_company("Harbour Paper Group")
    assert not is_company("Anna B. Müller")
    assert parse_person("Dr. Anna B. Müller").last == "Müller"


def test_number_words() -> None:
    assert [number(w) for w in ("seven", "12", "a", "many")] == [7, 12, 1, None]


async def extracted(text: str, target: type[BaseModel], **deps: Any) -> dict[str, Any]:
    """Run the whole agent on its baseline."""
    found = await extract.run(text, target, Deps(now=lambda: NOW, **deps))
    assert all(text[q.start : q.end] == q.text for q in found.quotes.values())
    return found.value.model_dump(exclude_none=True)


async def test_an_invoice() -> None:
    text = (
        "Acme Paper Ltd\nInvoice No: A-77\nInvoice date: 3 March 2026\nDue date: 17 March 2026\n"
        "Widget   2   4.00   8.00\nSubtotal: £8.00\nVAT 20%: £1.60\nTotal: £9.60\n"
    )
    assert await extracted(text, Invoice) == {
        "issuer": "Acme Paper Ltd",
        "invoice_number": "A-77",
        "date": dt.date(2026, 3, 3),
        "due_date": dt.date(2026, 3, 17),
        "amount": Decimal("9.60"),
        "net_amount": Decimal("8.00"),
        "tax_amount": Decimal("1.60"),
        "currency": "GBP",
        "lines": [
            {
                "description": "Widget",
                "quantity": Decimal(2),
                "unit_price": Decimal("4.00"),
                "amount": Decimal("8.00"),
            }
        ],
    }


async def test_a_booking() -> None:
    text = "A table for 4 tomorrow at 7:30 pm. My name is Ann Reed."
    assert await extracted(text, Booking) == {
        "first_name": "Ann",
        "last_name": "Reed",
        "date": dt.date(2026, 3, 5),
        "time": dt.time(19, 30),
        "people": 4,
    }


async def test_what_is_not_said_is_missing() -> None:
    with pytest.raises(NotFound) as caught:
        await extracted("Do you have vegan dishes?", Booking)
    assert caught.value.fields == ("date", "time", "people")


async def test_rivals_leave_a_field_blank() -> None:
    with pytest.raises(NotFound) as caught:
        await extracted("for 2 people at 7 pm, on March 12 or March 13", Booking)
    assert caught.value.fields == ("date",)


class Size(Enum):
    SMALL = "small"
    BIG = "big"


class Shelf(BaseModel):
    """A shelf."""

    size: Size | None = None
    wood: Literal["oak", "beech"] | None = None
    delivered: bool | None = None
    boards: int | None = Field(None, gt=0)
    colors: list[str] = Field(default_factory=list[str])
    city: str | None = None


async def test_types_of_all_kinds() -> None:
    text = (
        "A big shelf of Oak with 5 boards, not delivered.\nCity: Graz\nColors: red, blue and green"
    )
    assert await extracted(text, Shelf) == {
        "size": Size.BIG,
        "wood": "oak",
        "delivered": False,
        "boards": 5,
        "colors": ["red", "blue", "green"],
        "city": "Graz",
    }


class Span(BaseModel):
    """A span of days."""

    check_in: dt.date
    check_out: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> "Span":
        if self.check_out < self.check_in:
            raise ValueError("out before in")
        return self


async def test_values_that_contradict_each_other_are_unsolvable() -> None:
    with pytest.raises(Unsolvable, match="contradict 'Span'"):
        await extracted("Check in: 2026-05-04\nCheck out: 2026-05-02", Span)


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_text_gives_quotes_from_it(text: str) -> None:
    for quote in solve(text, ContactChange, DEPS)["quotes"]:
        assert quote["quote"] in text


HARD = ["1 ", "a", "12.12.", "A-", "me and ", "a@", "www.", "May ", "GmbH ", "AB12 ", "name is "]


@pytest.mark.parametrize("piece", [*HARD, "\u0301", "Total: 1,00 €\n", "\n", "12345 Ab "])
def test_pathological_texts_stay_fast(piece: str) -> None:
    text = piece * (10_000 // len(piece))
    start = time.perf_counter()
    solve(text, Invoice, DEPS)
    assert time.perf_counter() - start < 5  # seconds; quadratic time would take far more


def test_a_long_document_is_read_to_its_end() -> None:
    prose = "The committee met again and nobody objected to the minutes of last time. " * 1300
    found = solve(prose + "\nInvoice number: Z-9\nTotal: 5.00 EUR", Invoice, DEPS)["value"]
    assert (found["invoice_number"], found["amount"]) == ("Z-9", Decimal("5.00"))
