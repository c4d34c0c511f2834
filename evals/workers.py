"""So many workers, and what there is to do: the first that fails stops the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ("schedule",)

UnitT = TypeVar("UnitT")


async def schedule(
    units: Iterable[UnitT], work: Callable[[UnitT], Awaitable[None]], max_concurrency: int
) -> None:
    """Do `work` on every unit, `max_concurrency` at a time; the first exception stops the rest."""
    queue = iter(units)

    async def worker() -> None:
        for unit in queue:
            await work(unit)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max_concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
