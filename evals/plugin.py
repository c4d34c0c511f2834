"""pytest: `pytest -m eval` runs suites, one test item per case, and keeps what comes of them.

A `Suite` at the top of any test module is collected: its cases become items marked `eval`, which
only `-m eval` selects. An item fails when its task crashes or one of its checks fails, so that
`-k`, `-x`, `--lf` and xdist work as ever; whether the *run* fails is decided by the suites'
thresholds over all cases that ran or, with `--assay-gate`, by their accepted scorecards.

Every trial is in the run store as soon as it is finished, all of a session in one run, xdist's
workers included.

Only hooks live here; what they do is in `pytest_suites.py`, `pytest_store.py` and
`pytest_verdicts.py`, imported when a suite is there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    from ..deps.models import Models
    from .pytest_verdicts import Judged
    from .report import SuiteReport
    from .suite import Suite

__all__ = ("Evaluate",)

PROPERTY = "assay"
"""The user property under which an item's results travel in its report."""

BEGINS = "assay_begins"
"""Among what xdist tells a worker: whether it is the one that begins the run in the store."""

RUNS = "assay_runs"
"""Among what a worker tells at its end: the runs that its tests began."""


class Evaluate(Protocol):
    """The type of the fixture `assay_evaluate`."""

    async def __call__(
        self,
        suite: Suite[Any, Any],
        *,
        models: Models | None = None,
        trials: int | None = None,
    ) -> SuiteReport:
        """Run a suite and return what came of it.

        Each call is a run of its own in the session's store, so a test may evaluate variants of a
        suite one after the other. Nothing is decided by it: assert on the report.

        Args:
            suite: What to run.
            models: What model names mean; as the session has it by default.
            trials: Executions per case; `--assay-trials` by default.

        Raises:
            BadDataset: the cases cannot be read.
            ConfigError: a setting, a model name or the store is wrong.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "evaluation of agents (-m eval)")
    group.addoption("--assay-model", metavar="NAME", help="baseline, openai:gpt-5, ...")
    group.addoption(
        "--assay-trials", metavar="N", type=_at_least_one, default=1, help="executions per case"
    )
    group.addoption(
        "--assay-trace", metavar="TARGET", help="local, console, logfire, or a file for spans"
    )
    group.addoption(
        "--assay-store",
        metavar="STORE",
        help="where runs are kept: a file, or a PostgreSQL URL "
        "(default: ASSAY_STORE, else .assay/runs.db)",
    )
    group.addoption("--assay-no-store", action="store_true", help="keep no run")
    group.addoption(
        "--assay-replay",
        choices=("auto", "only", "off", "refresh"),
        default="off",
        help="auto: answer from recordings and record the rest; only: from recordings alone; "
        "refresh: record anew",
    )
    group.addoption(
        "--assay-gate",
        action="store_true",
        help="let the accepted scorecards decide, not thresholds: fail on a regression",
    )
    group.addoption(
        "--assay-margin",
        metavar="X",
        type=_share,
        help="how much worse a mean may be and still be no worse (default: 0.05)",
    )
    group.addoption(
        "--assay-inconclusive",
        choices=("pass", "fail"),
        default="pass",
        help="what --assay-gate makes of a comparison that could not tell",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "eval: evaluates an agent on a case; run with -m eval")
    if not hasattr(config, "workerinput"):  # under xdist, the process that hears of every item
        config.pluginmanager.register(Listener(config), "assay-listener")


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


@pytest.hookimpl(tryfirst=True)  # before xdist tells that this worker is ready: see pytest_store
def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly and _was_imported("pytest_suites"):
        from .pytest_suites import begin_run

        begin_run(session)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker tell which runs its tests began."""
    if hasattr(session.config, "workeroutput") and _was_imported("pytest_store"):
        from .pytest_store import own_runs

        cast(Any, session.config).workeroutput[RUNS] = own_runs(session.config)


@pytest.fixture(scope="session")
def assay_models(request: pytest.FixtureRequest) -> Models:
    """Return what model names mean in this run: `--assay-model`, else the `ASSAY_*` settings."""
    from .pytest_store import models_of

    return models_of(request.config)


@pytest.fixture(scope="session")
def assay_trials(request: pytest.FixtureRequest) -> int:
    """Return how often a case is to be run: `--assay-trials`."""
    return int(request.config.option.assay_trials)


@pytest.fixture(scope="session")
def assay_evaluate(request: pytest.FixtureRequest) -> Evaluate:
    """Return a function that runs a suite under the session's options; see `Evaluate`."""
    from .pytest_store import SessionEvaluate

    return SessionEvaluate(request.config)


class Listener:
    """Hears every report, also those of xdist's workers, and judges the run at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: list[str] = []
        self._runs: list[str] = []
        self._judged: tuple[Judged, ...] = ()
        self._others_failed = False
        self._whole = True
        self._workers = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[BEGINS] = self._workers == 0
        self._workers += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._runs += getattr(node, "workeroutput", {}).get(RUNS, [])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [str(value) for key, value in report.user_properties if key == PROPERTY]
        if found and report.when == "call":
            self._found.extend(found)
        elif report.failed:
            self._others_failed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the suites decide, unless anything else failed or -x ended the run early."""
        if not self._found:
            return
        from .pytest_verdicts import close_run, judge

        self._judged = judge(self._config, self._found)
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self._whole = ended and not (session.shouldfail or session.shouldstop)
        close_run(self._config, self._judged, self._whole)
        if self._whole and not self._others_failed:
            ok = all(one.ok for one in self._judged)
            session.exitstatus = pytest.ExitCode.OK if ok else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._workers and _was_imported("pytest_store"):
            from .pytest_store import own_runs

            self._runs = own_runs(self._config)
        if not (self._judged or self._runs):
            return
        from .pytest_verdicts import summary_lines

        terminalreporter.section("assay")
        for line in summary_lines(self._judged, self._runs, self._whole):
            terminalreporter.write_line(line)


def _was_imported(module: str) -> bool:
    return f"{__package__}.{module}" in sys.modules


def _at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise ValueError(f"{value!r} is not at least 1")
    return number


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is not between 0 and 1")
    return number
