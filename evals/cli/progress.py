"""Live progress of an evaluation on a terminal; a line now and then where there is none."""

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from ..outcome import TrialResult

__all__ = ("RunProgress",)

EVERY = 60.0
"""Seconds between lines in a log: CI systems end a job that says nothing for minutes."""


class RunProgress:
    """Shows trials done, cost, failures, rate and time left: a bar, gone when its suite is done.

    Where there is no terminal, such as in a CI job's log, it prints a line a minute instead; a
    suite that is done sooner is told of by its table alone.

    ```python
    with RunProgress(console) as progress:
        progress.start("triage", 99)
        progress.advance(result)
        progress.finish()
    ```

    Args:
        console: Where to; stderr's, so that what a command prints can be piped.
        clock: Seconds that never go back.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self._console = console
        self._clock = clock
        self._bar: Progress | None = None
        self._counts = _Counts("", 0, clock())
        self._told = clock()

    def start(self, name: str, total: int) -> None:
        """Begin a suite; the one before, if any, is done.

        Args:
            name: The suite's.
            total: Trials that are to be run.
        """
        self.finish()
        self._told = self._clock()
        self._counts = _Counts(name, total, self._told)
        if self._console.is_interactive:
            self._bar = self._drawn()
            self._bar.add_task(escape(name), total=total, said="")
            self._bar.start()

    def advance(self, result: TrialResult) -> None:
        """Count a finished trial."""
        now = self._clock()
        self._counts.add(result)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, said=self._counts.said(now))
        elif now - self._told >= EVERY:
            self._told = now
            self._console.print(self._counts.line(now), markup=False, soft_wrap=True)

    def finish(self) -> None:
        """End a suite: its bar goes, so that its table can stand there."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def _drawn(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            get_time=self._clock,
            transient=True,
            expand=True,
        )


class _Counts:
    """What a suite's trials came to so far."""

    def __init__(self, name: str, total: int, started: float) -> None:
        self.name = name
        self.total = total
        self.started = started
        self.done = 0
        self.failed = 0
        self.cost: float | None = 0.0

    def add(self, result: TrialResult) -> None:
        self.done += 1
        self.failed += not result.ok
        if result.requests:
            known = self.cost is not None and result.cost is not None
            self.cost = (self.cost or 0.0) + (result.cost or 0.0) if known else None

    def said(self, now: float) -> str:
        """Return failures, cost and rate."""
        cost = "cost unknown" if self.cost is None else f"${self.cost:.4f}"
        seconds = now - self.started
        rate = f", {self.done / seconds:.2g}/s" if seconds > 0 else ""
        return f"{self.failed} failed, {cost}{rate}"

    def line(self, now: float) -> str:
        """Return everything as a line for a log."""
        left = (now - self.started) / self.done * (self.total - self.done)
        return (
            f"{self.name}: {self.done} of {self.total} trials, {self.said(now)}, "
            f"about {left:.0f} s left"
        )
