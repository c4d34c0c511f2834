"""Sums come out to the cent, and what is no sum is refused."""

import operator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from assay.deps.errors import InputError
from assay.tools.calculator import calculate, evaluated

CENTS = st.decimals(-(10**9), 10**9, places=2)


@pytest.mark.parametrize(
    ("expression", "value", "exact"),
    [
        ("0.1 + 0.2", "0.3", True),
        ("round(1999.99 * 1.19, 2)", "2379.99", True),
        ("round(2.345, 2)", "2.35", True),
        ("round(-2.5)", "-3", True),
        ("round(1234, -2)", "1200", True),
        ("80 * 15 / 100", "12", True),
        ("1 / 3", "0." + "3" * 34, False),
        ("2 ** 0.5", "1.414213562373095048801688724209698", False),
        ("-2 ** 2", "-4", True),
        ("sqrt(16) + abs(-1) + max(1, 2, 3) - min(4, 5)", "4", True),
        ("floor(-1.5) + ceil(1.2)", "0", True),
        (" 1_000.50 * 1e3 ", "1000500", True),
        ("1e-9", "0.000000001", True),
    ],
)
async def test_a_sum_is_exact_or_says_that_it_is_not(
    expression: str, value: str, exact: bool
) -> None:
    ctx = RunContext(deps=None, model=TestModel(), usage=RunUsage())
    figure = await calculate(ctx, expression)
    assert figure.value == Decimal(value)
    assert figure.exact is exact
    assert "E" not in str(figure.model_dump(mode="json")["value"])


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x",
        "1 +",
        "7 // 2",
        "15%",
        "1 if 2 else 3",
        "1and 2",
        "1else 2",
        "0x10",
        "1j",
        "True",
        "None",
        "'a' * 10**9",
        "[1] * 10**9",
        "(1).real",
        "().__class__.__bases__",
        "__import__('os').system('id')",
        "open('a')",
        "lambda: 1",
        "(x := 1)",
        "max(*[1])",
        "max()",
        "abs(1, 2)",
        "round(1, 2.5)",
        "round(1, 99)",
        "max(1)(2)",
        "1 / 0",
        "0 / 0",
        "0 ** 0",
        "sqrt(-1)",
        "(-8) ** (1 / 3)",
        "9 ** 9 ** 9 ** 9",
        "10 ** 999999999999",
        "1e999999999",
        "9" * 499,
        "1" * 501,
        "(" * 240 + "1" + ")" * 240,
        "²",
        "٣",
        "1\0",
    ],
)
async def test_what_is_no_sum_is_refused_with_what_to_do(expression: str) -> None:
    ctx = RunContext(deps=None, model=TestModel(), usage=RunUsage())
    with pytest.raises(ModelRetry, match=r"use|check|at most|give"):
        await calculate(ctx, expression)


@given(CENTS, CENTS, st.sampled_from(["+", "-", "*"]))
def test_sums_of_amounts_agree_with_fractions(a: Decimal, b: Decimal, op: str) -> None:
    exact = {"+": operator.add, "-": operator.sub, "*": operator.mul}[op]
    figure = evaluated(f"({a}) {op} ({b})")
    assert figure.exact
    assert Fraction(figure.value) == exact(Fraction(a), Fraction(b))


@given(st.text(alphabet="0123456789.eE+-*/(), _absqrtmxinfloudc", max_size=40) | st.text())
def test_any_text_is_a_figure_or_is_refused(expression: str) -> None:
    try:
        figure = evaluated(expression)
    except InputError:
        return
    assert figure.value.is_finite()
    assert len(f"{figure.value:f}") < 250
