"""The bank that `assay run support` works in: filled with the sample where it is empty."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from ...agents import support
from ...deps.approvals import Approvals
from ...deps.approvals.sql import SqlApprovals
from ...deps.bank import BankRefused
from ...deps.bank.sql import SqlBank
from ...deps.errors import ConfigError
from ...deps.idempotency import Idempotency
from ...deps.idempotency.sql import SqlActs
from ...deps.models import Models
from ..suites.support import NOON, policies, sample

__all__ = ("resuming", "serving", "supporting")


@asynccontextmanager
async def supporting(
    models: Models, bank: str, customer: str, approvals: Approvals
) -> AsyncGenerator[support.Deps]:
    """Open what support needs, for the block.

    Args:
        models: What model names mean.
        bank: A file or URL. The sample's bookings are moved, so that the last are of these days.
        customer: Who is logged in.
        approvals: Where runs wait.
    """
    with SqlBank(bank) as opened, SqlActs() as acts:
        if await opened.empty():
            late = timedelta(days=(opened.now() - NOON).days)
            await opened.fill(sample().moved(late))
        yield support.Deps(
            models=models,
            bank=opened,
            customer=customer,
            policies=policies(),
            approvals=approvals,
            idempotency=Idempotency(acts),
        )


def serving(models: Models, bank: str, customer: str) -> Callable[[str], Awaitable[Any]]:
    """Return what takes a customer's message to support's output."""

    async def serve(message: str) -> Any:
        with SqlApprovals() as approvals:
            async with supporting(models, bank, customer, approvals) as deps:
                await _check(deps)
                return await support.run(message, deps)

    return serve


def resuming(
    models: Models, bank: str, customer: str, approvals: Approvals
) -> Callable[[str], Awaitable[Any]]:
    """Return what takes a paused run's id to support's output."""

    async def resume(id: str) -> Any:
        async with supporting(models, bank, customer, approvals) as deps:
            return await support.resume(id, deps)

    return resume


async def _check(deps: support.Deps) -> None:
    """Refuse a customer whom the bank does not have."""
    try:
        await deps.bank.customer(deps.customer)
    except BankRefused as e:
        raise ConfigError(
            f"this bank has no customer {deps.customer!r}; name one: --customer ID "
            "(of the sample: cu-ada, cu-ben, cu-cleo or cu-dora)"
        ) from e
