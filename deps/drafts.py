"""A target model as a form that may be left blank, with a quote for each answer.

The form has the target's fields, descriptions and constraints, but every field may be null: a
model that cannot say "not there" invents. What the target demands is checked afterwards.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from types import UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
    field_validator,
)
from pydantic.fields import FieldInfo

from .errors import ConfigError, NotFound

__all__ = ("Claim", "Draft", "T", "blank", "demand", "draft", "filled")

T = TypeVar("T", bound=BaseModel)

# Pydantic's own schema of a Decimal holds a pattern with a look-ahead, which providers refuse.
_NUMBER = WithJsonSchema({"type": "number"})


class Claim(BaseModel):
    """Where a value is said to stand."""

    field: str = Field(description="dotted path of the filled field, e.g. amount or lines.0.price")
    quote: str = Field(description="the shortest passage that proves the value, copied exactly")
    after: str | None = Field(
        None,
        description="the words just before the quote, when it occurs more than once; else null",
    )

    @field_validator("field")
    @classmethod
    def _dotted(cls, path: str) -> str:
        return re.sub(r"\[(\d+)\]", r".\1", path)  # lines[0].price, as programmers write it


class Draft(BaseModel, Generic[T]):
    """The fields that the text gives, and where."""

    value: T = Field(description="what the text says; null where it does not say")
    quotes: list[Claim] = Field(description="one for each field that is not null")


def draft(target: type[BaseModel]) -> type[Draft[Any]]:
    """Return the model of drafts of `target`.

    Raises:
        ConfigError: `target` contains itself, so that the form would never end.
    """
    return cast(type[Draft[Any]], cast(Any, Draft)[blank(target)])


def blank(target: type[BaseModel]) -> type[BaseModel]:
    """Return `target` as a form: the same fields, each of which may be null.

    Raises:
        ConfigError: `target` contains itself.
    """
    return _form(target, ())


def filled(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted path and value of every leaf that is not None."""
    if isinstance(value, BaseModel):
        yield from filled(dict(value), path)
    elif isinstance(value, dict):
        for key, item in cast(Mapping[object, object], value).items():
            yield from filled(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from filled(dict(enumerate(cast(Iterable[object], value))), path)
    elif value is not None:
        yield path, value


def demand(target: type[T], value: BaseModel) -> T:
    """Make a target of what a form holds; null stands for "not in the text".

    Raises:
        NotFound: required fields are null.
        ValidationError: a validator of the target refuses a value.
    """
    fields = value.model_dump(exclude_none=True)
    try:
        return target.model_validate(fields, by_name=True)
    except ValidationError as e:
        missing = [error["loc"] for error in e.errors() if error["type"] == "missing"]
        if not missing:
            raise
    for loc in missing:
        _put_none(fields, loc)  # a required field may well accept null
    try:
        return target.model_validate(fields, by_name=True)
    except ValidationError as e:
        wrong = [error["loc"] for error in e.errors()]
        if all(loc in missing for loc in wrong):
            raise NotFound([".".join(map(str, loc)) for loc in wrong]) from e
        raise


def _put_none(fields: Any, loc: tuple[int | str, ...]) -> None:
    for key in loc[:-1]:
        if isinstance(key, str) and key not in fields:
            return  # the name of a union's member, not of a field
        fields = fields[key]
    fields[loc[-1]] = None


def _form(target: type[BaseModel], above: tuple[type[BaseModel], ...]) -> type[BaseModel]:
    if target in above:
        raise ConfigError(
            f"target model {target.__name__!r} contains itself; extract into a model with lists "
            "of plain models instead"
        )
    above = (*above, target)
    fields: dict[str, Any] = {
        name: (_optional(info, above), _blank(info)) for name, info in target.model_fields.items()
    }
    return create_model(target.__name__, __doc__=target.__doc__, **fields)


def _optional(info: FieldInfo, above: tuple[type[BaseModel], ...]) -> Any:
    kind = _form_of(info.annotation, above)
    for constraint in info.metadata:
        kind = cast(Any, Annotated)[kind, constraint]
    return cast(Any, Union)[kind, None]


def _blank(info: FieldInfo) -> Any:
    return Field(
        default=None, title=info.title, description=info.description, examples=info.examples
    )


def _form_of(kind: Any, above: tuple[type[BaseModel], ...]) -> Any:
    """Return `kind` with every model in it replaced by its form."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is None or origin is Literal:
        return _plain(kind, above)
    if origin is Annotated:
        return cast(Any, Annotated)[_form_of(args[0], above), *args[1:]]
    parts = tuple(_form_of(arg, above) for arg in args)
    if origin in (Union, UnionType):
        return cast(Any, Union)[parts]
    return origin[parts]


def _plain(kind: object, above: tuple[type[BaseModel], ...]) -> Any:
    if _is_model(kind):
        return _form(kind, above)
    return cast(Any, Annotated)[kind, _NUMBER] if kind is Decimal else kind


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
