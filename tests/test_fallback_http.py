"""A dead provider is stood in for by the baseline: over real HTTP."""

from contextlib import aclosing

import pytest

from assay.agents import desk, triage
from assay.deps import Endpoint, Models
from assay.deps.resilience.fallback import Trail
from assay.deps.taxonomy import Label, Taxonomy

from .chains import TAXONOMY
from .loopback import Provider

pytestmark = pytest.mark.slow


def dying(provider: Provider) -> Models:
    provider.dies_after = 0
    return Models(default="llama", endpoint=Endpoint(provider.url), fallback=("baseline",))


async def test_a_dead_provider_is_stood_in_for_by_the_baseline(provider: Provider) -> None:
    trail = Trail()
    async with aclosing(dying(provider)) as models:
        deps = triage.Deps(taxonomy=TAXONOMY, models=models).noting(trail)
        got = await triage.run("I lost my card", deps)
    assert got == await triage.run("I lost my card", triage.Deps(taxonomy=TAXONOMY))
    assert trail.degraded
    (run,) = trail.runs
    assert (run.model, run.passed[0].model, run.passed[0].why) == ("baseline", "llama", "provider")
    assert "a baseline, not an LLM" in str(run)


async def test_the_desk_goes_on_when_the_provider_is_dead(provider: Provider) -> None:
    message = "Question: is your shop open on Sundays, and until when?"
    taxonomy = Taxonomy(
        labels=(
            Label(name="question", description="asks", examples=("when is your shop open?",)),
            Label(name="booking", description="books", examples=("I book a table for two",)),
        )
    )
    trail = Trail()
    async with aclosing(dying(provider)) as models:
        deps = desk.Deps(taxonomy=taxonomy, models=models, min_confidence=0.0)
        got = await desk.run(message, deps.noting(trail))
    assert [step.error for step in got.steps] == [None] * len(got.steps)
    assert [run.agent for run in trail.runs] == [step.agent for step in got.steps]
    assert [run.degraded for run in trail.runs] == [True] * len(got.steps)
