"""The cases of a suite: known by content, and refused before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps import BadDataset, ConfigError
from assay.evals import Suite, evaluate, plain
from assay.evals.cases import Cases
from assay.evals.identity import numbered


async def echo(text: str) -> str:
    return text


def suite_at(path: Path) -> Suite[str, str]:
    return Suite(name="echo", task=plain(echo), path=path, types=(str, str))


def stream(folder: Path, *lines: Any) -> Suite[str, str]:
    path = folder / "cases.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return suite_at(path)


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputs": name, "expected_output": name, **more}


def test_a_stream_of_lines_is_the_same_dataset_as_a_file(tmp_path: Path) -> None:
    rows = [row("a", metadata={"group": "g"}), row("b", evaluators=["EqualsExpected"]), row("c")]
    lines = Cases.of(stream(tmp_path, *rows[:2], "", rows[2]))
    whole = tmp_path / "cases.json"
    whole.write_text(json.dumps({"name": "x", "cases": rows}), encoding="utf-8")
    file = Cases.of(suite_at(whole))
    assert lines.keys == file.keys
    assert lines.hash == file.hash
    assert lines.groups == ("g", None, None)
    assert [case.name for case in lines] == [case.name for case in lines] == ["a", "b", "c"]
    assert [(u.name, u.position, u.trial) for u in lines.units(2)][2:4] == [
        ("c", 2, 0),
        ("a", 0, 1),
    ]


async def test_a_stream_is_evaluated_like_any_dataset(tmp_path: Path) -> None:
    report = await evaluate(
        stream(tmp_path, *(row(str(i), evaluators=["EqualsExpected"]) for i in range(450)))
    )
    assert (report.totals.cases, report.checks[0].mean) == (450, 1)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([row("a"), "{"], r"cases\.jsonl', line 2: not JSON"),
        ([row("a"), "", {"name": "b", "inputs": 3}], r"line 3: inputs.*valid string"),
        ([row("a"), row("b"), row("a")], "'a'"),
        ([row("a"), {"inputs": "b"}], "case 2 has no name"),
        ([row("a", evaluators=["Nobody"])], "Nobody"),
    ],
)
def test_a_bad_line_is_told_before_anything_runs(
    tmp_path: Path, lines: list[Any], why: str
) -> None:
    with pytest.raises(BadDataset, match=why):
        Cases.of(stream(tmp_path, *lines))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="No such file"):
        Cases.of(suite_at(tmp_path / "none.jsonl"))


def test_a_suite_has_one_source_of_cases(tmp_path: Path) -> None:
    data = Dataset[str, str, Any](name="d", cases=[Case(name="a", inputs="a")])
    with pytest.raises(ConfigError, match="either path and types, or data"):
        Suite(name="s", task=plain(echo))
    with pytest.raises(ConfigError, match="either path and types, or data"):
        Suite(name="s", task=plain(echo), data=data, path=tmp_path, types=(str, str))


def test_a_dataset_in_memory_brings_its_evaluators() -> None:
    data = Dataset[str, str, Any](
        name="d", cases=[Case(name="a", inputs="a")], evaluators=[EqualsExpected()]
    )
    assert [type(e) for e in Cases.of(Suite.of(data, echo)).evaluators] == [EqualsExpected]


@given(st.lists(st.sampled_from("abc")))
def test_numbered_keys_are_distinct_and_keep_the_first(keys: list[str]) -> None:
    found = list(numbered(keys))
    assert len(set(found)) == len(found) == len(keys)
    assert [key for key in found if "-" not in key] == list(dict.fromkeys(keys))
