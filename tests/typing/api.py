"""What callers are promised about types. Checked by pyright and mypy, never run."""

from collections.abc import Mapping
from typing import assert_type

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_evals import Dataset

from assay.agents import copy_editor, desk, extract, judge, triage
from assay.deps import Trail
from assay.evals import Suite, SuiteReport, Trial, evaluate, plain, task_of


class Order(BaseModel):
    """A caller's own target."""

    number: str


async def services(
    triage_deps: triage.Deps, extract_deps: extract.Deps, edit: copy_editor.Deps, whole: desk.Deps
) -> None:
    assert_type(triage.agent, Agent[triage.Deps, triage.Triage])
    assert_type(await triage.run("text", triage_deps), triage.Triage)
    found = await extract.run("text", Order, extract_deps)
    assert_type(found, extract.Extraction[Order])
    assert_type(found.value.number, str)
    assert_type(extract.agent(Order), Agent[extract.Deps, extract.Extraction[Order]])
    assert_type(await copy_editor.run("text", edit), copy_editor.Review)
    assert_type(await desk.run("text", whole), desk.Handled)
    assert_type(judge.agent, Agent[judge.Deps, judge.Judgement])
    async with triage.stream("text", triage_deps) as sorting:
        async for partial in sorting:
            assert_type(partial, triage.Partial)
        assert_type(await sorting.output(), triage.Triage)
    async with extract.stream("text", Order, extract_deps) as filling:
        assert_type(await anext(filling), Mapping[str, object])
        assert_type(await filling.output(), extract.Extraction[Order])
    assert_type(whole.noting(Trail()), desk.Deps)
    # The whole is every part's deps.
    assert_type(await triage.run("text", whole), triage.Triage)


async def count(text: str) -> int:
    return len(text)


async def evaluation(suite: Suite[str, int], trial: Trial) -> None:
    assert_type(await evaluate(suite), SuiteReport)
    assert_type(await plain(count)("text", trial), int)
    asked = Agent("test", output_type=Order)
    assert_type(await task_of(asked, None)("text", trial), Order)
    dataset = Dataset[str, int, None](name="d", cases=[])
    assert_type(Suite.of(dataset, count), Suite[str, int])
