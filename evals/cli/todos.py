"""The list that `assay run todo` keeps: in a database, as are its conversations and what waits."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...agents import todo
from ...deps.approvals import Approvals
from ...deps.approvals.sql import SqlApprovals
from ...deps.clock import utc_now
from ...deps.errors import ConfigError
from ...deps.models import Models
from ...deps.sessions.sql import SqlSessions
from ...deps.todos.sql import SqlTodos

__all__ = ("keeping", "listing", "resuming")

OWNER = "me"
"""Whose list a command line's is."""


@asynccontextmanager
async def listing(
    models: Models, todos: str | Path, zone: str, approvals: Approvals
) -> AsyncGenerator[todo.Deps]:
    """Open what the list needs, for the block.

    Args:
        models: What model names mean.
        todos: A file or URL.
        zone: A time zone such as `Europe/Berlin`; empty: this machine's, as it is now.
        approvals: Where runs wait.

    Raises:
        ConfigError: there is no such zone.
    """
    lives = _zone(zone)
    with SqlTodos(todos) as opened, SqlSessions(todos) as sessions:
        yield todo.Deps(
            models=models,
            todos=opened.of(OWNER),
            zone=lives,
            sessions=sessions,
            approvals=approvals,
        )


def keeping(
    models: Models, todos: str | Path, session: str, zone: str
) -> Callable[[str], Awaitable[Any]]:
    """Return what takes a message to its reply."""

    async def keep(message: str) -> Any:
        with SqlApprovals() as approvals:
            async with listing(models, todos, zone, approvals) as deps:
                return await todo.run(message, deps, session=session)

    return keep


def resuming(
    models: Models, todos: str | Path, zone: str, approvals: Approvals
) -> Callable[[str], Awaitable[Any]]:
    """Return what takes a paused run's id to its reply."""

    async def resume(id: str) -> Any:
        async with listing(models, todos, zone, approvals) as deps:
            return await todo.resume(id, deps)

    return resume


def _zone(name: str) -> tzinfo:
    here = utc_now().astimezone().tzinfo
    try:
        return ZoneInfo(name) if name or here is None else here
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise ConfigError(f"there is no time zone {name!r}; name one like Europe/Berlin") from e
