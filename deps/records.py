"""What texts that reach a help desk are about: invoices, bookings, changes of address.

A required field is one that a clerk could not do without: extraction raises `NotFound` where the
text lacks it, and whoever sent the text can be asked.
"""

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

__all__ = ("Booking", "ContactChange", "Email", "Invoice", "InvoiceLine")

Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
"""An e-mail address by its shape; whether it exists only a mail can tell."""


class InvoiceLine(BaseModel):
    """One thing that an invoice charges for."""

    description: str = Field(description="what is charged for, as printed")
    quantity: Decimal | None = Field(None, description="how many or how much of it")
    unit_price: Decimal | None = Field(None, description="the price of one")
    amount: Decimal | None = Field(None, description="the price of the whole line")


class Invoice(BaseModel):
    """A bill for goods or services."""

    issuer: str | None = Field(None, description="name of the company that sends the invoice")
    invoice_number: str = Field(description="the invoice's own number, as printed")
    date: dt.date = Field(description="date of issue, not of order, delivery or payment")
    due_date: dt.date | None = Field(None, description="the day by which to pay")
    amount: Decimal = Field(description="total to pay, tax included")
    net_amount: Decimal | None = Field(None, description="total before tax")
    tax_amount: Decimal | None = Field(None, description="total of VAT, GST or sales tax")
    currency: str | None = Field(
        None, pattern="^[A-Z]{3}$", description="currency as an ISO 4217 code, e.g. EUR"
    )
    vat_id: str | None = Field(None, description="the issuer's VAT or tax number")
    iban: str | None = Field(None, description="the account to pay into")
    lines: list[InvoiceLine] = Field(
        default_factory=list[InvoiceLine], description="the lines, in the order printed"
    )


class Booking(BaseModel):
    """A request for a table, a room or a place at something."""

    first_name: str | None = Field(None, description="first name that the booking is under")
    last_name: str | None = Field(None, description="last name that the booking is under")
    date: dt.date = Field(description="the day of the booking")
    time: dt.time = Field(description="time of arrival")
    people: int = Field(ge=1, le=500, description="size of the party: how many people will come")
    phone: str | None = Field(None, description="phone number to call back, as written")
    email: Email | None = Field(None, description="e-mail address to confirm to")


class ContactChange(BaseModel):
    """A customer's new contact data. Fields hold the new data, never the old."""

    name: str = Field(description="full name of the customer, as it should be from now on")
    customer_number: str | None = Field(None, description="customer or account number")
    email: Email | None = Field(None, description="the new e-mail address")
    phone: str | None = Field(None, description="the new phone number, as written")
    street: str | None = Field(None, description="street and house number of the new address")
    postal_code: str | None = Field(None, description="postal code (zip) of the new address")
    city: str | None = Field(None, description="city of the new address")
    valid_from: dt.date | None = Field(None, description="the day from which the change holds")
