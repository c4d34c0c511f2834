from pathlib import Path

import pytest
from pydantic import ValidationError

from assay.deps.errors import BadDataset
from assay.deps.taxonomy import Label, Taxonomy
from assay.evals.suite import DATASETS


def test_our_own_taxonomy_has_the_labels_that_desk_needs() -> None:
    names = Taxonomy.from_file(DATASETS / "triage" / "taxonomy.yaml").names
    assert {"invoice", "booking", "contact_change", "question", "complaint"} <= set(names)


def test_two_labels_of_one_name_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"\['a'\] occur more than once"):
        Taxonomy(labels=(Label(name="a"), Label(name="a"), Label(name="b")))


def test_equal_taxonomies_have_equal_digests_and_others_do_not() -> None:
    one, other = (Taxonomy(labels=(Label(name="a", description=d),)) for d in "xy")
    assert one.digest == Taxonomy.model_validate(one.model_dump()).digest
    assert one.digest != other.digest
    assert one.model_copy().digest == one.model_copy(deep=True).digest == one.digest
    assert one.model_copy(update={"labels": other.labels}).digest == other.digest


def test_a_digest_is_no_part_of_a_taxonomy() -> None:
    one, other = (Taxonomy(labels=(Label(name="a"),)) for _ in range(2))
    before = one.model_dump(), repr(one), hash(one)
    assert one.digest
    assert (one.model_dump(), repr(one), hash(one)) == before
    assert one == other


def test_a_taxonomy_has_a_label_and_a_label_has_a_name() -> None:
    with pytest.raises(ValidationError):
        Taxonomy(labels=())
    with pytest.raises(ValidationError):
        Label(name="")


@pytest.mark.parametrize(
    "text", ["", "labels: [", "labels: 3", "- a\n- b", "labels: [{name: a}, {name: a}]"]
)
def test_a_bad_file_is_named_with_what_it_should_hold(tmp_path: Path, text: str) -> None:
    path = tmp_path / "taxonomy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadDataset, match=r"(?s)taxonomy\.yaml.*is not a taxonomy.*'labels:'") as e:
        Taxonomy.from_file(path)
    assert e.value.__cause__ is not None


def test_an_absent_or_unreadable_file_is_a_bad_dataset(tmp_path: Path) -> None:
    with pytest.raises(BadDataset):
        Taxonomy.from_file(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"labels: [{name: caf\xe9}]")
    with pytest.raises(BadDataset):
        Taxonomy.from_file(tmp_path / "latin.yaml")


def test_a_json_file_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.json"
    taxonomy = Taxonomy(labels=(Label(name="a", description="d", examples=("x", "y")),))
    path.write_text(taxonomy.model_dump_json(), encoding="utf-8")
    assert Taxonomy.from_file(path) == taxonomy
