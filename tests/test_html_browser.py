"""The HTML report in headless Chromium: nothing hostile runs, and people can use it."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from assay.evals.reports.html import render
from assay.evals.reports.page import Case, page_of

from .report_pages import BAD, HOSTILE, failed, hostile_page, many, result, suite_report

pytestmark = pytest.mark.slow

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--dump-dom",
)


@pytest.fixture
def dom(tmp_path: Path) -> Callable[[str, str], str]:
    """Return what a page has become in headless Chromium: (html, hash) -> html."""
    browser = (
        shutil.which("chromium")
        or shutil.which("google-chrome")
        or shutil.which("chromium-browser")
    )
    if browser is None:
        pytest.skip("Chromium is not installed")

    def dump(html: str, hash: str = "") -> str:
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"{file.as_uri()}{hash}",
        ]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()

    return dump


def names(html: str) -> list[str]:
    return re.findall(r'<a href="#case/triage/([^"]*)"', html)


def test_hostile_texts_do_not_run(dom: Callable[..., str]) -> None:
    hostile = render(hostile_page())
    # A second script, allowed for the test, reports what the page's own policy let happen.
    probe = "<script>addEventListener('load', () => { document.title = `pwned: ${window.pwned}` })</script>"
    loose, found = re.subn(r"script-src &#39;[^&]*&#39;", "script-src 'unsafe-inline'", hostile)
    assert found == 1
    for place in ("", "#case/" + "/".join(map(quoted, (BAD, f"1 {HOSTILE[1]}")))):
        shown = dom(loose.replace("</body>", f"{probe}</body>"), place)
        assert "<title>pwned: undefined</title>" in shown
    assert "tool call: " in shown
    assert "U+202E" in shown
    assert not re.search(
        r"<(img|svg onload|b onmouse)", re.sub(r"<script.*?</script>", "", shown, flags=re.DOTALL)
    )
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', shown))


def quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")


def test_the_table_sorts_filters_and_turns_pages(dom: Callable[..., str]) -> None:
    html = render(many(200))
    shown = dom(html, "#cases?sort=seconds&dir=down&page=2")
    assert names(shown)[:3] == ["case-149", "case-148", "case-147"]
    assert shown.count('aria-sort="descending"') == 1
    shown = dom(html, "#cases?status=fail&q=CASE-7")
    assert names(shown) == ["case-7", "case-70", "case-77"]
    assert "3 of 200 cases" in shown
    assert 'aria-sort="none"' in shown


def test_a_case_shows_what_differs(dom: Callable[..., str]) -> None:
    report = suite_report(
        result("a b/ü", failed(reason="not so"), output={"label": "red fox", "more": 1})
    )
    page = page_of(
        [report], {("triage", "a b/ü"): Case(inputs="hello", expected={"label": "red dog"})}
    )
    shown = dom(render(page), "#case/triage/a%20b%2F%C3%BC")
    assert "<del>dog</del>" in shown
    assert "<ins>fox</ins>" in shown
    assert "not so" in shown
    assert "<title>a b/ü · Evaluation report</title>" in shown
    assert "No such case" in dom(render(page), "#case/triage/%E0%A4%A")


def test_runs_stand_one_after_another_under_headings(dom: Callable[..., str]) -> None:
    messages: list[dict[str, Any]] = [
        {
            "run_id": "r-1",
            "parts": [{"part_kind": "user-prompt", "content": "hello"}],
        },
        {
            "run_id": "r-1",
            "model_name": "m-5",
            "parts": [
                {"part_kind": "thinking", "content": "hm"},
                {"part_kind": "tool-call", "tool_name": "look", "args": '{"word":"card"}'},
            ],
        },
        {
            "run_id": "r-1",
            "parts": [
                {
                    "part_kind": "tool-return",
                    "tool_name": "look",
                    "content": [],
                    "outcome": "failed",
                }
            ],
        },
        {"run_id": "judge-1", "parts": [{"part_kind": "text", "content": "fine"}]},
    ]
    page = page_of([suite_report(result("a", failed(), messages=messages))], {})
    shown = dom(render(page), "#case/triage/a")
    assert re.findall(r"<h5>(.*?)</h5>", shown) == ["Run 1 of 2", "Run 2 of 2"]
    titles = re.findall(r'<li[^>]*><div><strong dir="auto">(.*?)</strong>', shown)
    assert titles == [
        "user",
        "model, thinking",
        "tool call: look",
        "tool answer, failed: look",
        "model",
    ]
    assert '"word": "card"' in shown
    assert "m-5" in shown
