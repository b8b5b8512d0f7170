from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from medprism.io.reader import read_mask
from tests.apps.conftest import Command
from tests.io.slides import pyramid, write_svs


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid(), compression="zlib")
    return path


def test_a_level_is_segmented_and_its_mask_lies_on_its_grid(
    medprism: Command, nano: Path, slide: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mask.tif"
    ended = medprism(
        *("predict", slide, "-o", out, "--model", nano, "--threads", "1", "--json"),
        *("--classes", "hook,flag", "--level", "1", "--tile", "96", "--priority", "flag"),
    )
    assert ended.status == 0, ended.err
    (one,) = ended.json()["segmented"]
    assert (one["level"], one["shape"], one["tiles"]) == (1, [150, 238], 6)
    assert one["spacing_mm"] == pytest.approx([0.998e-3, 0.998e-3])
    mask = read_mask(out)
    assert mask.array.shape == (150, 238)
    assert dict(mask.names) == {1: "hook", 2: "flag"}
    for row in one["labels"]:
        written = int((mask.array == row["number"]).sum())
        assert written == row["pixels"] - row["overlapped"]
        assert row["area_mm2"] == pytest.approx(row["pixels"] * 0.998e-3**2)
    with tifffile.TiffFile(out) as file:
        assert file.pages.first.tilewidth == 96


def test_people_are_told_the_level_and_the_area(
    medprism: Command, nano: Path, slide: Path, tmp_path: Path
) -> None:
    ended = medprism(
        *("predict", slide, "-o", tmp_path / "m.tif", "--model", nano, "--threads", "1"),
        *("--classes", "hook", "--level", "2"),
    )
    assert ended.status == 0, ended.err
    assert "level 2 (75 x 119 pixels of 1.996 µm, 1 tiles)" in ended.out
    assert "  hook: " in ended.out and " mm2, presence " in ended.out


def test_without_a_level_a_large_slide_asks_for_one(
    medprism: Command, nano: Path, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medprism.io.slide_level.LARGEST_PICTURE", 100_000)
    command = ("predict", slide, "--model", nano, "--classes", "hook", "--threads", "1")
    ended = medprism(*command, "-o", tmp_path / "m.png")
    assert ended.status == 2
    assert "--level: 0: 301 x 477 pixels of 0.499 µm, 1: 150 x 238" in ended.err
    assert "2: 75 x 119" in ended.err
    assert not (tmp_path / "m.png").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--level", "5"), "has no level 5; choose one of 0: 301 x 477"),
        (("--level", "-1"), "has no level -1"),
        (("--level", "0", "--tile", "100"), "multiple of 16"),
        (("--tile", "64"), "say which with --level"),
        (("--level", "0", "--click", "3,4,+"), "clicks and boxes need the image as a whole"),
        (("--level", "0", "--overlay", "o.png"), "--overlay needs the image as a whole"),
        (("--level", "0", "--statistics", "s.csv"), "--statistics needs the image as a whole"),
        (("--level", "0", "--format", "nifti"), "--format needs the image as a whole"),
        (("--level", "0", "--to", "dicomweb://localhost/"), "a PACS needs the image as a whole"),
    ],
)
def test_what_does_not_go_with_a_level_is_said(
    medprism: Command,
    nano: Path,
    slide: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    reason: str,
) -> None:
    out = tmp_path / "m.tif"
    ended = medprism(*("predict", slide, "-o", out, "--model", nano, "--classes", "hook", *options))
    assert ended.status == 2
    assert reason in ended.err
    assert not out.exists()


def test_a_mask_that_is_no_tiff_and_a_slide_that_is_none_are_refused(
    medprism: Command, nano: Path, slide: Path, picture: Path, tmp_path: Path
) -> None:
    command = ("predict", slide, "--model", nano, "--classes", "hook", "--level", "0")
    assert "let its name end in .tif" in medprism(*command, "-o", tmp_path / "m.nii.gz").err
    assert "give -o FILE.tif" in medprism(*command).err
    command = ("predict", picture, "--model", nano, "--classes", "hook", "--level", "0")
    ended = medprism(*command, "-o", tmp_path / "m.tif")
    assert (ended.status, "it is no TIFF" in ended.err) == (2, True)
    content = bytearray(slide.read_bytes())
    np.frombuffer(content, np.uint8)[len(content) // 3 :] = 7
    slide.write_bytes(content)
    command = ("predict", slide, "--model", nano, "--classes", "hook", "--level", "0")
    ended = medprism(*command, "-o", tmp_path / "m.tif")
    assert ended.status == 2 and "slide.svs" in ended.err
    assert not (tmp_path / "m.tif").exists()


def test_a_folder_of_slides_is_segmented_one_by_one(
    medprism: Command, nano: Path, slide: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "slides", tmp_path / "out"
    folder.mkdir()
    slide.rename(folder / "a.svs")
    (folder / "b.svs").write_bytes(b"II*\x00 cut")
    command = ("predict", folder, "--model", nano, "--classes", "hook", "--level", "2")
    ended = medprism(*command, "-o", out, "--threads", "1", "--json")
    assert ended.status == 2
    assert "left out b.svs: " in ended.err
    found = ended.json()
    assert [Path(one["mask"]).name for one in found["segmented"]] == ["a.tif"]
    assert [Path(one["image"]).name for one in found["failed"]] == ["b.svs"]
    assert read_mask(out / "a.tif").array.shape == (75, 119)
    (folder / "b.svs").unlink()
    ended = medprism(*command, "-o", out, "--threads", "1")
    assert ended.status == 0, ended.err
    assert "a.svs level 2 (75 x 119 pixels of 1.996 µm, 1 tiles) -> " in ended.out
    assert "name a folder" in medprism(*command, "-o", tmp_path / "m.tif").err
    assert not (tmp_path / "m.tif").exists()
