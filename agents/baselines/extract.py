"""The extraction baseline: finders by type, ranked by the labels that stand around their finds.

Every field asks its finder for candidates. A candidate gains by a label that means the field
("Total:", "Fällig am") and loses by one that means something else. Below `FLOOR` a field is left
blank: without a label, only a value that has no rival is taken.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ValidationError

from ...deps.drafts import blank, demand
from ...deps.errors import NotFound, Unsolvable
from ..extract import Deps
from . import extract_finders as finders
from .extract_dates import Found, Reading, dates, times
from .extract_items import items, listed
from .extract_labels import LABELS, Marks
from .extract_names import companies, parse_person, persons
from .extract_slots import Slot, slots

__all__ = ("solve",)

FLOOR = 0.4
MINE, NONE, OTHER = 0.6, 0.25, -0.2  # by the meaning of the label
ALONE = 0.2  # for a value without a rival

NEEDS_LABEL = frozenset({"identifier", "label", "number", "count"})
RIVALS = {
    "date": {meaning for meaning in LABELS if meaning.endswith("date")} | {"period", "effective"},
    "money": {"gross", "net", "tax", "other money"},
    "phone": {"phone", "fax"},
    "company": {"seller", "buyer"},
    "vat": {"iban", "bic", "phone"},
    "identifier": {meaning for meaning in LABELS if meaning.endswith("number")} | {"phone", "fax"},
}
SECONDARY = frozenset(
    [
        "due date",
        "order date",
        "delivery date",
        "shipping date",
        "payment date",
        "birth date",
        "check in",
        "check out",
        "net",
        "tax",
        "other money",
        "effective",
    ]
)


@dataclass(frozen=True)
class Finding:
    """A candidate for a field, and how much speaks for it."""

    slot: Slot
    found: Found
    score: float


def solve(text: str, target: type[BaseModel], deps: Deps) -> dict[str, Any]:
    """Fill a form of `target` from `text`, with quotes.

    Returns:
        A `Draft` as a plain dictionary.

    Raises:
        Unsolvable: the target's own validators refuse what was found.
    """
    form, wanted = _form(target)
    best = _assign(_findings(text, wanted, deps))
    value: dict[str, Any] = {}
    quotes: list[dict[str, Any]] = []
    for finding in best:
        _put(value, finding.slot.path, finding.found.value)
        quotes.append(_quote(text, ".".join(finding.slot.path), finding.found))
    for slot in wanted:
        if slot.kind == "list":
            for path, found in _list(text, slot):
                _put(value, (*slot.path, *path), found.value)
                quotes.append(_quote(text, ".".join(map(str, (*slot.path, *path))), found))
    _refuse_nonsense(target, form, value)
    return {"value": value, "quotes": quotes}


@lru_cache(maxsize=64)
def _form(target: type[BaseModel]) -> tuple[type[BaseModel], list[Slot]]:
    form = blank(target)
    return form, list(slots(form))


def _refuse_nonsense(target: type[BaseModel], form: type[BaseModel], value: dict[str, Any]) -> None:
    try:
        demand(target, form.model_validate(value))
    except NotFound:
        return  # the agent says so
    except ValidationError as e:
        raise Unsolvable(f"the values found in the text contradict {target.__name__!r}: {e}") from e


def _quote(text: str, path: str, found: Found) -> dict[str, Any]:
    after = text[max(0, found.start - 50) : found.start].strip() or None
    return {"field": path, "quote": text[found.start : found.end], "after": after}


def _put(value: dict[str, Any], path: Iterable[str | int], leaf: object) -> None:
    """Put a leaf into nested dictionaries and lists."""
    *way, last = path
    at: Any = value
    for key, following in pairwise((*way, last)):
        fresh: Any = [] if isinstance(following, int) else {}
        if isinstance(key, int):
            if key == len(at):
                at.append(fresh)
            at = at[key]
        else:
            at = at.setdefault(key, fresh)
    if isinstance(last, int):
        at.append(leaf)
    else:
        at[last] = leaf


def _list(text: str, slot: Slot) -> list[tuple[tuple[str | int, ...], Found]]:
    marks = Marks(text, tuple((name, ".".join(slot.path)) for name in slot.own))
    if isinstance(slot.item, type) and issubclass(slot.item, BaseModel):
        return items(text, slot.item, marks)
    return [((i,), found) for i, found in enumerate(listed(text, slot, marks))]


def _assign(findings: list[Finding]) -> list[Finding]:
    """Take the best finding of each field; a passage serves one field of its kind."""
    best: dict[tuple[str, ...], Finding] = {}
    taken: set[tuple[str, int]] = set()
    for finding in sorted(findings, key=lambda f: (-round(f.score, 1), _rank(f))):
        slot, found = finding.slot, finding.found
        place = (slot.kind, found.start)
        if slot.path in best or place in taken or finding.score < FLOOR:
            continue
        if slot.accepts(found.value):
            best[slot.path] = finding
            taken.add(place)
    return list(best.values())


def _rank(finding: Finding) -> tuple[float, float, int]:
    """Order equal scores: of several totals the largest, else the better, else the first."""
    value = finding.found.value
    gross = "gross" in finding.slot.meanings and isinstance(value, Decimal)
    return (
        -float(value) if gross and isinstance(value, Decimal) else 0.0,
        -finding.score,
        finding.found.start,
    )


def _findings(text: str, wanted: list[Slot], deps: Deps) -> list[Finding]:
    document = Document(text, deps, wanted)
    return [finding for slot in wanted for finding in document.findings(slot)]


@dataclass(frozen=True)
class Document:
    """A text with what was found in it so far."""

    text: str
    deps: Deps
    wanted: list[Slot]

    @cached_property
    def marks(self) -> Marks:
        own = ((name, ".".join(slot.path)) for slot in self.wanted for name in slot.own)
        return Marks(self.text, tuple(own))

    @cached_property
    def reading(self) -> Reading:
        first = self.deps.day_first
        return Reading(
            self.deps.now(), _day_first(self.text, self.deps) if first is None else first
        )

    @cached_property
    def found(self) -> dict[str, list[Found]]:
        return {}

    def all(self, kind: str) -> list[Found]:
        """Return the finds of a kind, looked for once."""
        if kind not in self.found:
            finder = self._finders.get(kind)
            self.found[kind] = finder() if finder else []
        return self.found[kind]

    @cached_property
    def _finders(self) -> dict[str, Callable[[], list[Found]]]:
        text, region = self.text, self.deps.region
        return {
            "date": lambda: dates(text, self.reading),
            "datetime": lambda: [],
            "time": lambda: times(text),
            "money": lambda: finders.money(text),
            "number": lambda: finders.numbers(text),
            "count": lambda: finders.counts(text),
            "people": lambda: finders.people(text),
            "email": lambda: finders.emails(text),
            "phone": lambda: finders.phones(text, region),
            "url": lambda: finders.urls(text),
            "iban": lambda: finders.ibans(text),
            "bic": lambda: finders.bics(text),
            "vat": lambda: finders.vat_ids(text),
            "currency": lambda: finders.currencies(text, region),
            "identifier": lambda: finders.identifiers(text),
            "street": lambda: finders.streets(text),
            "postal code": lambda: finders.postal_codes(text),
            "city": lambda: finders.cities(text),
            "company": lambda: companies(text),
            "person": lambda: persons(text),
        }

    def findings(self, slot: Slot) -> list[Finding]:
        """Return the candidates for a field, scored."""
        if slot.kind in ("first name", "last name"):
            return self._name_parts(slot)
        if slot.kind == "option":
            return self._options(slot)
        if slot.kind == "bool":
            return self._stated(slot)
        rivals = self._rivals(slot)
        found = [Finding(slot, f, self._score(slot, f, rivals)) for f in self.all(slot.kind)]
        if slot.kind in ("label", "company", "person", "identifier", "street", "city", "vat"):
            found += [Finding(slot, f, 0.75 + f.weight) for f in self._labelled(slot)]
        return found

    def _score(self, slot: Slot, found: Found, rivals: set[str]) -> float:
        label, sure = self.marks.before(found.start)
        if label & slot.meanings:
            return MINE + sure * 0.3 + found.weight
        if slot.kind == "people" and found.weight:
            return 0.5 + found.weight
        if sure > 0.5 and label & rivals:
            return OTHER + found.weight
        if self._is_all(found) and len(rivals) <= len(RIVALS.get(slot.kind, ())):
            return 0.6  # the answer to a question
        if slot.kind in NEEDS_LABEL or slot.meanings & SECONDARY:
            return self._with_noun(slot, found)
        return NONE + found.weight + self._alone(slot)

    def _is_all(self, found: Found) -> bool:
        return self.text.strip(" .!?\n") == self.text[found.start : found.end]

    def _rivals(self, slot: Slot) -> set[str]:
        """Return the meanings of labels that give a value of this kind to something else."""
        others = {".".join(s.path) for s in self.wanted if s.kind == slot.kind}
        return (others | RIVALS.get(slot.kind, set())) - slot.meanings

    def _alone(self, slot: Slot) -> float:
        """Return what speaks for a value that has no rival of its kind."""
        if slot.kind not in self.rivalry:
            found = self.all(slot.kind)
            if slot.kind == "money":  # bare numbers are no rivals of a sum
                found = [f for f in found if f.weight >= 0.2]
            self.rivalry[slot.kind] = len({str(f.value) for f in found})
        alone = self.rivalry[slot.kind] == 1
        return ALONE if alone else -ALONE if slot.kind in ("email", "phone", "url") else 0.0

    @cached_property
    def rivalry(self) -> dict[str, int]:
        """How many different values of a kind there are."""
        return {}

    def _with_noun(self, slot: Slot, found: Found) -> float:
        """Score a count by the noun after it: "3 nights" for `nights`."""
        if slot.kind not in ("count", "number"):
            return 0.0
        after = self.text[found.end : found.end + 30].lower().lstrip(" -")
        nouns = {name for name in slot.own if len(name) > 2} | {slot.name.removesuffix("s")}
        return 0.7 if any(after.startswith(noun) for noun in nouns) else 0.0

    def _labelled(self, slot: Slot) -> list[Found]:
        """Return what stands after labels of the field: "City: Berlin"."""
        found: list[Found] = []
        for i, (_, end, meanings) in enumerate(self.marks.found):
            if meanings & slot.meanings:
                following = self.marks.found[i + 1][0] if i + 1 < len(self.marks.found) else None
                value = _value_after(self.text, end, following)
                if value and _plausible(slot, value):
                    found.append(value)
        return found

    def _name_parts(self, slot: Slot) -> list[Finding]:
        found: list[Finding] = []
        for whole in self.all("person"):
            person = parse_person(str(whole.value))
            part = person.first if slot.kind == "first name" else person.last
            at = (
                str(whole.value).rfind(part)
                if slot.kind == "last name"
                else str(whole.value).find(part)
            )
            if part and at >= 0:
                start = whole.start + at
                found.append(
                    Finding(slot, Found(part, start, start + len(part)), 0.25 + whole.weight)
                )
        labelled = [Finding(slot, f, 0.8) for f in self._labelled(slot)]
        return found + labelled

    def _options(self, slot: Slot) -> list[Finding]:
        """Return the allowed values that the text mentions."""
        found: list[Found] = []
        for written, value in slot.options:
            like = r"[ _-]?".join(re.escape(word) for word in re.split(r"[ _-]+", written))
            for match in re.finditer(rf"(?<!\w){like}(?!\w)", self.text, re.IGNORECASE):
                found.append(Found(value, *match.span()))
        alone = len({str(f.value) for f in found}) == 1
        return [Finding(slot, f, 0.5 if alone else self._score(slot, f, set())) for f in found]

    def _stated(self, slot: Slot) -> list[Finding]:
        """Return whether a text says yes or no to a field's name."""
        found: list[Finding] = []
        for start, end, meanings in self.marks.found:
            if not meanings & slot.meanings:
                continue
            answer = re.match(
                r"\s*[:=?]?\s*(?P<yes>yes|true|ja|oui|sí|si)?(?P<no>no|false|nein|non|nee|none)?\b",
                self.text[end : end + 20],
                re.I,
            )
            denied = re.search(
                r"\b(?:no|not|non|kein\w*|nicht|without|isn't|"
                r"aren't|pas de|sin|ohne)[ ](?:\w+[ ])?$",
                self.text[max(0, start - 20) : start],
                re.I,
            )
            stop = end + answer.end() if answer and (answer["yes"] or answer["no"]) else end
            value = not (denied or (answer and answer["no"]))
            begin = max(0, start - 20) + denied.start() if denied else start
            found.append(Finding(slot, Found(value, begin, stop), 0.6))
        return found if len({f.found.value for f in found}) == 1 else []


def _value_after(text: str, end: int, following: int | None) -> Found | None:
    """Return the words after a label, on its line or alone on the next."""
    match = re.compile(
        r"[ \t]*(?:\([^)\n]{0,20}\))?[ \t]*(?::|=|\||\t|[ ]{2,}|\bis\b|"
        r"\bist\b)[ \t]*(?P<value>[^\n\t|]{1,120})"
    ).match(text, end)
    if match is None:
        match = re.compile(r"[ \t]*:?[ \t]*\r?\n[ \t]*(?P<value>[^\n\t|:]{1,80})(?=\n|$)").match(
            text, end
        )
    if match is None:
        return None
    start, stop = match.span("value")
    if following is not None and start < following < stop and ":" in text[following:stop]:
        stop = following
    value = re.split(r"[ ]{2,}|;|\.[ ](?=[A-Z])|,[ ](?=and[ ])", text[start:stop])[0].strip(
        " ,.-\u2013—*"
    )
    offset = text.find(value, start) if value else -1
    return Found(value, offset, offset + len(value)) if value else None


def _plausible(slot: Slot, found: Found) -> bool:
    value = str(found.value)
    shape = {
        "identifier": r"(?=.*\d)[\w/#.-]+(?: \d+)*",
        "person": r"[^\d@:]{2,60}",
        "company": r"[^@:]{2,80}",
        "first name": r"[^\W\d_][^\d@: ]{1,30}",
        "last name": r"[^\W\d_][^\d@:]{1,30}",
        "city": r"[^\d@:]{2,40}",
        "street": r".*\d.*|.{3,40}",
        "vat": r"(?=(?:.*\d){5})[A-Z0-9][A-Z0-9 ./-]{6,20}",
    }.get(slot.kind, r".{1,120}")
    return re.fullmatch(shape, value) is not None


def _day_first(text: str, deps: Deps) -> bool:
    """Judge by other dates in the text, by its currency and words, at last by the region."""
    if re.search(r"(?<!\d)(?:1[3-9]|2\d|3[01])/\d{1,2}/(?:\d\d){1,2}(?!\d)", text):
        return True
    if re.search(r"(?<!\d)\d{1,2}/(?:1[3-9]|2\d|3[01])/(?:\d\d){1,2}(?!\d)", text):
        return False
    if re.search(
        r"[€£₹]|\bEUR\b|\bGBP\b|\b(?:der|und|le|la|el|het|di|facture|fecha|datum)\b", text
    ):
        return True
    return deps.region not in ("US", "PH")
