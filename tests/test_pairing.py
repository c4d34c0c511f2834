"""What nothing reads, fails: datasets, suites, agents and baselines belong together."""

import importlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic_evals import Dataset

from assay.evals.suite import DATASETS
from assay.evals.suites import NAMES, load

ROOT = Path(__file__).parents[1]
AT_LEAST = {
    "triage": 60,
    "extract": 40,
    "copy_editor": 30,
    "desk": 25,
    "judge": 66,
    "answer": 60,
    "guard": 40,
    "support": 72,
    "todo": 77,
}


def modules(folder: str) -> set[str]:
    files = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}


def test_every_dataset_has_a_suite_and_every_suite_a_dataset() -> None:
    assert {path.name for path in DATASETS.iterdir() if path.is_dir()} == set(NAMES)
    assert modules("evals/suites") == set(NAMES)


def test_every_suite_has_an_agent_and_every_agent_a_suite() -> None:
    without_cases = {"book", "baselines"}  # copy_editor's suite covers what a book is made of
    assert modules("agents") - without_cases == set(NAMES)


def test_every_baseline_has_an_agent() -> None:
    for name in modules("agents/baselines"):
        assert any(name == agent or name.startswith(f"{agent}_") for agent in NAMES), name


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_has_the_five_names(name: str) -> None:
    module = importlib.import_module(f"assay.agents.{name}")
    names = {"Deps", "run"} if name == "desk" else {"Deps", "INSTRUCTIONS", "agent", "run"}
    assert names <= set(module.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_is_large_distinct_and_tagged(name: str) -> None:
    cases = load(name).dataset().cases
    assert len(cases) >= AT_LEAST[name]
    inputs = [json.dumps(case.inputs, default=repr) for case in cases]
    assert len(set(inputs)) == len(inputs)
    assert all((case.metadata or {}).get("tags") for case in cases)


@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    suite = load(name)
    dataset = suite.dataset()
    custom: Any = [type(check) for check in suite.checks]
    for path in (tmp_path / "cases.yaml", tmp_path / "cases.json"):
        dataset.to_file(path, schema_path=None, custom_evaluator_types=custom)
        again = type(dataset).from_file(path, custom_evaluator_types=custom)
        assert [vars(case) for case in again.cases] == [vars(case) for case in dataset.cases]
    assert isinstance(dataset, Dataset)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_beside_a_dataset_is_its_own(name: str) -> None:
    suite = load(name)
    assert suite.path is not None
    first = suite.path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./cases_schema.json"
    locked = (ROOT / ".ci" / "locks" / "newest.txt").read_text(encoding="utf-8")
    if f"pydantic-evals=={version('pydantic-evals')} " not in locked:
        pytest.skip("the schemas hold pydantic-evals' own, as in the default environment")
    assert suite.path is not None
    schema = json.loads(suite.path.with_name("cases_schema.json").read_text(encoding="utf-8"))
    assert schema == json.loads(json.dumps(suite.schema())), "run: make schemas"
