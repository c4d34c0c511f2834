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
└── ProviderError       a model provider failed                     (exit code 3)
```

Each message names the value, the reason and the next step.
"""

from collections.abc import Iterator, Sequence

from pydantic_ai.exceptions import ModelAPIError

__all__ = (
    "AssayError",
    "BadDataset",
    "ConfigError",
    "InputError",
    "MissingExtra",
    "NotFound",
    "ProviderError",
    "UnknownModel",
    "Unsolvable",
    "provider_fault",
)


class AssayError(Exception):
    """Base of every error raised on purpose."""


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


class ProviderError(AssayError):
    """A model provider failed."""


def provider_fault(error: BaseException) -> bool:
    """Tell whether `error`, or what caused it, is a provider's failure and not ours."""
    return any(isinstance(e, (ProviderError, ModelAPIError)) for e in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and the members of groups, each once."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        e = queue.pop()
        if id(e) in seen:
            continue
        seen.add(id(e))
        yield e
        if isinstance(e, BaseExceptionGroup):
            queue.extend(e.exceptions)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        queue.extend(cause for cause in (e.__cause__, e.__context__) if cause is not None)
