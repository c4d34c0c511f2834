"""The page in headless Chromium, by keyboard alone; hostile texts stay texts."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from assay.evals.labelling.server import Site
from assay.evals.store.database import Content, RunStore
from assay.evals.store.people import Label, standing

from .browser import Page, chromium
from .labelling import judged_run, score, served, stored, trial, verdict
from .report_pages import BAD, HOSTILE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "runs.db")) as opened:
        yield opened


def wait_for(page: Page, said: str) -> None:
    page.until(f"document.getElementById('said').textContent.includes('{said}')")


def words(site: Site, rater: str) -> list[Label]:
    history = site.session.store.people.history(site.session.run)
    return [one for one in standing(history) if one.rater == rater]


def test_two_people_label_by_keyboard_and_go_on_where_they_stopped(
    page: Page, store: RunStore
) -> None:
    run = judged_run(store, 4)
    with served(store, run, {("helpdesk", "rubric/polite"): "The reply is polite."}) as site:
        first, second, third, _ = (one.case for one in site.session.entries)
        page.go(site.url())
        page.until("document.activeElement.name === 'rater'")
        page.type("ann")
        page.press("Enter")
        wait_for(page, "0 of 4")
        assert "The reply is polite." in page.text
        page.press("p")
        wait_for(page, "Saved: Pass. 1 of 4")
        page.press("n")
        page.type("pf: too short, u")
        page.press("Escape", "f")
        wait_for(page, "Saved: Fail. 2 of 4")
        page.press("c")
        wait_for(page, "Saved: cannot say. 2 of 4 labelled, 1 cannot say")
        page.press("u")
        wait_for(page, "Undone. 2 of 4 labelled")
        assert third in page.text
        assert page.js("location.search") == "?rater=ann"
        page.call("Page.reload")
        wait_for(page, "2 of 4")
        assert third in page.text
        said = [(one.key, one.value, one.note) for one in words(site, "ann")]
        keys = {one.case: one.key for one in site.session.entries}
        assert said == [(keys[first], 1.0, ""), (keys[second], 0.0, "pf: too short, u")]
        page.go(site.url("bob"))
        wait_for(page, "0 of 4")
        assert first in page.text  # the same order, and nothing of ann's
        assert "as ann" not in page.text
        assert "too short" not in page.text
        page.press("s")
        wait_for(page, "Skipped. 0 of 4 labelled, 1 skipped")
        for n in range(1, 5):
            page.press("p")
            wait_for(page, f"{n} of 4")
        assert "All done" in page.text
        assert words(site, "bob")[-1].key == keys[first]
        page.press("Enter")
        page.until("document.body.innerText.includes('Finished')")
        site.wait()  # returns


def test_scores_are_given_by_number_and_help_is_a_key_away(page: Page, store: RunStore) -> None:
    run = stored(store, [trial(n, score("quality", 0.5)) for n in range(2)])
    with served(store, run) as site:
        page.go(site.url("ann"))
        wait_for(page, "0 of 2")
        page.press("p", "f", "?")
        assert page.js("document.getElementById('help').open")
        assert "the score; between two, the lower one" in page.text
        page.press("4")  # the help is in front
        page.press("?", "4")
        wait_for(page, "Saved: 4. 1 of 2")
        assert "Undo 4" in page.text
        assert [one.value for one in words(site, "ann")] == [0.75]


def test_hostile_texts_stay_texts(page: Page, store: RunStore) -> None:
    hostile = [text.encode("utf-8", "replace").decode() for text in HOSTILE]  # names of checks
    inputs: dict[str, Any] = {text: [text] for text in HOSTILE}
    records = [
        trial(
            n,
            verdict(text, 1.0),
            case=f"{n} {text}",
            output={text: text, "all": BAD},
            content=Content(inputs=inputs, expected=BAD),
        )
        for n, text in enumerate(hostile)
    ]
    run = stored(store, records)
    criteria = {("helpdesk", text): f"{text} {BAD}" for text in hostile}
    with served(store, run, criteria, expected=True) as site:
        page.go(site.url(HOSTILE[1]))
        for n in range(len(HOSTILE)):
            wait_for(page, f"{n} of {len(HOSTILE)}")
            made = "document.querySelectorAll('img, svg, script, iframe, [onerror], [onload], [onmouseover]')"
            assert page.js(f"[...{made}].map((one) => one.tagName)") == ["SCRIPT", "SCRIPT"]
            assert page.js("window.pwned") is None
            assert "U+202E" in page.text
            page.press("p")
        wait_for(page, f"{len(HOSTILE)} of {len(HOSTILE)}")
        # What a script of another one's would do, if one ever got in.
        blocked = "new Promise((done) => { const one = document.createElement('script');"
        blocked += "one.textContent = 'window.pwned = 1'; document.body.append(one);"
        blocked += (
            "fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('blocked')); })"
        )
        assert page.js(blocked) == "blocked"
        assert page.js("window.pwned") is None


def test_the_page_fits_a_phone_and_says_when_nothing_was_saved(page: Page, store: RunStore) -> None:
    words_of = "word" * 60
    run = stored(store, [trial(0, score("q" * 80, 0.5), output={"a" * 90: [words_of]})])
    with served(store, run) as site:
        for width in (390, 1280):
            page.size(width, 800)
            page.go(site.url("ann"))
            wait_for(page, "0 of 1")
            assert page.js("document.documentElement.scrollWidth") <= width
    page.press("3")
    page.until("!document.getElementById('trouble').hidden")
    assert "Not saved. The program behind this page has ended." in page.text
    page.call("Emulation.clearDeviceMetricsOverride")
