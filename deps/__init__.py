"""What agents and tools are given: models, settings, clock, stores, errors."""

from .acting import ActingBaseline
from .base import BaseDeps
from .baseline import BaselineModel
from .errors import (
    AssayError,
    BadDataset,
    BudgetSpent,
    ConfigError,
    InputError,
    MissingExtra,
    NotFound,
    ProviderError,
    UnknownModel,
    Unsolvable,
)
from .fence import FENCE_RULE, fence, unfence
from .idempotency import Idempotency
from .loop_guard import LoopGuard
from .memo import Memo
from .models import BASELINE, Endpoint, Models, by_name
from .resilience.fallback import Answered, Trail
from .resilience.limiter import Limiter
from .safety import safe
from .settings import Settings
from .spending import Allowance, Cap
from .spending.budget import Budget, Meter

__all__ = (
    "BASELINE",
    "FENCE_RULE",
    "ActingBaseline",
    "Allowance",
    "Answered",
    "AssayError",
    "BadDataset",
    "BaseDeps",
    "BaselineModel",
    "Budget",
    "BudgetSpent",
    "Cap",
    "ConfigError",
    "Endpoint",
    "Idempotency",
    "InputError",
    "Limiter",
    "LoopGuard",
    "Memo",
    "Meter",
    "MissingExtra",
    "Models",
    "NotFound",
    "ProviderError",
    "Settings",
    "Trail",
    "UnknownModel",
    "Unsolvable",
    "by_name",
    "fence",
    "safe",
    "unfence",
)
