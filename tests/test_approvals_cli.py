"""`assay approvals`: what it lists, decides and resumes, and what it lets reach a terminal."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.models.function import FunctionModel

from assay.deps.approvals import Approve, Deny, Edit, Paused
from assay.deps.approvals.sql import DEFAULT, SqlApprovals
from assay.evals.cli import approvals as commands
from assay.evals.cli import approvals_words, main

from .approving import Deps, asks, call, paused_run, resume

Assay = Callable[..., tuple[int, str, str]]

HOSTILE = "\x1b[2J\x9b31m\u202etxet\n[bold]x[/bold] caf\xe9"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Assay:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", "approvals", *arguments])
        with pytest.raises(SystemExit) as e:
            main()
        said = capsys.readouterr()
        return int(e.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def store(in_a_folder: None) -> Iterator[SqlApprovals]:
    with SqlApprovals(DEFAULT) as opened:
        yield opened


def pause(store: SqlApprovals, model: Any = None) -> Paused:
    return asyncio.run(paused_run(Deps(store), model))


@pytest.fixture
def paid(store: SqlApprovals, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was paid by an agent that the commands know how to resume."""
    acts: list[str] = []

    def resumer(name: str, models: Any, options: Any, approvals: Any) -> Callable[[str], Any]:
        assert name == "desk"

        def go_on(id: str) -> Awaitable[Any]:
            return resume(id, Deps(approvals, paid=acts.append))

        return go_on

    monkeypatch.setattr(commands, "resumer", resumer)
    return acts


def in_column(table: str, number: int) -> str:
    lines = [line.split("│") for line in table.splitlines() if line.startswith("│")]
    return "".join(cells[number].strip() for cells in lines)


def decisions(store: SqlApprovals, paused: Paused) -> list[Any]:
    found = [one.decision for one in asyncio.run(store.get(paused.id)).requests]
    return [one and one.model_copy(update={"at": None}) for one in found]


def test_the_list_shows_each_call_with_its_arguments_and_why(
    assay: Assay, store: SqlApprovals
) -> None:
    paused = pause(store)
    code, out, err = assay()
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    for shown in (paused.id[:8], "desk", "refund", "500 cents", "900 cents", "0 min", "waiting"):
        assert shown in said
    code, out, err = assay("--json")
    (found,) = json.loads(out)
    assert found["id"] == paused.id
    assert found["state"] == "waiting"
    assert [one["arguments"]["cents"] for one in found["requests"]] == [500, 900]


def test_decisions_are_taken_call_by_call_by_how_ids_begin(
    assay: Assay, store: SqlApprovals, paid: list[str]
) -> None:
    paused = pause(store)
    short = paused.id[:6]
    arguments = '{"order": "a", "cents": 7}'
    code, out, _ = assay("edit", short, "--call", "call-a", "--arguments", arguments)
    assert code == 0
    assert "1 undecided" in out
    code, out, _ = assay("deny", short, "--reason", "too much", "--by", "bob")
    assert f"assay approvals resume {paused.id[:8]}" in out
    assert decisions(store, paused) == [
        Edit(by="ann", arguments={"order": "a", "cents": 7}),
        Deny(by="bob", why="too much"),
    ]
    code, out, err = assay("resume", short)
    assert code == 0
    assert out == "'This call was denied: too much. It was not made.; paid a 7; seen'\n"
    assert "baseline" in err
    assert paid == ["a 7"]
    assert "waiting" not in assay()[1]
    code, out, _ = assay("show", short)
    assert "finished" in out
    assert "denied by bob" in out
    assert short in assay("--all")[1]


def test_approve_takes_all_that_are_undecided(assay: Assay, store: SqlApprovals) -> None:
    paused = pause(store)
    assay("deny", paused.id, "--call", "call-b", "--reason", "no")
    code, _, _ = assay("approve", paused.id, "--reason", "fine")
    assert code == 0
    assert decisions(store, paused) == [Approve(by="ann", why="fine"), Deny(by="ann", why="no")]


def test_show_tells_what_was_asked_and_what_is_decided(assay: Assay, store: SqlApprovals) -> None:
    paused = pause(store)
    assay("approve", paused.id, "--call", "call-a")
    code, out, _ = assay("show", paused.id)
    assert code == 0
    for shown in ('"refund both"', "model: two", "500 cents are many", "approved by ann"):
        assert shown in out
    found = json.loads(assay("show", paused.id, "--json")[1])
    assert found["asked"] == "refund both"
    assert found["requests"][0]["decision"]["by"] == "ann"


@pytest.mark.parametrize("command", [[], ["--json"], ["show"], ["show", "--json"], ["approve"]])
def test_what_a_model_wrote_moves_no_cursor(
    assay: Assay, store: SqlApprovals, command: list[str]
) -> None:
    hostile = call(HOSTILE, 1, id=f"call-{HOSTILE}")
    paused = pause(store, FunctionModel(asks(hostile), model_name=HOSTILE))
    name, *options = command or [""]
    words = command if name.startswith("--") or not name else [name, paused.id, *options]
    code, out, _ = assay(*words)
    assert code == 0
    assert "[bold]x[/bold]" in (in_column(out, 4) if not words else out)
    assert all(one.isprintable() or one == "\n" for one in out)


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        (["show", "nothing"], 2, "no paused run is kept whose id begins with 'nothing'"),
        (["approve", "ID", "--call", "call-z"], 2, "no call begins with 'call-z'"),
        (["approve", "ID", "--call", "call-"], 2, "several calls begin with 'call-'"),
        (["edit", "ID", "--arguments", "{}"], 2, "has several calls; name one"),
        (["edit", "ID", "--call", "call-a", "--arguments", "[1]"], 2, "is no JSON object"),
        (["edit", "ID", "--call", "call-a", "--arguments", "{"], 2, "is no JSON object"),
        (["resume", "ID"], 1, "approve, edit or deny each"),
        (["--store", "nonsense://x"], 2, "only sqlite and postgresql are known"),
    ],
)
def test_mistakes_are_told_and_have_an_exit_code(
    assay: Assay, store: SqlApprovals, paid: list[str], command: list[str], code: int, why: str
) -> None:
    paused = pause(store)
    found, out, err = assay(*[paused.id if word == "ID" else word for word in command])
    assert (found, out) == (code, "")
    assert why in err
    assert paid == []


def test_a_bad_edit_is_told_and_the_run_waits_on(
    assay: Assay, store: SqlApprovals, paid: list[str]
) -> None:
    paused = pause(store)
    assay("approve", paused.id)
    assay("edit", paused.id, "--call", "call-b", "--arguments", '{"cents": "x"}')
    code, out, err = assay("resume", paused.id)
    assert (code, out) == (1, "")
    assert "order: Field required; cents: Input should be a valid integer" in err
    assert "edit them anew" in err
    assert paid == []
    assert "waiting" in assay()[1]


def test_a_run_that_waits_again_has_no_answer_yet(
    assay: Assay, store: SqlApprovals, monkeypatch: pytest.MonkeyPatch, paid: list[str]
) -> None:
    paused = pause(store)

    def again(*_: Any) -> Callable[[str], Any]:
        return lambda _: paused_run(Deps(store))

    monkeypatch.setattr(commands, "resumer", again)
    code, out, err = assay("resume", paused.id, "--json")
    assert code == 1
    assert json.loads(out)["state"] == "waiting"
    assert "the run waits again" in err


def test_an_agent_that_nobody_here_knows_is_resumed_from_python(
    assay: Assay, store: SqlApprovals
) -> None:
    paused = pause(store)
    code, _, err = assay("resume", paused.id)
    assert code == 2
    assert "call the agent's resume(id, deps) from Python" in err
    assert asyncio.run(store.get(paused.id)).begun is None


def test_the_words_name_the_stores_own_default() -> None:
    assert approvals_words.DEFAULT == DEFAULT


def test_a_refund_of_support_waits_is_approved_and_booked(
    assay: Assay, store: SqlApprovals, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "Velo Haus has not delivered the bike I ordered in February. Refund it."
    monkeypatch.setattr(sys, "argv", ["assay", "run", "support", asked])
    with pytest.raises(SystemExit):
        main()
    (paused,) = asyncio.run(store.pending())
    assert [one.tool for one in paused.requests] == ["refund"]
    code, _, _ = assay("approve", paused.id)
    assert code == 0
    code, out, _ = assay("resume", paused.id, "--json")
    assert code == 0
    assert [one["kind"] for one in json.loads(out)["actions"]] == ["refund"]
    assert asyncio.run(store.pending()) == ()
