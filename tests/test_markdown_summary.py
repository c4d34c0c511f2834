"""The Markdown summary, read as a reader does."""

import re

import pytest
from markdown_it import MarkdownIt

from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.reports.markdown import markdown_summary
from assay.evals.reports.views import Reference, Verdict

BAD = [
    "<script>alert(1)</script>",
    "a | b \\| c",
    "two\nlines\r\n# heading",
    "[link](javascript:alert(1)) ![i](https://x.example/i.png)",
    "*bold* _it_ `code` ~~no~~",
    "&lt;b&gt; &amp;",
    "www.example.org https://example.org @someone #12",
    "nul\x00 \u202e rtl",
]


def report(text: str) -> SuiteReport:
    results = (
        TrialResult(case=text, trial=0, model="m", outcomes=(Outcome(text, "fail", 0.0, text),)),
        TrialResult(case="crash", trial=0, model="m", failure=Failure("E", text, "bug")),
    )
    return SuiteReport.of(results, suite=text, about=text, model=text, seconds=1.0)


@pytest.mark.parametrize("text", BAD)
def test_texts_stay_texts(text: str) -> None:
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(
        markdown_summary([report(text)], title=text)
    )
    assert set(re.findall(r"<(\w+)", html)) <= {
        "h2",
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert html.count("<tr>") == 2 + 3  # a check; a failed case and a crash
    assert all(
        row.count("<td") in (2, 7) for row in re.findall(r"<tr>\n<td.*?</tr>", html, re.DOTALL)
    )


def test_figures_and_verdicts() -> None:
    text = markdown_summary([report("label")])
    assert (
        "| label | label | 0.000 | 0.000 to 0.658 | 1 | below its threshold | with its whole interval |"
        in text
    )
    verdicts = {("label", "label"): Verdict(word="regressed", why="by 0.2")}
    reference = Reference(label="main", reports=(report("label"),), verdicts=verdicts)
    assert "| regressed | by 0.2 |" in markdown_summary([report("label")], reference=reference)


def test_a_reference_and_a_baseline_have_a_column_each() -> None:
    said = Verdict(word="no worse", why="+0", difference=-0.01, low=-0.02, high=0.0)
    less = Verdict(
        word="does not beat the baseline", why="+0.010", difference=0.01, low=-0.03, high=0.05
    )
    cost = Verdict(word="regressed", why="$2 a trial, $1 before (+100%)")
    sides = [
        Reference(label=label, verdicts={("label", "label"): verdict}, costs=costs, lift=lift)
        for label, verdict, costs, lift in (
            ("run a", said, {"label": cost}, False),
            ("the baseline", less, {}, True),
        )
    ]
    text = markdown_summary(
        [report("label")], reference=sides[0], baseline=sides[1], stopped="no money left"
    )
    assert "| threshold | difference | lift | verdict | why |" in text
    assert "| -0.010 (-0.020 to +0.000) | +0.010 (-0.030 to +0.050) | no worse |" in text
    assert "does not beat the baseline&#58; +0.010 |" in text
    assert "Compared with run a; the baseline." in text
    assert "**Stopped before all was done**: no money left" in text
    assert "- cost (USD), compared with run a: regressed&#58; &#36;2 a trial" in text
