"""Days and times as people say them, in English and German: a pattern finds them, dateparser reads.

The pattern is ours, since dateparser takes the whole text for a date or none of it. So are weekdays
and times of day, of which it reads "next friday at 5" not at all. Conventions, where speech has
several: a weekday is the next one, never today; "next friday" is that of the next calendar week,
which begins on Monday; "at 5" is 17:00 from 1 to 6, in the morning from 7 to 11; a time without a
day that is over today is tomorrow's; "next week" is its Monday.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import dateparser

__all__ = ("REPEATS", "WHEN", "When", "ambiguous", "period", "read_when")

_DAYS = {
    "mon": 0, "mo": 0, "tue": 1, "di": 1, "wed": 2, "mi": 2, "thu": 3, "do": 3, "fri": 4, "fr": 4,
    "sat": 5, "sam": 5, "sun": 6, "son": 6,
}  # fmt: skip
_WEEKDAY = (
    r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|"
    r"sat(?:urday)?|sun(?:day)?|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|"
    r"sonntag)"
)
_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m\u00e4rz|apr(?:il)?|may|mai|june?|juni|"
    r"july?|juli|aug(?:ust)?|sep(?:t(?:ember)?)?|o[ck]t(?:ober)?|nov(?:ember)?|"
    r"de[cz](?:ember)?)\.?"
)
_COUNT = (
    r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|a couple of|"
    r"eine[rmn]?|zwei|drei|vier|f\u00fcnf|sechs|sieben|acht|neun|zehn)"
)
_UNIT = (
    r"(?:minutes?|mins?|hours?|days?|weeks?|months?|years?|"
    r"minuten?|stunden?|tag(?:en?)?|wochen?|monat(?:en?)?|jahr(?:en?)?)"
)
_NEXT = r"(?:next|coming|this|n\u00e4chste[nrms]?|kommende[nrms]?|diese[nrms]?)"
_DAY = (
    r"(?:the day after tomorrow|day after tomorrow|today|tomorrow|heute|\u00fcbermorgen|morgen|"
    rf"in {_COUNT} {_UNIT}|(?:a|{_COUNT}) weeks? from (?:now|today)|"
    rf"(?:{_NEXT} )?{_WEEKDAY}|{_NEXT} (?:weekend|week|month|year|woche|monat|jahr|wochenende)|"
    r"(?:the )?end of (?:the |this |next )?(?:week|month|year)|"
    r"\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.(?:\d{4}|\d\d)?|\d{1,2}/\d{1,2}(?:/\d{4})?|"
    rf"(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{_MONTH}(?:,? \d{{4}})?|"
    rf"{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}})?)"
)
_PART = (
    r"(?:(?:in the |am |at )?(?:early )?(?:morning|noon|midday|afternoon|evening|night|midnight|"
    r"fr\u00fch|vormittag|mittag|nachmittag|abend)|tonight)"
)
_CLOCK = (
    r"(?:(?:at|by|um|@) \d{1,2}(?:[:.]\d\d)?(?: ?(?:am|pm|a\.m\.|p\.m\.|uhr|o'clock))?(?![\w.:/])|"
    r"\d{1,2}(?:[:.]\d\d)? ?(?:am|pm|a\.m\.|p\.m\.|uhr|o'clock)(?!\w)|\d{1,2}:\d\d(?!\w))"
)
_TIME = rf"(?:{_CLOCK}(?: {_PART})?|{_PART})"
_BEFORE = (
    r"(?:(?:due|f\u00e4llig) )?(?:by |on |for |before |until |till |am |bis(?: zum)? |zum |ab )?"
)
WHEN = (
    rf"{_BEFORE}(?:(?P<day>{_DAY})(?:,? (?P<time>{_TIME}))?"
    rf"|(?P<time2>{_TIME})(?:,? (?:on )?(?P<day2>{_DAY}))?)(?!\w)"
)
"""Where a day, a time, or both are said; match it without regard to case."""

REPEATS = re.compile(
    rf"\b(?:every|each|jede[nrms]?|alle) (?:\w+ )?(?:{_WEEKDAY}s?|{_UNIT}|weekdays?|mornings?|"
    rf"evenings?|morgen|abend)\b|\b(?:daily|weekly|monthly|yearly|t\u00e4glich|w\u00f6chentlich|"
    r"monatlich|j\u00e4hrlich)\b",
    re.IGNORECASE,
)
"""What is to happen again and again."""

_PARTS = {
    "morning": 9, "fr\u00fch": 9, "vormittag": 10, "noon": 12, "midday": 12, "mittag": 12,
    "afternoon": 15, "nachmittag": 15, "evening": 19, "abend": 19, "tonight": 20, "night": 21,
    "midnight": 0,
}  # fmt: skip


@dataclass(frozen=True)
class When:
    """When something is due.

    Attributes:
        due: A day, or a moment with its zone.
    """

    due: date

    @property
    def text(self) -> str:
        """The due date as the tools take it."""
        return self.due.isoformat()


def ambiguous(text: str) -> bool:
    """Tell whether a date with slashes could be one of two."""
    found = re.search(r"\b(\d{1,2})/(\d{1,2})\b", text)
    return bool(found and found[1] != found[2] and int(found[1]) <= 12 and int(found[2]) <= 12)


def read_when(text: str, now: datetime, zone: tzinfo) -> When | None:
    """Return what a text that `WHEN` matches as a whole means; None if there is no such day."""
    found = re.fullmatch(WHEN, " ".join(text.split()), re.IGNORECASE)
    if found is None or ambiguous(text):
        return None
    day, clock = found["day"] or found["day2"], found["time"] or found["time2"]
    if day and (soon := _soon(day, now)):
        return When(soon.astimezone(zone))
    at = _time(clock.casefold()) if clock else None
    if clock and at is None:
        return None
    on = _day(day.casefold(), now) if day else _today_or_tomorrow(at, now)
    if on is None:
        return None
    return When(on if at is None else datetime.combine(on, at, zone))


def period(text: str, now: datetime) -> tuple[date, date] | None:
    """Return the first and the last day that a text means; None if it means none."""
    plain, today = text.casefold(), now.date()
    monday = today - timedelta(days=today.weekday())
    if re.search(r"\bweekend|wochenende", plain):
        start = monday + timedelta(days=12 if _later(plain) else 5)
        return start, start + timedelta(days=1)
    if re.search(r"\b(?:week|woche)\b", plain) and " in " not in f" {plain}":
        start = monday + timedelta(days=7 if _later(plain) else 0)
        return start, start + timedelta(days=6)
    if re.search(r"\b(?:month|monat)\b", plain) and " in " not in f" {plain}":
        first = today.replace(day=1)
        first = _month_after(first) if _later(plain) else first
        return first, _month_after(first) - timedelta(days=1)
    when = read_when(text, now, now.tzinfo or UTC)
    if when is None:
        return None
    day = when.due.date() if isinstance(when.due, datetime) else when.due
    return day, day


def _later(text: str) -> bool:
    return bool(re.search(r"\b(?:next|coming|n\u00e4chste\w*|kommende\w*)\b", text))


def _soon(day: str, now: datetime) -> datetime | None:
    """Return a moment that is minutes or hours away."""
    if not re.search(r"\b(?:min|hour|stunde)", day, re.IGNORECASE):
        return None
    base = now.astimezone(UTC).replace(tzinfo=None)  # hours are hours when the clocks change, too
    found = _parsed(day, base)
    return None if found is None else found.replace(tzinfo=UTC, second=0, microsecond=0)


def _day(day: str, now: datetime) -> date | None:
    today = now.date()
    weekday = re.search(rf"\b{_WEEKDAY}$", day)
    if weekday:
        return _weekday(weekday[0], today, next_week=_later(day) and "coming" not in day)
    if "end of" in day:
        return _end(day, today)
    if re.search(rf"^{_NEXT} (?:week|month|year|woche|monat|jahr|wochenende|weekend)$", day):
        return _start(day, today)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        return _iso(day)  # dateparser would take the month for the day
    plain = re.sub(r"\b(?:the day|day) after tomorrow", "in 2 days", day)
    plain = re.sub(r"\ba couple of\b", "2", plain)
    plain = re.sub(r"^(?:a|one) weeks? from (?:now|today)$", "in 1 week", plain)
    plain = re.sub(r"^(.*) from (?:now|today)$", r"in \1", plain).removeprefix("the ")
    found = _parsed(plain, now.replace(tzinfo=None))
    return None if found is None else found.date()


def _iso(day: str) -> date | None:
    try:
        return date.fromisoformat(day)
    except ValueError:
        return None


def _weekday(name: str, today: date, *, next_week: bool) -> date:
    wanted = next(n for begins, n in _DAYS.items() if name.startswith(begins))
    if next_week:
        return today + timedelta(days=7 - today.weekday() + wanted)
    return today + timedelta(days=(wanted - today.weekday() - 1) % 7 + 1)


def _end(day: str, today: date) -> date:
    if "week" in day:
        return today + timedelta(days=6 - today.weekday() + (7 if _later(day) else 0))
    if "year" in day:
        return date(today.year + _later(day), 12, 31)
    first = today.replace(day=1)
    first = _month_after(first) if _later(day) else first
    return _month_after(first) - timedelta(days=1)


def _start(day: str, today: date) -> date:
    monday = today - timedelta(days=today.weekday())
    if "weekend" in day or "wochenende" in day:
        return monday + timedelta(days=12 if _later(day) else 5)
    if not _later(day):
        return today
    if "week" in day or "woche" in day:
        return monday + timedelta(days=7)
    if "month" in day or "monat" in day:
        return _month_after(today.replace(day=1))
    return date(today.year + 1, 1, 1)


def _month_after(first: date) -> date:
    return first + timedelta(days=calendar.monthrange(first.year, first.month)[1])


def _time(text: str) -> time | None:
    clock = re.search(r"(\d{1,2})(?:[:.](\d\d))?(?: ?(am|pm|a\.m\.|p\.m\.|uhr|o'clock))?", text)
    part = max((part for part in _PARTS if part in text), key=len, default=None)
    if clock is None:
        return time(_PARTS[part]) if part else None
    hour, minute, half = int(clock[1]), int(clock[2] or 0), (clock[3] or "").replace(".", "")
    late = part is not None and _PARTS[part] >= 12
    bare = half in ("", "o'clock") and clock[2] is None and part is None
    if half == "pm" or (late and half != "uhr") or (bare and 1 <= hour <= 6):
        hour += 12 if hour < 12 else 0
    elif half == "am" and hour == 12:
        hour = 0
    return time(hour, minute) if hour < 24 and minute < 60 else None


def _today_or_tomorrow(at: time | None, now: datetime) -> date | None:
    if at is None:
        return None
    return now.date() if at > now.time() else now.date() + timedelta(days=1)


def _parsed(text: str, base: datetime) -> datetime | None:
    """Ask dateparser, which then reads neither the clock nor the zone of the machine."""
    found: datetime | None = dateparser.parse(
        text,
        languages=["en", "de"],
        settings={
            "RELATIVE_BASE": base,
            "TIMEZONE": "UTC",
            "RETURN_AS_TIMEZONE_AWARE": False,
            "PREFER_DATES_FROM": "future",
            "DATE_ORDER": "MDY" if "/" in text else "DMY",
            "REQUIRE_PARTS": [] if text.startswith("in ") else ["day"],
        },
    )
    return found
