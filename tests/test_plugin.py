"""A service's own project, outside this repository, under `pytest -m eval`."""

from importlib import import_module

import pytest

# Loaded here, so that the in-process runs below find them instead of loading them anew.
for name in ("pytest_suites", "runner", "rubric"):
    import_module(f"assay.evals.{name}")

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
from assay.evals import Suite, evaluate, plain

async def shout(text):
    if text == "crash" and CRASHES:
        raise ValueError("no")
    return text.upper()

CRASHES = {crashes}
shouting = Suite(
    name="shout", about="shout", task=plain(shout),
    path=Path(__file__).with_name("cases.yaml"), types=(str, str),
    thresholds={{"EqualsExpected": {threshold}}},
)

def test_ordinary():
    assert True

@pytest.mark.eval
async def test_own(assay_models, assay_trials):
    report = await evaluate(shouting, models=assay_models, trials=assay_trials)
    assert report.cases == 3
    assert len(report.results) == 3 * assay_trials
    assert report.model == "{model}"
"""


@pytest.fixture
def service(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    pytester.path.joinpath("cases.yaml").write_text(CASES + "evaluators: [EqualsExpected]\n")
    return pytester


def write(
    service: pytest.Pytester, threshold: float = 0.5, crashes: bool = False, model: str = ""
) -> None:
    said = model or "baseline, not an LLM"
    text = SUITE.format(threshold=threshold, crashes=crashes, model=said)
    service.makepyfile(test_service=text)


def run(service: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return service.runpytest_inprocess("-p", "no:inline_snapshot", "-p", "no:cov", *arguments)


def test_suites_stay_out_of_ordinary_runs(service: pytest.Pytester) -> None:
    write(service)
    run(service).assert_outcomes(passed=1, deselected=4)
    run(service, "-m", "not slow").assert_outcomes(passed=1, deselected=4)


def test_one_item_a_case_and_thresholds_decide(service: pytest.Pytester) -> None:
    write(service)
    result = run(service, "-m", "eval")
    result.assert_outcomes(passed=3, failed=1, deselected=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*EqualsExpected*",
            "shout: 3 cases, 1 failed; model: baseline, not an LLM",
            "*ok*EqualsExpected: 0.500 (threshold 0.5)",
        ]
    )


def test_a_missed_threshold_fails_the_run(service: pytest.Pytester) -> None:
    write(service, threshold=0.6)
    result = run(service, "-m", "eval")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*BELOW EqualsExpected: 0.500 (threshold 0.6)"])


def test_a_crash_counts(service: pytest.Pytester) -> None:
    write(service, crashes=True)
    result = run(service, "-m", "eval", "-k", "shouting")
    result.assert_outcomes(passed=1, failed=2, deselected=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*ValueError: no", "*0.333 (threshold 0.5, 1 errors)"])


def test_another_failing_test_is_not_forgiven(service: pytest.Pytester) -> None:
    write(service)
    service.makepyfile(test_more="import pytest\n@pytest.mark.eval\ndef test_no():\n    assert 0\n")
    assert run(service, "-m", "eval").ret == pytest.ExitCode.TESTS_FAILED


def test_selection_by_name_tag_and_first_failure(service: pytest.Pytester) -> None:
    write(service)
    run(service, "-m", "eval", "-k", "low").assert_outcomes(passed=1, deselected=4)
    run(service, "-m", "eval", "-k", "hard").assert_outcomes(failed=1, deselected=4)
    stopped = run(service, "-m", "eval", "-x", "-k", "shouting")
    stopped.assert_outcomes(passed=1, failed=1, deselected=2)
    assert stopped.ret == pytest.ExitCode.TESTS_FAILED
    run(service, "-m", "eval", "--lf").assert_outcomes(failed=1, deselected=4)


def test_model_and_trials(service: pytest.Pytester) -> None:
    write(service, model="test")
    result = run(service, "-m", "eval", "--assay-model", "test", "--assay-trials", "2")
    result.assert_outcomes(passed=3, failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*trial 1: EqualsExpected*", "*3 cases, 1 failed; model: test"])


def test_xdist_adds_up_in_one_place(service: pytest.Pytester) -> None:
    write(service, threshold=0.6)
    result = service.runpytest_subprocess("-m", "eval", "-n", "2", "-k", "shouting")
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*BELOW EqualsExpected: 0.500 (threshold 0.6)"])


def test_a_bad_dataset_is_a_collection_error(service: pytest.Pytester) -> None:
    write(service)
    service.path.joinpath("cases.yaml").write_text("cases: [")
    result = run(service, "-m", "eval")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*cannot read the cases of 'shout'*"])


def test_spans_go_to_a_file(service: pytest.Pytester) -> None:
    write(service)
    service.runpytest_subprocess("-m", "eval", "-k", "low", "--assay-trace", "spans.jsonl")
    spans = service.path.joinpath("spans.jsonl").read_text().splitlines()
    assert any('"name": "case low"' in span for span in spans)
