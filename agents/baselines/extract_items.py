"""Find lists: the lines of an invoice, and what follows a label as a list."""

import re

from pydantic import BaseModel

from .extract_dates import Found
from .extract_finders import money
from .extract_labels import Marks
from .extract_slots import Slot, slots

__all__ = ("items", "listed")

_NOT_LINES = frozenset({"gross", "net", "tax", "other money", "iban", "due date", "issue date"})

_HEAD = re.compile(
    r"[ ]*(?:\d{1,3}[.)][ ]+)?(?:(?P<first>\d{1,4})[ ]?[x\xd7*]?[ ]+)?(?P<text>[^\W\d_].{1,120}?)"
    r"(?:[ |]+(?P<count>\d{1,5}(?:[.,]\d{1,3})?)[ ]?(?:x|\xd7|h|hrs?|pcs|kg|Stk\.?|"
    r"Std\.?)?)?[ |€$£@à-]*"
)


def items(
    text: str, model: type[BaseModel], marks: Marks
) -> list[tuple[tuple[str | int, ...], Found]]:
    """Return the fields of lines that name a thing and end in its price."""
    roles = _roles(model)
    if "description" not in roles or "amount" not in roles:
        return []
    found: list[tuple[tuple[str | int, ...], Found]] = []
    count = 0
    for match in re.finditer(r"[^\n]{4,200}", text):
        parts = _line(match.group(), match.start())
        if parts and not _is_total(marks, match.start(), match.end()):
            found += [((count, roles[role]), part) for role, part in parts.items() if role in roles]
            count += 1
    return found


def _roles(model: type[BaseModel]) -> dict[str, str]:
    """Return which fields of a line's model hold its text, count, price and sum."""
    roles: dict[str, str] = {}
    for slot in slots(model):
        name = slot.path[-1]
        if slot.kind in ("number", "count") and re.search(r"quantity|qty|count|number", name):
            roles.setdefault("quantity", name)
        elif slot.kind == "money" and re.search(r"unit|each|price", name):
            roles.setdefault("price", name)
        elif slot.kind == "money":
            roles.setdefault("amount", name)
        elif slot.kind in ("label", "person") and len(slot.path) == 1:
            roles.setdefault("description", name)
    if "amount" not in roles and "price" in roles:
        roles["amount"] = roles.pop("price")
    return roles


def _line(line: str, offset: int) -> dict[str, Found] | None:
    """Read "2 x Widget  4.50  9.00"; None when the line is none of a table's."""
    sums = [f for f in money(line) if f.weight >= 0.1 and f.value is not None]
    if not sums or line[sums[-1].end :].strip(" €$£*|%"):
        return None
    prices = sums[-2:]
    head = _HEAD.fullmatch(line[: prices[0].start])
    if head is None:
        return None
    parts = {"description": _at(head["text"].strip(" :.-|"), head.start("text"), offset)}
    for group in ("first", "count"):
        if head[group]:
            parts["quantity"] = _at(head[group], head.start(group), offset)
    if len(prices) > 1:
        parts["price"] = _moved(prices[0], offset)
    parts["amount"] = _moved(prices[-1], offset)
    return parts


def _at(value: str, start: int, offset: int) -> Found:
    return Found(value, offset + start, offset + start + len(value))


def _moved(found: Found, offset: int) -> Found:
    return found._replace(start=found.start + offset, end=found.end + offset)


def _is_total(marks: Marks, start: int, end: int) -> bool:
    """Tell whether a line begins with a label that no line of a table begins with."""
    label, _ = marks.before(end)
    first = marks.first(start)
    starts = first is not None and first[0] - start < 12 and bool(first[2] & _NOT_LINES)
    return starts or bool(label & _NOT_LINES)


def listed(text: str, slot: Slot, marks: Marks) -> list[Found]:
    """Return the items after a label: with commas on its line, or with bullets below it."""
    for _, end, meanings in marks.found:
        if not meanings & slot.meanings:
            continue
        line = re.compile(r"[ \t]*(?::|=|-|are|is|include)[ \t]*(?P<items>[^\n]{2,300})").match(
            text, end
        )
        if line and slot.item is str:
            return _split(line["items"], line.start("items"))
        bullets = re.compile(
            r"[^\n]{0,20}\n(?P<items>(?:[ \t]*(?:[-*•·]|"
            r"\d{1,2}[.)])[ \t]+[^\n]{1,150}(?:\n|$)){1,40})"
        ).match(text, end)
        if bullets and slot.item is str:
            start = bullets.start("items")
            lines = re.finditer(
                r"(?m)^[ \t]*(?:[-*•·]|\d{1,2}[.)])[ \t]+(?P<item>[^\n]+)", bullets["items"]
            )
            return [_at(m["item"].strip(), m.start("item"), start) for m in lines]
    return []


def _split(written: str, offset: int) -> list[Found]:
    """Take "red, blue and green." apart."""
    found: list[Found] = []
    start = 0
    stop = re.search(r"\.(?!\w)", written)
    written = written[: stop.start() if stop else None]
    for cut in (*re.finditer(r"[,;/]|\b(?:and|und|et|y|e|en)\b", written), None):
        item = written[start : cut.start() if cut else None]
        if item.strip():
            found.append(_at(item.strip(), start + len(item) - len(item.lstrip()), offset))
        start = cut.end() if cut else start
    return found
