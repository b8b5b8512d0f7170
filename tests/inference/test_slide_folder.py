from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import (
    CancelledError,
    ImageReadError,
    LabelError,
    PromptError,
    WriteError,
)
from medprism.inference.archive import SLIDE_SUFFIXES, segment_folder
from medprism.inference.knowledge import Knowledge, PointMark
from medprism.inference.session import Session
from medprism.inference.slide import Tiling, segment_slide
from medprism.inference.slide_folder import segment_slides
from medprism.io.reader import read_mask
from tests.inference.identity_segmenter import identity_model
from tests.io.slides import pyramid, scene, write_ome, write_pyramid, write_svs

ASKED = Knowledge(classes=("middle", "bright"))
TILING = Tiling(96, margin=0)


def session() -> Session:
    return Session(identity_model(96), auto_zoom=False)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Return a folder with slides by several makers, other files, and two bad ones."""
    folder = tmp_path / "slides"
    folder.mkdir()
    write_svs(folder / "a.svs", pyramid(), compression="zlib")
    write_ome(folder / "b.ome.tif", pyramid(scene()[::-1].copy()))
    write_pyramid(folder / "c.BTF", pyramid())
    (folder / "d.ndpi").write_bytes((folder / "a.svs").read_bytes()[:2000])
    write_pyramid(folder / "e.tiff", pyramid()[:1])
    assert cv2.imwrite(str(folder / "thumbnail.png"), scene()[::4, ::4])
    (folder / ".hidden.svs").touch()
    return folder


class _Notes:
    def __init__(self, stop_after: int = 99) -> None:
        self.stop_after = stop_after
        self.said: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.said) >= self.stop_after


def test_every_slide_of_a_folder_gets_the_mask_it_gets_alone(slides: Path, tmp_path: Path) -> None:
    notes = _Notes()
    report = segment_slides(
        session(), slides, 1, ASKED, tmp_path / "new" / "out", notes, tiling=TILING
    )
    out = tmp_path / "new" / "out"
    assert [one.mask for one in report.segmented] == [
        out / name for name in ("a.tif", "b.ome.tif", "c.tif")
    ]
    assert sorted(path.name for path in out.iterdir()) == ["a.tif", "b.ome.tif", "c.tif"]
    assert notes.said[-1] == (5, 5, "e.tiff")
    for one in report.segmented:
        segment_slide(session(), one.image, 1, ASKED, tmp_path / "m.tif", tiling=TILING)
        alone, found = read_mask(tmp_path / "m.tif"), read_mask(one.mask)
        assert dict(found.names) == {1: "middle", 2: "bright"}
        np.testing.assert_array_equal(found.array, alone.array)
    assert (read_mask(out / "a.tif").array != read_mask(out / "b.ome.tif").array).any()


def test_what_is_no_slide_or_has_no_such_level_is_left_out_with_the_reason(
    slides: Path, tmp_path: Path
) -> None:
    report = segment_slides(session(), slides, 1, ASKED, tmp_path / "out", tiling=TILING)
    assert [path.name for path, _ in report.failed] == ["d.ndpi", "e.tiff"]
    assert "d.ndpi" in report.failed[0][1]
    assert "has no level 1; choose one of 0: 301 x 477" in report.failed[1][1]


def test_cancelling_keeps_the_masks_before(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        segment_slides(
            session(), slides, 2, ASKED, tmp_path / "out", _Notes(stop_after=1), tiling=TILING
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_what_cannot_work_for_any_slide_is_refused_before_the_first(
    slides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PromptError, match="belong to one image"):
        segment_slides(session(), slides, 0, Knowledge(clicks=(PointMark((1, 1), True),)), out)
    with pytest.raises(LabelError, match="unknown class"):
        segment_slides(session(), slides, 0, Knowledge(classes=("mddle",)), out)
    with pytest.raises(WriteError, match="choose another output folder"):
        segment_slides(session(), slides, 0, ASKED, slides)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    with pytest.raises(ImageReadError, match=r"holds no image file \(.tif, .tiff, .svs, .ndpi"):
        segment_slides(session(), tmp_path / "pictures", 0, ASKED, out)


def test_without_a_level_slides_of_a_folder_are_pictures_or_list_their_levels(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = segment_folder(session(), slides, ASKED, tmp_path / "out")
    names = [Path(one.image).name for one in report.segmented]
    assert names == ["a.svs", "b.ome.tif", "c.BTF", "e.tiff", "thumbnail.png"]
    assert read_mask(tmp_path / "out" / "a.png").array.shape == (301, 477)
    monkeypatch.setattr("medprism.io.slide_level.LARGEST_PICTURE", 100_000)
    report = segment_folder(session(), slides, ASKED, tmp_path / "out")
    left_out = {path.name: reason for path, reason in report.failed}
    assert "--level: 0: 301 x 477 pixels of 0.499" in left_out["a.svs"]


def test_every_suffix_is_listed_once() -> None:
    assert len(set(SLIDE_SUFFIXES)) == len(SLIDE_SUFFIXES)
