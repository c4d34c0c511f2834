"""Whatever people and workers do, and whenever workers die: what holds of a paused run."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from assay.deps.approvals import (
    AlreadyResumed,
    Approvals,
    Approve,
    BeingResumed,
    Decision,
    Deny,
    Edit,
    Finished,
    LeaseLost,
    MemoryApprovals,
    Paused,
    Request,
    Undecided,
    state_of,
)
from assay.deps.approvals.records import Record, claimed, finished, released, renewed
from assay.deps.approvals.sql import SqlApprovals
from assay.evals.cli.approvals import visible

from .approving import NOON

CALLS = ("call-a", "call-b")
LEASE = timedelta(seconds=20)
DECISIONS: dict[str, Decision] = {
    "approve": Approve(by="ann"),
    "edit": Edit(by="bob", arguments={"order": "a"}),
    "deny": Deny(by="eve"),
}
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def record(context: JsonValue = None, arguments: dict[str, JsonValue] | None = None) -> Record:
    requests = [Request(call_id=one, tool="refund", arguments=arguments or {}) for one in CALLS]
    limit = NOON + timedelta(minutes=3)
    paused = Paused(
        id="p", agent="desk", requests=tuple(requests), at=NOON, context=context, expires=limit
    )
    return Record(paused=paused, messages="[]", usage="{}")


@dataclass
class Play:
    """People that decide, and workers that resume, are heard of, fail, die, or finish."""

    store: Approvals
    now: timedelta = timedelta(0)
    workers: list[str] = field(default_factory=list[str])  # who believe that the run is theirs
    ended: int = 0
    stand: dict[str, Decision | None] = field(default_factory=dict[str, Decision | None])

    async def step(self, kind: str, number: int, name: str) -> None:
        if kind == "wait":
            self.now += timedelta(seconds=number)
        elif kind in DECISIONS:
            await self.decide(kind, CALLS[number % 2])
        elif kind == "resume":
            await self.resume(name)
        elif self.workers:
            await self.go_on(kind, self.workers[number % len(self.workers)], CALLS[number % 2])

    async def decide(self, kind: str, call: str) -> None:
        before = await self.kept()
        with suppress(AlreadyResumed):
            await self.store.decide("p", call, DECISIONS[kind])
            assert before.paused.begun is None or call in self.undecided(before)

    async def resume(self, name: str) -> None:
        before = await self.kept()
        state = state_of(before.paused, self.store.now())
        try:
            new = await self.store._change(  # pyright: ignore[reportPrivateUsage]
                "p", lambda old: claimed(old, name, self.store.now(), LEASE)
            )
        except (AlreadyResumed, BeingResumed, Undecided):
            assert state in ("finished", "resuming", "waiting")
            return
        assert state in ("ready", "expired")
        made = {one.call_id: one.decision for one in new.paused.requests}
        assert None not in made.values()
        assert made.items() >= self.stand.items()  # whoever comes later is to do the same
        self.stand = dict(made)
        self.workers.append(name)

    async def go_on(self, kind: str, name: str, call: str) -> None:
        owns = (await self.kept()).owner == name
        if kind in ("die", "fail", "bad", "finish"):
            self.workers.remove(name)
        at = self.store.now()
        changes: dict[str, Callable[[Record], Record]] = {
            "renew": lambda old: renewed(old, name, at + LEASE),
            "fail": lambda old: released(old, name),
            "bad": lambda old: released(old, name, bad=call),
            "finish": lambda old: finished(old, name, Finished(at=at)),
        }
        if kind not in changes:
            return
        try:
            await self.store._change("p", changes[kind])  # pyright: ignore[reportPrivateUsage]
        except LeaseLost:
            assert not owns
            return
        assert owns or kind in ("fail", "bad")
        self.ended += kind == "finish"
        if owns and kind == "bad":
            del self.stand[call]

    async def kept(self) -> Record:
        (found,) = await self.store._found("p", all=True)  # pyright: ignore[reportPrivateUsage]
        return found

    def undecided(self, kept: Record) -> set[str]:
        return {one.call_id for one in kept.paused.undecided}

    async def check(self) -> None:
        kept = await self.kept()
        assert self.ended == (kept.paused.finished is not None)
        assert (kept.owner is None) == (kept.paused.until is None)
        waits = [one.id for one in await self.store.pending()]
        assert waits == ([] if self.ended else ["p"])


KINDS = ["resume", "approve", "approve", "edit", "deny", "finish", "renew", "fail", "bad", "die"]
STEPS = st.lists(st.tuples(st.sampled_from([*KINDS, "wait"]), st.integers(0, 30)), max_size=40)


async def check_the_law(store: Approvals, steps: list[tuple[str, int]]) -> None:
    play = Play(store)
    store.now = lambda: NOON + play.now
    await store._add(record())  # pyright: ignore[reportPrivateUsage]
    for n, (kind, number) in enumerate(steps):
        await play.step(kind, number, f"worker-{n}")
        await play.check()


@settings(max_examples=300)
@given(steps=STEPS)
def test_one_goes_on_at_a_time_what_is_decided_stands_and_the_end_comes_once(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(check_the_law(MemoryApprovals(), steps))


@settings(max_examples=15)
@given(steps=STEPS)
def test_so_it_is_in_a_database(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, SqlApprovals(Path(folder) / "a") as store:
        asyncio.run(check_the_law(store, steps))


@settings(max_examples=25)
@example(context=float("inf"), arguments={"cents": float("-inf")})
@given(context=JSON, arguments=st.dictionaries(st.text(), JSON, max_size=3))
def test_a_database_gives_back_whatever_json_it_was_given(
    context: JsonValue, arguments: dict[str, JsonValue]
) -> None:
    async def there_and_back(store: SqlApprovals) -> None:
        given = record(context, arguments)
        await store._add(given)  # pyright: ignore[reportPrivateUsage]
        assert await store._found("p", all=True) == [given]  # pyright: ignore[reportPrivateUsage]
        edit = Edit(by="ann", arguments=arguments)
        paused = await store.decide("p", "call-a", edit)
        assert await store.get("p") == paused

    with tempfile.TemporaryDirectory() as folder, SqlApprovals(Path(folder) / "a") as store:
        store.now = lambda: NOON
        asyncio.run(there_and_back(store))


@given(text=st.text())
@example("\x1b[2J\x9b31m\u202e\u2066\x00\x7f\n\u2028\ufeff\ud800")
def test_nothing_but_what_is_printed_reaches_a_terminal(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert not text.isprintable() or shown == text
