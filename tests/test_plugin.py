"""A service's own project, outside this repository, under `pytest -m eval`."""

import pytest

from assay.evals.runs import report_of
from assay.evals.store.database import RunStore

from .plugin_service import DIGITS, run, stored, write, write_digits
from .plugin_service import loaded as loaded
from .plugin_service import service as service

pytestmark = pytest.mark.slow


def test_suites_stay_out_of_ordinary_runs(service: pytest.Pytester) -> None:
    write(service)
    run(service).assert_outcomes(passed=1, deselected=4)
    run(service, "-m", "not slow").assert_outcomes(passed=1, deselected=4)
    run(service, "-m", "eval", "--collect-only")
    assert not service.path.joinpath(".assay").exists()


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
    stopped.stdout.fnmatch_lines(["*go on with: assay eval --resume *"])
    assert [found.status for found in stored(service)[1]] == ["interrupted", "done", "done"]
    run(service, "-m", "eval", "--lf").assert_outcomes(failed=1, deselected=4)


def test_model_and_trials(service: pytest.Pytester) -> None:
    write(service, model="test")
    result = run(service, "-m", "eval", "--assay-model", "test", "--assay-trials", "2")
    result.assert_outcomes(passed=3, failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*trial 1: EqualsExpected*", "*3 cases, 1 failed; model: test"])


def test_a_bad_dataset_is_a_collection_error(service: pytest.Pytester) -> None:
    write(service)
    service.path.joinpath("cases.yaml").write_text("cases: [")
    result = run(service, "-m", "eval")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*cannot read the cases of 'shout'*"])


# -- the store


def test_every_trial_is_kept_in_one_run(service: pytest.Pytester) -> None:
    write(service, crashes=True)
    result = run(service, "-m", "eval", "-k", "shouting", "--assay-trials", "2")
    store, (found,) = stored(service)
    result.stdout.fnmatch_lines([f"run {found.id}: assay show {found.id}, assay report *"])
    assert (found.status, found.suites, found.trials) == ("done", ("shout",), 2)
    assert found.identity["datasets"]["shout"]
    assert found.options["suites"]["shout"]["where"] == "test_service.py:shouting"
    results = report_of(store, found, "shout").results
    assert [(one.case, one.trial) for one in results] == [
        (case, trial) for case in ("low", "digits", "crash") for trial in range(2)
    ]
    assert results[0].output == "HELLO"
    assert {one.failure.message for one in results if one.failure} == {"no"}
    contents = store.contents(found.id, "shout")
    assert {one.inputs for _, one in contents} == {"hello", "w0rld", "crash"}


def test_the_fixture_keeps_a_run_of_its_own(service: pytest.Pytester) -> None:
    write(service)
    result = run(service, "-m", "eval", "-k", "test_own")
    result.assert_outcomes(passed=1, deselected=4)
    _, (found,) = stored(service)
    assert found.status == "done"
    result.stdout.fnmatch_lines([f"run {found.id}: assay show {found.id} (by assay_evaluate)"])


@pytest.mark.parametrize("how", [["--assay-no-store"], ["--assay-store", ""]])
def test_a_run_need_not_be_kept(service: pytest.Pytester, how: list[str]) -> None:
    write(service)
    result = run(service, "-m", "eval", *how)
    result.assert_outcomes(passed=3, failed=1, deselected=1)
    result.stdout.no_fnmatch_line("run *")
    assert not service.path.joinpath(".assay").exists()


def test_the_store_is_where_it_is_said_to_be(
    service: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(service)
    monkeypatch.setenv("ASSAY_STORE", "from_env.db")
    run(service, "-m", "eval", "-k", "low")
    run(service, "-m", "eval", "-k", "low", "--assay-store", "said.db")
    for file in ("from_env.db", "said.db"):
        assert RunStore(service.path / file).run().suites == ("shout",)


def test_a_store_that_cannot_be_used_fails_each_item_in_a_sentence(
    service: pytest.Pytester,
) -> None:
    write(service)
    result = run(service, "-m", "eval", "-k", "shouting", "--assay-store", "cases.yaml")
    result.assert_outcomes(failed=3, deselected=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the run store '*cases.yaml' cannot be used: *"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_unknown_model_fails_each_item_in_a_sentence(service: pytest.Pytester) -> None:
    write_digits(service, "return trial.models.resolve('small')", cases=2)
    result = run(service, "-m", "eval", "--assay-model", "nobody:knows")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["unknown model 'nobody:knows': *"])
    result.stdout.no_fnmatch_line("*runner.py*")


def test_two_suites_of_one_name_are_refused(service: pytest.Pytester) -> None:
    write_digits(service, cases=2)
    service.makepyfile(test_other=DIGITS.format(task="return text"))
    result = run(service, "-m", "eval")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["two suites are called 'digits': *.py:counting and *"])


def test_a_suite_that_two_modules_import_counts_once(service: pytest.Pytester) -> None:
    write_digits(service, cases=2)
    service.makepyfile(test_other="from test_digits import counting\n")
    result = run(service, "-m", "eval")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["digits: 2 cases, 0 failed; *"])
    store, (found,) = stored(service)
    assert len(list(store.results(found.id))) == 2


# -- replay


AGENT = """
from pathlib import Path
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from assay.evals import Suite, task_of

def answer(messages, info):
    with open("asked.txt", "a") as file:
        file.write("asked\\n")
    return ModelResponse(parts=[TextPart(messages[-1].parts[-1].content)])

echo = Suite(
    name="echo", task=task_of(Agent(FunctionModel(answer), instructions="{said}"), None),
    path=Path(__file__).with_name("cases.yaml"), types=(str, str),
)
"""


def test_recordings_are_made_and_replayed(service: pytest.Pytester) -> None:
    write_digits(service, cases=2)
    service.path.joinpath("test_digits.py").unlink()
    service.makepyfile(test_agent=AGENT.format(said="Repeat."))
    asked = service.path / "asked.txt"

    def calls() -> int:
        return len(asked.read_text().split())

    eval_ = ("-m", "eval", "--assay-replay")
    run(service, *eval_, "auto").assert_outcomes(passed=2)
    assert calls() == 2
    again = run(service, *eval_, "only")
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines(["echo: 2 cases, 0 failed; *; 2 replayed"])
    assert calls() == 2
    run(service, *eval_, "refresh").assert_outcomes(passed=2)
    assert calls() == 4
    assert stored(service)[1][0].identity["agents"]["echo"]
    service.makepyfile(test_agent=AGENT.format(said="Say it again."))
    missed = run(service, *eval_, "only")
    missed.assert_outcomes(failed=2)
    missed.stdout.fnmatch_lines(["*Say it again.*"])
    assert calls() == 4
