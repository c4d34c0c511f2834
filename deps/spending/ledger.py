"""Where it is kept what accounts have spent and reserved: in memory, or wherever you like.

A reservation is counted with its account before a request is made, and is replaced by what the
request took when that is known. Both count in the window in which the request was made. Where a
process dies meanwhile, what it had reserved stays counted, for it may have been billed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Protocol

from .caps import Amount, Cap, Count, Counts, Full, Period, what_is_full

__all__ = ("Entry", "Ledger", "MemoryLedger", "pieces", "stale")


@dataclass(eq=False)
class Entry:
    """A request on its account.

    Attributes:
        account: Whose it is.
        amount: What it may take.
        at: When it is made.
        held: Whether that is reserved now; a ledger says so.
    """

    account: str
    amount: Amount
    at: datetime
    held: bool = False


class Ledger(Protocol):
    """Keeps the counts of accounts. Whoever shares one shares its caps."""

    async def reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        """Reserve what a request may take, in every window of `caps`, or in none.

        Between looking and reserving nothing else may be reserved on the same account, in no
        other process either. When it is cancelled, nothing stays reserved.

        Returns:
            The cap under which it does not fit; None if it is reserved.
        """
        ...

    async def settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        """Count what a request took instead of what was reserved for it.

        It is done even if whoever waits for it is cancelled. An entry that is not held is left.
        """
        ...

    async def counts(self, account: str) -> Counts:
        """Return what is counted on an account."""
        ...


def pieces(caps: Sequence[Cap], at: datetime) -> list[tuple[str, int]]:
    """Return where a request of this moment is counted: once in each window."""
    return list(dict.fromkeys((p.key, p.number(at)) for p in (cap.period for cap in caps)))


def stale(period: Period, at: datetime) -> int:
    """Return the number up to which pieces may be forgotten.

    Half of those that are kept no longer count: a clock may be set back.
    """
    return period.number(at) - 2 * period.before - 2


@dataclass(eq=False)
class MemoryLedger:
    """Keeps counts for as long as the process lives, for all its threads and event loops."""

    _accounts: dict[str, dict[tuple[str, int], Count]] = field(
        default_factory=dict[str, dict[tuple[str, int], Count]], repr=False
    )
    _lock: Lock = field(default_factory=Lock, repr=False)

    async def reserve(self, entry: Entry, caps: Sequence[Cap]) -> Full | None:
        with self._lock:
            counts = self._accounts.get(entry.account, {})
            if full := what_is_full(caps, counts, entry.amount, entry.at):
                return full
            self._accounts[entry.account] = counts
            for place in pieces(caps, entry.at):
                if place not in counts:
                    self._forget(counts, caps, entry.at)
                was = counts.get(place, Count())
                counts[place] = replace(was, reserved=was.reserved + entry.amount)
            entry.held = True
        return None

    async def settle(self, entry: Entry, caps: Sequence[Cap], spent: Amount) -> None:
        with self._lock:
            if not entry.held:
                return
            entry.held = False
            counts = self._accounts[entry.account]
            for place in pieces(caps, entry.at):
                if (was := counts.get(place)) is not None:  # else its window is long over
                    counts[place] = Count(was.spent + spent, was.reserved - entry.amount)

    async def counts(self, account: str) -> Counts:
        with self._lock:
            return dict(self._accounts.get(account, {}))

    def _forget(
        self, counts: dict[tuple[str, int], Count], caps: Sequence[Cap], at: datetime
    ) -> None:
        """Forget what counts no longer, and was settled before."""
        for period in (cap.period for cap in caps):
            last = stale(period, at)
            for key, number in list(counts):
                if key == period.key and number <= last:
                    del counts[key, number]
