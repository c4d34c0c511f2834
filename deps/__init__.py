"""What agents and tools are given: models, settings, clock, stores, errors."""

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
from .memo import Memo
from .models import BASELINE, Endpoint, Models, by_name
from .resilience.fallback import Answered, Trail
from .resilience.limiter import Limiter
from .settings import Settings
from .spending import Allowance, Cap
from .spending.budget import Budget, Meter

__all__ = (
    "BASELINE",
    "FENCE_RULE",
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
    "InputError",
    "Limiter",
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
    "unfence",
)
