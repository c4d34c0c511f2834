"""A route between two models: what it buys, paid for once, and whether a coin would do as well."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import ConfigError, Endpoint, Models
from assay.deps.models import by_name
from assay.evals import RunStore, Suite, Trial
from assay.evals.cli import main
from assay.evals.resources import COST, LATENCY, TOKENS
from assay.evals.routing import retrade, trade

from .loopback import Provider

pytestmark = pytest.mark.slow

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"  # names with a price
TEXTS = [f"text {i:02}" + " and more" * (5 * (i % 2)) for i in range(24)]


class Shout(BaseModel):
    """A text in capitals."""

    text: str


@dataclass(frozen=True)
class Deps:
    """What the agent is given."""

    models: Models = field(default_factory=Models)


shouter = Agent(
    "small", name="shouter", deps_type=Deps, output_type=Shout, capabilities=[by_name()]
)


async def shout(text: str, trial: Trial) -> str:
    done = await shouter.run(text, deps=Deps(trial.models), usage=trial.usage)
    return done.output.text


def shouting() -> Suite[str, str]:
    cases = [Case(name=text, inputs=text, expected_output=text.upper()) for text in TEXTS]
    data = Dataset[str, str, Any](name="shouting", cases=cases, evaluators=[EqualsExpected()])
    return Suite(name="shouting", task=shout, data=data)


def by_length(text: str) -> str:
    return "large" if len(text) > 20 else "small"


def by_names(text: str) -> str:
    return LARGE if len(text) > 20 else SMALL


def backwards(text: str) -> str:
    return "small" if len(text) > 20 else "large"


def forgetful(request: dict[str, Any]) -> dict[str, Any]:
    """Answer in capitals; the small model loses the end of long texts."""
    text: str = request["messages"][-1]["content"]
    return {"text": text.upper()[: 20 if request["model"] == SMALL else None]}


@pytest.fixture
def there(provider: Provider) -> Models:
    provider.answer = forgetful
    roles = {"small": SMALL, "large": LARGE}
    return Models(default=SMALL, roles=roles, endpoint=Endpoint(provider.url))


# -- over real HTTP


async def test_a_route_pays_where_it_sends_the_hard_cases_to_large(
    there: Models, provider: Provider
) -> None:
    found = await trade(shouting(), by_length, models=there)
    await there.aclose()
    asked = [request["model"] for request in provider.requests]
    assert (asked.count(SMALL), asked.count(LARGE)) == (24, 24)  # both once, the route for nothing
    means = {name: side.checks["EqualsExpected"].mean for name, side in found.sides.items()}
    assert means == {"small": 0.5, "large": 1.0, "routed": 1.0}
    assert (found.route, found.share, found.cases, found.left_out) == ("by_length", 0.5, 24, 0)
    (check,) = found.coin
    assert (check.mean_a, check.mean_b, check.verdict) == (0.75, 1.0, "improved")
    assert check.low is not None
    assert 0 < check.low < 0.25
    (beside_large,) = found.always_large
    assert (beside_large.mean_a, beside_large.mean_b) == (1.0, 1.0)


async def test_what_a_route_costs_is_told_for_1000_cases(there: Models) -> None:
    found = await trade(shouting(), by_length, models=there)
    await there.aclose()
    costs = [side.cost_per_1000 for side in found.sides.values()]
    # 100 tokens in, 10 out: $0.15 and $0.60 a million on small, $2.50 and $10 on large.
    assert costs == pytest.approx([0.021, 0.35, (0.021 + 0.35) / 2])
    assert [side.tokens_per_trial for side in found.sides.values()] == [110, 110, 110]
    by_name = {one.name: one for one in found.coin_resources}
    assert set(by_name) == {COST, LATENCY, TOKENS}
    assert by_name[COST].difference == pytest.approx(0)
    (same_cost,) = found.coin_of_same_cost  # every case costs the same: it is the same coin
    assert same_cost.difference == pytest.approx(found.coin[0].difference)


async def test_any_other_route_is_weighed_on_the_same_runs(
    there: Models, provider: Provider, tmp_path: Path
) -> None:
    store = RunStore(str(tmp_path / "runs.db"))
    first = await trade(shouting(), by_length, models=there, store=store)
    await there.aclose()
    asked = len(provider.requests)
    small, large = map(store.run, first.runs)
    assert (small.model, large.model) == (SMALL, LARGE)
    again = retrade(shouting(), by_names, store=store, small=small, large=large)
    assert again.coin == first.coin
    wrong = retrade(shouting(), backwards, store=store, small=small, large=large)
    assert [one.verdict for one in wrong.coin] == ["regressed"]
    assert wrong.routed.checks["EqualsExpected"].mean == 0.5
    assert len(provider.requests) == asked


# -- what is wrong is told before anything is paid


def elsewhere(text: str) -> str:
    return "medium"


def broken(text: str) -> str:
    return "large" if 1 / text.count("no such words") else "small"


def nowhere(text: str) -> Any:
    return None


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (elsewhere, "sends case 'text 00' to 'medium'; only 'small' and 'large' are compared"),
        (broken, "the route 'broken' fails on case 'text 00': ZeroDivisionError"),
        (nowhere, "sends case 'text 00' to None"),
    ],
)
async def test_a_route_that_is_wrong_costs_nothing(
    route: Callable[[Any], str], says: str, there: Models, provider: Provider
) -> None:
    with pytest.raises(ConfigError, match=says):
        await trade(shouting(), route, models=there)
    assert provider.requests == []


async def test_two_names_for_one_model_are_refused() -> None:
    async def whole(text: str) -> str:
        return text

    said = "both 'baseline, not an LLM' for suite 'shouting'; name two models with ASSAY_SMALL"
    with pytest.raises(ConfigError, match=said):
        await trade(shouting(), by_length)
    own = Suite.of(Dataset[str, str, Any](name="own", cases=shouting().dataset().cases), whole)
    with pytest.raises(ConfigError, match='both "whole\'s own"'):
        await trade(own, by_length, small="openai:a", large="openai:b")


# -- the command


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str


Assay = Callable[..., Said]

ROUTES = """
def by_length(text: str) -> str:
    return "large" if len(text) > 20 else "small"

def backwards(text: str) -> str:
    return "small" if len(text) > 20 else "large"

def always(text: str) -> str:
    return "large"

answer = 42
"""


@pytest.fixture
def assay(
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Assay:
    """Run `assay route` in a folder with routes, on the suite of this file."""
    provider.answer = forgetful
    (tmp_path / "routes.py").write_text(ROUTES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_BASE_URL", provider.url)

    def load(name: str) -> Suite[str, str]:
        return shouting()

    monkeypatch.setattr(import_module("assay.evals.cli.route"), "load", load)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", "route", "mine.py:suite", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
        seen = capsys.readouterr()
        return Said(int(e.value.code or 0), " ".join((seen.out + seen.err).split()))

    return run


NAMED = ("--small", SMALL, "--large", LARGE)


def test_the_command_shows_the_trade_and_how_to_try_another_route(
    assay: Assay, provider: Provider, tmp_path: Path
) -> None:
    told = assay("--by", "routes.py:by_length", *NAMED, "--json", "x.json")
    assert told.code == 0
    assert "shouting by by_length: 50% of 24 cases to large" in told.out
    assert "$0.0210" in told.out
    assert (
        "beside a coin that sends 50% of the cases to large: EqualsExpected: improved" in told.out
    )
    assert "beside large for every case, at 53% of its cost: EqualsExpected: " in told.out
    found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert found["coin"][0]["verdict"] == "improved"
    asked = len(provider.requests)
    worse = assay("--by", "routes.py:backwards", "--runs", *found["runs"])
    assert (worse.code, len(provider.requests)) == (1, asked)
    assert "EqualsExpected: regressed" in worse.out
    constant = assay("--by", "routes.py:always", "--runs", *found["runs"])
    assert constant.code == 0
    assert "sends all cases to large: there is no coin" in constant.out
    assert f"--by ... --runs {' '.join(found['runs'])}" in constant.out


def test_a_provider_that_fails_is_not_the_routes_fault(assay: Assay, provider: Provider) -> None:
    provider.dies_after = 40
    told = assay("--by", "routes.py:by_length", "--small", "a", "--large", "b")
    assert told.code == 3
    assert "trials on large crashed; they count as 0" in told.out
    assert "cost on small is unknown: its price is unknown" in told.out


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("by_length", "the route 'by_length' is no place; give package.module:function"),
        ("nowhere:by_length", "the route 'nowhere:by_length' cannot be found"),
        ("routes.py:missing", "is no function: there is nothing of that name in 'routes.py'"),
        ("routes.py:answer", "is no function: there is a int in 'routes.py'"),
    ],
)
def test_a_route_that_is_not_there_is_wrong_usage(by: str, says: str, assay: Assay) -> None:
    told = assay("--by", by, *NAMED)
    assert told.code == 2
    assert says in told.out
