"""`pytest -m eval` in a service whose checks a judge decides: advice fails no item."""

import pytest

from assay.agents import judge
from assay.deps import Models
from assay.evals.judges.rubric import Rubric

from .judges import calibration
from .plugin_service import loaded as loaded
from .plugin_service import run, stored
from .plugin_service import service as service

SUITE = """
from pathlib import Path
from assay.evals import Rubric, Suite

async def shout(text, trial):
    return ""

shouting = Suite(
    name="shout", task=shout,
    path=Path(__file__).with_name("cases.yaml"), types=(str, str),
    checks=(Rubric([{"id": "loud", "text": "It is loud."}]),),
    thresholds={"rubric/loud": 0.5},
)
"""

CASES = """\
cases:
- {name: low, inputs: hello}
- {name: lower, inputs: there}
"""


def write(service: pytest.Pytester) -> None:
    service.makepyfile(test_judged=SUITE)
    service.path.joinpath("cases.yaml").write_text(CASES, encoding="utf-8")


def test_what_only_advises_fails_neither_items_nor_the_run(service: pytest.Pytester) -> None:
    write(service)
    result = run(service, "-m", "eval")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "shout: 2 cases, 0 failed*",
            "*advisory rubric/loud: 0.000, 0 unscored: 'baseline judge' was never compared*",
        ]
    )


def test_a_calibrated_judge_fails_both(service: pytest.Pytester) -> None:
    write(service)
    run(service, "-m", "eval")
    check = Rubric([judge.Criterion(id="loud", text="It is loud.")])
    who = str(check.identity(Models()))
    stored(service)[0].people.add_calibration(calibration(who))
    result = run(service, "-m", "eval")
    result.assert_outcomes(failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["shout: 2 cases, 2 failed*", "*BELOW rubric/loud: 0.000*"])
