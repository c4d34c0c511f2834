"""pytest: `pytest -m eval` runs suites, one test item per case.

A `Suite` at the top of any test module is collected: its cases become items marked `eval`, which
only `-m eval` selects. An item fails when its task crashes or one of its checks fails, so that
`-k`, `-x`, `--lf` and xdist work as ever; whether the *run* fails is decided by the suites'
thresholds, over all cases that ran.

Only hooks live here; what they do is in `pytest_suites.py`, imported when a suite is there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from ..deps.models import Models

__all__ = ()

PROPERTY = "assay"
"""The user property under which an item's results travel in its report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "evaluation of agents (-m eval)")
    group.addoption("--assay-model", metavar="NAME", help="baseline, openai:gpt-5, ...")
    group.addoption(
        "--assay-trials", metavar="N", type=_at_least_one, default=1, help="executions per case"
    )
    group.addoption("--assay-trace", metavar="TARGET", help="console, logfire, or a file for spans")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "eval: evaluates an agent on a case; run with -m eval")
    if not hasattr(config, "workerinput"):  # under xdist, the process that hears of every item
        config.pluginmanager.register(Tally(), "assay-tally")


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> pytest.Collector | None:
    # If nobody imported the module, the object cannot be a suite, and we need not import it either.
    suites = sys.modules.get("assay.evals.suite")
    if suites is None or not isinstance(obj, suites.Suite):
        return None
    from .pytest_suites import SuiteCollector

    create = cast(Any, SuiteCollector).from_parent  # pytest leaves its keywords untyped
    return cast(pytest.Collector, create(collector, name=name, suite=obj))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "eval" in (config.option.markexpr or ""):
        return
    evals = [item for item in items if item.get_closest_marker("eval")]
    if evals:
        items[:] = [item for item in items if not item.get_closest_marker("eval")]
        config.hook.pytest_deselected(items=evals)


@pytest.fixture(scope="session")
def assay_models(request: pytest.FixtureRequest) -> Models:
    """Return what model names mean in this run: `--assay-model`, else the `ASSAY_*` settings."""
    from .pytest_suites import models_of

    return models_of(request.config)


@pytest.fixture(scope="session")
def assay_trials(request: pytest.FixtureRequest) -> int:
    """Return how often a case is to be run: `--assay-trials`."""
    return int(request.config.option.assay_trials)


class Tally:
    """Hears every report, also those of xdist's workers, and judges the run at its end."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._others_failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [str(value) for key, value in report.user_properties if key == PROPERTY]
        if found and report.when == "call":
            self._found.extend(found)
        elif report.failed:
            self._others_failed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the thresholds decide, unless anything else failed or -x ended the run early."""
        if not self._found or self._others_failed or session.shouldfail or session.shouldstop:
            return
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        from .pytest_suites import reports_of

        ok = all(report.ok for report in reports_of(self._found))
        session.exitstatus = pytest.ExitCode.OK if ok else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._found:
            from .pytest_suites import reports_of, summary_lines

            terminalreporter.section("assay")
            for line in summary_lines(reports_of(self._found)):
                terminalreporter.write_line(line)


def _at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise ValueError(f"{value!r} is not at least 1")
    return number
