"""`pytest -m eval --assay-gate` in a service's own project."""

import pytest

from .plugin_service import DIGITS, accept, run, stored, write, write_digits
from .plugin_service import loaded as loaded
from .plugin_service import service as service

pytestmark = pytest.mark.slow


def test_the_gate_passes_what_is_no_worse_whatever_thresholds_say(
    service: pytest.Pytester,
) -> None:
    write(service, threshold=0.9)
    run(service, "-m", "eval", "-k", "shouting")
    accept(service)
    result = run(service, "-m", "eval", "-k", "shouting", "--assay-gate")
    result.assert_outcomes(passed=2, failed=1, deselected=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*gate against the scorecard of *: pass"])
    result.stdout.no_fnmatch_line("*(threshold*")


def test_the_gate_fails_what_has_become_worse(service: pytest.Pytester) -> None:
    write_digits(service)
    run(service, "-m", "eval")
    accept(service)
    write_digits(service, "return text if len(text) == 1 else '?'")
    result = run(service, "-m", "eval", "--assay-gate")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*gate against the scorecard of *: FAIL", "*FAIL*EqualsExpected: regressed*"]
    )
    wide = run(service, "-m", "eval", "--assay-gate", "--assay-margin", "1")
    assert wide.ret == pytest.ExitCode.OK


def test_what_only_crashes_does_not_pass_the_gate(service: pytest.Pytester) -> None:
    write_digits(service)
    run(service, "-m", "eval")
    accept(service)
    write_digits(service, "raise ValueError('gone')")
    assert run(service, "-m", "eval", "--assay-gate").ret == pytest.ExitCode.TESTS_FAILED


def test_an_open_comparison_is_as_the_user_says(service: pytest.Pytester) -> None:
    write_digits(service, cases=3)
    run(service, "-m", "eval")
    accept(service)
    write_digits(service, "return text if text != '1' else '?'", cases=3)
    gate = ("-m", "eval", "--assay-gate")
    assert run(service, *gate).ret == pytest.ExitCode.OK
    strict = run(service, *gate, "--assay-inconclusive", "fail")
    assert strict.ret == pytest.ExitCode.TESTS_FAILED
    strict.stdout.fnmatch_lines(["*EqualsExpected: inconclusive*"])


def test_a_part_of_the_cases_is_compared_alone_and_said_to_be(service: pytest.Pytester) -> None:
    write_digits(service)
    run(service, "-m", "eval")
    accept(service)
    write_digits(service, "return text if len(text) == 1 else '?'")
    result = run(service, "-m", "eval", "-k", "c1 or c2", "--assay-gate")
    result.stdout.fnmatch_lines(["*only 22 of 40 cases ran; they alone are compared"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    same = run(service, "-m", "eval", "-k", "c5", "--assay-gate")
    same.stdout.fnmatch_lines(["*only 1 of 40 cases ran; they alone are compared"])
    assert same.ret == pytest.ExitCode.OK


def test_without_a_scorecard_the_gate_says_how_to_get_one(service: pytest.Pytester) -> None:
    write_digits(service, cases=2)
    result = run(service, "-m", "eval", "--assay-gate")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (found,) = stored(service)[1]
    result.stdout.fnmatch_lines(
        ["*gate: FAIL", f"*scorecard.json' is not there; *assay accept digits --run {found.id}"]
    )


def test_another_suites_scorecard_is_refused(service: pytest.Pytester) -> None:
    write_digits(service, cases=2)
    run(service, "-m", "eval")
    accept(service)
    service.path.joinpath("test_digits.py").write_text(
        DIGITS.format(task="return text").replace('"digits"', '"more"')
    )
    result = run(service, "-m", "eval", "--assay-gate")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*scorecard.json' is of suite 'digits'; *"])
