"""`pytest -m eval` in processes of its own: what it imports, its trace, and several workers."""

import subprocess
import sys

import pytest

from .plugin_service import loaded as loaded
from .plugin_service import service as service
from .plugin_service import stored, write

pytestmark = pytest.mark.slow


def test_spans_go_to_a_file(service: pytest.Pytester) -> None:
    write(service)
    quick = ("-p", "no:inline_snapshot", "-m", "eval", "-k", "low")
    service.runpytest_subprocess(*quick, "--assay-trace", "spans.jsonl")
    spans = service.path.joinpath("spans.jsonl").read_text().splitlines()
    assert any('"name": "case low"' in span for span in spans)


def test_hooks_cost_users_of_pytest_no_imports() -> None:
    heavy = "{'pydantic', 'pydantic_ai', 'sqlalchemy', 'numpy'}"
    code = f"import sys, assay.evals.plugin; assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_xdist_adds_up_in_one_run(service: pytest.Pytester) -> None:
    write(service, threshold=0.6)
    result = service.runpytest_subprocess("-m", "eval", "-n", "2", "-p", "no:inline_snapshot")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*BELOW EqualsExpected: 0.500 (threshold 0.6)"])
    store, found = stored(service)
    assert [one.status for one in found] == ["done", "done"]
    own, session = found
    assert "pytest_session" in session.options
    assert len(list(store.results(session.id))) == len(list(store.results(own.id))) == 3
    result.stdout.fnmatch_lines([f"run {session.id}: *", f"run {own.id}: * (by assay_evaluate)"])
