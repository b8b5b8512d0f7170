from __future__ import annotations

import csv
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import torch

from medprism.io.reader import read_image, read_mask
from tests.apps.conftest import Command
from tests.data.phantoms import write_dataset
from tests.inference.phantom import SHAPE, scene


def _rows(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def test_every_kind_of_knowledge_in_one_command(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "examples", num_patients=2, shape=SHAPE)
    out = {name: tmp_path / name for name in ("m.png", "s.csv", "p.nii.gz", "o.png")}
    ended = medprism(
        *("predict", picture, "-o", out["m.png"], "--model", nano),
        *("--classes", "hook,flag", "--references", tmp_path / "examples", "--label", "big comma"),
        *("--click", "30,40,+", "--click", "3,4,-", "--box", "10,10,50,60"),
        *("--statistics", out["s.csv"], "--probability", out["p.nii.gz"]),
        *("--overlay", out["o.png"], "--priority", "flag", "--threads", "1", "--json"),
    )
    assert ended.status == 0, ended.err
    (one,) = ended.json()["segmented"]
    assert [row["label"] for row in one["labels"]] == ["hook", "flag", "big comma"]
    mask = read_mask(out["m.png"], like=read_image(picture))
    assert dict(mask.names) == {1: "hook", 2: "flag", 3: "big comma"}
    for row in one["labels"]:
        written = int((mask.array == row["number"]).sum())
        assert written == row["voxels"] - row["overlapped"]
    assert one["labels"][1]["overlapped"] == 0
    table = _rows(out["s.csv"])
    assert [row["label"] for row in table] == ["hook", "flag", "big comma"]
    assert table[0]["unit"] == "pixel" and table[0]["volume_ml"] == ""
    assert cv2.imread(str(out["o.png"])).shape == (*SHAPE, 3)
    maps = [tmp_path / f"p-{name}.nii.gz" for name in ("hook", "flag", "big_comma")]
    assert all(nib.load(path).shape[:2] == SHAPE[::-1] for path in maps)
    assert torch.get_num_threads() == 1


def test_people_get_a_line_a_label(medprism: Command, nano: Path, picture: Path) -> None:
    ended = medprism(
        "predict", picture, "-o", picture.with_name("m.png"), "--model", nano, "--classes", "hook"
    )
    assert ended.status == 0
    assert ended.out.startswith(f"{picture} -> ")
    assert "hook: " in ended.out and "presence 0." in ended.out
    assert ended.err == ""


def test_a_volume_is_measured_in_millilitres_and_clicked_by_slice(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    stack = np.stack([scene(k)[0] for k in range(3)]).transpose(2, 1, 0)
    affine = np.diag([0.5, 0.7, 3.0, 1.0])
    nib.save(nib.Nifti1Image(stack, affine), tmp_path / "v.nii.gz")
    ended = medprism(
        *("predict", tmp_path / "v.nii.gz", "-o", tmp_path / "m.nii.gz", "--model", nano),
        *("--click", "1,30,40,+", "--label", "cyst", "--overlay", tmp_path / "o.png", "--json"),
    )
    assert ended.status == 0, ended.err
    (row,) = ended.json()["segmented"][0]["labels"]
    assert row["unit"] == "mm"
    assert row["volume_ml"] == pytest.approx(row["voxels"] * 0.5 * 0.7 * 3 / 1000)
    assert np.allclose(nib.load(tmp_path / "m.nii.gz").affine, affine)
    where = np.asarray(nib.load(tmp_path / "m.nii.gz").dataobj)
    assert not where[..., 0].any() and not where[..., 2].any()


def test_a_folder_goes_on_after_a_bad_file_and_says_so(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.png", "c.png")):
        assert cv2.imwrite(str(folder / name), scene(number)[0])
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (folder / "notes.txt").write_text("not an image")
    ended = medprism(
        *("predict", folder, "-o", tmp_path / "out", "--model", nano, "--classes", "hook"),
        *("--statistics", tmp_path / "s.csv", "--json"),
    )
    assert ended.status == 2
    report = ended.json()
    assert [Path(one["image"]).name for one in report["segmented"]] == ["a.png", "c.png"]
    assert [Path(one["image"]).name for one in report["failed"]] == ["b.png"]
    assert ended.err.startswith("left out b.png: ") and len(ended.err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert [row["image"] for row in _rows(tmp_path / "s.csv")] == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing says what to segment"),
        (("--classes", "huk"), "unknown class 'huk'; did you mean hook?"),
        (("--classes", "hook", "--priority", "flag"), "no label 'flag'"),
        (("--click", "88,3,+"), "lies outside the image"),
        (("--click", "1,2,3,+"), "is not a position (row, col)"),
        (("--box", "4,4,4,9"), "must be non-empty"),
        (("--box", "0,0,89,9"), "inside the slice of 88 x 124"),
        (("--classes", "hook,flag", "--click", "3,3,+"), "name it with a label"),
        (("--classes", "hook", "--threads", "0"), "threads must be at least 1"),
        (("--classes", "hook", "--overlay", "o.jpg"), "o.jpg: its suffix"),
        (("--classes", "hook", "--probability", "p.png"), "p.png: its suffix"),
        (("--classes", "hook", "--statistics", "nowhere/s.csv"), "there is no folder nowhere"),
        (("--references", "nowhere"), "is not a folder"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_file(
    medprism: Command,
    nano: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = medprism("predict", picture, "-o", "m.png", "--model", nano, *options)
    assert ended.status == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("out", ["picture.png", "m.jpg", "m", "nowhere/m.png"])
def test_masks_that_cannot_be_written_are_refused_before_the_work(
    medprism: Command,
    nano: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
) -> None:
    before = picture.read_bytes()
    monkeypatch.chdir(tmp_path)
    ended = medprism("predict", picture, "-o", out, "--model", nano, "--classes", "hook")
    assert ended.status == 2
    assert out.split("/")[0] in ended.err
    assert picture.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_files_of_one_image_are_refused_for_a_folder(
    medprism: Command, nano: Path, picture: Path
) -> None:
    for option in ("--overlay", "--probability"):
        ended = medprism(
            *("predict", picture.parent, "-o", picture.parent / "out", "--model", nano),
            *("--classes", "hook", option, "x.nii.gz"),
        )
        assert ended.status == 2
        assert "files of one image" in ended.err


def test_a_click_in_mm_is_the_click_on_that_voxel(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    stack = np.stack([scene(k)[0] for k in range(3)]).transpose(2, 1, 0)
    affine = np.array([[-0.5, 0, 0, 9], [0, 0.1, -2.9, 4], [0, 0.7, 0.4, -80], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(stack, affine), tmp_path / "v.nii.gz")
    x, y, z, _ = affine @ (40, 30, 1, 1)
    clicks = {"voxel": ("--click", "1,30,40,+"), "mm": ("--click-mm", f"{x},{y},{z},+")}
    for name, click in clicks.items():
        out = tmp_path / f"{name}.nii.gz"
        ended = medprism("predict", tmp_path / "v.nii.gz", "-o", out, "--model", nano, *click)
        assert ended.status == 0, ended.err
    voxel, mm = (np.asarray(nib.load(tmp_path / f"{name}.nii.gz").dataobj) for name in clicks)
    assert voxel.any()
    np.testing.assert_array_equal(voxel, mm)


def test_a_click_in_mm_on_a_picture_is_refused(
    medprism: Command, nano: Path, picture: Path
) -> None:
    out = picture.with_name("m.png")
    ended = medprism("predict", picture, "-o", out, "--model", nano, "--click-mm", "1,2,3,+")
    assert ended.status == 2
    assert "knows no spacing" in ended.err and not out.exists()


@pytest.mark.parametrize("described", [True, False])
def test_references_on_another_grid_need_resample(
    medprism: Command, nano: Path, tmp_path: Path, described: bool
) -> None:
    image, masks = scene(1)
    folder = tmp_path / "examples" / "volumes"
    folder.mkdir(parents=True)
    liver = masks["liver"].astype(np.uint8).T[::2, ::2, None]
    for name, array, spacing in (("img", image.T[..., None], 1.0), ("seg", liver, 2.0)):
        affine = np.diag([spacing, spacing, 3.0, 1.0])
        nib.save(nib.Nifti1Image(array, affine), folder / f"one_{name}.nii.gz")
    if described:
        (tmp_path / "examples" / "dataset.json").write_text('{"classes": {"1": "organ"}}')
    command = (
        *("predict", folder / "one_img.nii.gz", "-o", tmp_path / "m.nii.gz", "--model", nano),
        *("--references", tmp_path / "examples", "--label", "organ"),
    )
    ended = medprism(*command)
    assert ended.status == 2
    assert "(1, 88, 124) voxels of 3 x 1 x 1 mm" in ended.err
    assert "(1, 44, 62) voxels of 3 x 2 x 2 mm" in ended.err
    assert "0.01 voxels" in ended.err and "--resample" in ended.err
    assert not (tmp_path / "m.nii.gz").exists()
    assert medprism(*command, "--resample").status == 0
    assert (tmp_path / "m.nii.gz").exists()
