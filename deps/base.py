"""What every agent is given: models, a clock, a budget and a cache."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage, UsageLimits

from .clock import Clock, utc_now
from .memo import Memo
from .models import Models
from .resilience.fallback import Trail

__all__ = ("BaseDeps",)


@dataclass(frozen=True, kw_only=True)
class BaseDeps:
    """The world of one agent or of several: make one at start-up and share it between runs.

    Args:
        models: What model names mean here.
        now: The clock, aware of its zone.
        usage: Where requests, tokens and cost are added up. Give the same object to several runs
            for one shared budget; None counts each run by itself.
        limits: What a run (or the runs that share `usage`) may spend.
        memo: Cache for costly constructions, shared by all runs with these deps.
    """

    models: Models = field(default_factory=Models)
    now: Clock = utc_now
    usage: RunUsage | None = None
    limits: UsageLimits = field(default_factory=UsageLimits)
    memo: Memo = field(default_factory=Memo)

    def charging(self, account: Callable[[Model], Model]) -> Self:
        """Return a copy whose runs are charged to an account; see `spending.Allowance.of`."""
        return replace(self, models=replace(self.models, wrap=(account, *self.models.wrap)))

    def noting(self, trail: Trail) -> Self:
        """Return a copy whose runs, sub-agents' too, note in `trail` which model answered."""
        return replace(self, models=replace(self.models, trail=trail))
