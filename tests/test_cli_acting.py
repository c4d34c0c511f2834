"""`assay run` of agents that act: what waits is told with its next step, and resumed from there."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.evals.cli import main

Assay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def assay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Assay:
    """Run a command line in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
        said = capsys.readouterr()
        return int(e.value.code or 0), said.out, said.err

    return run


def test_a_refund_that_waits_is_no_answer_yet_and_resumes_at_the_same_bank(assay: Assay) -> None:
    code, _, err = assay("run", "support", "--bank", "b.db", "Please refund Velo Haus")
    assert code == 1
    said = re.search(r"assay (approvals show \w+), then: assay (approvals resume .+)", err)
    assert said, err
    show, resume = (one.split() for one in said.groups())
    assert resume[-2:] == ["--bank", "b.db"]
    assert "tx-104" in assay(*show)[1]
    assay("approvals", "approve", resume[2])
    code, out, _ = assay(*resume)
    assert (code, "refunded €349.00" in out) == (0, True), out
    assert not Path(".assay/bank.db").exists()


def test_a_deletion_is_confirmed_in_its_list(assay: Assay) -> None:
    mine = ("--todos", "mine.db")
    for task in ("milk", "bread"):
        assert assay("run", "todo", *mine, f"add buy {task}")[0] == 0
    assert "\n  1. buy milk\n" in assay("run", "todo", *mine, "show my tasks")[1]
    code, _, err = assay("run", "todo", *mine, "delete all my tasks")
    assert (code, "answer yes or no" in err) == (1, True), err
    assert err.rstrip().endswith("--todos mine.db")
    resume = err.rpartition("assay ")[2].split()
    assay("approvals", "approve", resume[2])
    code, out, _ = assay(*resume)
    assert (code, "Deleted: 1. buy milk" in out) == (0, True), out


def test_a_customer_whom_the_bank_does_not_have_is_wrong_usage(assay: Assay) -> None:
    code, _, err = assay("run", "support", "--customer", "cu-nobody", "my balance?")
    assert (code, "no customer 'cu-nobody'; name one: --customer" in err) == (2, True), err


def test_options_before_a_decision_are_refused_and_not_ignored(assay: Assay) -> None:
    code, _, err = assay("approvals", "--store", "other.db", "show", "a1")
    assert (code, "after the command" in err) == (2, True), err
