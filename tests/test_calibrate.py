"""A judge beside people: labels read, verdicts compared, and what of it may gate."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.deps import BadDataset, InputError
from assay.evals.judges.calibrate import calibrate
from assay.evals.judges.items import (
    SCALES,
    Item,
    Verdict,
    read_items,
    read_verdicts,
    scale_of,
)
from assay.evals.judges.standing import Calibration, Standing, said_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
JUDGE = "tone@openai:gpt-5#0123456789ab"


def item(number: int, label: Any = None, **fields: Any) -> Item:
    return Item(id=f"i{number}", candidate=f"text {number}", label=label, **fields)


def calibrated(items: list[Item], said: list[Any], **options: Any) -> Any:
    verdicts = {one.id: Verdict(label=v) for one, v in zip(items, said, strict=True)}
    return calibrate(items, verdicts, scale_of(items), judge=JUDGE, made=NOW, **options)


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_labels_and_verdicts_are_read_by_id(tmp_path: Path) -> None:
    labels = written(
        tmp_path / "labels.jsonl",
        {"id": "1", "candidate": "a", "label": "pass", "note": "it does"},
        {"id": "2", "candidate": "b", "labels": {"ann": "fail", "bob": "fail", "eve": "pass"}},
    )
    verdicts = written(
        tmp_path / "verdicts.jsonl",
        {"id": "1", "verdict": "pass"},
        {"id": "2", "verdict": "dunno", "reason": "unreadable"},
    )
    items = read_items(labels)
    assert [one.people for one in items] == ["pass", "fail"]
    said = read_verdicts(verdicts, scale_of(items))
    assert [said["1"].label, said["2"].label, said["2"].reason] == ["pass", None, "unreadable"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "1", "candidate": "a"}], "(?s)line 1: .*give a label"),
        ([{"id": "1", "candidate": "a", "label": "fine"}], "'fine'.* are on none of"),
        ([{"id": "1", "candidate": "a", "label": "pass"}] * 2, "line 2: id '1' stands there twice"),
        ([{"id": "1", "candidate": "a", "label": "pass", "lable": 1}], "lable"),
        ([["a"]], "line 1 is no JSON object"),
        ([], "holds no labelled item"),
    ],
)
def test_a_file_of_labels_that_is_wrong_is_told_by_line(
    tmp_path: Path, lines: list[Any], message: str
) -> None:
    with pytest.raises(BadDataset, match=message):
        read_items(written(tmp_path / "labels.jsonl", *lines))


def test_labels_of_two_scales_do_not_mix() -> None:
    assert scale_of([item(1, 3), item(2, 5)]) == "score"
    assert scale_of([item(1, "tie", other="b")]) == "pairwise"
    with pytest.raises(BadDataset, match="not on one scale"):
        scale_of([item(1, 3), item(2, "pass")])


def test_people_without_a_majority_are_left_out_and_counted() -> None:
    split = item(3, labels={"ann": "pass", "bob": "fail"})
    found = calibrated([item(1, "pass"), item(2, "fail"), split], ["pass", "fail", "pass"])
    assert (found.split, found.agreement.items) == (1, 2)
    with pytest.raises(InputError, match="people agree on none"):
        calibrated([split], ["pass"])


def test_what_is_shown_of_several_people() -> None:
    items = [
        item(n, labels={"ann": a, "bob": b})
        for n, (a, b) in enumerate([("pass", "pass"), ("fail", "fail"), ("pass", "fail")] * 4)
    ]
    found = calibrated(items, ["pass"] * 12)
    assert found.calibration.people == pytest.approx(2 / 3)
    assert found.alpha is not None
    assert found.split == 4


def test_the_widest_disagreements_come_first_with_both_reasons() -> None:
    items = [item(1, 5), item(2, 4, note="it names no order"), item(3, 2)]
    verdicts = {
        "i1": Verdict(label=5),
        "i2": Verdict(label=1, reason="nothing there"),
        "i3": Verdict(label=3),
    }
    found = calibrate(items, verdicts, "score", judge=JUDGE, made=NOW)
    assert [(one.id, one.distance) for one in found.worst] == [("i2", 3), ("i3", 1)]
    assert (found.worst[0].reason, found.worst[0].note) == ("nothing there", "it names no order")
    assert found.agreement.weights == "quadratic"


def test_verdicts_that_were_not_given_are_unscored() -> None:
    items = [item(n, "pass" if n % 2 else "fail") for n in range(6)]
    verdicts = {"i1": Verdict(label="pass"), "i2": Verdict(label="fail"), "i3": Verdict(label=None)}
    found = calibrate(items, verdicts, "verdict", judge=JUDGE, made=NOW)
    assert (found.agreement.items, found.agreement.unscored) == (2, 4)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("pf"), st.sampled_from("pf")), min_size=1, max_size=60))
def test_a_calibration_survives_being_kept(pairs: list[tuple[str, str]]) -> None:
    words = {"p": "pass", "f": "fail"}
    items = [item(n, words[people]) for n, (_, people) in enumerate(pairs)]
    kept = calibrated(items, [words[judge] for judge, _ in pairs]).calibration
    assert Calibration.of_json(kept.as_json()) == kept


class Kept:
    def __init__(self, *found: Calibration) -> None:
        self.found = {one.judge: one for one in found}

    def calibration(self, judge: str) -> Calibration | None:
        return self.found.get(judge)


def agreeing(n: int, wrong: int = 0) -> Calibration:
    labels = ["pass", "fail"] * (n // 2)
    said = ["fail" if v == "pass" else "pass" for v in labels[:wrong]] + labels[wrong:]
    found: Calibration = calibrated([item(i, v) for i, v in enumerate(labels)], said).calibration
    return found


def test_a_judge_gates_when_the_lower_end_of_its_kappa_reaches_the_floor() -> None:
    assert Standing(Kept(agreeing(100)))(JUDGE) == ""
    few = Standing(Kept(agreeing(8)))(JUDGE)
    assert "kappa with people is 1.00, at least 0." in few
    assert "more labels would settle it" in few
    poor = Standing(Kept(agreeing(100, wrong=40)))(JUDGE)
    assert "more labels would not help" in poor
    assert Standing(Kept(agreeing(100)), floor=0.99)(JUDGE) != ""


@pytest.mark.parametrize(
    "other",
    [
        "tone@openai:gpt-6#0123456789ab",
        "style@openai:gpt-5#0123456789ab",
        "tone@openai:gpt-5#ba9876543210",
    ],
)
def test_another_model_family_or_prompt_is_uncalibrated_again(other: str) -> None:
    why = Standing(Kept(agreeing(100)))(other)
    assert "was never compared with people" in why
    assert "assay judge calibrate --run" in why


def test_labels_of_one_kind_show_nothing() -> None:
    one_kind = calibrated([item(n, "pass") for n in range(50)], ["pass"] * 50).calibration
    assert "label others too" in said_of(JUDGE, one_kind, 0.6)


def test_every_scale_is_ordered_from_worst_to_best() -> None:
    assert [labels[0] for labels in SCALES.values()] == ["fail", 1, "a"]
