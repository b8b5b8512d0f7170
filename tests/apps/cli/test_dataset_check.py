from pathlib import Path

from tests.apps.conftest import Command
from tests.data.datasets.releases import write_release


def test_what_differs_is_named_and_the_status_is_2(medprism: Command, tmp_path: Path) -> None:
    write_release("kits19", tmp_path)
    (tmp_path / "data/case_00001/segmentation.nii.gz").unlink()
    ended = medprism("data", "check", "kits19", tmp_path)
    assert ended.status == 2
    assert "data/case_00001/segmentation.nii.gz (the mask of data/case_00001/imaging" in ended.out
    assert "K-Prism  train  volumes" in ended.out
    assert ended.out.splitlines()[-1] == "kits19: not as the papers describe it"


def test_a_whole_release_ends_with_0(medprism: Command, tmp_path: Path) -> None:
    write_release("structseg_han", tmp_path)
    for number in range(1, 51):
        folder = tmp_path / "HaN_OAR" / str(number)
        folder.mkdir(exist_ok=True)
        for name in ("data.nii.gz", "label.nii.gz"):
            if not (folder / name).exists():
                (folder / name).hardlink_to(tmp_path / "HaN_OAR/1" / name)
    ended = medprism("data", "check", "structseg_han", tmp_path, "--json")
    assert ended.status == 0
    assert ended.json()["is_complete"] is True


def test_reading_counts_labelled_slices(medprism: Command, tmp_path: Path) -> None:
    write_release("segthor", tmp_path)
    assert "slices" in medprism("data", "check", "segthor", tmp_path, "--read").out
    assert "slices" not in medprism("data", "check", "segthor", tmp_path).out


def test_mistakes_are_one_sentence(medprism: Command, tmp_path: Path) -> None:
    for arguments, said in (
        (("kits", tmp_path), "no published dataset 'kits'"),
        (("kits19", tmp_path / "none"), "is not a folder"),
    ):
        ended = medprism("data", "check", *arguments)
        assert ended.status == 2
        assert said in ended.err
        assert len(ended.err.splitlines()) == 1
