"""How good the extraction baseline is on public data.

Run `python benchmarks/baselines_extract.py [FOLDER]`; FOLDER holds the data sets by name and is
`../shared/data` beside the checkout by default. Rows are (name, value, target to reach or None).
"""

import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from assay.agents.baselines.extract import solve
from assay.agents.baselines.extract_names import is_company, parse_person
from assay.agents.extract import Deps
from assay.deps.drafts import blank
from assay.deps.records import Invoice
from assay.evals.checks import f1

Row = tuple[str, float, float | None]

DATA = Path(__file__).parents[2] / "shared" / "data"
NOW = dt.datetime(2018, 8, 20, tzinfo=dt.UTC)  # when the booking data was gathered


class Slots(BaseModel):
    """What a message says of a booking; any of it may be absent."""

    first_name: str | None = Field(None, description="first name that the booking is under")
    last_name: str | None = Field(None, description="last name that the booking is under")
    date: dt.date | None = Field(None, description="the day of the booking")
    time: dt.time | None = Field(None, description="time of arrival")
    people: int | None = Field(None, description="size of the party")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spread(name: str, hits: Counter[str], given: Counter[str], gold: Counter[str]) -> Iterator[Row]:
    """Yield precision and recall of each field."""
    for field in sorted(gold):
        yield f"{name} {field} precision", hits[field] / max(given[field], 1), None
        yield f"{name} {field} recall", hits[field] / gold[field], None


FIELDS = {
    "issuer": "issuer",
    "amount": "amount",
    "date": "date",
    "invoice_number": "invoice_number",
    "currency": "currency",
    "vat": "vat_id",
    "iban": "iban",
    "amount_untaxed": "net_amount",
}


def invoices(data: Path = DATA) -> list[Row]:
    """Compare typed fields; only fields with a gold value count. Issuers without legal form."""
    hits, given, gold = Counter[str](), Counter[str](), Counter[str]()
    target = blank(Invoice)  # these invoices may lack anything
    for row in rows_of(data / "invoice2data_samples" / "invoices.jsonl"):
        found = solve(row["text"], target, Deps(now=lambda: NOW))["value"]
        for theirs, ours in FIELDS.items():
            right = row["expected"][0].get(theirs)
            if right is None:
                continue
            gold[theirs] += 1
            given[theirs] += ours in found
            hits[theirs] += ours in found and same(theirs, found[ours], right)
    precision, recall = hits.total() / given.total(), hits.total() / gold.total()
    return [
        ("invoices precision", precision, 0.8),
        ("invoices recall", recall, None),
        *spread("invoices", hits, given, gold),
    ]


def same(field: str, got: object, right: object) -> bool:
    """Compare a found value with the gold one, by type."""
    if field.startswith("amount"):
        return Decimal(str(got)) == Decimal(str(right))
    a, b = (" ".join(str(v).casefold().replace(",", " ").split()) for v in (got, right))
    return a.startswith(b) or b.startswith(a) if field == "issuer" else a == b


def bookings(data: Path = DATA, limit: int = 3000) -> list[Row]:
    """Compare spans of slots; a slot is right when its quote is the gold span, but for the rim."""
    exact, near, given, gold = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    deps = Deps(now=lambda: NOW)
    for row in rows_of(data / "restaurant8k" / "train.jsonl")[:limit]:
        text = row["userInput"]["text"]
        right = {label["slot"]: span(label["valueSpan"]) for label in row.get("labels", [])}
        gold.update(right.keys())
        for quote in solve(text, Slots, deps)["quotes"]:
            field = quote["field"]
            given[field] += 1
            if field in right:
                theirs = text[slice(*right[field])]
                exact[field] += trimmed(theirs) == trimmed(quote["quote"])
                near[field] += trimmed(quote["quote"]) in trimmed(theirs) or trimmed(
                    theirs
                ) in trimmed(quote["quote"])
    return [
        ("bookings span f1", slot_f1(exact, given, gold), 0.6),
        ("bookings overlap f1", slot_f1(near, given, gold), None),
        *spread("bookings", near, given, gold),
    ]


def span(label: dict[str, int]) -> tuple[int, int]:
    """Return start and end of a gold span; a missing start is 0."""
    return label.get("startIndex", 0), label["endIndex"]


def trimmed(text: str) -> str:
    """Return a text without what stands at the rim of a span by chance."""
    return " ".join(text.lower().split()).strip(" .,!?").removeprefix("the ").removeprefix("on ")


def slot_f1(hits: Counter[str], given: Counter[str], gold: Counter[str]) -> float:
    """Return micro F1."""
    return f1(hits.total() / max(given.total(), 1), hits.total() / max(gold.total(), 1))


PARTS = {
    "GivenName": "first", "FirstInitial": "first", "MiddleName": "middle", "MiddleInitial": "middle",  # noqa: E501
    "Surname": "last", "LastInitial": "last", "PrefixMarital": "title", "PrefixOther": "title",
    "SuffixGenerational": "suffix", "SuffixOther": "suffix", "Nickname": "nickname",
}  # fmt: skip


def contacts(data: Path = DATA) -> list[Row]:
    """Label the tokens of persons' names, and tell persons from companies by name alone.

    Half of the names are one word, which may be a given name or a surname: nothing in it tells.
    """
    folder = data / "probablepeople_labeled"
    people = rows_of(folder / "person_labeled.jsonl")
    firms = rows_of(folder / "company_labeled.jsonl")
    plain = [row for row in people if len(row["tokens"]) > 1 and _one_person(row)]
    names = [(row["text"], False) for row in people if len(row["tokens"]) > 1]
    names += [(row["text"], True) for row in firms if len(row["tokens"]) > 1]
    told = [is_company(text.strip()) == firm for text, firm in names]
    return [
        ("contacts token f1, every name", slot_f1(*_tokens(people)), None),
        ("contacts token f1, two words or more, one person", slot_f1(*_tokens(plain)), 0.85),
        ("person or company accuracy", sum(told) / len(told), 0.8),
        *spread("contacts", *_tokens(people)),
    ]


def _one_person(row: dict[str, Any]) -> bool:
    return all(tag in PARTS for _, tag in row["tokens"])


def _tokens(rows: Iterable[dict[str, Any]]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Count the tokens labelled rightly, labelled at all, and there, by part of the name."""
    hits, given, gold = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        ours = labelled(row["text"])
        for token, tag in row["tokens"]:
            part = PARTS.get(tag) or str(tag)
            gold[part] += 1
            if got := ours.get(bare(token)):
                given[got] += 1
                hits[part] += got == part
    return hits, given, gold


def labelled(name: str) -> dict[str, str]:
    """Return the part that each word of a person's name is."""
    person = parse_person(name)
    return {bare(word): part for part, words in vars(person).items() for word in words.split()}


def bare(word: str) -> str:
    """Return a word without punctuation around it."""
    return word.lower().strip(" .,\"'()")


def report(rows: Iterable[Row]) -> None:
    """Print rows, with the target where there is one."""
    for name, value, target in rows:
        print(f"{name:50} {value:.3f}" + (f"  (target {target})" if target is not None else ""))


def main(data: Path = DATA) -> None:
    """Print every figure, or say why there is none."""
    if not data.is_dir():
        print("skipped: the public data sets are not beside this checkout; name their folder")
        return
    print("Names are parsed by nameparser, which was not trained on this data.")
    for figures in (invoices, bookings, contacts):
        report(figures(data))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
