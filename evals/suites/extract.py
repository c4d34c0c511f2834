"""How good extraction is: the right values, none invented, each with a quote that holds."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_evals.evaluators import EvaluatorContext, EvaluatorOutput

from ...agents import extract
from ...deps.drafts import filled
from ...deps.errors import NotFound
from ...deps.records import Booking, ContactChange, Email, Invoice
from ...tools.quotes import Quote
from ..checks import Check, MaxRequests, MaxSeconds, verdict
from ..judges.rubric import Rubric
from ..suite import DATASETS, Plain, Suite, Trial

__all__ = (
    "TARGETS",
    "Answer",
    "Event",
    "Expected",
    "Fields",
    "Inputs",
    "JobAd",
    "NotFoundRight",
    "QuotesVerbatim",
    "Shipment",
    "suite",
)


class Venue(BaseModel):
    """Where an event takes place."""

    name: str | None = Field(default=None, description="name of the house, hall or room")
    street: str | None = Field(default=None, description="street and house number")
    city: str | None = Field(default=None, description="city")


class Event(BaseModel):
    """An announcement of something that one can go to."""

    title: str | None = Field(None, description="title of the event, as announced")
    date: dt.date = Field(description="the day it takes place")
    starts: dt.time | None = Field(None, description="when it starts, not when doors open")
    venue: Venue = Field(Venue(), description="where it takes place")
    price: Decimal | None = Field(None, ge=0, description="regular price of a ticket")
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="ISO 4217 code")
    website: str | None = Field(None, description="web address for tickets or details")


class JobAd(BaseModel):
    """An advertisement for a job."""

    title: str | None = Field(None, description="the job's title")
    company: str = Field(description="the employer, not an agency that recruits for it")
    city: str | None = Field(None, description="city of the workplace")
    employment: Literal["full-time", "part-time", "contract", "internship"] | None = None
    remote: bool | None = Field(None, description="whether one may work from home")
    positions: int | None = Field(None, ge=1, description="number of positions to fill")
    skills: list[str] = Field(default_factory=list[str], description="skills that are required")
    deadline: dt.date | None = Field(None, description="last day to apply")
    contact_email: Email | None = Field(None, description="where to apply")


class Status(Enum):
    """Where a parcel is on its way."""

    SHIPPED = "shipped"
    IN_TRANSIT = "in transit"
    DELIVERED = "delivered"
    RETURNED = "returned"


class Shipment(BaseModel):
    """A notice about a parcel."""

    tracking_number: str = Field(description="the carrier's number of the parcel")
    order_number: str | None = Field(None, description="the shop's number of the order")
    status: Status | None = Field(None, description="where the parcel is now")
    delivery_date: dt.date | None = Field(None, description="day of delivery, expected or past")
    weight: float | None = Field(None, gt=0, description="weight in kg")
    recipient: str | None = Field(None, description="name of the person it goes to")
    postal_code: str | None = Field(None, description="postal code of the recipient")
    city: str | None = Field(None, description="city of the recipient")


TARGETS: Mapping[str, type[BaseModel]] = {
    "invoice": Invoice,
    "booking": Booking,
    "contact_change": ContactChange,
    "event": Event,
    "job_ad": JobAd,
    "shipment": Shipment,
}


class Inputs(BaseModel):
    """A text and what to read from it."""

    text: str
    target: Literal["invoice", "booking", "contact_change", "event", "job_ad", "shipment"]
    region: str = "US"


class Expected(BaseModel):
    """What is right: by dotted path, what the text gives; or what a refusal must name.

    Other fields must be blank. Lists are compared only where a path in `fields` lies in them.
    """

    fields: Plain = Field(default_factory=dict[str, Any])
    not_found: list[str] = Field(default_factory=list[str])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one extraction: filled fields with quotes, or the fields it found missing."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    quotes: dict[str, Quote] = field(default_factory=dict[str, Quote])
    not_found: tuple[str, ...] = ()


@dataclass
class Fields(Check):
    """Of the fields given, how many are right; of those in the text, how many are given."""

    def evaluate(self, ctx: EvaluatorContext[Inputs, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None or expected.not_found:
            return {}
        got: Answer = ctx.output
        lists = {path.split(".")[0] for path in expected.fields if ".0" in path}
        given = {p: v for p, v in got.fields.items() if ".0" not in _zeros(p) or _top(p) in lists}
        right = [p for p, v in expected.fields.items() if p in given and same(given[p], v)]
        scores: dict[str, float] = {}
        if given:
            scores["field_precision"] = len(right) / len(given)
        if expected.fields:
            scores["field_recall"] = len(right) / len(expected.fields)
        elif not given:
            scores["field_recall"] = 1.0  # nothing to find, nothing invented
        return scores


def _top(path: str) -> str:
    return path.split(".")[0]


def _zeros(path: str) -> str:
    """Return a path with every index as 0."""
    return ".".join("0" if part.isdecimal() else part for part in path.split("."))


def same(got: object, expected: object) -> bool:
    """Compare a value with the expected one by the type of the value.

    Text is compared without regard to case and white space, numbers by value.
    """
    match got:
        case bool() | int():
            return got == expected
        case Decimal() | float():
            return Decimal(str(got)) == Decimal(str(expected))
        case dt.time():
            return got == dt.time.fromisoformat(str(expected))
        case dt.date():
            return got.isoformat() == str(expected)
        case Enum():
            return bool(got.value == expected)
        case _:
            return _plain(got) == _plain(expected)


def _plain(value: object) -> str:
    return " ".join(str(value).casefold().split())


@dataclass
class QuotesVerbatim(Check):
    """Every filled field has a quote, and every quote stands in the text where it says."""

    def evaluate(self, ctx: EvaluatorContext[Inputs, Any, Any]) -> EvaluatorOutput:
        got: Answer = ctx.output
        text = ctx.inputs.text
        bare = sorted(set(got.fields) ^ set(got.quotes))
        wrong = sorted(
            p for p, q in got.quotes.items() if not q.text or text[q.start : q.end] != q.text
        )
        return verdict(
            not bare and not wrong, f"no quote or no value: {bare}; not verbatim: {wrong}"
        )


@dataclass
class NotFoundRight(Check):
    """Extraction refuses when, and only when, a required field is absent; and it names it."""

    def evaluate(self, ctx: EvaluatorContext[Inputs, Any, Any]) -> EvaluatorOutput:
        expected: Expected | None = ctx.expected_output
        if expected is None:
            return {}
        got: Answer = ctx.output
        return verdict(
            set(got.not_found) == set(expected.not_found),
            f"missing are {expected.not_found}, it said {list(got.not_found)}",
        )


QUOTES = Rubric(
    [
        {
            "id": "support",
            "text": "Each field's quote, read where it stands in the text, gives that field's "
            "value: not the value of another field, and none that the text takes back.",
        }
    ],
    name="quotes",
)
"""The quotes support the values."""

NOW = dt.datetime(2026, 3, 4, 9, 0, tzinfo=dt.UTC)
"""The Wednesday on which the dataset's texts were received."""


async def task(inputs: Inputs, trial: Trial) -> Answer:
    """Extract from one text; a refusal is an answer too."""
    deps = extract.Deps(
        models=trial.models, usage=trial.usage, now=lambda: NOW, region=inputs.region
    )
    try:
        found = await extract.run(inputs.text, TARGETS[inputs.target], deps)
    except NotFound as e:
        return Answer(not_found=e.fields)
    fields = {path: value for path, value in filled(found.value) if path in found.quotes}
    return Answer(fields=fields, quotes=found.quotes)


suite = Suite(
    name="extract",
    about="fill a model from a text, with a verbatim quote for every field",
    task=task,
    baseline=task,
    path=DATASETS / "extract" / "cases.yaml",
    types=(Inputs, Expected),
    checks=(Fields(), QuotesVerbatim(), NotFoundRight(), MaxRequests(4), MaxSeconds(60), QUOTES),
    hard=("quotes_verbatim", "not_found_right"),
    thresholds={"field_precision": 0.9, "field_recall": 0.74, "not_found_right": 0.88},
)
