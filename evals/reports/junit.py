"""A run as JUnit XML, which every CI system can show."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

from ..outcome import TrialResult
from ..report import CheckSummary, SuiteReport
from .views import Reference, SuiteView, sides, suite_views
from .words import Verdict, dollars, signed, span

__all__ = ("junit",)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(
    reports: Iterable[SuiteReport],
    *,
    reference: Reference | None = None,
    baseline: Reference | None = None,
    stopped: str = "",
) -> str:
    """Return a test suite per suite and a test case per case, with the reasons of failures.

    A case fails when a check fails in any trial, one that only advises excepted, and is an error
    when its task crashed. Checks' means, thresholds and comparisons are properties of the suite:
    they, and not the cases, decide a gate.

    Args:
        reports: The run's suites.
        reference: What they are compared with.
        baseline: The non-LLM baseline, where they are compared with that as well.
        stopped: Why the run ended before all was done; empty if it did not.
    """
    views = suite_views(reports, *sides(reference, baseline))
    root = Xml.Element("testsuites", {"name": "assay"})
    for view in views:
        root.append(_suite(view, stopped))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{sum(view.report.seconds for view in views):.3f}")
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode", short_empty_elements=True)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


@dataclass
class _Case:
    """What the trials of one case said, in lines."""

    seconds: float = 0.0
    kind: str = ""
    crashed: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    unscored: list[str] = field(default_factory=list[str])
    scored: bool = False

    def add(self, result: TrialResult, advisory: Container[str]) -> None:
        self.seconds += result.duration
        self.scored |= any(outcome.value is not None for outcome in result.outcomes)
        at = f"trial {result.trial + 1}"
        if found := result.failure:
            self.kind = self.kind if self.crashed else found.type
            self.crashed.append(f"{at}: {found.type}: {found.message}")
        for outcome in result.failed(advisory):
            self.kind = self.kind or outcome.check
            self.failed.append(f"{at}: {outcome.check}: {outcome.reason}")
        silent = (outcome for outcome in result.outcomes if outcome.value is None)
        self.unscored += [f"{outcome.check}: {outcome.reason}" for outcome in silent]


def _suite(view: SuiteView, stopped: str) -> Xml.Element:
    report = view.report
    suite = Xml.Element("testsuite", {"name": _clean(report.suite)})
    properties = Xml.SubElement(suite, "properties")
    for name, value in _properties(view, stopped):
        Xml.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
    by_case: dict[str, _Case] = {}
    for result in report.results:
        by_case.setdefault(result.case, _Case()).add(result, report.advisory)
    cases = [_case(report.suite, name, case) for name, case in by_case.items()]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{report.seconds:.3f}")
    return suite


def _properties(view: SuiteView, stopped: str) -> Iterator[tuple[str, str]]:
    yield "model", view.report.model
    yield "cost", dollars(view.report.totals.cost)
    if view.report.totals.replayed:
        yield "replayed", f"{view.report.totals.replayed} of {view.report.totals.trials} trials"
    if stopped:
        yield "stopped", stopped
    for check in view.checks:
        yield f"check {check.name}", _figures(check.summary)
        for side, verdict in ((view.reference, check.compared), (view.baseline, check.lift)):
            if side is not None and verdict is not None:
                yield f"check {check.name}, {side.heading}", _compared(side, verdict)
    for name, label, verdict in view.resources:
        yield f"{name} compared with {label}", verdict.sentence


def _compared(side: Reference, verdict: Verdict) -> str:
    figures = f"{signed(verdict.difference)} ({span(verdict.low, verdict.high)})"
    return f"{figures}; compared with {side.label}: {verdict.sentence}"


def _case(suite: str, name: str, found: _Case) -> Xml.Element:
    attributes = {
        "classname": _clean(suite),
        "name": _clean(name),
        "time": f"{found.seconds:.3f}",
    }
    case = Xml.Element("testcase", attributes)
    if found.crashed:
        _say(case, "error", found.kind, found.crashed)
    elif found.failed:
        _say(case, "failure", found.kind, found.failed)
    elif found.unscored and not found.scored:
        _say(case, "skipped", "unscored", found.unscored)
    return case


def _say(case: Xml.Element, tag: str, kind: str, said: Sequence[str]) -> None:
    found = Xml.SubElement(case, tag, {"type": _clean(kind), "message": _clean(said[0])})
    found.text = _clean("\n".join(said))


def _figures(check: CheckSummary) -> str:
    if check.mean is None:
        return f"unscored, threshold {check.threshold:g}"
    if check.advisory:
        return f"mean {check.mean:.4f}, advisory, judged by {check.judge}: {check.advisory}"
    word = "meets" if check.ok else "below"
    return f"mean {check.mean:.4f}, {word} threshold {check.threshold:g}"


def _clean(text: str) -> str:
    """Replace what XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
