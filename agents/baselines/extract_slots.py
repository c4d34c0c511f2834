"""What a target's fields ask for: their kinds, and the labels that would announce them."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .extract_labels import LABELS, words

__all__ = ("Slot", "bare", "slots")

_KINDS: tuple[tuple[str, str], ...] = (
    ("email", r"(?:.* )?e ?mail(?: address)?"),
    ("iban", r"iban"),
    ("bic", r"bic|swift"),
    ("vat", r"(?:vat|tax) ?(?:id|no|number|nr|reg)?|gstin|ustid|uid"),
    ("phone", r"(?:.* )?(?:phone|telephone|mobile|tel|cell)(?: number)?"),
    ("url", r"(?:.* )?(?:url|website|web|link|homepage)"),
    ("currency", r"(?:.* )?currency(?: code)?"),
    ("first name", r"(?:.* )?(?:first|given) name|forename"),
    ("last name", r"(?:.* )?(?:last|family) name|surname"),
    ("street", r"(?:.* )?street(?: address)?"),
    ("postal code", r"(?:.* )?(?:postal|post|zip) ?code|zip|postcode|plz"),
    ("city", r"(?:.* )?(?:city|town)"),
    (
        "company",
        r"(?:.* )?(?:issuer|company|seller|supplier|vendor|employer|organi[sz]ation|firm|carrier)"
        r"(?: name)?",
    ),
    (
        "person",
        r"(?:full |contact |customer |guest |passenger |person )?name|contact(?: person)?|attendee"
        r"|recipient|customer|guest|passenger|speaker|organi[sz]er|applicant|contact",
    ),
    ("identifier", r".*\b(?:number|no|nr|id|code|reference|ref|sku)"),
)
"""Kinds of text, each with a pattern of the field names that ask for it; the first wins."""

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (dt.datetime, "datetime"),
    (dt.date, "date"),
    (dt.time, "time"),
    (int, "count"),
    (Decimal, "number"),
    (float, "number"),
)
_MONEY = re.compile(
    r"\b(?:amount|total|price|cost|fee|net|gross|tax|vat|subtotal|salary|sum|deposit|"
    r"budget|fare|rent|money|paid|due)\b"
)


@dataclass(frozen=True)
class Slot:
    """A field to fill.

    Args:
        path: The names from the target down to the field.
        kind: What finds its values: "date", "money", "person", "label" ...
        own: Labels made of the field's own name.
        meanings: Which entries of `LABELS` announce it, and its own path.
        options: The values that alone are allowed, if so: how they are written, and the value.
        form: The model the field belongs to, for checking values.
        item: The kind of a list's items; None for what is not a list.
    """

    path: tuple[str, ...]
    kind: str
    own: tuple[str, ...]
    meanings: frozenset[str]
    options: tuple[tuple[str, object], ...] = ()
    form: type[BaseModel] = BaseModel
    item: Any = None

    @property
    def name(self) -> str:
        """Return the field's name in words."""
        return words(self.path[-1])

    def accepts(self, value: object) -> bool:
        """Tell whether the field's type and constraints let the value in."""
        try:
            self.form.model_validate({self.path[-1]: value})
        except ValueError:
            return False
        return True


def slots(form: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[Slot]:
    """Yield the fields of a form, those of models in it too, but not those of lists."""
    for name, info in form.model_fields.items():
        kind = bare(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from slots(kind, (*above, name))
        else:
            yield _slot((*above, name), kind, info, form)


def bare(kind: Any) -> Any:
    """Return a type without `Annotated` and `None`."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        return bare(parts[0])
    return kind


def _slot(path: tuple[str, ...], kind: Any, info: FieldInfo, form: type[BaseModel]) -> Slot:
    name = words(path[-1])
    about = f"{name} {info.description or ''}".lower()
    item = bare(get_args(kind)[0]) if get_origin(kind) in (list, set, tuple) else None
    options = _options(kind)
    what = "list" if item else "option" if options else _kind(kind, name, about)
    return Slot(
        path=path,
        kind=what,
        own=_own(name, path),
        meanings=frozenset({".".join(path), *_meanings(name, what)}),
        options=options,
        form=form,
        item=item,
    )


def _options(kind: Any) -> tuple[tuple[str, object], ...]:
    if get_origin(kind) is Literal:
        return tuple((str(value), value) for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple((str(member.value), member.value) for member in kind)
    return ()


def _kind(kind: Any, name: str, about: str) -> str:
    for type_, what in _TYPES:
        if isinstance(kind, type) and issubclass(kind, type_):
            if what == "number" and _MONEY.search(about):
                return "money"
            if what == "count" and re.search(
                r"\b(?:people|persons?|guests|party|pax|diners)\b", about
            ):
                return "people"
            return what
    if kind is not str:
        return "url" if "Url" in str(kind) else "email" if "Email" in str(kind) else "none"
    return next((what for what, like in _KINDS if re.fullmatch(like, name)), "label")


def _own(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels made of the field's name: "invoice number" is "invoice no" too."""
    names = [name, " ".join(words(part) for part in path)]
    for last in ("number", "id", "code"):
        if name.endswith(f" {last}"):
            stem = name.removesuffix(f" {last}")
            names += [
                f"{stem} {short}" for short in ("no", "nr", "#", "id", "number", "code", "ref")
            ]
    if name.endswith(" date"):
        names.append(name.removesuffix(" date"))
    return tuple(dict.fromkeys(names))


_OF_KIND = {
    "email": "email",
    "phone": "phone",
    "url": "website",
    "iban": "iban",
    "bic": "bic",
    "vat": "vat id",
    "first name": "first name",
    "last name": "last name",
    "person": "person",
    "company": "seller",
    "street": "street",
    "postal code": "postal code",
    "city": "city",
    "people": "people",
    "time": "time",
}


def _meanings(name: str, kind: str) -> set[str]:
    """Return the entries of `LABELS` that a field of this name and kind means."""
    exact = {meaning for meaning, phrases in LABELS.items() if name == meaning or name in phrases}
    if kind in _OF_KIND:
        return exact | {_OF_KIND[kind]} if kind not in ("person", "company") else {_OF_KIND[kind]}
    if exact:
        return exact
    inside = [
        (len(phrase), meaning)
        for meaning, phrases in LABELS.items()
        for phrase in (meaning, *phrases)
        if len(phrase) > 2 and re.search(rf"\b{re.escape(phrase)}\b", name)
    ]
    longest = max((size for size, _ in inside), default=0)
    return {meaning for size, meaning in inside if size == longest}
