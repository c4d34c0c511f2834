"""The bias battery: judges with one known weakness each, and what it says of them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from assay.evals.judges.bias import CHANGES, Bias, battery, family_of
from assay.evals.judges.items import Item, Scale, Verdict
from assay.evals.statistics.agreement import Label

PAIRS = [
    Item(
        id=f"p{n}",
        candidate=("right" if n % 2 else "wrong") + f" answer {n}",
        other=("wrong" if n % 2 else "right") + f" answer {n}",
        label="a" if n % 2 else "b",
        writers=("gpt", "claude") if n % 3 else ("claude", "gpt"),
    )
    for n in range(60)
]
SINGLES = [
    Item(id=f"s{n}", candidate=("right" if n % 2 else "wrong"), label="pass" if n % 2 else "fail")
    for n in range(60)
]


@dataclass
class Judge:
    """Sees what is right, unless `sways` makes it blind to a text's wrongness."""

    sways: Callable[[str], bool] = lambda text: False
    flips: bool = False
    silent: Callable[[Item], bool] = lambda item: False
    asked: int = 0

    def good(self, text: str) -> bool:
        return "right" in text or self.sways(text)

    async def __call__(self, item: Item, scale: Scale) -> Verdict:
        self.asked += 1
        if self.silent(item):
            return Verdict(label=None)
        if scale == "verdict":
            return Verdict(label="pass" if self.good(item.candidate) else "fail")
        if self.flips:
            return Verdict(label="tie", flipped=True)
        a, b = self.good(item.candidate), self.good(item.other or "")
        swayed = self.sways(item.other or "") - self.sways(item.candidate)
        label: Label = "b" if swayed > 0 else "a" if swayed < 0 else "a" if a > b else "b"
        return Verdict(label=label)


async def found(judge: Judge, items: list[Item], scale: Scale, own: str = "") -> dict[str, Bias]:
    biases = await battery(items, scale, judge, own_family=own)
    return {one.name: one for one in biases}


@pytest.mark.parametrize("items", [PAIRS, SINGLES], ids=["pairs", "singles"])
async def test_a_judge_without_weakness_is_swayed_by_nothing(items: list[Item]) -> None:
    scale: Scale = "pairwise" if items is PAIRS else "verdict"
    biases = await found(Judge(), items, scale)
    assert {one.swayed for one in biases.values()} == {0}
    assert all(
        biases[name].items == len(items) // (1 if scale == "pairwise" else 2) for name in CHANGES
    )


MARKS = {
    "padding": "To sum up",
    "confidence": "completely certain",
    "markdown": "## Answer",
    "authority": "Harvard",
    "planted": "Note to the evaluator",
}


@pytest.mark.parametrize("weakness", list(CHANGES))
@pytest.mark.parametrize("scale", ["pairwise", "verdict"])
async def test_each_weakness_is_found_and_no_other(weakness: str, scale: Scale) -> None:
    judge = Judge(sways=lambda text: MARKS[weakness] in text)
    biases = await found(judge, PAIRS if scale == "pairwise" else SINGLES, scale)
    assert {name for name, one in biases.items() if one.swayed} == {weakness}
    assert biases[weakness].rate == 1
    assert biases[weakness].state(0.1) == "broken"
    assert biases["same twice"].state(0.1) == "kept"


async def test_a_winner_that_changes_with_the_order_is_counted() -> None:
    biases = await found(Judge(flips=True), PAIRS, "pairwise")
    assert biases["order"].rate == 1
    assert biases["padding"].items == 0
    assert "saw through no worse candidate" in biases["padding"].why_none


async def test_a_judge_that_is_not_of_one_mind_is_counted() -> None:
    judge = Judge()
    judge.sways = lambda text: judge.asked > 60  # from the second time on
    biases = await found(judge, SINGLES, "verdict")
    assert biases["same twice"].rate == 0.5


async def test_a_judge_that_prefers_its_own_family_is_found() -> None:
    class Vain(Judge):
        async def __call__(self, item: Item, scale: Scale) -> Verdict:
            assert item.writers is not None
            return Verdict(label="a" if item.writers[0] == "gpt" else "b")

    vain = await found(Vain(), PAIRS, "pairwise", own="gpt")
    fair = await found(Judge(), PAIRS, "pairwise", own="gpt")
    assert vain["own family"].rate == 1
    assert fair["own family"].rate == 0
    assert (
        "no item has writers"
        in (await found(Judge(), PAIRS, "pairwise", "llama"))["own family"].why_none
    )


async def test_silence_is_counted_and_sways_nothing() -> None:
    judge = Judge(silent=lambda item: "To sum up" in item.candidate + (item.other or ""))
    biases = await found(judge, PAIRS, "pairwise")
    assert (biases["padding"].items, biases["padding"].unscored) == (0, 60)


def test_too_few_items_leave_a_limit_open() -> None:
    assert Bias(name="order", swayed=0, items=5).state(0.1) == "open"
    assert Bias(name="order", swayed=0, items=0).state(0.1) == "none"


def test_a_family_is_told_by_the_models_name() -> None:
    assert family_of("openai:gpt-5") == "gpt"
    assert family_of("anthropic:claude-opus-4-5") == "claude"
    assert family_of("baseline") == ""
