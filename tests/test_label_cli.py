"""Labels on the command line: files, what they make of a run's figures, and of its judges."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from assay.evals.cli import main
from assay.evals.labelling.gather import entries_of
from assay.evals.labelling.server import Site
from assay.evals.store.database import RunStore
from assay.evals.store.people import Label
from assay.evals.store.rows import Run

from .labelling import JUDGE, judged_run, served

pytestmark = pytest.mark.slow

CHECK = "rubric/polite"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "runs.db")) as opened:
        yield opened


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


def label(store: RunStore, run: Run, count: int, drawn: Any = "random", wrong: int = 0) -> None:
    """Label as the judge did, but for the first `wrong`."""
    for n, one in enumerate(entries_of(store, run, seed="seed")[:count]):
        value = 1 - one.value if n < wrong else one.value
        given = Label(
            made=store.now(),
            run=run.id,
            suite=one.suite,
            key=one.key,
            trial=one.trial,
            check=one.check,
            rater="ann",
            value=value,
            note="so" if n < wrong else "",
            drawn=drawn,
        )
        store.people.add_labels([given])


def test_labels_go_into_a_file_and_come_back_once(
    assay: Any, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_run(store)
    label(store, run, 5)
    file = tmp_path / "labels.jsonl"
    assert assay("label", run.id, "--export", str(file)) == 0
    assert "wrote 5 labels" in capsys.readouterr().out
    first = list(store.people.history(run.id))
    assert assay("label", run.id, "--import", str(file)) == 0
    assert "added 0 labels; 5 were there already" in capsys.readouterr().out
    file.write_text(file.read_text() + file.read_text().splitlines()[0].replace("ann", "bob"))
    assert assay("label", run.id, "--import", str(file)) == 0
    assert "added 1 labels; 5 were there already" in capsys.readouterr().out
    assert [one for one in store.people.history(run.id) if one.rater == "ann"] == first
    assert assay("label", run.id, "--export", "-") == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 6


def test_a_wrong_file_is_told_and_nothing_is_imported(
    assay: Any, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = judged_run(store), judged_run(store)
    label(store, other, 2)
    file = tmp_path / "labels.jsonl"
    assert assay("label", other.id, "--export", str(file)) == 0
    assert assay("label", run.id, "--import", str(file)) == 2
    assert "labels.jsonl: line 1: it is of run" in capsys.readouterr().err
    assert assay("label", run.id, "--import", "nowhere.jsonl") == 2
    assert assay("label", run.id, "--export", "nowhere/x.jsonl") == 2
    assert assay("label", run.id, "--export", "a", "--import", "b") == 2
    assert list(store.people.history(run.id)) == []


def test_a_run_without_judged_outputs_says_what_to_do(
    assay: Any, store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_run(store)
    assert assay("label", run.id, "--check", "exact") == 2
    assert "there are rubric/polite; evaluate with a judge" in capsys.readouterr().err


def test_it_prints_its_address_and_says_what_came_of_the_labels(
    assay: Any,
    store: RunStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = judged_run(store, 15)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    seen: list[int] = []

    def waited(site: Site) -> None:
        seen.append(len(site.session.entries))
        label(store, run, 9, "disagreement", wrong=2)

    monkeypatch.setattr(Site, "wait", waited)
    assert assay("label", run.id, "--order", "disagreement", "--limit", "9", "--open") == 0
    found = capsys.readouterr()
    assert found.out.splitlines()[0] == opened[0]
    assert seen == [9]
    assert "9 labels by 1 person, 9 of disputed items" in found.out
    assert "the judge agrees in 0.78" in found.out
    assert "helpdesk, rubric/polite: no corrected mean: 9 labels, none of items drawn" in found.out
    assert "its criteria cannot be read" in found.err


def test_show_diff_and_report_have_the_corrected_means(
    assay: Any, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = judged_run(store, 40), judged_run(store, 40)
    label(store, before, 30)
    label(store, after, 30, wrong=6)
    assert assay("show", after.id) == 0
    said = next(line for line in capsys.readouterr().out.splitlines() if "raw," in line)
    assert said.startswith(f"  {CHECK}: 0.50 raw, 0.")
    assert said.endswith("; 30 cases labelled at random)")
    assert assay("show", after.id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)["corrected"]["helpdesk"][CHECK]
    assert (shown["raw"], shown["labels"]) == (0.5, 30)
    assert assay("diff", before.id, after.id) == 0
    assert f"  {CHECK}: +0.00 raw, " in capsys.readouterr().out
    assert assay("diff", before.id, after.id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["corrected"]["helpdesk"][CHECK]["labels"] == 30
    page = tmp_path / "report.html"
    assert assay("report", after.id, "-o", str(page)) == 0
    assert f"by people's labels: {said.partition(': ')[2]}" in page.read_text().replace(
        "&#39;", "'"
    )


def test_a_judge_is_calibrated_by_the_labels_of_a_run(
    assay: Any, store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_run(store, 60)
    assert assay("judge", "calibrate", "--run", run.id) == 1
    assert "nobody has labelled run" in capsys.readouterr().err
    label(store, run, 60, wrong=3)
    assert assay("judge", "calibrate", "--run", run.id) == 0
    shown = capsys.readouterr().out
    assert f"judge {JUDGE}" in shown
    assert "gates: yes" in shown
    assert "the judge's reason People: ann: so" in " ".join(shown.split())
    found = store.people.calibration(JUDGE)
    assert found is not None
    assert (found.agreement.items, found.source) == (60, f"run {run.id}")
    assert assay("judge", "calibrate", "--run", run.id, "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["gates"]
    for options in ((), ("--run", run.id, "--labels", "x"), ("--run", run.id, "--verdicts", "x")):
        assert assay("judge", "calibrate", *options) == 2


def test_disputed_labels_calibrate_nobody(
    assay: Any, store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_run(store)
    label(store, run, 20, "disagreement")
    assert assay("judge", "calibrate", "--run", run.id) == 1
    assert "none of items drawn at random" in capsys.readouterr().err
    assert store.people.calibrations() == []


def test_the_word_is_there(assay: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert assay("label", "--help") == 0
    assert "blind to what the run's judges" in " ".join(capsys.readouterr().out.split())


# -- the command, and several of it


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start `assay label` in a process of its own."""
    command = [sys.executable, "-c", "from assay.evals.cli import main; main()", "label", *options]
    environment = {**os.environ, "ASSAY_STORE": str(folder / "runs.db")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def label_all(url: str) -> None:
    """Send what the page would, until nothing is left to label."""
    address, rater = url.split("?rater=")
    headers = {"Content-Type": "application/json", "Origin": address.rsplit("/", 2)[0]}

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps({"rater": rater, **body}).encode() if body else None
        with urlopen(Request(address + path, data, headers), timeout=60) as found:
            return json.load(found)

    state = ask(f"item?rater={rater}")
    while state["item"]:
        state = ask("label", {"id": state["item"]["id"], "value": 1.0})


def test_two_processes_take_labels_at_once_and_say_what_came_of_them(
    tmp_path: Path, store: RunStore
) -> None:
    run = judged_run(store, 12)
    other = start(tmp_path, run.id, "--rater", "ann")
    try:
        assert other.stdout is not None
        url = other.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]+/\?rater=ann", url)
        with served(store, run) as site, ThreadPoolExecutor() as pool:
            assert list(pool.map(label_all, [url, site.url("bob")])) == [None, None]
        other.send_signal(signal.SIGINT)
        shown, told = other.communicate(timeout=30)
    finally:
        other.kill()  # one that a failure left would be waited for in the end
    assert other.returncode == 0
    assert "24 labels by 2 people; the judge agrees in 0.50" in shown
    assert "helpdesk, rubric/polite: 0.50 raw, 1.00 corrected" in shown
    assert "12 items to label" in told
    assert "every label is saved" in told
    assert len(store.people.labels(run.id)) == 24
