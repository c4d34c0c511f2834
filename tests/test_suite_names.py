"""A suite is named by what it is for, or by where the user has it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.deps import ConfigError
from assay.evals.suites import NAMES, load

SOURCE = """
from pydantic_evals import Case, Dataset
from assay.evals import Suite

async def echo(text: str) -> str:
    return text

cases = Dataset[str, str, None](name="echo", cases=[Case(name="a", inputs="x")])
mine = Suite.of(cases, echo)
other = Suite.of(cases, echo, name="other")
seven = 7
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A service's folder to work in, with the interpreter's own state put back afterwards."""
    package = tmp_path / "some_service"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "evals.py").write_text(SOURCE)
    (tmp_path / "helper_of_alone.py").write_text(f"{SOURCE}\nNAME = 'helper'\n")
    (tmp_path / "alone.py").write_text("from helper_of_alone import mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("some_service", "helper_of_alone", "_assay_suite_")):
            del sys.modules[name]


def test_our_own_are_known_by_name() -> None:
    assert load(NAMES[0]).name == NAMES[0]


def test_a_suite_in_a_package_is_found_from_its_folder() -> None:
    assert load("some_service.evals:mine").name == "echo"
    assert load("some_service.evals:mine") is load("some_service.evals:mine")


def test_a_suite_in_a_file_is_found_with_what_stands_beside_it(folder: Path) -> None:
    assert load("alone.py:mine").name == "echo"
    assert load("some_service/evals.py:other").name == "other"
    whole = str(folder / "alone.py")
    assert load(f"{whole}:mine") is load("alone.py:mine")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "no agent is called 'nobody'; there are triage, .*package.module:attribute"),
        ("some_servise.evals:mine", "no module 'some_servise'.*run this from the folder"),
        ("some_service.evils:mine", "no module 'some_service.evils'"),
        ("some_service.evals:main", "has no 'main'; of suites it has mine, other"),
        ("some_service:main", "has no 'main'; of suites it has none"),
        ("some_service.evals:seven", "is no Suite but of type 'int'; of suites it has mine, other"),
        ("nowhere.py:mine", "there is no file 'nowhere.py'"),
        (":mine", "cannot be imported: ValueError"),
        ("some_service.evals:", "has no ''"),
    ],
)
def test_what_is_not_there_is_told(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(name)


@pytest.mark.parametrize("name", ["broken:suite", "broken.py:suite"])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero; --debug"),
        ("import no_such_library", "No module named 'no_such_library'; install it"),
        ("(", "SyntaxError"),
    ],
)
def test_a_module_that_breaks_is_told_and_may_be_mended(
    folder: Path, name: str, source: str, said: str
) -> None:
    (folder / "broken.py").write_text(source)
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=said):
        load(name)
    left = set(sys.modules) - before
    assert not [module for module in left if module.startswith(("broken", "_assay_suite_"))]
