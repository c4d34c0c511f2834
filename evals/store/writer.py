"""Store trials from the event loop without ever blocking it."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from .database import RunStore
from .rows import Record, content_row, trial_row

__all__ = ("StoreWriter",)

Row = Mapping[str, Any]
Waiting = tuple[Row, Row | None, asyncio.Future[None]]
"""A trial's row, that of its case's content where it brings one, and who waits for it."""


class StoreWriter:
    """Writes one run's trials, by one worker thread at a time.

    `add` returns when the trial is committed. Trials that finish while a commit is under way share
    the next one, so a fast run pays one commit for many trials, and a slow one waits for nobody.

    ```python
    async with StoreWriter(store, run.id) as writer:
        await writer.add(Record(suite="triage", result=result))
    ```
    """

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._waiting: list[Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, record: Record) -> None:
        """Store a trial; return when it is durable.

        A caller that is cancelled meanwhile has still handed it in: it is written all the same.

        Raises:
            ConfigError: the store cannot be written; the trial is not in it.
        """
        row = trial_row(self._run_id, record, self._store.now().isoformat())
        committed = asyncio.get_running_loop().create_future()
        self._waiting.append((row, content_row(record), committed))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await committed

    async def aclose(self) -> None:
        """Wait until everything handed in is written."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._writing = None

    async def _commit(self, batch: list[Waiting]) -> None:
        trials = [row for row, _, _ in batch]
        contents = [row for _, row, _ in batch if row is not None]
        try:
            await asyncio.to_thread(self._store.insert, trials, contents)
        except Exception as e:  # each caller is told: none of these trials is in the store
            for _, _, committed in batch:
                if not committed.done():
                    committed.set_exception(e)
        else:
            for _, _, committed in batch:
                if not committed.done():
                    committed.set_result(None)
