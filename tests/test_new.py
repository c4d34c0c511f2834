"""`assay new`: what it writes works as it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from assay.deps import ConfigError
from assay.evals.cli.new import write_agent

INI = """\
[pytest]
addopts = --import-mode=importlib --strict-markers
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_agent_passes_its_tests_at_once(pytester: pytest.Pytester) -> None:
    write_agent("harbour_news", pytester.path)
    names = ["__init__", "agent", "baseline", "suite", "test_harbour_news"]
    files = {f"{name}.py" for name in names} | {"cases.yaml"}
    assert {path.name for path in (pytester.path / "harbour_news").iterdir()} == files
    (pytester.path / "pytest.ini").write_text(INI)
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:inline_snapshot", "-p", "no:cov")
    ordinary = pytester.runpytest_inprocess(*quiet)
    ordinary.assert_outcomes(passed=2, deselected=3)
    evaluated = pytester.runpytest_inprocess(*quiet, "-m", "eval")
    assert evaluated.ret == pytest.ExitCode.OK
    evaluated.stdout.fnmatch_lines(["harbour_news: 3 cases, 0 failed*"])


@pytest.mark.parametrize("in_checkout", [True, False])
def test_what_is_written_is_clean(in_checkout: bool, tmp_path: Path) -> None:
    if in_checkout:
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "assay-agents"\n')
    write_agent("harbour_news", tmp_path)
    ruff = ("ruff", "check", "--isolated", "--line-length=100", "--target-version=py311")
    ignored = "--ignore=D1,D203,D213,D407,D406,D413,D211,D212"
    ours = "['assay']" if in_checkout else "[]"
    first_party = f"--config=lint.isort.known-first-party={ours}"
    run(tmp_path, *ruff, "--select=E,F,I,UP,D,B", ignored, first_party, ".")


def test_in_a_checkout_the_parts_go_to_their_folders(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "assay-agents"\n')
    write_agent("summary", tmp_path)
    written = {
        path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8")
        for path in tmp_path.rglob("*summary*/**/*")
        if path.is_file()
    } | {
        path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8")
        for path in tmp_path.rglob("*summary.py")
    }
    assert set(written) == {
        "agents/summary.py",
        "agents/baselines/summary.py",
        "evals/suites/summary.py",
        "datasets/summary/cases.yaml",
        "tests/test_summary.py",
    }
    assert imports(written["agents/summary.py"]) == {"..deps", ".baselines.summary"}
    assert imports(written["agents/baselines/summary.py"]) == {"...deps", "..summary"}
    assert imports(written["evals/suites/summary.py"]) == {"...evals", "...agents"}
    assert imports(written["tests/test_summary.py"]) == set()


def imports(text: str) -> set[str]:
    """Return the relative imports of a module that compiles."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    return {"." * node.level + (node.module or "") for node in found if node.level}


@pytest.mark.parametrize("name", ["", "Summary", "two words", "class", "1st", "../up", "a-b"])
def test_a_bad_name_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no lower-case Python identifier; try 'summary'"):
        write_agent(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "summary" / "suite.py"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=r"suite\.py exists already; choose another name"):
        write_agent("summary", tmp_path)
    assert [path.name for path in mine.parent.iterdir()] == ["suite.py"]
    assert mine.read_text() == "mine"


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "summary").write_text("a file")
    with pytest.raises(ConfigError, match="cannot write the agent 'summary'"):
        write_agent("summary", tmp_path)
