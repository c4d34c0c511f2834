"""Live progress: a bar on a terminal, a line a minute in a log."""

from io import StringIO

import pytest
from rich.console import Console

from assay.evals.cli.progress import EVERY, RunProgress

from .report_pages import failed, passed, result


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def console(*, terminal: bool) -> tuple[Console, StringIO]:
    file = StringIO()
    return Console(
        file=file, width=120, force_terminal=terminal, force_interactive=terminal, color_system=None
    ), file


def test_a_terminal_sees_counts_cost_failures_rate_and_time_left(clock: Clock) -> None:
    to, file = console(terminal=True)
    with RunProgress(to, clock) as progress:
        progress.start("triage [1]", 4)
        clock.now = 2.0
        progress.advance(result("a", passed(), requests=1, cost=0.25))
        progress.advance(result("b", failed(), requests=1, cost=0.25))
        progress.finish()
    text = file.getvalue()
    assert "triage [1]" in text
    assert "2/4" in text
    assert "1 failed, $0.5000, 1/s" in text


def test_an_unknown_price_is_said_and_stays_unknown(clock: Clock) -> None:
    to, file = console(terminal=True)
    with RunProgress(to, clock) as progress:
        progress.start("triage", 2)
        progress.advance(result("a", passed(), requests=1, cost=None))
        progress.advance(result("b", passed(), requests=1, cost=0.5))
    assert "cost unknown" in file.getvalue()
    assert "$0.5" not in file.getvalue()


def test_the_bar_is_gone_when_a_suite_is_done(clock: Clock) -> None:
    to, file = console(terminal=True)
    with RunProgress(to, clock) as progress:
        progress.start("first", 1)
        progress.advance(result("a", passed()))
        progress.start("second", 1)
        before = len(file.getvalue())
        progress.finish()
        after = file.getvalue()[before:]
        assert after.endswith("\x1b[2K")  # the line is erased


def test_a_log_has_a_line_a_minute_and_none_for_a_quick_suite(clock: Clock) -> None:
    to, file = console(terminal=False)
    with RunProgress(to, clock) as progress:
        progress.start("triage", 10)
        progress.advance(result("a", passed()))
        assert file.getvalue() == ""
        clock.now = EVERY
        progress.advance(result("b", failed(), requests=1, cost=1.0))
        clock.now = EVERY + 1
        progress.advance(result("c", passed()))
    assert file.getvalue() == (
        "triage: 2 of 10 trials, 1 failed, $1.0000, 0.033/s, about 240 s left\n"
    )


def test_an_exception_takes_the_bar_away(clock: Clock) -> None:
    to, file = console(terminal=True)
    progress = RunProgress(to, clock)

    def interrupted() -> None:
        with progress:
            progress.start("triage", 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    to.print("free again")
    assert file.getvalue().endswith("\x1b[2Kfree again\n")
