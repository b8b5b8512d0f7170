from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.layouts.bids import read
from medprism.data.layouts.conversion import convert
from tests.data.layouts.trees import numbers_of, save_nifti, voxels_of, write_plain_volumes

TABLE = "index\tname\tabbreviation\tcolor\n0\tBackground\tBG\t#000000\n1\tliver\tL\t#c81e28\n"
TABLE += "4\tkidney, left\tKL\t#0afa5aff\n"


def _write(folder: Path, place: str = "derivatives/manual") -> None:
    """Write what another program might: sessions, two contrasts, a mask in its own space."""
    (folder / "sub-01/ses-a/anat").mkdir(parents=True)
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": "Phantoms", "BIDSVersion": "1.8.0", "License": "CC0"})
    )
    for index, suffix in enumerate(("FLAIR", "T1w")):
        save_nifti(
            folder / f"sub-01/ses-a/anat/sub-01_ses-a_{suffix}.nii.gz", voxels_of("q", index)
        )
    save_nifti(folder / "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz", voxels_of("q", 4))
    mask = "sub-01/ses-a/anat/sub-01_ses-a_space-orig_desc-manual_dseg.nii.gz"
    save_nifti(folder / place / mask, numbers_of("q"))
    (folder / place / "desc-manual_dseg.tsv").write_text(TABLE)


def test_masks_meet_the_images_of_their_subject_and_session(tmp_path: Path) -> None:
    _write(tmp_path)
    found = read(tmp_path)
    (item,) = found.items
    assert (item.case_id, item.patient, item.split) == ("sub-01_ses-a", "01", None)
    assert [channel.path.name for channel in item.channels] == [
        "sub-01_ses-a_FLAIR.nii.gz",
        "sub-01_ses-a_T1w.nii.gz",
    ]
    assert found.channel_names == ("FLAIR", "T1w")
    assert dict(found.classes) == {1: "liver", 4: "kidney, left"}
    assert dict(found.colours) == {1: (200, 30, 40), 4: (10, 250, 90)}
    assert found.description.licence == "CC0"


def test_a_table_beside_the_mask_comes_before_one_above(tmp_path: Path) -> None:
    _write(tmp_path)
    (mask,) = tmp_path.rglob("*_dseg.nii.gz")
    own = mask.with_name(mask.name.replace(".nii.gz", ".tsv"))
    own.write_text("index\tname\n1\tspleen\n")
    assert dict(read(tmp_path).classes) == {1: "spleen"}


def test_without_a_table_the_classes_come_from_the_masks(tmp_path: Path) -> None:
    _write(tmp_path / "in")
    (tmp_path / "in/derivatives/manual/desc-manual_dseg.tsv").unlink()
    assert dict(read(tmp_path / "in").classes) == {}
    convert(tmp_path / "in", tmp_path / "out", "nnunet")
    document = json.loads((tmp_path / "out/dataset.json").read_text())
    assert document["labels"] == {"background": 0, "label 1": 1, "label 4": 2}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("index\tname\none\tliver\n", "needs an index and a name"),
        ("index\n1\n", "needs an index and a name"),
        ("index\tname\n1\tliver\n1\tspleen\n", "names 1 'spleen', another table 'liver'"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, table: str, said: str) -> None:
    _write(tmp_path)
    (tmp_path / "derivatives/manual/desc-manual_dseg.tsv").write_text(table)
    with pytest.raises(LabelError, match=said):
        read(tmp_path)
    (tmp_path / "derivatives/manual/desc-manual_dseg.tsv").write_bytes(b"\xff\xfe\x00index")
    with pytest.raises(LabelError, match="cannot be read as a table"):
        read(tmp_path)


def test_a_mask_without_image_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    for path in (tmp_path / "sub-01/ses-a/anat").iterdir():
        path.unlink()
    with pytest.raises(ImageReadError, match=r"has no image: there is no sub-01_ses-a_\*"):
        read(tmp_path)


def test_two_masks_of_one_image_are_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    _other = "derivatives/auto/sub-01/ses-a/anat/sub-01_ses-a_desc-auto_dseg.nii.gz"
    save_nifti(tmp_path / _other, numbers_of("q"))
    with pytest.raises(LabelError, match="two masks are about 'sub-01_ses-a'"):
        read(tmp_path)


def test_what_is_written_follows_the_names_of_bids(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "bids", "bids")
    files = {
        p.relative_to(tmp_path / "bids").as_posix() for p in (tmp_path / "bids").rglob("*.nii.gz")
    }
    assert "sub-p1/anat/sub-p1_run-01_CT.nii.gz" in files
    assert "sub-p2/anat/sub-p2_CT.nii.gz" in files
    assert "derivatives/medprism/sub-p1/anat/sub-p1_run-02_dseg.nii.gz" in files
    derivative = json.loads(
        (tmp_path / "bids/derivatives/medprism/dataset_description.json").read_text()
    )
    assert derivative["DatasetType"] == "derivative"
    assert derivative["GeneratedBy"][0]["Name"] == "medprism"
    labels = (tmp_path / "bids/derivatives/medprism/dseg.tsv").read_text().splitlines()
    assert labels == ["index\tname\tcolor", "1\tliver\t#c81e28", "4\tkidney, left\t#0afa5a"]
    assert report.lost == ()
    assert any("suffix 'CT'" in what for what in report.aside)


def test_patients_whose_letters_and_digits_agree_stay_apart(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    document = json.loads((tmp_path / "source/dataset.json").read_text())
    document["patients"] = {"p-1_a": "a.1", "p-1_b": "a1", "p2_a": "A-1", "q": "?"}
    (tmp_path / "source/dataset.json").write_text(json.dumps(document))
    convert(tmp_path / "source", tmp_path / "bids", "bids")
    assert {i.case_id: i.patient for i in read(tmp_path / "bids").items} == document["patients"]
    subjects = {p.name.casefold() for p in (tmp_path / "bids").glob("sub-*")}
    assert len(subjects) == 4
