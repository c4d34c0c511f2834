"""The world of every tool at once, with more in it than a model should read at a time."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx2

from assay.deps.bank import BankData, Policies
from assay.deps.bank.sql import SqlBank
from assay.deps.documents import Document
from assay.deps.documents.index import SqliteDocuments
from assay.deps.folder import Folder
from assay.deps.history import MemoryMessages, PastMessage
from assay.deps.idempotency import Idempotency, MemoryActs
from assay.deps.memory.sql import SqlMemories
from assay.deps.sql.sqlite import SqliteQueries
from assay.deps.style import MemoryStyle, StyleRule
from assay.deps.todos import MemoryTodos
from assay.deps.web import GuardedClient, Reach, Web
from assay.deps.web.search import SearXNG

from .pages import mocked

__all__ = ("LONG", "NOW", "World")

LONG = "a long story of notes " * 3_000
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)

BANK = {
    "customers": [{"id": "c1", "name": "Ann Example"}],
    "accounts": [{"id": "a1", "customer": "c1", "kind": "current", "balance": 100_000}],
    "cards": [
        {"id": "k1", "customer": "c1", "account": "a1", "last4": "4711", "kind": "debit"},
    ],
}


class World:
    """Deps of every protocol that a tool asks for."""

    customer = "c1"
    zone = ZoneInfo("UTC")
    policies = Policies(approval_above=5_000, refund_days=30, text="Be kind.")

    def __init__(self, folder: Path) -> None:
        root = folder / "root"
        root.mkdir()
        (root / "notes").write_text(LONG, encoding="utf-8")
        for n in range(400):
            (root / f"{n:03}-{'n' * 100}.md").write_text("a\n" * 40, encoding="utf-8")
        self.folder = Folder(root=root, writable=True)
        with mocked(page):
            self.web = Web(client=GuardedClient(Reach(resolve=public)))
            self.search = SearXNG(
                url="https://search.example.com", client=GuardedClient(Reach(resolve=public))
            )
        self.history = MemoryMessages(tuple(PastMessage(text=LONG, label="a") for _ in range(9)))
        self.style = MemoryStyle(tuple(StyleRule(id=f"{n}", text=LONG) for n in range(9)))
        self.documents = SqliteDocuments()
        self.queries = SqliteQueries(database(folder / "data.db"))
        self.bank = SqlBank(folder / "bank.db")
        self.idempotency = Idempotency(MemoryActs()).of("a caller")
        self.todos = MemoryTodos().of("ann")
        self.memories = SqlMemories(folder / "memories.db")
        self.memory = self.memories.of("ann")

    async def fill(self) -> None:
        await self.documents.add(Document(id="a", text=LONG), Document(id="b", text="a b c. " * 99))
        await self.bank.fill(bank())
        for n in range(400):
            await self.todos.add(f"a {n} {'note ' * 30}")

    def now(self) -> datetime:
        return NOW

    def close(self) -> None:
        self.documents.close()
        self.bank.close()
        self.memories.close()


def bank() -> BankData:
    booking = {"account": "a1", "kind": "purchase", "cents": 1_250, "memo": LONG[:2_000]}
    payments = [
        {**booking, "id": f"t{n}", "merchant": f"a {'shop ' * 20}", "at": NOW - timedelta(hours=n)}
        for n in range(1_000)
    ]
    return BankData.model_validate({**BANK, "payments": payments})


def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE a (e INTEGER, notes TEXT)")
        db.executemany("INSERT INTO a VALUES (?, ?)", [(n, LONG[:9_000]) for n in range(500)])
    return path


async def public(host: str, port: int) -> Sequence[str]:
    return ["93.184.215.14"]


async def body(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


def page(request: httpx2.Request) -> httpx2.Response:
    if request.headers["host"].startswith("search."):
        hit = {"title": LONG, "url": "https://example.com/", "content": LONG}
        return httpx2.Response(200, json={"results": [hit] * 30})
    return httpx2.Response(200, headers={"content-type": "text/plain"}, content=body(LONG))
