"""A run as JUnit XML, which every CI system can show."""

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as Xml

from ..outcome import TrialResult
from ..report import CheckSummary, SuiteReport

__all__ = ("junit",)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Iterable[SuiteReport]) -> str:
    """Return a test suite per suite and a test case per case, with the reasons of failures.

    A case fails when a check fails in any trial, and is an error when its task crashed. Checks'
    means and thresholds are properties of the suite: they, and not the cases, decide a gate.
    """
    reports = list(reports)
    root = Xml.Element("testsuites", {"name": "assay"})
    for report in reports:
        root.append(_suite(report))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{sum(report.seconds for report in reports):.3f}")
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode", short_empty_elements=True)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(report: SuiteReport) -> Xml.Element:
    suite = Xml.Element("testsuite", {"name": _clean(report.suite)})
    properties = Xml.SubElement(suite, "properties")
    _property(properties, "model", report.model)
    for check in report.checks:
        _property(properties, f"check {check.check}", _figures(check))
    by_case: dict[str, list[TrialResult]] = {}
    for result in report.results:
        by_case.setdefault(result.case, []).append(result)
    cases = [_case(report.suite, case, results) for case, results in by_case.items()]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{report.seconds:.3f}")
    return suite


def _case(suite: str, name: str, results: Sequence[TrialResult]) -> Xml.Element:
    spent = sum(result.duration for result in results)
    attributes = {"classname": _clean(suite), "name": _clean(name), "time": f"{spent:.3f}"}
    case = Xml.Element("testcase", attributes)
    crashed = [(r.trial, r.failure) for r in results if r.failure is not None]
    failed = [(r.trial, o) for r in results for o in r.outcomes if o.status == "fail"]
    outcomes = [outcome for result in results for outcome in result.outcomes]
    if crashed:
        said = [f"trial {trial + 1}: {f.type}: {f.message}" for trial, f in crashed]
        _say(case, "error", crashed[0][1].type, said)
    elif failed:
        said = [f"trial {trial + 1}: {o.check}: {o.reason}" for trial, o in failed]
        _say(case, "failure", failed[0][1].check, said)
    elif outcomes and all(outcome.value is None for outcome in outcomes):
        said = [f"{outcome.check}: {outcome.reason}" for outcome in outcomes]
        _say(case, "skipped", "unscored", said)
    return case


def _say(case: Xml.Element, tag: str, kind: str, said: Sequence[str]) -> None:
    found = Xml.SubElement(case, tag, {"type": _clean(kind), "message": _clean(said[0])})
    found.text = _clean("\n".join(said))


def _property(properties: Xml.Element, name: str, value: str) -> None:
    Xml.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})


def _figures(check: CheckSummary) -> str:
    if check.mean is None:
        return f"unscored, threshold {check.threshold:g}"
    word = "meets" if check.ok else "below"
    return f"mean {check.mean:.4f}, {word} threshold {check.threshold:g}"


def _clean(text: str) -> str:
    """Replace what XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
