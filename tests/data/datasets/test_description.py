from pathlib import Path

import pytest

from medprism.core.errors import LabelError
from medprism.data.datasets.description import modality_code, read_description


def test_a_missing_file_describes_nothing(tmp_path: Path) -> None:
    info = read_description(tmp_path / "dataset.json").to_info("my set")
    assert (info.name, info.title, info.role, dict(info.classes)) == (
        "my set",
        "my set",
        "train",
        {},
    )


def test_members_become_the_info(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(
        '{"slug": "us", "name": "US", "role": "unseen", "modality": "ultrasound",'
        ' "classes": {"3": "fetal head"}, "redistributable": "yes (BY)", "extra": [1]}'
    )
    info = read_description(path).to_info("folder")
    assert (info.name, info.title, info.role, info.modality) == ("us", "US", "unseen", "US")
    assert dict(info.classes) == {3: "fetal head"}
    assert info.redistributable == "yes (BY)"


@pytest.mark.parametrize("slug", ["../up", "a/b", ".hidden", "", "a b", "a\\n"])
def test_a_slug_that_is_no_plain_name_is_refused(tmp_path: Path, slug: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(f'{{"slug": "{slug}"}}')
    with pytest.raises(LabelError, match="'slug' is not usable"):
        read_description(path)


@pytest.mark.parametrize("label_id", ["0", "65536", "-1", "one"])
def test_label_ids_are_what_sixteen_bits_hold(tmp_path: Path, label_id: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(f'{{"classes": {{"{label_id}": "liver"}}}}')
    with pytest.raises(LabelError, match="classes"):
        read_description(path)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("CT angiography", "CT"),
        ("MRI T2w", "MR"),
        ("X-ray", "DX"),
        ("histology (H&E)", None),
        ("", None),
    ],
)
def test_modalities_have_dicom_codes(words: str, code: str | None) -> None:
    assert modality_code(words) == code
