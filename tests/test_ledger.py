"""No window ever holds more than its cap: in memory, in a database, and between processes."""

import asyncio
import multiprocessing
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps import ConfigError
from assay.deps.errors import BudgetSpent
from assay.deps.spending.caps import NOTHING, Amount, Cap, Count, Per, counted, what_is_full
from assay.deps.spending.ledger import Entry, Ledger, MemoryLedger
from assay.deps.spending.ledger_sql import SqlLedger

from .accounts import NOON, TOLD, Says, allowed, ask, stood
from .stores import postgres as postgres

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)


Step = tuple[str, Any]


@dataclass
class Flight:
    entry: Entry
    at: datetime
    counts: Amount
    """What counts of it in its window: its estimate, and later what it took."""
    under_way: bool = True


AMOUNTS = st.builds(Amount, st.integers(0, 60), st.integers(0, 60), st.just(1))
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), AMOUNTS),
        st.tuples(st.just("settle"), st.tuples(st.integers(0, 9), st.integers(-60, 30))),
        st.tuples(st.just("give back"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.floats(0, 40)),
    ),
    max_size=60,
)
WINDOWS: list[Per] = [timedelta(seconds=20), timedelta(seconds=7.3), "day", "month", None]
CAPS = [Cap(usd=Decimal(100) / 10**9, tokens=120, requests=6, per=per) for per in WINDOWS]
LATE = datetime(2026, 1, 31, 23, 59, 0, tzinfo=UTC)


class Play:
    """Plays steps on a ledger, and knows by itself when each request was made."""

    def __init__(self, ledger: Ledger, caps: list[Cap], account: str = "a") -> None:
        self.ledger, self.caps, self.account = ledger, caps, account
        self.now = LATE
        self.flights: list[Flight] = []
        self.refused = 0
        self.excess = NOTHING
        """What requests took beyond their estimates since the last one was let through."""

    async def step(self, kind: str, what: Any) -> None:
        under_way = [flight for flight in self.flights if flight.under_way]
        if kind == "wait":
            self.now += timedelta(seconds=what)
        elif kind == "reserve":
            entry = Entry(self.account, what, self.now)
            if await self.ledger.reserve(entry, self.caps) is None:
                self.flights.append(Flight(entry, self.now, what))
                self.excess = NOTHING
            else:
                self.refused += 1
        elif under_way and kind == "settle":
            which, more = cast(tuple[int, int], what)
            await self.settle(under_way[which % len(under_way)], more)
        elif under_way:
            await self.settle(under_way[cast(int, what) % len(under_way)], None)

    async def settle(self, flight: Flight, more: int | None) -> None:
        """It took so much more than estimated; None gives it back."""
        was, told = flight.counts, NOTHING
        if more is not None:
            told = Amount(max(0, was.nanos + more), max(0, was.tokens + more), 1)
        await self.ledger.settle(flight.entry, self.caps, told)
        flight.counts, flight.under_way = told, False
        late = told - was
        self.excess += Amount(max(0, late.nanos), max(0, late.tokens), 0)

    def within(self, begin: datetime) -> Amount:
        return sum((f.counts for f in self.flights if f.at > begin), NOTHING)

    def begin(self, per: Per) -> datetime:
        """When the window that ends now begins."""
        if isinstance(per, timedelta):
            return self.now - per
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        first = {"day": midnight, "month": midnight.replace(day=1)}
        return first[per] - timedelta(microseconds=1) if per else datetime.min.replace(tzinfo=UTC)


async def check_the_law(ledger: Ledger, steps: list[Step]) -> None:
    play = Play(ledger, CAPS)
    for kind, what in steps:
        await play.step(kind, what)
        counts = await ledger.counts("a")
        for cap in CAPS:
            held = play.within(play.begin(cap.per))
            for unit, limit in cap.limits():
                assert held[unit] <= limit + play.excess[unit]
            pieces = [count for _, count in counted(counts, cap.period, play.now)]
            kept = sum((count.sum for count in pieces), NOTHING)
            assert all(kept[unit] >= held[unit] for unit, _ in cap.limits())


@given(STEPS)
def test_no_window_holds_more_than_its_cap_and_what_estimates_missed(
    steps: list[Step],
) -> None:
    """At every moment, for every window that ends then, in every unit:

    spent + reserved <= cap + the sum, over what was settled since the last request was let
    through, of what it took beyond its estimate. Those were all under way at that moment, so
    the overshoot is at most their number times the largest error of an estimate.
    """
    asyncio.run(check_the_law(MemoryLedger(), steps))


@settings(max_examples=15)
@given(STEPS)
def test_the_law_holds_in_a_database_too(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(SqlLedger(Path(folder) / "s")) as kept:
        asyncio.run(check_the_law(kept, steps))


@given(STEPS)
def test_with_exact_estimates_nothing_exceeds_and_nothing_is_refused_in_vain(
    steps: list[Step],
) -> None:
    async def play() -> None:
        played = Play(MemoryLedger(), [CAPS[0]])
        for kind, what in steps:
            refused = played.refused
            await played.step(kind, (what[0], 0) if kind == "settle" else what)
            held = played.within(played.begin(CAPS[0].per))
            assert all(held[unit] <= limit for unit, limit in CAPS[0].limits())
            if played.refused > refused:  # a window a thirtieth longer had no room for it
                longer = timedelta(seconds=20) * 31 / 30
                full = played.within(played.now - longer - timedelta(microseconds=40)) + what
                assert any(full[unit] > limit for unit, limit in CAPS[0].limits())

    asyncio.run(play())


@given(STEPS, STEPS, st.randoms(use_true_random=False))
def test_tenants_do_not_influence_one_another(
    first: list[Step], second: list[Step], chance: Any
) -> None:
    async def alone(steps: list[Step]) -> Play:
        play = Play(MemoryLedger(), CAPS)
        for kind, what in steps:
            await play.step(kind, what)
        return play

    async def together() -> tuple[Play, Play]:
        ledger = MemoryLedger()
        plays = Play(ledger, CAPS, "a"), Play(ledger, CAPS, "b")
        left = {0: list(first), 1: list(second)}
        while open_ := [who for who, steps in left.items() if steps]:
            who: int = chance.choice(open_)
            kind, what = left[who].pop(0)
            await plays[who].step(kind, what)
        return plays

    def outcome(play: Play) -> list[tuple[datetime, Amount]]:
        return [(flight.at, flight.counts) for flight in play.flights]

    async def compare() -> None:
        a, b = await together()
        assert outcome(a) == outcome(await alone(first))
        assert outcome(b) == outcome(await alone(second))

    asyncio.run(compare())


@given(
    st.lists(st.tuples(st.floats(0, 50), AMOUNTS), max_size=30),
    AMOUNTS,
    st.sampled_from(CAPS),
)
def test_a_refused_request_fits_when_it_was_said_to(
    earlier: list[tuple[float, Amount]], asked: Amount, cap: Cap
) -> None:
    async def play() -> None:
        played = Play(MemoryLedger(), [cap])
        for pause, amount in earlier:
            await played.step("wait", pause)
            await played.step("reserve", amount)
        counts = await played.ledger.counts("a")
        full = what_is_full([cap], counts, asked, played.now)
        if full is not None and full.frees is not None:
            assert full.frees > played.now
            assert what_is_full([cap], counts, asked, full.frees) is None
            before = full.frees - timedelta(microseconds=1)
            assert what_is_full([cap], counts, asked, before) is not None

    asyncio.run(play())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_ledger_does_not_grow_with_time(kind: str, tmp_path: Path) -> None:
    sql = SqlLedger(tmp_path / "spend.db") if kind == "sqlite" else None
    ledger: Ledger = sql or MemoryLedger()
    caps = [Cap(requests=9, per=MINUTE), Cap(requests=999)]
    now = NOON
    for _ in range(150):
        entry = Entry("a", Amount(requests=1), now)
        assert await ledger.reserve(entry, caps) is None
        await ledger.settle(entry, caps, entry.amount)
        now += timedelta(seconds=20)
    counts = await ledger.counts("a")
    assert len(counts) <= 8
    assert counts["all", 0].spent.requests == 150
    if sql is not None:
        sql.close()


async def test_a_database_keeps_tenants_apart(tmp_path: Path) -> None:
    caps = [Cap(requests=2, per="day"), Cap(tokens=99)]
    with closing(SqlLedger(tmp_path / "spend.db")) as ledger:
        entries = [Entry(tenant, Amount(0, 9, 1), NOON) for tenant in ("a", "a", "b")]
        assert [await ledger.reserve(entry, caps) for entry in entries] == [None] * 3
        await ledger.settle(entries[0], caps, Amount(0, 5, 1))
        await ledger.settle(entries[0], caps, Amount(0, 7, 1))  # it is settled, and stays so
        a, b = await ledger.counts("a"), await ledger.counts("b")
        assert a["all", 0] == Count(Amount(0, 5, 1), Amount(0, 9, 1))
        assert b["all", 0] == Count(NOTHING, Amount(0, 9, 1))
        assert await ledger.reserve(Entry("a", Amount(0, 9, 1), NOON), caps) is not None
        assert await ledger.reserve(Entry("b", Amount(0, 9, 1), NOON), caps) is None


async def test_what_is_handed_in_is_settled_even_if_nobody_waits_for_it(tmp_path: Path) -> None:
    caps, busy = [Cap(requests=2)], threading.Event()
    with closing(SqlLedger(tmp_path / "spend.db")) as ledger:
        entry = Entry("a", Amount(requests=1), NOON)
        assert await ledger.reserve(entry, caps) is None
        waiting = ledger._worker.submit(busy.wait, 30)  # pyright: ignore[reportPrivateUsage]
        settling = asyncio.create_task(ledger.settle(entry, caps, NOTHING))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        busy.set()
        assert waiting.result()
        assert (await ledger.counts("a"))["all", 0] == Count()


# -- processes


async def test_a_restart_keeps_what_was_spent_and_what_a_dead_process_had_reserved(
    tmp_path: Path,
) -> None:
    cap = Cap(requests=3, per="day")
    with closing(SqlLedger(tmp_path / "spend.db")) as first:
        account, _ = allowed(cap, ledger=first)
        await ask(account(Says()))
        await account.reserve(Amount(requests=1))  # and then the process dies
    with closing(SqlLedger(f"sqlite:///{tmp_path}/spend.db")) as second:
        account, _ = allowed(cap, ledger=second)
        assert await stood(account) == (Amount(0, TOLD, 1), Amount(0, 0, 1))
        await ask(account(Says()))
        with pytest.raises(BudgetSpent, match="2 requests spent, 1 request reserved"):
            await ask(account(Says()))


def test_postgresql_keeps_them_too(postgres: str) -> None:
    async def ask_all(ledger: Ledger) -> tuple[int, Amount]:
        account, _ = allowed(Cap(requests=7, per=MINUTE), Cap(usd=1), ledger=ledger)
        inner = Says()
        asking = [asyncio.create_task(ask(account(inner))) for _ in range(20)]
        await asyncio.gather(*asking, return_exceptions=True)
        return inner.asked, (await stood(account))[0]

    with closing(SqlLedger(postgres)) as first:
        with first._writer.begin() as connection:  # pyright: ignore[reportPrivateUsage]
            connection.exec_driver_sql("DELETE FROM spending")
        assert asyncio.run(ask_all(first)) == (7, Amount(7 * 350_000, 7 * TOLD, 7))
        steps = [("reserve", Amount(9, 9, 1)), ("wait", 3.0), ("settle", (0, 5))] * 9
        asyncio.run(check_the_law(first, steps))
    with closing(SqlLedger(postgres)) as second:
        assert asyncio.run(ask_all(second))[0] == 0


SPENDER = """
import asyncio
from datetime import UTC, datetime
from assay.deps.spending.caps import Amount, Cap
from assay.deps.spending.ledger import Entry
from assay.deps.spending.ledger_sql import SqlLedger

async def main():
    ledger, caps = SqlLedger(place), [Cap(usd=1, per="month")]
    made = 0
    async def spend():
        nonlocal made
        for _ in range(10):
            entry = Entry("a", Amount(nanos=20_000_000), datetime(2026, 1, 31, tzinfo=UTC))
            if await ledger.reserve(entry, caps) is None:
                made += 1  # the answer is cheaper than it might have been
                await ledger.settle(entry, caps, Amount(nanos=10_000_000))
    await asyncio.gather(*[spend() for _ in range(10)])
    ledger.close()
    with open(f"{place}.{worker}", "w", encoding="utf-8") as file:
        file.write(str(made))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_processes_share_an_account(tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.deps.spending.ledger_sql"])
    place = tmp_path / "new" / "spend.db"
    workers = [
        context.Process(target=exec, args=(SPENDER, {"place": str(place), "worker": n}))
        for n in "abc"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    made = sum(int(Path(f"{place}.{n}").read_text(encoding="utf-8")) for n in "abc")
    with closing(SqlLedger(place)) as ledger:
        account, _ = allowed(Cap(usd=1, per="month"), ledger=ledger)
        spent, reserved = asyncio.run(stood(account.allowance.of("a")))
    # 300 tried to spend a cent each, and had to have two for it.
    assert (spent.nanos, reserved) == (made * 10_000_000, NOTHING)
    assert 98 - 30 < made <= 99


async def test_a_ledger_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "spend.db").write_text("no database, but long enough to be taken for one" * 50)
    with pytest.raises(ConfigError, match=r"the ledger '.*spend.db' cannot be used: file is not"):
        SqlLedger(tmp_path / "spend.db")
    with pytest.raises(ConfigError, match="only sqlite and postgresql are known"):
        SqlLedger("nonsense://host/db")
    with closing(SqlLedger(tmp_path / "other.db")) as ledger:
        with ledger._writer.begin() as connection:  # pyright: ignore[reportPrivateUsage]
            connection.exec_driver_sql("DROP TABLE spending")
        account, _ = allowed(Cap(requests=1), ledger=ledger)
        with pytest.raises(ConfigError, match="no such table: spending"):
            await ask(account(Says()))
