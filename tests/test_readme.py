"""The README is run: its Python blocks, and its commands with the output it shows."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from assay.evals.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```(?:\n\nprints `(.*?)`)?", README, re.DOTALL)
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)


def test_both_kinds_of_examples_are_found() -> None:
    assert sum(bool(said) for _, said in PYTHON) == 3
    assert CONSOLE


@pytest.mark.parametrize(("code", "said"), PYTHON)
def test_examples_run_and_print_what_is_said(
    code: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert " ".join(printed.split()) == " ".join(said.split())


@pytest.mark.parametrize(("command", "output"), CONSOLE)
def test_commands_print_what_is_shown(
    command: str,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = shlex.split(command)
    assert arguments[0] == "assay"
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    assert steady(said.out) == steady(output)


def steady(text: str) -> str:
    """Leave out what differs between machines: seconds, far decimals, runs' ids, space at ends of lines."""
    text = re.sub(r" *\d+\.\d+ s\b| +\d+\.\d+(?= │ \w)", " S", text)
    text = re.sub(r"\b\d{8}-\d{6}-\w{6}\b", "RUN", text)
    text = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}", text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def test_every_file_it_links_to_is_there() -> None:
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)(.*?)\)", prose)
    assert links
    assert all((Path(__file__).parents[1] / link).exists() for link in links)
