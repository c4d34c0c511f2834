"""A service's own project, outside this repository, and `pytest` in it."""

import sys
from importlib import import_module

import pytest

from assay import evals
from assay.deps.clock import utc_now
from assay.evals.runs import report_of
from assay.evals.scorecard import Scorecard
from assay.evals.store.database import RunStore
from assay.evals.store.rows import Run

CASES = """\
name: shout
cases:
- {name: low, inputs: hello, expected_output: HELLO, metadata: {tags: [easy]}}
- {name: digits, inputs: w0rld, expected_output: WORLD, metadata: {tags: [hard]}}
- {name: crash, inputs: crash}
"""

SUITE = """
from pathlib import Path
import pytest
from assay.evals import Suite

async def shout(text, trial):
    if text == "crash" and CRASHES:
        raise ValueError("no")
    return text.upper()

CRASHES = {crashes}
shouting = Suite(
    name="shout", about="shout", task=shout,
    path=Path(__file__).with_name("cases.yaml"), types=(str, str),
    thresholds={{"EqualsExpected": {threshold}}},
)

def test_ordinary():
    assert True

@pytest.mark.eval
async def test_own(assay_evaluate, assay_trials):
    report = await assay_evaluate(shouting)
    assert report.totals.cases == 3
    assert len(report.results) == 3 * assay_trials
    assert report.model == "{model}"
"""

DIGITS = """
from pathlib import Path
from assay.evals import Suite

async def digits(text, trial):
    {task}

counting = Suite(
    name="digits", task=digits, path=Path(__file__).with_name("cases.yaml"), types=(str, str),
)
"""


@pytest.fixture(scope="session")
def loaded() -> None:
    """Load what the in-process runs need, so that they find it instead of loading it anew."""
    for name in (
        "assay.evals.pytest_suites",
        "pydantic_ai.models.test",
        "scipy.special",
        "scipy.stats",
        "statsmodels.stats.multitest",
    ):
        import_module(name)
    for name in evals.__all__:
        getattr(evals, name)


@pytest.fixture
def service(
    loaded: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    monkeypatch.delenv("ASSAY_STORE")
    # Modules are rewritten within a second here, which is as long as bytecode tells them apart by.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n"
    )
    pytester.path.joinpath("cases.yaml").write_text(CASES + "evaluators: [EqualsExpected]\n")
    return pytester


def write(
    service: pytest.Pytester, threshold: float = 0.5, crashes: bool = False, model: str = ""
) -> None:
    said = model or "baseline, not an LLM"
    text = SUITE.format(threshold=threshold, crashes=crashes, model=said)
    service.makepyfile(test_service=text)


def write_digits(service: pytest.Pytester, task: str = "return text", cases: int = 40) -> None:
    """Write a suite whose answers are right as long as its task returns the text."""
    lines = [f"- {{name: c{i}, inputs: '{i}', expected_output: '{i}'}}\n" for i in range(cases)]
    text = f"cases:\n{''.join(lines)}evaluators: [EqualsExpected]\n"
    service.path.joinpath("cases.yaml").write_text(text)
    service.makepyfile(test_digits=DIGITS.format(task=task))


def run(service: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return service.runpytest_inprocess("-p", "no:inline_snapshot", "-p", "no:cov", *arguments)


def stored(service: pytest.Pytester) -> tuple[RunStore, list[Run]]:
    """Return the service's store and its runs, newest first."""
    store = RunStore(service.path / ".assay/runs.db")
    return store, [one.run for one in store.list_runs()]


def accept(service: pytest.Pytester) -> None:
    """Accept the newest run as the scorecard of its one suite."""
    store, (found, *_) = stored(service)
    card = Scorecard.of(report_of(store, found, found.suites[0]), run=found.id, accepted=utc_now())
    card.write(service.path / "scorecard.json")
