"""Days and times as people say them: a table, read from a fixed moment and zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.agents.baselines.todo_dates import REPEATS, ambiguous, period, read_when

BERLIN = ZoneInfo("Europe/Berlin")
WEDNESDAY = datetime(2026, 11, 18, 11, 15, tzinfo=BERLIN)

DAYS = {
    "today": "2026-11-18",
    "tomorrow": "2026-11-19",
    "the day after tomorrow": "2026-11-20",
    "friday": "2026-11-20",
    "on Friday": "2026-11-20",
    "this friday": "2026-11-20",
    "wednesday": "2026-11-25",
    "next friday": "2026-11-27",
    "next wednesday": "2026-11-25",
    "sunday": "2026-11-22",
    "in 3 days": "2026-11-21",
    "in two weeks": "2026-12-02",
    "a week from today": "2026-11-25",
    "in a month": "2026-12-18",
    "next week": "2026-11-23",
    "this weekend": "2026-11-21",
    "next month": "2026-12-01",
    "by the end of the month": "2026-11-30",
    "end of the week": "2026-11-22",
    "3 december": "2026-12-03",
    "December 3rd": "2026-12-03",
    "the 3rd of December": "2026-12-03",
    "by Dec 3": "2026-12-03",
    "march 1, 2027": "2027-03-01",
    "1 march": "2027-03-01",
    "2026-12-24": "2026-12-24",
    "2026-12-03": "2026-12-03",
    "24.12.": "2026-12-24",
    "24.12.2027": "2027-12-24",
    "12/24": "2026-12-24",
    "heute": "2026-11-18",
    "morgen": "2026-11-19",
    "\u00fcbermorgen": "2026-11-20",
    "am Freitag": "2026-11-20",
    "n\u00e4chsten Freitag": "2026-11-27",
    "in einer Woche": "2026-11-25",
    "in zwei Tagen": "2026-11-20",
    "am 3. Dezember": "2026-12-03",
    "n\u00e4chste Woche": "2026-11-23",
}
MOMENTS = {
    "tomorrow at 5": "2026-11-19T17:00:00+01:00",
    "tomorrow morning": "2026-11-19T09:00:00+01:00",
    "next friday at 5": "2026-11-27T17:00:00+01:00",
    "next friday at 5pm": "2026-11-27T17:00:00+01:00",
    "friday at 9": "2026-11-20T09:00:00+01:00",
    "friday at 9 in the evening": "2026-11-20T21:00:00+01:00",
    "at 17:30": "2026-11-18T17:30:00+01:00",
    "at 9": "2026-11-19T09:00:00+01:00",
    "at 9 tomorrow": "2026-11-19T09:00:00+01:00",
    "5pm on monday": "2026-11-23T17:00:00+01:00",
    "12 am tomorrow": "2026-11-19T00:00:00+01:00",
    "tonight": "2026-11-18T20:00:00+01:00",
    "monday afternoon": "2026-11-23T15:00:00+01:00",
    "tomorrow at noon": "2026-11-19T12:00:00+01:00",
    "tomorrow at midnight": "2026-11-19T00:00:00+01:00",
    "in an hour": "2026-11-18T12:15:00+01:00",
    "in 20 minutes": "2026-11-18T11:35:00+01:00",
    "30 march 2027 at 8am": "2027-03-30T08:00:00+02:00",
    "morgen fr\u00fch": "2026-11-19T09:00:00+01:00",
    "freitag um 14 uhr": "2026-11-20T14:00:00+01:00",
    "heute abend": "2026-11-18T19:00:00+01:00",
    "morgen um 9": "2026-11-19T09:00:00+01:00",
}


@pytest.mark.parametrize(("said", "meant"), DAYS.items())
def test_a_day_is_read(said: str, meant: str) -> None:
    when = read_when(said, WEDNESDAY, BERLIN)
    assert when is not None
    assert when.text == meant


@pytest.mark.parametrize(("said", "meant"), MOMENTS.items())
def test_a_moment_is_read_in_its_owners_zone(said: str, meant: str) -> None:
    when = read_when(said, WEDNESDAY, BERLIN)
    assert when is not None
    assert when.text == meant


@pytest.mark.parametrize(
    "said",
    ["", "soon", "31 february", "2026-13-01", "at 25", "at 9:75", "in x days", "11/12", "milk"],
)
def test_what_is_no_date_is_none(said: str) -> None:
    assert read_when(said, WEDNESDAY, BERLIN) is None


def test_hours_are_hours_when_the_clocks_change() -> None:
    before = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)  # at 3 it is 2 again
    when = read_when("in 2 hours", before, BERLIN)
    assert when is not None
    assert when.text == "2026-10-25T02:30:00+01:00"


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("today", date(2026, 11, 18), date(2026, 11, 18)),
        ("this week", date(2026, 11, 16), date(2026, 11, 22)),
        ("next week", date(2026, 11, 23), date(2026, 11, 29)),
        ("this weekend", date(2026, 11, 21), date(2026, 11, 22)),
        ("this month", date(2026, 11, 1), date(2026, 11, 30)),
        ("next month", date(2026, 12, 1), date(2026, 12, 31)),
        ("friday", date(2026, 11, 20), date(2026, 11, 20)),
        ("in two weeks", date(2026, 12, 2), date(2026, 12, 2)),
    ],
)
def test_a_period_has_a_first_and_a_last_day(said: str, first: date, last: date) -> None:
    assert period(said, WEDNESDAY) == (first, last)


@pytest.mark.parametrize(
    "said", ["every monday", "each week", "daily", "jeden Montag", "every two weeks"]
)
def test_what_repeats_is_told(said: str) -> None:
    assert REPEATS.search(f"water the plants {said}")


@pytest.mark.parametrize("said", ["monday", "everything", "tomorrow", "alle"])
def test_what_does_not_repeat_is_not(said: str) -> None:
    assert not REPEATS.search(f"water the plants {said}")


def test_slashes_are_ambiguous_unless_one_is_no_month() -> None:
    assert [ambiguous(said) for said in ("11/12", "12/24", "24/12", "5/5")] == [
        True,
        False,
        False,
        False,
    ]


@given(st.dates(date(2020, 1, 1), date(2032, 1, 1)), st.integers(0, 6))
def test_a_weekday_is_within_a_week_and_the_next_one_in_the_next_week(
    today: date, day: int
) -> None:
    now = datetime(today.year, today.month, today.day, 12, tzinfo=BERLIN)
    name = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")[day]
    this, following = read_when(name, now, BERLIN), read_when(f"next {name}", now, BERLIN)
    assert this is not None
    assert following is not None
    assert 1 <= (this.due - today).days <= 7
    assert this.due.weekday() == following.due.weekday() == day
    week = today.isocalendar().week
    assert (following.due - today).days <= 13
    assert following.due.isocalendar().week != week


@given(st.text(max_size=60))
def test_any_text_is_read_or_not(text: str) -> None:
    when = read_when(text, WEDNESDAY, BERLIN)
    assert when is None or when.text
