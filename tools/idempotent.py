"""Tools that act once per key, whatever is retried, replayed or killed (see `deps.idempotency`).

```python
@idempotent("at_most_once")
async def refund(ctx: RunContext[HasBank], act: Act, order: str, cents: int) -> Receipt:
    '''Pay an order back.'''
    return await ctx.deps.bank.refund(order, cents, idempotency_key=act.key)


agent.tool(refund)  # the model sees `order` and `cents`
```

`act` is what the tool is told of its act; the decorator gives it, and neither the model nor who
calls the tool sees it. The key is made of the tool's name, its arguments, and the caller's key or
the run's id: two refunds of the same sum for the same order in one run are one, unless an argument
tells them apart. The result is what is stored as JSON and read back, the first time too.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property, update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_ai import ApprovalRequired, CallDeferred, ModelRetry, RunContext

from ..deps.errors import ConfigError
from ..deps.idempotency import Act, Guarantee, HasIdempotency

__all__ = ("idempotent",)

NOTHING_DONE: tuple[type[Exception], ...] = (ModelRetry, ApprovalRequired, CallDeferred)
"""Errors with which a tool says that it has not acted."""

P = ParamSpec("P")
T = TypeVar("T")
DepsT = TypeVar("DepsT", bound=HasIdempotency)

Tool = Callable[Concatenate[RunContext[DepsT], P], Coroutine[Any, Any, T]]
Acting = Callable[Concatenate[RunContext[DepsT], Act, P], Awaitable[T]]


def idempotent(
    guarantee: Guarantee, *, undone: tuple[type[Exception], ...] = ()
) -> Callable[[Acting[DepsT, P, T]], Tool[DepsT, P, T]]:
    """Make a tool act once per key.

    Args:
        guarantee: What holds after a crash between the act and its record: `at_most_once` refuses,
            `at_least_once` acts again and is told so by `act.again`.
        undone: Errors of the tool that say that nothing was done, besides `ModelRetry` and those
            that ask for approval; after any other it may have acted.

    Raises:
        ConfigError: what it decorates is no async function `(ctx, act, ...)`, or its result is
            of no type that can be stored.
        OutcomeUnknown: from the tool, where it may act at most once and nobody knows if it has.
    """

    def decorate(function: Acting[DepsT, P, T]) -> Tool[DepsT, P, T]:
        signature = _without_act(function)
        stored = _Stored(function)

        async def tool(ctx: RunContext[DepsT], /, *args: P.args, **kwargs: P.kwargs) -> T:
            async def act(told: Act) -> str:
                return stored.dump(await function(ctx, told, *args, **kwargs))

            bound = signature.bind(ctx, *args, **kwargs)
            bound.apply_defaults()
            _, *arguments = bound.arguments.items()
            idempotency, name = ctx.deps.idempotency, function.__name__
            key = idempotency.key(name, dict(arguments), ctx.run_id)
            stored.prepare()
            safe = (*NOTHING_DONE, *undone)
            result = await idempotency.once(key, name, guarantee, act, undone=safe)
            return cast(T, stored.load(result))

        _show(tool, function, signature)
        return tool

    return decorate


def _without_act(function: Callable[..., Awaitable[object]]) -> inspect.Signature:
    """Return a tool's signature as its callers see it."""
    signature = inspect.signature(function)
    first = list(signature.parameters.values())
    if not inspect.iscoroutinefunction(function) or len(first) < 2:
        raise ConfigError(
            f"{function.__qualname__}{signature} cannot be made idempotent: write it as "
            "async def tool(ctx: RunContext[...], act: Act, ...)"
        )
    return signature.replace(parameters=[first[0], *first[2:]])


def _show(
    tool: Callable[..., object], function: Callable[..., object], signature: inspect.Signature
) -> None:
    """Let a tool look like the function it wraps, as its callers see that."""
    shown = cast(Any, update_wrapper(tool, function))
    seen = {*signature.parameters, "return"}
    shown.__signature__ = signature
    shown.__annotations__ = {name: t for name, t in tool.__annotations__.items() if name in seen}


class _Stored:
    """The result of a tool as it is stored."""

    def __init__(self, function: Callable[..., Awaitable[object]]) -> None:
        self._function = function
        self._name = function.__qualname__
        if "return" not in function.__annotations__:
            raise ConfigError(f"{self._name} returns nobody knows what; annotate what it returns")

    def prepare(self) -> None:
        """Raise now, before the tool acts, what is wrong with its annotation.

        Not when the tool is made: the types of its annotations may come later in its module.
        """
        _ = self.adapter

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        try:
            return TypeAdapter(get_type_hints(self._function, include_extras=True)["return"])
        except (NameError, PydanticSchemaGenerationError) as e:
            raise ConfigError(f"what {self._name} returns cannot be stored: {e}") from e

    def dump(self, result: object) -> str:
        try:
            text = self.adapter.dump_json(result, warnings="error").decode()
            self.adapter.validate_json(text)
        except ValueError as e:  # both errors of Pydantic are
            raise ConfigError(
                f"{self._name} has acted, but what it returned cannot be stored: {e}; "
                "return what its annotation says, and what JSON can hold"
            ) from e
        return text

    def load(self, text: str) -> Any:
        try:
            return self.adapter.validate_json(text)
        except ValidationError as e:
            raise ConfigError(
                f"what is stored of an act of {self._name} is not what it returns: {e}; if the "
                "tool was changed since, give its acts another key, or settle this one anew"
            ) from e
