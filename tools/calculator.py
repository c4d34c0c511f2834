"""Arithmetic that is exact to the cent: a model should not do it in its head."""

import ast
import decimal
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic_ai import ModelRetry, RunContext

from ..deps.errors import InputError

__all__ = ("Figure", "calculate", "evaluated")

CHARS = 500
DIGITS = 34  # IEEE 754 decimal128
EXPONENT = 60  # beyond it a figure is no amount, and its digits are a page

_ARITHMETIC = re.compile(
    r"(?:\s|[-+*/(),]|(?:\d[\d_]*+(?:\.[\d_]*+)?|\.\d[\d_]*+)(?:[eE][-+]?\d++)?(?![\w.])|[a-z]++)*+",
    re.ASCII,
)

_HELP = "use numbers, + - * / ** ( ), and abs, ceil, floor, max, min, round, sqrt"


def _plain(value: Decimal) -> str:
    return f"{value:f}"


class Figure(BaseModel):
    """A result; `exact` is False where it had to be rounded, to 34 digits."""

    model_config = ConfigDict(frozen=True)

    value: Annotated[Decimal, PlainSerializer(_plain)] = Field(description="no exponents")
    exact: bool


async def calculate(ctx: RunContext[object], expression: str) -> Figure:
    """Return what an arithmetic expression comes to, in decimals: 0.1 + 0.2 is 0.3.

    There are + - * / ** and parentheses, and abs, ceil, floor, max, min, sqrt and round(x, digits),
    which rounds halves away from zero, as bills do. 15% of 80 is 80 * 15 / 100.

    Args:
        ctx: The run.
        expression: Such as "round(1999.99 * 1.19, 2)".
    """
    try:
        return evaluated(expression)
    except InputError as e:
        raise ModelRetry(str(e)) from e


def evaluated(expression: str) -> Figure:
    """Return what an expression comes to.

    Raises:
        InputError: it is no arithmetic, or its result no number of a bearable size.
    """
    if len(expression) > CHARS:
        raise InputError(f"the expression has {len(expression)} characters; at most {CHARS}")
    context = decimal.Context(
        prec=DIGITS,
        Emax=EXPONENT,
        Emin=-EXPONENT,
        traps=[decimal.DivisionByZero, decimal.InvalidOperation, decimal.Overflow],
    )
    source = expression.strip()
    if not _ARITHMETIC.fullmatch(source):  # Python's parser warns of some text that is not
        raise InputError(f"{expression!r} is no arithmetic; {_HELP}")
    try:
        with decimal.localcontext(context) as used:
            value = _value(ast.parse(source, mode="eval").body, source)
            return Figure(value=value, exact=not used.flags[decimal.Inexact])
    except (SyntaxError, ValueError, MemoryError, RecursionError) as e:
        raise InputError(f"{expression!r} is no arithmetic: {e}; {_HELP}") from e
    except decimal.DecimalException as e:
        raise InputError(
            f"{expression!r} has no result: {type(e).__name__}; check its numbers"
        ) from e


def _value(node: ast.expr, source: str) -> Decimal:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _literal(node, number, source)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return +_value(operand, source)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, source), _value(right, source))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _called(name, [_value(arg, source) for arg in args])
        case _:
            shown = ast.get_source_segment(source, node) or source
            raise InputError(f"{shown!r} is not understood; {_HELP}")


def _literal(node: ast.Constant, number: int | float, source: str) -> Decimal:
    """Return a number as it was written: a float of 0.1 is not 0.1 any more."""
    if isinstance(number, int):
        return +Decimal(number)
    written = ast.get_source_segment(source, node) or repr(number)
    return +Decimal(written.replace("_", ""))


def _called(name: str, args: list[Decimal]) -> Decimal:
    least, most, function = _FUNCTIONS[name]
    if not least <= len(args) <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise InputError(f"{name} takes {takes} numbers, not {len(args)}; {_HELP}")
    return function(*args)


def _rounded(value: Decimal, digits: Decimal = Decimal(0)) -> Decimal:
    if digits != digits.to_integral_value() or abs(digits) > DIGITS:
        raise InputError(f"round cannot keep {digits} digits; give a whole number up to {DIGITS}")
    unit = Decimal(1).scaleb(-int(digits))
    # In a context of its own: a figure that was to be rounded is exact when it is.
    wide = decimal.Context(prec=DIGITS + 2 * EXPONENT)
    return value.quantize(unit, rounding=decimal.ROUND_HALF_UP, context=wide)


def _whole(rounding: str) -> Callable[[Decimal], Decimal]:
    return lambda value: value.to_integral_value(rounding=rounding)


_OPERATORS: Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: Decimal.__add__,
    ast.Sub: Decimal.__sub__,
    ast.Mult: Decimal.__mul__,
    ast.Div: Decimal.__truediv__,
    ast.Pow: Decimal.__pow__,
}

_FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Decimal]]] = {
    "abs": (1, 1, abs),
    "ceil": (1, 1, _whole(decimal.ROUND_CEILING)),
    "floor": (1, 1, _whole(decimal.ROUND_FLOOR)),
    "max": (1, CHARS, lambda *values: max(values)),
    "min": (1, CHARS, lambda *values: min(values)),
    "round": (1, 2, _rounded),
    "sqrt": (1, 1, Decimal.sqrt),
}
