"""Caps on what may be spent in a window of time, and whether one more request fits under them.

What was spent is counted in pieces of windows. A calendar day or month is one piece. A window that
moves on with time is cut into `PIECES`, and one piece more counts than fit into it: so no more than
the cap is ever within it, wherever it begins, and what was spent counts for at most a thirtieth of
the window longer than it must. The counts of an account stay a few dozen, however many requests
they are of.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal, Protocol

from ..errors import ConfigError

__all__ = (
    "NOTHING",
    "Amount",
    "Cap",
    "Count",
    "Counts",
    "Full",
    "Per",
    "Period",
    "Unit",
    "counted",
    "period_of",
    "what_is_full",
)

PIECES = 30

Per = timedelta | Literal["day", "month"] | None
"""A window: any span of that length, a calendar day or month in UTC, or all time."""

Unit = Literal["usd", "tokens", "requests"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANO = Decimal(10**9)


@dataclass(frozen=True, slots=True)
class Amount:
    """What requests take, or may take.

    Attributes:
        nanos: Billionths of a dollar: sums of whole numbers are exact in every database.
        tokens: Input and output tokens.
        requests: Answers of models.
    """

    nanos: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, usd: Decimal, tokens: int, requests: int) -> "Amount":
        """Return an amount, its dollars rounded up."""
        nanos = int((usd * _NANO).to_integral_value(rounding=ROUND_CEILING))
        return cls(nanos, tokens, requests)

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.nanos + other.nanos, self.tokens + other.tokens, self.requests + other.requests
        )

    def __sub__(self, other: "Amount") -> "Amount":
        return self + Amount(-other.nanos, -other.tokens, -other.requests)

    @property
    def usd(self) -> float:
        """Dollars."""
        return self.nanos / 1e9

    def __getitem__(self, unit: Unit) -> int:
        return self.nanos if unit == "usd" else self.tokens if unit == "tokens" else self.requests


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Count:
    """What is in one piece of a window: what was spent, and what requests under way may take."""

    spent: Amount = NOTHING
    reserved: Amount = NOTHING

    @property
    def sum(self) -> Amount:
        return self.spent + self.reserved


Counts = Mapping[tuple[str, int], Count]
"""All counts of one account, by a window's key and a piece's number."""


class Period(Protocol):
    """A kind of window: how time is cut into pieces, and which of them count at a moment."""

    @property
    def key(self) -> str:
        """What its counts are kept under."""
        ...

    @property
    def said(self) -> str:
        """How a cap is said in words: "$5 a day"."""
        ...

    @property
    def before(self) -> int:
        """How many pieces before the present one count."""
        ...

    def number(self, moment: datetime) -> int:
        """Return the number of the piece that a moment is in; later pieces have higher ones."""
        ...

    def ends(self, number: int) -> datetime | None:
        """Return from when on a piece no longer counts; None if it always will."""
        ...


@dataclass(frozen=True)
class _Moving:
    """Any span of a certain length. Whole microseconds: floats would lose some."""

    span: timedelta
    before: int = PIECES

    @property
    def key(self) -> str:
        return f"{self._piece * PIECES} us"

    @property
    def said(self) -> str:
        return f"within {self.span.total_seconds():g} s"

    @property
    def _piece(self) -> int:
        return -(-(self.span // timedelta(microseconds=1)) // PIECES)

    def number(self, moment: datetime) -> int:
        return (moment - _EPOCH) // timedelta(microseconds=1) // self._piece

    def ends(self, number: int) -> datetime | None:
        return _EPOCH + timedelta(microseconds=(number + self.before + 1) * self._piece)


@dataclass(frozen=True)
class _Day:
    key: str = "day"
    said: str = "a day"
    before: int = 0

    def number(self, moment: datetime) -> int:
        return (moment - _EPOCH).days

    def ends(self, number: int) -> datetime | None:
        return _EPOCH + timedelta(days=number + 1)


@dataclass(frozen=True)
class _Month:
    key: str = "month"
    said: str = "a month"
    before: int = 0

    def number(self, moment: datetime) -> int:
        at = moment.astimezone(UTC)
        return at.year * 12 + at.month - 1

    def ends(self, number: int) -> datetime | None:
        year, month = divmod(number + 1, 12)
        return datetime(year, month + 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _AllTime:
    key: str = "all"
    said: str = "in all"
    before: int = 0

    def number(self, moment: datetime) -> int:
        return 0

    def ends(self, number: int) -> datetime | None:
        return None


def period_of(per: Per) -> Period:
    """Return the kind of window that `per` names."""
    if isinstance(per, timedelta):
        return _Moving(per)
    return _AllTime() if per is None else _Day() if per == "day" else _Month()


@dataclass(frozen=True, kw_only=True)
class Cap:
    """What may be spent at most in a window; None caps nothing.

    Attributes:
        usd: Dollars.
        tokens: Input and output tokens.
        requests: Answers of models.
        per: The window: `timedelta(minutes=1)` is any minute, "day" and "month" are those of the
            calendar in UTC, None is all time.

    Raises:
        ConfigError: nothing is capped, or by what is not a number greater than 0.
    """

    usd: float | Decimal | None = None
    tokens: int | None = None
    requests: int | None = None
    per: Per = None

    def __post_init__(self) -> None:
        given = [(one.name, getattr(self, one.name)) for one in fields(self) if one.name != "per"]
        for name, most in given:
            if most is not None and not 0 < most < math.inf:
                raise ConfigError(
                    f"a cap of {most} {name} allows nothing or everything; "
                    "give a number greater than 0, or leave it out"
                )
        if all(most is None for _, most in given):
            raise ConfigError("a cap without usd, tokens or requests caps nothing; give one")
        moving = isinstance(self.per, timedelta) and self.per > timedelta()
        if not moving and self.per not in (None, "day", "month"):
            raise ConfigError(
                f"a cap per {self.per!r} has no window; give a timedelta greater than 0, "
                "'day', 'month', or None for all time"
            )

    @property
    def period(self) -> Period:
        return period_of(self.per)

    def limits(self) -> Iterator[tuple[Unit, int]]:
        """Yield what is capped, and at how much: dollars in billionths, rounded down."""
        if self.usd is not None:
            yield "usd", int(Decimal(str(self.usd)) * _NANO)
        if self.tokens is not None:
            yield "tokens", self.tokens
        if self.requests is not None:
            yield "requests", self.requests


@dataclass(frozen=True, slots=True)
class Full:
    """A cap under which a request does not fit. Dollars are in billionths.

    Attributes:
        frees: From when on it fits at the latest, if nothing else is asked; None if it never does.
    """

    cap: Cap
    unit: Unit
    limit: int
    spent: int
    reserved: int
    asked: int
    frees: datetime | None


def counted(counts: Counts, period: Period, at: datetime) -> list[tuple[int, Count]]:
    """Return the pieces that count at a moment, in order.

    Later ones than the present do too: another machine's clock may be ahead.
    """
    first = period.number(at) - period.before
    return sorted(
        ((n, count) for (key, n), count in counts.items() if key == period.key and n >= first),
        key=lambda piece: piece[0],
    )


def what_is_full(caps: Iterable[Cap], counts: Counts, asked: Amount, at: datetime) -> Full | None:
    """Return the cap under which a request does not fit; of several, the one that frees last."""
    found = [full for cap in caps for full in _full(cap, counts, asked, at)]
    last = datetime.max.replace(tzinfo=UTC)
    return max(found, key=lambda full: full.frees or last, default=None)


def _full(cap: Cap, counts: Counts, asked: Amount, at: datetime) -> Iterator[Full]:
    pieces = counted(counts, cap.period, at)
    for unit, limit in cap.limits():
        spent = sum(count.spent[unit] for _, count in pieces)
        reserved = sum(count.reserved[unit] for _, count in pieces)
        if spent + reserved + asked[unit] > limit:
            frees = None
            if asked[unit] <= limit:
                frees = _frees(cap.period, pieces, unit, spent + reserved + asked[unit] - limit)
            yield Full(cap, unit, limit, spent, reserved, asked[unit], frees)


def _frees(
    period: Period, pieces: list[tuple[int, Count]], unit: Unit, excess: int
) -> datetime | None:
    """Return when so much will have left the window."""
    for number, count in pieces:
        excess -= count.sum[unit]
        if excess <= 0:
            return period.ends(number)
    return None
