"""What the HTML report shows, as plain data: suites and checks, and every case for the browser."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..report import SuiteReport, Totals, added
from ..store.rows import Run
from .cases import Case, CaseKey, Conversations, Spent, references, rows_of
from .plain import MAX_TEXT, plain_data
from .views import Reference, SuiteView, sides, suite_views

__all__ = ("MAX_TEXT", "Case", "CaseKey", "Page", "RunInfo", "page_of", "plain_data")

MAX_MESSAGES = 40_000_000
"""Characters of all conversations together: a browser has to read the file at once."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The run that is reported.

    Attributes:
        commit: What was checked out.
        dirty: Whether there were changes that no commit has; None where that is not known.
        stopped: Why the run ended before all was done, such as a spent budget; empty if it did not.
        facts: More to show of it, name to value: package versions, hashes, how it was called.
    """

    id: str
    created: datetime | None = None
    commit: str | None = None
    dirty: bool | None = None
    stopped: str = ""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, run: Run, *, stopped: str = "") -> "RunInfo":
        """Return what the store knows of a run.

        Args:
            run: The run.
            stopped: Why it ended before all was done.
        """
        commit, dirty = run.identity.get("commit"), run.identity.get("dirty")
        return cls(
            id=run.id,
            created=run.created,
            commit=None if commit is None else str(commit),
            dirty=None if dirty is None else bool(dirty),
            stopped=stopped,
            facts=dict(_facts(run)),
        )

    @property
    def checked_out(self) -> str:
        """The commit, and whether it tells all; empty where there is none."""
        changed = ", with changes that are not committed" if self.dirty else ""
        return f"{self.commit[:12]}{changed}" if self.commit else ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a report shows.

    Attributes:
        cases: Every case as JSON data, in the form that templates/report_*.js reads.
        spent: What each suite's trials took, in the suites' order.
        reference: What the run is compared with, in words.
        before: Which of these the cases are shown beside.
        trace_url: Where a trace is found, with `{trace_id}` in it; empty when nowhere.
        left_out: Conversations that were left out to keep the file small.
        corrected: By suite and check, in words, the mean that a judge's errors are taken out of.
    """

    title: str
    suites: tuple[SuiteView, ...]
    cases: tuple[Mapping[str, Any], ...]
    spent: tuple[Spent, ...] = ()
    run: RunInfo | None = None
    reference: str = ""
    before: str = ""
    trace_url: str = ""
    left_out: int = 0
    corrected: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    @property
    def models(self) -> tuple[str, ...]:
        """What answered, in words."""
        return tuple(dict.fromkeys(suite.report.model for suite in self.suites))

    @property
    def trials(self) -> int:
        return sum(totals.trials for totals in self._totals)

    @property
    def replayed(self) -> int:
        """Trials that were answered from recordings alone."""
        return sum(totals.replayed for totals in self._totals)

    @property
    def errors(self) -> int:
        return sum(totals.errors for totals in self._totals)

    @property
    def unscored(self) -> int:
        return sum(suite.unscored for suite in self.suites)

    @property
    def cost(self) -> float | None:
        """US dollars; None where a price is unknown."""
        costs = [totals.cost for totals in self._totals]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def judged(self) -> Spent:
        """What judges of all suites did."""
        cost: float | None = 0.0
        for spent in self.spent:
            cost = added(cost, spent.judge_cost)
        requests = sum(spent.judge_requests for spent in self.spent)
        return Spent(judge_requests=requests, judge_cost=cost)

    @property
    def seconds(self) -> float:
        return sum(suite.report.seconds for suite in self.suites)

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens."""
        totals = self._totals
        return sum(t.input_tokens for t in totals), sum(t.output_tokens for t in totals)

    @property
    def cached_tokens(self) -> int:
        """Input tokens that providers had in their caches."""
        return sum(totals.cached_tokens for totals in self._totals)

    @property
    def _totals(self) -> tuple[Totals, ...]:
        return tuple(suite.report.totals for suite in self.suites)


def page_of(
    reports: Sequence[SuiteReport],
    cases: Mapping[CaseKey, Case],
    *,
    reference: Reference | None = None,
    baseline: Reference | None = None,
    title: str = "Evaluation report",
    run: RunInfo | None = None,
    trace_url: str = "",
    max_messages: int = MAX_MESSAGES,
    corrected: Mapping[tuple[str, str], str] | None = None,
) -> Page:
    """Gather what a report shows. Each suite's results are read once, and the reference's.

    Args:
        reports: The run's suites.
        cases: (suite, case) to what the case asks; a case that is absent is shown without.
        reference: What the run is compared with.
        baseline: The non-LLM baseline, where the run is compared with that as well.
        title: The page's title.
        run: The run's id, time and commit.
        trace_url: Such as `https://example.org/trace/{trace_id}`.
        max_messages: Characters of conversations to keep; those of failed trials are kept first.
        corrected: What `judges.corrections.said_of` says, by suite and check.
    """
    reference, baseline = sides(reference, baseline)
    conversations = Conversations(max_messages)
    shown: list[Mapping[str, Any]] = []
    spent: list[Spent] = []
    beside = next((one for one in (reference, baseline) if one and one.reports), None)
    before = None if beside is None else references(beside.reports)
    for report in reports:
        rows, took = rows_of(report, conversations)
        spent.append(took)
        for name, row in rows.items():
            key = (report.suite, name)
            found = row.as_case(key, cases.get(key, Case()))
            shown.append(found if before is None else {**found, "before": before.get(key)})
    return Page(
        title=title,
        suites=suite_views(reports, reference, baseline),
        cases=tuple(shown),
        spent=tuple(spent),
        run=run,
        reference="; ".join(side.label for side in (reference, baseline) if side),
        before=beside.label if beside else "",
        trace_url=trace_url,
        left_out=conversations.left_out,
        corrected=corrected or {},
    )


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what a run's identity holds: hashes of its datasets and agents, package versions."""
    yield "status", run.status
    yield "trials per case", str(run.trials)
    for what in ("dataset", "agent"):
        for suite, known in run.identity.get(f"{what}s", {}).items():
            yield f"{what} of {suite}", str(known)
    for name, version in run.identity.get("packages", {}).items():
        yield str(name), str(version)
