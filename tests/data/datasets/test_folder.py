import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import ImageReadError, LabelError, MedprismError
from medprism.data.datasets.folder import open_folder
from tests.data.phantoms import write_dataset


def test_a_described_folder_gives_its_cases(tmp_path: Path) -> None:
    names = write_dataset(tmp_path / "set", num_patients=3, slices=3)
    dataset = open_folder(tmp_path / "set", tmp_path / "splits")
    cases = {case.case_id: case for case in dataset.cases()}
    assert sorted(cases) == sorted(names)
    case = cases["p2_z004"]
    assert (case.dataset, case.patient, case.split, case.role) == ("set", "p2", "train", "train")
    assert (case.slice_index, case.relative_position, case.modality) == (4, 0.5, "MR")
    assert dataset.info.classes == {1: "big comma", 2: "small comma"}
    assert cases["p0_z000"].split == "test"
    assert not (tmp_path / "splits").exists()


def test_a_plain_folder_gets_a_split_that_is_written_and_kept(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=10, slices=1)
    (tmp_path / "set" / "dataset.json").unlink()
    first = open_folder(tmp_path / "set", tmp_path / "splits")
    assert (tmp_path / "splits" / "set.json").exists()
    again = open_folder(tmp_path / "set", tmp_path / "splits")
    assert first.split == again.split
    assert sorted(set(first.split.values())) == ["test", "train", "val"]
    assert first.info.name == "set"
    assert all(case.patient is None for case in first.cases())


@pytest.mark.parametrize("side", ["images", "masks"])
def test_a_file_without_partner_is_refused(tmp_path: Path, side: str) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    (tmp_path / "set" / side / "p0_z004.png").unlink()
    with pytest.raises(ImageReadError, match="'p0_z004' has no partner"):
        open_folder(tmp_path / "set", tmp_path / "splits")


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    images = tmp_path / "set" / "images"
    shutil.copy(images / "p0_z004.png", images / "p0_z004.jpg")
    with pytest.raises(ImageReadError, match="share a name"):
        open_folder(tmp_path / "set", tmp_path / "splits")


def test_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    with pytest.raises(ImageReadError, match="is not a folder"):
        open_folder(tmp_path / "set", tmp_path / "splits")
    (tmp_path / "set" / "masks").mkdir()
    with pytest.raises(ImageReadError, match="there is no image"):
        open_folder(tmp_path / "set", tmp_path / "splits")


@pytest.mark.parametrize(
    "change",
    [
        {"role": "training"},
        {"classes": ["liver"]},
        {"classes": {"one": "liver"}},
        {"split": {"train": ["p0_z000"]}},
        {"split": {"train": ["p0_z000", "p0_z004", "p0_z008"], "val": ["p0_z000"]}},
        {"split": {"training": ["p0_z000", "p0_z004", "p0_z008"]}},
        {"split": ["p0_z000"]},
        {"split": {"train": None}},
        {"patients": ["p0"]},
        {"patients": {"p0_z000": 7}},
    ],
)
def test_a_description_that_contradicts_the_files_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    path = tmp_path / "set" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LabelError, match="set"):
        open_folder(tmp_path / "set", tmp_path / "splits")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(["role", "classes", "split", "patients", "slug", "modality", "licence"])


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payload=st.one_of(JSON, st.dictionaries(FIELDS, JSON, max_size=4)))
def test_any_description_opens_or_is_refused_in_one_sentence(
    tmp_path: Path, payload: object
) -> None:
    folder = tmp_path / "set"
    if not folder.exists():
        write_dataset(folder, num_patients=1)
    (folder / "dataset.json").write_text(json.dumps(payload))
    try:
        dataset = open_folder(folder, tmp_path / "splits")
    except MedprismError as error:
        assert "\n" not in str(error)
    else:
        assert len(list(dataset.cases())) == 3


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=40))
def test_bytes_that_are_no_json_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "set"
    if not folder.exists():
        write_dataset(folder, num_patients=1)
    (folder / "dataset.json").write_bytes(content)
    try:
        open_folder(folder, tmp_path / "splits")
    except MedprismError as error:
        assert "dataset.json" in str(error) or "set" in str(error)
    else:
        assert isinstance(json.loads(content), dict)
