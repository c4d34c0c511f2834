"""JUnit XML: parsed as XML, with reasons, whatever the texts hold."""

from xml.etree import ElementTree

from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.reports.junit import junit
from assay.evals.reports.views import Reference, Verdict

BAD = "<script>]]>&\"'\x00\x1b\ud83d\ufffe </testcase>"


def report(*results: TrialResult) -> SuiteReport:
    return SuiteReport.of(results, suite=BAD, model=BAD, thresholds={"label": 0.5}, seconds=2.0)


def trial(case: str, *outcomes: Outcome, **more: Failure | int | float) -> TrialResult:
    return TrialResult(**{"case": case, "trial": 0, "model": "m", "outcomes": outcomes, **more})  # type: ignore[arg-type]


def test_cases_failures_and_errors() -> None:
    text = junit(
        [
            report(
                trial("good", Outcome("label", "pass", 1.0), duration=0.25),
                trial("bad", Outcome("label", "pass", 1.0)),
                trial("bad", Outcome("label", "fail", 0.0, BAD), trial=1),
                trial("crashed", failure=Failure("E", BAD, "bug")),
                trial("unsaid", Outcome("label", "unscored", None, "no judge")),
            )
        ]
    )
    root = ElementTree.fromstring(text)
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    good, bad, crashed, unsaid = root.iter("testcase")
    assert good.get("time") == "0.250"
    assert [child.tag for child in good] == []
    failure = bad.find("failure")
    assert failure is not None
    assert failure.text == "trial 2: label: <script>]]>&\"'\ufffd\ufffd\ufffd\ufffd </testcase>"
    assert [child.tag for child in crashed] == ["error"]
    assert [child.tag for child in unsaid] == ["skipped"]
    values = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert values["check label"] == "mean 0.5000, meets threshold 0.5"


def test_no_suite_is_a_valid_file() -> None:
    assert ElementTree.fromstring(junit([])).get("tests") == "0"


def test_comparisons_and_a_stop_are_properties() -> None:
    found = report(trial("good", Outcome("label", "pass", 1.0)))
    said = Verdict(word="regressed", why="by 0.1", difference=-0.1, low=-0.2, high=-0.05)
    reference = Reference(
        label="run a", verdicts={(BAD, "label"): said}, latencies={BAD: Verdict(word="no worse")}
    )
    text = junit([found], reference=reference, stopped="the budget is spent")
    values = {p.get("name"): p.get("value") for p in ElementTree.fromstring(text).iter("property")}
    assert values["check label, difference"] == (
        "-0.100 (-0.200 to -0.050); compared with run a: regressed by 0.1"
    )
    assert values["latency (s) compared with run a"] == "no worse"
    assert values["stopped"] == "the budget is spent"
