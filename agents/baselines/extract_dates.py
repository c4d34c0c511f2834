"""Find dates and times of day: numeric, by name in a dozen languages, and relative to now."""

import datetime as dt
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from babel import Locale

__all__ = ("Found", "Reading", "dates", "number", "times")

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "pl", "sv", "da", "nb", "fi")
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
MORE_NUMBERS = {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "a": 1,
    "an": 1,
    "half an": 0,
    "couple": 2,
    **dict.fromkeys(("zwei", "deux", "dos", "due", "twee", "dois"), 2),
    **dict.fromkeys(("drei", "trois", "tres", "tre", "drie", "três"), 3),
    **dict.fromkeys(("vier", "quatre", "cuatro", "quattro", "quatro"), 4),
    **dict.fromkeys(("fünf", "cinq", "cinco", "cinque", "vijf"), 5),
    **dict.fromkeys(("sechs", "seis", "sei", "zes"), 6),
    **dict.fromkeys(("sieben", "sept", "siete", "sette", "zeven"), 7),
    **dict.fromkeys(("acht", "huit", "ocho", "otto"), 8),
    **dict.fromkeys(("neun", "neuf", "nueve", "nove", "negen"), 9),
    **dict.fromkeys(("zehn", "dix", "diez", "dieci", "tien"), 10),
}
DAYS_AWAY = {
    0: [
        "today",
        "tonight",
        "heute",
        "aujourd'hui",
        "hoy",
        "oggi",
        "vandaag",
        "hoje",
        "this evening",
        "this afternoon",
        "this morning",
        "heute abend",
        "ce soir",
        "esta noche",
    ],
    1: ["tomorrow", "tmrw", "tomorow", "demain", "mañana", "domani", "morgen", "amanhã"],
    2: ["day after tomorrow", "übermorgen", "après-demain", "pasado mañana", "dopodomani"],
}


class Found(NamedTuple):
    """A value and where it stands; `weight` is what speaks for it in the passage itself."""

    value: object
    start: int
    end: int
    weight: float = 0.0


class Reading(NamedTuple):
    """How to read what a text leaves open."""

    now: dt.datetime
    day_first: bool


def number(word: str) -> int | None:
    """Return the number that a word or digits mean, up to 59 in words."""
    word = word.lower().strip()
    if word.isdecimal():
        return int(word) if len(word) < 6 else None
    if word in NUMBERS:
        return NUMBERS.index(word)
    return MORE_NUMBERS.get(word)


@cache
def _names(what: str) -> dict[str, int]:
    """Return the names of months (1-12) or weekdays (0-6), long and short, in all languages."""
    names: dict[str, int] = {}
    for language in reversed(LANGUAGES):  # English wins where two languages differ
        locale = Locale.parse(language)
        calendar = locale.months if what == "months" else locale.days
        for form in ("format", "stand-alone"):
            for width in ("abbreviated", "wide"):
                for key, name in calendar[form][width].items():
                    # Danish "man" is a Monday, but not in "a man".
                    if len(name.strip(".")) > (2 if what == "months" or language == "en" else 4):
                        names[name.strip(".").lower()] = key
    names.update({"sept": 9, "märz": 3} if what == "months" else {"tues": 1, "thurs": 3, "thur": 3})
    return names


def _any(names: list[str] | dict[str, int]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


@cache
def _patterns() -> list[tuple[re.Pattern[str], Callable[[re.Match[str], Reading], dt.date | None]]]:
    month, day = rf"(?P<month>{_any(_names('months'))})\b\.?", _any(_names("weekdays"))
    nth = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|ª|\.)?"
    weekday = rf"(?:(?:{day})\b\.?,?[ ]{{1,2}}(?:the[ ]|den[ ]|dem[ ]|le[ ])?)?"
    year = r"(?:[ ]?,?[ ]{0,2}(?:del?[ ])?(?P<year>(?:19|20)\d\d)(?!\d))?"
    count = rf"(?P<count>\d{{1,3}}|{_any([*NUMBERS[1:], 'a', 'an', 'couple'])})"
    units = r"(?P<unit>day|week|month|tag|woche|jour|semaine|día|semana|giorn|settiman|dag)"
    numeric = r"(?<![\d.,/-])(?P<a>\d{1,2})(?P<sep>[./-])[ ]?(?P<b>\d{1,2})(?P=sep)[ ]?"
    near = "|".join(_any(names) for names in reversed(DAYS_AWAY.values()))
    table: list[tuple[str, Callable[[re.Match[str], Reading], dt.date | None]]] = [
        (
            r"(?<![\d.,/-])(?P<year>(?:19|20)\d\d)([-/.])(?P<m>\d{1,2})\2(?P<day>\d{1,2})(?!\d)",
            _iso,
        ),
        (r"(?P<year>(?:19|20)\d\d)年(?P<m>\d{1,2})月(?P<day>\d{1,2})日", _iso),
        (rf"{weekday}{numeric}(?P<year>(?:19|20)\d\d|\d\d)(?![\d/]|[.-]\d)", _numeric),
        (rf"\b{weekday}{nth}[ ]?-?(?:of[ ]|de[ ]|d[ei]l?[ ])?{month}-?{year}", _named),
        (rf"\b{weekday}{month}[ ]?{nth}(?!\d|:\d|[ ]?[ap]\.?m\b){year}", _named),
        (
            rf"\b(?:in[ ](?:about[ ]|a[ ])?|dans[ ]|en[ ]|"
            rf"over[ ]){count}(?:[ ]of)?(?:[ ]more)?[ ]{units}\w{{0,3}}",
            _away,
        ),
        (rf"\b{count}[ ]{units}s?[ ]from[ ](?:now|today)", _away),
        (rf"(?<!\w)(?:the[ ])?(?P<near>{near})(?!\w|[ ]?(?:früh|nachmittag))", _near),
        (
            rf"\b(?:(?P<next>next|nächste[nr]?|kommende[nr]?|prochain)[ ]|"
            rf"this[ ])?(?P<weekday>{day})\b(?:[ ]the[ ](?P<day>\d{{1,2}})(?:st|nd|rd|th))?",
            _weekday,
        ),
        (r"(?<![\d.,/-])(?P<a>\d{1,2})(?P<sep>\.)[ ]?(?P<b>\d{1,2})\.(?!\d)", _numeric),
        (r"(?<![\d.,/-])(?P<a>\d{1,2})(?P<sep>/)(?P<b>\d{1,2})(?![\d/])", _numeric),
        (r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)\b", _day_only),
    ]
    return [(re.compile(pattern, re.IGNORECASE), read) for pattern, read in table]


def dates(text: str, reading: Reading) -> list[Found]:
    """Return the dates in `text`, in order; where readings overlap, the most explicit one."""
    found: list[Found] = []
    taken = bytearray(len(text))
    for pattern, read in _patterns():
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            value = read(match, reading)
            if value is not None:
                found.append(Found(value, start, end))
                taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda f: f.start)


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _full_year(digits: str) -> int:
    return int(digits) + (2000 if len(digits) == 2 else 0)


def _coming(month: int, day: int, now: dt.datetime) -> dt.date | None:
    """Return the next such day, today included."""
    this = _date(now.year, month, day)
    return this if this is None or this >= now.date() else _date(now.year + 1, month, day)


def _iso(match: re.Match[str], reading: Reading) -> dt.date | None:
    return _date(int(match["year"]), int(match["m"]), int(match["day"]))


def _numeric(match: re.Match[str], reading: Reading) -> dt.date | None:
    a, b = int(match["a"]), int(match["b"])
    day_first = b <= 12 and (a > 12 or reading.day_first or match["sep"] == ".")
    day, month = (a, b) if day_first else (b, a)
    year = match.groupdict().get("year")
    if year is None:
        return _coming(month, day, reading.now) if month <= 12 else None
    return _date(_full_year(year), month, day)


def _named(match: re.Match[str], reading: Reading) -> dt.date | None:
    month, day = _names("months")[match["month"].lower()], int(match["day"])
    if match["year"]:
        return _date(int(match["year"]), month, day)
    return _coming(month, day, reading.now)


def _away(match: re.Match[str], reading: Reading) -> dt.date | None:
    count = number(match["count"]) or 0
    unit = match["unit"].lower()
    days = {"m": 30, "w": 7, "s": 7}.get(unit[0], 1)
    return reading.now.date() + dt.timedelta(days=count * days)


def _near(match: re.Match[str], reading: Reading) -> dt.date | None:
    word = match["near"].lower()
    days = next(days for days, names in DAYS_AWAY.items() if word in names)
    return reading.now.date() + dt.timedelta(days=days)


def _weekday(match: re.Match[str], reading: Reading) -> dt.date | None:
    if match["day"]:
        return _day(int(match["day"]), reading.now)
    word = match["weekday"]
    if len(word) < 5 and word.islower():
        return None  # "we sat", "the sun"
    today = reading.now.date()
    ahead = (_names("weekdays")[match["weekday"].lower()] - today.weekday()) % 7
    return today + dt.timedelta(days=ahead or 7)


def _day_only(match: re.Match[str], reading: Reading) -> dt.date | None:
    return _day(int(match["day"]), reading.now)


def _day(day: int, now: dt.datetime) -> dt.date | None:
    """Return the next day of that number in this month or the following ones."""
    for ahead in range(3):
        year, month = divmod(now.year * 12 + now.month - 1 + ahead, 12)
        value = _date(year, month + 1, day)
        if value and value >= now.date():
            return value
    return None


_HALF = r"(?P<half>[ap]\.?[ ]?m\b\.?)"
_EVENING = re.compile(
    r"\b(?:evening|tonight|night|dinner|abends?|soir|noche|tarde|sera|avond|afternoon|supper)\b",
    re.IGNORECASE,
)
_WORD_HOUR = rf"(?P<hour>\d{{1,2}}|{'|'.join(NUMBERS[1:13])})"
_TIMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<rel>quarter|half|\d{{1,2}}(?:[ ]min(?:ute)?s?)?)[ -](?P<way>past|after|to|"
        rf"before|till)[ ]{_WORD_HOUR}(?![\d/])(?:[ ]?{_HALF})?",
        rf"(?<![\d.,:/-])(?P<hour>[01]?\d|2[0-4])[:.h](?P<minute>[0-5]\d)(?![\d/]|"
        rf"[.:,]\d)(?::[0-5]\d)?(?:[ ]{{0,2}}{_HALF}|[ ]?(?:uhr|h|hrs)\b)?",
        rf"(?<![\d.,:/-])(?P<hour>1[0-2]|0?[1-9])(?P<minute>[0-5]\d)?[ ]?{_HALF}",
        rf"\b(?P<hour>{'|'.join(NUMBERS[1:13])})[ -](?P<word>fifteen|thirty|forty[ -]five|"
        rf"twenty|ten)\b(?:[ ]{_HALF})?",
        rf"\b{_WORD_HOUR}[ ]?(?:o'?clock|uhr|hrs?|hr|heures|h)\b(?![ ]?\d)",
        rf"\b{_WORD_HOUR}(?:[ -]?ish\b|[ ](?:in[ ]the[ ](?:evening|morning|afternoon)|tonight|"
        rf"at[ ]night))",
        r"\b(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)[ ]?(?:h|hrs?|hours)\b",
        r"\b(?P<fixed>noon|midday|midnight|mittags?|midi|minuit|mediodía|mezzogiorno)\b",
        rf"\b(?P<cue>at|around|by|um|gegen|à|a las|alle|om|till|until|"
        rf"from)[ ](?:about[ ])?{_WORD_HOUR}\b(?![:./-]?\d|[ ]?(?:people|person|guest|day|%|"
        rf"[ap]\.?m|adults|min|hour|of[ ]us|us\b))",
    )
)
_FIXED = {"midnight": 0, "minuit": 0}
_MINUTES = {"fifteen": 15, "thirty": 30, "twenty": 20, "ten": 10}


def times(text: str) -> list[Found]:
    """Return the times of day in `text`, in order. "7" is 19:00 where the text says evening."""
    evening = bool(_EVENING.search(text))
    found: list[Found] = []
    taken = bytearray(len(text))
    for pattern in _TIMES:
        for match in pattern.finditer(text):
            start, end = _after_cue(match)
            value = _time(match, evening)
            if value is not None and not any(taken[start:end]):
                found.append(Found(value, start, end))
                taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda f: f.start)


def _after_cue(match: re.Match[str]) -> tuple[int, int]:
    start = match.start("hour") if "cue" in match.groupdict() else match.start()
    return start, match.end()


def _time(match: re.Match[str], evening: bool) -> dt.time | None:
    parts = match.groupdict()
    if parts.get("fixed"):
        return dt.time(_FIXED.get(parts["fixed"].lower(), 12))
    hour = number(parts["hour"])
    if hour is None or hour > 24:
        return None
    half = (parts.get("half") or "").lower()[:1]
    if half == "p" or (not half and evening and 0 < hour < 12):
        hour = hour % 12 + 12
    elif half == "a":
        hour %= 12
    minutes = hour * 60 + _minutes(parts)
    return dt.time(minutes // 60 % 24, minutes % 60)


def _minutes(parts: dict[str, str | None]) -> int:
    """Return the minutes past the hour, negative in "quarter to"."""
    if parts.get("rel"):
        word = str(parts["rel"]).split()[0].lower()
        minutes = {"quarter": 15, "half": 30}.get(word) or number(word) or 0
        return -minutes if str(parts["way"]).lower() in ("to", "before", "till") else minutes
    if parts.get("word"):
        return _MINUTES.get(str(parts["word"]).lower(), 45)
    return int(parts.get("minute") or 0)
