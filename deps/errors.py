"""Every error this library raises, on one page.

```
AssayError
├── InputError          the caller's input cannot be used as it is
│   ├── Unsolvable      a baseline has no honest answer to this input
│   └── NotFound        required fields are not in the text
├── ConfigError         a name, a setting or a file is wrong        (exit code 2)
│   ├── UnknownModel    a model name nobody here can resolve
│   ├── MissingExtra    a library that an optional extra brings
│   └── BadDataset      a dataset or taxonomy file that cannot be read
├── ApprovalImpossible  a call needs a person's approval, and the run cannot pause for one
├── GuardHit            a guard flagged what a run was given, and the run was cancelled
├── GuardFailed         a guard gave no answer, and the run was not to go on without one
├── LoopDetected        a run calls the same tools again and again, and comes no further
├── SessionMoved        a conversation went on while a turn of it was made
├── SessionBusy         others took turns in a conversation for longer than one may wait
├── OutcomeUnknown      nobody knows whether a tool has acted, so it does not act again
├── RunTimeout          a run took longer than its caller allows
├── ToolTimeout         a tool did, in its last attempt too
└── ProviderError       a model provider failed                     (exit code 3)
    ├── ProviderRefused     it will never take this request: bad key, unknown model, no credit
    │   └── ContextTooLong  more was sent than the model can read
    ├── ProviderBusy        it takes no more requests now: HTTP 429, 529
    ├── ProviderDown        it cannot be reached or cannot work: no connection, 408, 5xx
    │   ├── ProviderTimeout     it did not answer in time
    │   └── CircuitOpen         it failed so often that it is not asked for a while
    └── ProviderGarbled     its answer cannot be read
        └── StreamCutShort  its stream ended before the answer did
```

Each message names the value, the reason and the next step.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from pydantic_ai.exceptions import AgentRunError, ModelAPIError, UsageLimitExceeded

from .secrets import related

__all__ = (
    "ApprovalImpossible",
    "AssayError",
    "BadDataset",
    "BudgetSpent",
    "Called",
    "CircuitOpen",
    "ConfigError",
    "ContextTooLong",
    "GuardFailed",
    "GuardHit",
    "InputError",
    "LoopDetected",
    "MissingExtra",
    "NotFound",
    "OutcomeUnknown",
    "ProviderBusy",
    "ProviderDown",
    "ProviderError",
    "ProviderGarbled",
    "ProviderRefused",
    "ProviderTimeout",
    "RunTimeout",
    "SessionBusy",
    "SessionMoved",
    "StreamCutShort",
    "ToolTimeout",
    "UnknownModel",
    "Unsolvable",
    "provider_fault",
)


class AssayError(Exception):
    """Base of every error raised on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, vars(self))

    @classmethod
    def restored(cls, args: tuple[Any, ...], state: dict[str, Any]) -> Self:
        """Return an error that was pickled."""
        error = cls.__new__(cls)
        error.args = args
        vars(error).update(state)
        return error


def _restored(kind: type[AssayError], args: tuple[Any, ...], state: dict[str, Any]) -> AssayError:
    return kind.restored(args, state)


class InputError(AssayError):
    """The caller's input cannot be used as it is."""


class Unsolvable(InputError):
    """A baseline has no honest answer to this input."""


class NotFound(InputError):
    """Required fields are not in the text; `fields` names them."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(
            f"required fields {', '.join(map(repr, self.fields))} are not in the text; "
            "make them optional in the target model if the text may lack them"
        )


class ConfigError(AssayError):
    """A name, a setting or a file is wrong."""


class UnknownModel(ConfigError):
    """A model name that nobody here can resolve."""


class MissingExtra(ConfigError):
    """A library is missing that an optional extra brings."""


class BadDataset(ConfigError):
    """A dataset or taxonomy file cannot be read or does not hold what it should."""


class ApprovalImpossible(AssayError):
    """A call needs a person's approval, and its run cannot pause for one: it was not made."""


class GuardHit(AssayError):
    """A guard flagged what a run was given: the run was cancelled.

    Args:
        message: What was flagged, why, and what to do.
        category: What it was flagged as.
        spans: The words that did it: start, end and `text[start:end]`.
        reason: The guard's own reason.
        confidence: How sure it is, from 0 to 1.
    """

    def __init__(
        self,
        message: str,
        *,
        category: str,
        spans: tuple[tuple[int, int, str], ...],
        reason: str,
        confidence: float,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.spans = spans
        self.reason = reason
        self.confidence = confidence


class GuardFailed(AssayError):
    """A guard gave no answer: the run was cancelled, for it was to fail closed."""


class Called(NamedTuple):
    """A call of a tool, as far as it may be shown.

    Attributes:
        tool: The tool.
        arguments: Its arguments as JSON, shortened, without keys.
        result: A digest of what it returned: equal for equal results.
    """

    tool: str
    arguments: str
    result: str


class LoopDetected(AssayError, AgentRunError):
    """A run calls the same tools again and again, and comes no further (see `loop_guard`).

    Args:
        message: Which calls, how often, and what to do.
        pattern: `repeated`, `alternating` or `no progress`.
        count: How often that was.
        trail: The calls of the loop, in their order.
    """

    def __init__(self, message: str, *, pattern: str, count: int, trail: Sequence[Called]) -> None:
        super().__init__(message)
        self.pattern = pattern
        self.count = count
        self.trail = tuple(trail)


class OutcomeUnknown(AssayError):
    """A tool was to act at most once, and nobody knows whether it has (see `idempotency`).

    Args:
        message: Which tool, since when, and what to do.
        tool: The tool.
        key: The key of the act, which whatever the tool acts on may know.
        begun: When it was begun.
    """

    def __init__(self, message: str, *, tool: str, key: str, begun: datetime) -> None:
        super().__init__(message)
        self.tool = tool
        self.key = key
        self.begun = begun


class SessionMoved(AssayError):
    """A conversation went on while a turn of it was made: the turn was not added.

    Args:
        session: The conversation.
        expected: The number of the turn that this one was to follow; 0 for the first.
        found: The number of the last turn that is there.
    """

    def __init__(self, session: str, *, expected: int, found: int) -> None:
        super().__init__(
            f"session {session!r} is at turn {found}, and a turn that was made after turn "
            f"{expected} was not added: load it again and run on what is there now, or make the "
            "turn within `async with turn(...)`, in which others wait"
        )
        self.session = session
        self.expected = expected
        self.found = found


class SessionBusy(AssayError):
    """Others took turns in a conversation for longer than one may wait."""


class RunTimeout(AssayError):
    """A run took longer than its caller allows: nobody else is asked, for the time is the run's."""


class ToolTimeout(AssayError):
    """A tool took longer than it may, and the model has no more attempts at it."""


class BudgetSpent(AssayError, UsageLimitExceeded):
    """A request was not made, as it might take more than is left under a cap (see `spending`).

    It is a `UsageLimitExceeded` too: whatever stops at Pydantic AI's limits stops at this one.

    Args:
        message: Whose budget it is, how much of it is spent, and what to do.
        tenant: Whose budget it is.
        unit: What is capped: `usd`, `tokens` or `requests`. The figures are in it.
        cap: How much may be spent.
        spent: How much is.
        reserved: How much requests under way may take.
        estimate: How much this request may take.
        frees: When it fits at the latest, if nothing else is asked; None if it never does.
        retry_after: How many seconds from now that is.
    """

    def __init__(
        self,
        message: str,
        *,
        tenant: str,
        unit: str,
        cap: float,
        spent: float,
        reserved: float,
        estimate: float,
        frees: datetime | None,
        retry_after: float | None,
    ) -> None:
        # Not that of `UsageLimitExceeded`: it adds a hint at limits that are not these.
        AgentRunError.__init__(self, message)
        self.tenant = tenant
        self.unit = unit
        self.cap = cap
        self.spent = spent
        self.reserved = reserved
        self.estimate = estimate
        self.frees = frees
        self.retry_after = retry_after


class ProviderError(AssayError, ModelAPIError):
    """A model provider failed.

    It is a `ModelAPIError` too, so that whatever knows only Pydantic AI's errors, such as its
    `FallbackModel`, takes a provider's failure for one, however it was found.

    Args:
        message: Which model, what is wrong and what to do.
        model_name: The model that was asked; empty if several were.
        status: The HTTP status of the answer, if there was an answer with one.
        retry_after: Seconds from now that the provider asks to wait, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        model_name: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(model_name, message)
        self.status = status
        self.retry_after = retry_after


class ProviderRefused(ProviderError):
    """A provider will not take this request, however often it is made."""


class ContextTooLong(ProviderRefused):
    """More was sent than the model can read: a model with a larger window may."""


class ProviderBusy(ProviderError):
    """A provider takes no more requests at this moment."""


class ProviderDown(ProviderError):
    """A provider cannot be reached, or cannot work."""


class ProviderTimeout(ProviderDown):
    """A provider did not answer in time."""


class CircuitOpen(ProviderDown):
    """A provider failed so often that it is not asked before `until`."""

    def __init__(
        self, message: str, *, model_name: str, until: datetime, retry_after: float
    ) -> None:
        super().__init__(message, model_name=model_name, retry_after=retry_after)
        self.until = until


class ProviderGarbled(ProviderError):
    """A provider's answer cannot be read."""


class StreamCutShort(ProviderGarbled):
    """A stream ended before the answer did: what came of it is not an answer."""


def provider_fault(error: BaseException) -> bool:
    """Tell whether `error`, or what caused it, is a provider's failure and not ours."""
    return any(isinstance(e, ModelAPIError) for e in related(error))
