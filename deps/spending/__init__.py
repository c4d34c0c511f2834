"""What may be spent in a window of time, by each tenant: refused before it is asked for."""

from .allowance import (
    Account,
    Allowance,
    BudgetSpent,
    Cap,
    MemoryLedger,
    Standing,
)

__all__ = (
    "Account",
    "Allowance",
    "BudgetSpent",
    "Cap",
    "MemoryLedger",
    "Standing",
)
