"""Runs to make reports of, some with something hostile wherever a text can stand."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from assay.evals.outcome import Failure, Outcome, TrialResult
from assay.evals.report import SuiteReport
from assay.evals.reports.page import Case, CaseKey, Page, RunInfo, page_of
from assay.evals.reports.views import Reference, Verdict

HOSTILE = [
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "<!--<script>",
    "--></script><img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    "\"'><b onmouseover='window.pwned=1'>",
    "javascript:window.pwned=1",
    "{{ 7*7 }}{% raw %}{{ page }}",
    "${window.pwned=1}`",
    "]]>&lt;script&gt;&#x3c;script>",
    "\u202egnp.exe\u202c\u200f\u2066",
    "nul\x00 esc\x1b del\x7f \ud83d \u2028\u2029 \ufeff",
    "__proto__",
    "constructor",
]
BAD = " ".join(HOSTILE)


def result(case: str, *outcomes: Outcome, trial: int = 0, **more: Any) -> TrialResult:
    return TrialResult(case=case, trial=trial, model="m", outcomes=outcomes, **more)


def suite_report(*results: TrialResult, name: str = "triage", **thresholds: float) -> SuiteReport:
    return SuiteReport.of(
        results,
        suite=name,
        about="sort a message",
        model="baseline, not an LLM",
        thresholds=thresholds,
        seconds=1.5,
    )


def passed(check: str = "label", reason: str = "") -> Outcome:
    return Outcome(check, "pass", 1.0, reason)


def failed(check: str = "label", reason: str = "wrong") -> Outcome:
    return Outcome(check, "fail", 0.0, reason)


def hostile_page() -> Page:
    """A page with something hostile wherever a text can stand."""
    results: list[TrialResult] = []
    cases: dict[CaseKey, Case] = {}
    for i, text in enumerate(HOSTILE):
        name = f"{i} {text}"
        outcomes = (failed(text, text), Outcome(BAD, "score", 0.5, text), flips(BAD + text, i))
        messages = hostile_messages(i, text)
        more: dict[str, Any] = {
            "tags": (text, BAD),
            "trace_id": text,
            "messages": messages,
            "replayed": True,
        }
        results.append(result(name, *outcomes, output={text: [text]}, **more))
        results.append(result(name, flips(BAD + text, i + 1), trial=1))
        failure = Failure(type=text, message=text, kind="bug")
        results.append(result(name, trial=2, failure=failure, tags=(text,)))
        cases[BAD, name] = Case(inputs=text, expected={text: BAD})
    report = replace(suite_report(*results, name=BAD), about=BAD, model=BAD, dataset=BAD)
    said = Verdict(word=BAD, why=BAD, before=0.5, after=0.4, difference=-0.1, low=-0.2, high=0.0)
    verdicts = {(BAD, check.check): said for check in report.checks}
    told = {BAD: said}
    sides = [
        Reference(
            label=BAD,
            reports=(report,),
            verdicts=verdicts,
            costs=told,
            latencies=told,
            tokens=told,
            lift=lift,
        )
        for lift in (False, True)
    ]
    run = RunInfo(id=BAD, commit=BAD, dirty=True, stopped=BAD, facts={BAD: BAD})
    return page_of(
        [report],
        cases,
        reference=sides[0],
        baseline=sides[1],
        title=BAD,
        run=run,
        trace_url=f"javascript:{BAD}",
    )


def hostile_messages(i: int, text: str) -> list[dict[str, Any]]:
    return [
        {"kind": text, "parts": [{"part_kind": text, "tool_name": text, "args": text}]},
        {"parts": [{"part_kind": "tool-call", "tool_name": BAD, "args": f'["{i}"'}, text]},
        {"run_id": text, "agent_name": text, "parts": [{"part_kind": "text", "content": text}]},
        {
            "run_id": BAD,
            "model_name": text,
            "parts": [{"part_kind": "tool-return", "outcome": text, "content": text}],
        },
        {"role": text, "content": text},
    ]


def flips(check: str, i: int) -> Outcome:
    return Outcome(check, "fail" if i % 2 else "pass", float(i % 2 == 0), check)


class Reader(HTMLParser):
    """What a browser's parser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(f"{tag}#{dict(attrs).get('id', '')}")

    def handle_endtag(self, tag: str) -> None:
        while self.open and not self.open.pop().startswith(tag):
            pass

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    @property
    def data(self) -> Any:
        return json.loads("".join(self.texts["script#data"]))


def many(n: int) -> Page:
    text = "I left my card in a cab and would like a new one. " * 8
    results = [
        result(
            f"case-{i}",
            passed() if i % 7 else failed(),
            output={"label": "card_lost", "why": text},
            duration=i / 1000,
        )
        for i in range(n)
    ]
    return page_of(
        [suite_report(*results)],
        {
            ("triage", f"case-{i}"): Case(inputs=text, expected={"label": "card_lost"})
            for i in range(n)
        },
    )
