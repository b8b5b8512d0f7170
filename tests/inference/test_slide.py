from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

from medprism.core.errors import CancelledError, ConfigError, LabelError, PromptError, WriteError
from medprism.core.image import Image
from medprism.inference import slide as slide_module
from medprism.inference.knowledge import Example, Knowledge, PointMark
from medprism.inference.session import Session
from medprism.inference.slide import SegmentedSlide, Tiling, segment_slide, window_around
from medprism.io.mask_file import MaskFile
from medprism.io.reader import read_mask
from medprism.io.tiled_mask import MaskGrid
from medprism.io.whole_slide import WholeSlide, open_slide
from tests.inference.fake_segmenter import fake_model
from tests.inference.identity_segmenter import identity_model
from tests.io.slides import FULL, pyramid, scene, write_pyramid, write_svs

ASKED = Knowledge(classes=("middle", "bright"))


def wide_scene() -> np.ndarray:
    """Return a scene whose structures run across the seams of tiles."""
    rows, cols = np.mgrid[: FULL[0], : FULL[1]]
    waves = 90 + 80 * np.sin(cols / 31 + rows / 67) + 70 * np.cos(rows / 23) * (cols > rows)
    return np.repeat(waves.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def as_whole(image: np.ndarray, side: int) -> np.ndarray:
    """Return the labels of an image that is segmented at once, with no pixel resized."""
    session = Session(identity_model(side), auto_zoom=False)
    session.set_image(Image.from_array(image))
    found = session.predict(classes=list(ASKED.classes))
    return found["middle"].mask * 1 + found["bright"].mask * np.uint8(2)


def run(tmp_path: Path, levels: list[np.ndarray], level: int, tiling: Tiling) -> MaskFile:
    write_svs(tmp_path / "s.svs", levels, compression="zlib")
    side = tiling.tile + 2 * tiling.reach
    session = Session(identity_model(side), auto_zoom=False)
    segment_slide(session, tmp_path / "s.svs", level, ASKED, tmp_path / "m.tif", tiling=tiling)
    return read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize(
    ("level", "tiling"),
    [
        (0, Tiling(64, margin=8)),
        (0, Tiling(64, margin=0)),
        (0, Tiling(112, margin=24)),
        (0, Tiling(256, margin=8)),
        (1, Tiling(64, margin=8)),
    ],
)
def test_the_mask_of_the_tiles_is_the_mask_of_the_whole(
    tmp_path: Path, level: int, tiling: Tiling
) -> None:
    levels = pyramid(wide_scene())
    mask = run(tmp_path, levels, level, tiling)
    # The canvas of the whole is as long as its long side, so that nothing is resized there either.
    height, width = levels[level].shape[:2]
    canvas = -(-max(height, width) // 16) * 16
    padded = np.zeros((canvas, canvas, 3), np.uint8)
    padded[:height, :width] = levels[level]
    expected = as_whole(padded, canvas)[:height, :width]
    assert mask.array.shape == expected.shape
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(mask.array, expected)
    assert dict(mask.names) == {1: "middle", 2: "bright"}
    assert set(mask.colours) == {1, 2}


def test_the_mask_is_tiled_packed_and_lies_where_its_level_lies(tmp_path: Path) -> None:
    write_svs(tmp_path / "s.svs", pyramid())
    session = Session(identity_model(80), auto_zoom=False)
    tiling = Tiling(64, margin=8)
    found = segment_slide(session, tmp_path / "s.svs", 1, ASKED, tmp_path / "m.tif", tiling=tiling)
    with tifffile.TiffFile(tmp_path / "m.tif") as file:
        page = file.pages.first
        assert (page.tilelength, page.tilewidth) == (64, 64)
        assert page.compression.name == "ADOBE_DEFLATE"
        assert page.photometric.name == "PALETTE"
        assert json.loads(page.description)["names"] == {"1": "middle", "2": "bright"}
        sides = [page.tags[name].value for name in ("YResolution", "XResolution")]
        assert page.tags["ResolutionUnit"].value == 3
    with open_slide(tmp_path / "s.svs") as slide:
        assert found.size.spacing == slide.levels[1].spacing
        told = [10 * below / above for above, below in sides]
        assert told == pytest.approx(slide.levels[1].spacing, rel=1e-6)
    mask = read_mask(tmp_path / "m.tif").array
    assert found.num_tiles == math.ceil(150 / 64) * math.ceil(238 / 64)
    for row in found.labels:
        pixels = int((mask == row.number).sum())
        assert (row.pixels - row.overlapped) == pixels
        assert row.area_mm2 == pytest.approx(row.pixels * (2 * 0.499e-3) ** 2)
    assert sum(row.pixels for row in found.labels) > 1000


def test_windows_have_one_size_and_hold_their_tile() -> None:
    shape = (301, 477)
    for side, margin in ((64, 8), (100, 0), (128, 128), (512, 64)):
        for top in range(0, shape[0], side):
            for left in range(0, shape[1], side):
                core = (top, left, min(shape[0], top + side), min(shape[1], left + side))
                window = window_around(core, shape, side, margin)
                sizes = window[2] - window[0], window[3] - window[1]
                assert sizes == tuple(min(length, side + 2 * margin) for length in shape)
                assert 0 <= window[0] <= core[0] and core[2] <= window[2] <= shape[0]
                assert 0 <= window[1] <= core[1] and core[3] <= window[3] <= shape[1]


def test_no_more_than_a_window_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles that live at once stay few, however large the level."""
    write_svs(tmp_path / "s.svs", pyramid())
    regions: list[weakref.ref[np.ndarray]] = []
    peak = [0, 0]
    true_region, true_tiles = WholeSlide.region, slide_module.write_tiled_mask

    def counting(self: WholeSlide, level: int, box: tuple[int, int, int, int]) -> Image:
        image = true_region(self, level, box)
        regions.append(weakref.ref(image.voxels))
        alive = [one() for one in regions]
        peak[0] = max(peak[0], sum(array.nbytes for array in alive if array is not None))
        return image

    waiting: list[weakref.ref[np.ndarray]] = []

    def watched(tiles: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for tile in tiles:
            waiting.append(weakref.ref(tile))
            peak[1] = max(peak[1], sum(one() is not None for one in waiting))
            yield tile

    def watching(
        path: Path, grid: MaskGrid, tiles: Iterator[np.ndarray], names: Mapping[int, str]
    ) -> None:
        true_tiles(path, grid, watched(tiles), names)

    monkeypatch.setattr(WholeSlide, "region", counting)
    monkeypatch.setattr(slide_module, "write_tiled_mask", watching)
    session = Session(identity_model(64), auto_zoom=False, cache_bytes=0)
    tiling = Tiling(48, margin=8)
    segment_slide(session, tmp_path / "s.svs", 1, ASKED, tmp_path / "m.tif", tiling=tiling)
    assert len(regions) == 4 * 5
    assert peak[0] <= 3 * 64 * 64 * 3
    assert peak[1] <= 3


def gland_slide(tmp_path: Path) -> np.ndarray:
    """Write a slide with one bent structure, as bright as the class "left kidney"."""
    grey = np.full(FULL, 40, np.uint8)
    grey[100:230, 150:200] = 173
    grey[200:230, 150:390] = 173
    write_pyramid(tmp_path / "s.tif", [np.repeat(grey[..., None], 3, 2)])
    return grey == 173


def gland(classes: tuple[str, ...] = ()) -> Knowledge:
    example = np.full((96, 128), 40, np.uint8)
    example[20:70, 30:90] = 173
    examples = (Example(Image.from_array(example), example == 173),)
    return Knowledge(classes=classes, examples=examples, label="gland")


def segment_gland(tmp_path: Path, asked: Knowledge, *first: str) -> SegmentedSlide:
    session = Session(fake_model(long_side=128), auto_zoom=False)
    slide, mask, tiling = tmp_path / "s.tif", tmp_path / "m.tif", Tiling(96, margin=16)
    return segment_slide(session, slide, 0, asked, mask, tiling=tiling, priority=first)


def test_references_are_taken(tmp_path: Path) -> None:
    expected = gland_slide(tmp_path)
    found = segment_gland(tmp_path, gland())
    mask = read_mask(tmp_path / "m.tif").array == 1
    assert [row.label for row in found.labels] == ["gland"]
    assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.9


def test_the_priority_decides_where_labels_overlap(tmp_path: Path) -> None:
    expected = gland_slide(tmp_path)
    for first, second in (("gland", "left kidney"), ("left kidney", "gland")):
        found = segment_gland(tmp_path, gland(("left kidney",)), first)
        rows = {row.label: row for row in found.labels}
        assert set(rows) == {first, second}
        assert rows[first].overlapped == 0
        assert rows[second].overlapped > 0.8 * expected.sum()
        mask = read_mask(tmp_path / "m.tif").array
        assert int((mask == rows[first].number).sum()) == rows[first].pixels
    with pytest.raises(LabelError, match="absent"):
        segment_gland(tmp_path, gland(), "absent")


def test_deep_intensities_have_one_range_for_all_tiles(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 60000, FULL[1]), FULL).astype(np.uint16)
    write_pyramid(tmp_path / "s.tif", pyramid(ramp[..., None].repeat(3, 2)), compression="zlib")
    session = Session(identity_model(64), auto_zoom=False)
    tiling = Tiling(48, margin=8)
    segment_slide(session, tmp_path / "s.tif", 0, ASKED, tmp_path / "m.tif", tiling=tiling)
    mask = read_mask(tmp_path / "m.tif").array
    # Brightness rises from left to right, and so do the bands: once each.
    assert (np.diff(mask.astype(int), axis=1) >= 0).all()
    assert set(np.unique(mask)) == {0, 1, 2}


def test_deep_slides_without_an_overview_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pyramid(tmp_path / "s.tif", [scene().astype(np.uint16)])
    monkeypatch.setattr(slide_module, "OVERVIEW_PIXELS", 1000)
    with pytest.raises(Exception, match="has 16 bit and no level of at most 1000 pixels"):
        refused(tmp_path, ASKED, "m.tif")
    assert not (tmp_path / "m.tif").exists()


def refused(tmp_path: Path, knowledge: Knowledge, mask: str, level: int = 0) -> SegmentedSlide:
    path = tmp_path / "s.tif"
    if not path.exists():
        write_pyramid(path, pyramid())
    session = Session(identity_model(64), auto_zoom=False)
    return segment_slide(session, path, level, knowledge, tmp_path / mask, tiling=Tiling(64))


def test_what_does_not_go_with_tiles_is_refused_before_any_work(tmp_path: Path) -> None:
    clicked = Knowledge(clicks=(PointMark((3, 4), True),))
    with pytest.raises(PromptError, match="clicks and boxes need the image as a whole"):
        refused(tmp_path, clicked, "m.tif")
    with pytest.raises(WriteError, match=r"tiled TIFF; let its name end in .tif or .tiff"):
        refused(tmp_path, ASKED, "m.nii.gz")
    with pytest.raises(WriteError, match="is the image itself"):
        refused(tmp_path, ASKED, "s.tif")
    with pytest.raises(ConfigError, match="no level 9; choose one of 0: 301 x 477"):
        refused(tmp_path, ASKED, "m.tif", level=9)
    with pytest.raises(LabelError, match="nonsense"):
        refused(tmp_path, Knowledge(classes=("nonsense",)), "m.tif")
    assert not (tmp_path / "m.tif").exists()


@pytest.mark.parametrize(("tile", "margin"), [(0, None), (50, None), (9000, 0), (64, 65), (64, -1)])
def test_tilings_that_cannot_be_used_are_refused(tile: int, margin: int | None) -> None:
    with pytest.raises(ConfigError, match=f"tiles of {tile} pixels"):
        Tiling(tile, margin)


def test_a_stopped_run_leaves_the_older_mask(tmp_path: Path) -> None:
    class Impatient:
        done = 0

        def report(self, done: int, total: int, message: str = "") -> None:
            self.done, self.total = done, total

        def is_cancelled(self) -> bool:
            return self.done == 5

    write_svs(tmp_path / "s.svs", pyramid())
    (tmp_path / "m.tif").write_bytes(b"older")
    session, bar = Session(identity_model(64), auto_zoom=False), Impatient()
    with pytest.raises(CancelledError, match="after 5 of 70 tiles"):
        segment_slide(
            session, tmp_path / "s.svs", 0, ASKED, tmp_path / "m.tif", bar, tiling=Tiling(48, 8)
        )
    assert (tmp_path / "m.tif").read_bytes() == b"older"
    assert {path.name for path in tmp_path.iterdir()} == {"s.svs", "m.tif"}
