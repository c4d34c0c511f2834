"""The HTML report: nothing that a model wrote runs or becomes markup, and people can use it."""

import json
import re
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.evals.reports.html import TEMPLATES, embedded, render
from assay.evals.reports.page import MAX_TEXT, page_of, plain_data

from .report_pages import HOSTILE, Reader, failed, hostile_page, many, passed, result, suite_report


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(hostile_page())


def test_hostile_texts_become_no_markup(hostile: str) -> None:
    read = Reader(hostile)
    plain = Reader(render(page_of([suite_report(result("a", failed()))], {})))
    allowed = {tag for tag, _ in plain.tags} | {
        "details",
        "summary",
        "bdi",
        "path",
        "rect",
        "circle",
    }
    assert {tag for tag, _ in read.tags} <= allowed
    assert [tag for tag, _ in read.tags].count("script") == 2
    for _, attributes in read.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style")
        ]
        assert (attributes.get("href") or "#").startswith("#")
    assert "49" not in "".join(read.texts["h1#"])  # {{ 7*7 }} stayed a text
    assert "\0" not in hostile
    assert "\x1b" not in hostile
    hostile.encode("utf-8")


def test_the_page_asks_the_network_for_nothing(hostile: str) -> None:
    read = Reader(hostile)
    policy = next(
        a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in read.tags}
    assert "url(" not in (TEMPLATES / "report.css").read_text(encoding="utf-8")
    for script in TEMPLATES.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(", text
        )
        assert "</script" not in text.lower()


def test_the_cases_survive_the_way_through_the_page(hostile: str) -> None:
    page = hostile_page()
    assert Reader(hostile).data["cases"] == json.loads(json.dumps(page.cases))
    assert [case["inputs"] for case in page.cases] == [
        text.replace("\ud83d", "?") for text in HOSTILE
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.sampled_from(HOSTILE[:-3]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_json_comes_back_as_it_was(data: Any) -> None:
    text = str(embedded(plain_data(data)))
    assert not re.search("[<>&\u2028\u2029\x00-\x1f]", text)
    assert json.loads(text) == data


def test_what_javascript_would_change_is_shown_as_text() -> None:
    assert plain_data([float("nan"), float("-inf"), 2**60, "\ud83d"]) == [
        "nan",
        "-inf",
        str(2**60),
        "?",
    ]
    assert plain_data({1: b"ab", "when": datetime(2026, 1, 2, tzinfo=UTC)}) == {
        "1": "YWI=",
        "when": "2026-01-02T00:00:00Z",
    }
    assert plain_data("x" * (MAX_TEXT + 5)).endswith("… 5 more characters are not shown")
    loop: list[Any] = []
    loop.append(loop)
    assert plain_data({"loop": loop, "kept": 1, "half": "\ud83d"}) == {
        "loop": ["[[...]]"],
        "kept": 1,
        "half": "?",
    }
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert "nested too deeply" in json.dumps(plain_data(deep), ensure_ascii=False)


def test_charts_are_well_formed_and_have_a_text(hostile: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", hostile, flags=re.DOTALL)
    assert len(drawn) > 2 * len(HOSTILE)
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        for node in root.iter():
            assert all(
                "nan" not in v
                for k, v in node.attrib.items()
                if k in ("x", "cx", "width", "height")
            )


def test_conversations_of_failed_trials_are_kept_first() -> None:
    said = [{"role": "user", "content": "x" * 100}]
    report = suite_report(
        result("good", passed(), messages=said),
        result("bad", failed(), messages=said),
        result("fine", passed(), messages=said),
        result("silent", passed()),
    )
    page = page_of([report], {}, max_messages=200)
    assert page.left_out == 2
    good, bad, fine, silent = (case["trials"][0] for case in page.cases)
    assert good["left_out"]
    assert "messages" not in good
    assert bad["messages"] == said
    assert fine["left_out"]
    assert "left_out" not in silent


def colours(css: str) -> list[dict[str, str]]:
    return [
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_have_contrast(theme: int) -> None:
    found = colours((TEMPLATES / "report.css").read_text(encoding="utf-8"))[theme]
    pairs = [
        (f"--{ink}", f"--{ground}")
        for ink in ("text", "quiet", "accent", "good", "bad", "doubtful")
        for ground in ("page", "card", "soft")
    ]
    pairs += [("--text", f"--{kind}-soft") for kind in ("good", "bad", "doubtful")]
    for ink, ground in pairs:
        low, high = sorted((luminance(found[ink]), luminance(found[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_10_000_cases_are_a_file_that_a_browser_opens() -> None:
    started = perf_counter()
    html = render(many(10_000))
    assert perf_counter() - started < 10  # 2 s on two slow cores
    assert len(html) < 25_000_000
    assert html.count("<tr") == 0  # rows are made in the browser, a page at a time
