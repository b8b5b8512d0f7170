from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import CancelledError, ConfigError, ImageReadError, LabelError
from medprism.data.layouts.catalog import LAYOUTS, recognise_layout
from medprism.data.layouts.collection import Collection
from medprism.data.layouts.conversion import MANIFEST, convert
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from tests.data.layouts.trees import (
    CASES,
    CLASSES,
    COLOURS,
    SPLIT,
    named_planes,
    numbers_of,
    open_layout,
    save_nifti,
    voxels_of,
    write_nnunet,
    write_plain_pictures,
    write_plain_volumes,
)

VOLUME_LAYOUTS = ("nnunet", "msd", "bids", "plain")


def _same_content(here: Collection, there: Collection) -> None:
    """Every case has the same voxels on the same grid, and the same named planes."""
    assert [item.case_id for item in here.items] == [item.case_id for item in there.items]
    for first, second in zip(here.items, there.items, strict=True):
        assert len(first.channels) == len(second.channels)
        for one, other in zip(first.channels, second.channels, strict=True):
            left, right = one.read(), other.read()
            np.testing.assert_array_equal(left.voxels, right.voxels)
            if left.geometry.is_physical:
                assert left.geometry.matches(right.geometry)
    ours, theirs = named_planes(here), named_planes(there)
    assert ours.keys() == theirs.keys()
    for case, planes in ours.items():
        assert planes.keys() == theirs[case].keys()
        for name, plane in planes.items():
            np.testing.assert_array_equal(plane.squeeze(), theirs[case][name].squeeze())


def _same_facts(here: Collection, there: Collection) -> None:
    assert {i.case_id: (i.patient, i.split) for i in here.items} == {
        i.case_id: (i.patient, i.split) for i in there.items
    }
    assert list(here.classes.values()) == list(there.classes.values())
    assert list(here.colours.values()) == list(there.colours.values())


@pytest.mark.parametrize("first", VOLUME_LAYOUTS)
@pytest.mark.parametrize("second", VOLUME_LAYOUTS)
def test_volumes_go_anywhere_and_come_back_whole(tmp_path: Path, first: str, second: str) -> None:
    write_plain_volumes(tmp_path / "source")
    source = open_layout(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "one", first)
    report = convert(tmp_path / "one", tmp_path / "two", second)
    assert (report.source_layout, report.target_layout) == (first, second)
    assert recognise_layout(tmp_path / "two") == second
    for folder in ("one", "two"):
        found = open_layout(tmp_path / folder)
        _same_content(source, found)
        _same_facts(source, found)
        assert found.description.licence == "CC0"
        assert found.description.notes == "made up"
    convert(tmp_path / "two", tmp_path / "back", "plain")
    back = open_layout(tmp_path / "back")
    _same_content(source, back)
    _same_facts(source, back)
    assert back.description.model_dump(exclude={"classes"}) == source.description.model_dump(
        exclude={"classes"}
    )


@pytest.mark.parametrize("layout", ["nnunet", "msd", "bids"])
def test_channels_survive_every_layout_that_has_them(tmp_path: Path, layout: str) -> None:
    write_nnunet(tmp_path / "source")
    source = open_layout(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "one", layout)
    found = open_layout(tmp_path / "one")
    labelled = Collection(**{**vars(source), "items": source.labelled})
    if layout == "bids":
        # An image without a mask is there, but nothing says that it is a case.
        assert (tmp_path / "one/sub-t/anat/sub-t_T1w.nii.gz").exists()
        _same_content(labelled, found)
    else:
        _same_content(source, found)
        assert [i.case_id for i in found.items if i.mask is None] == ["t"]
    assert found.channel_names == ("T1w", "T2w")


def test_what_a_plain_folder_cannot_hold_is_said(tmp_path: Path) -> None:
    write_nnunet(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "plain", "plain")
    assert report.lost == (
        "channels after the first of 4 cases; a plain folder has one image",
        "1 images without masks; a plain folder pairs them",
    )
    assert "lost: channels after" in report.lines()[1]


def test_numbers_with_gaps_are_closed_for_nnunet_and_said(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "nn", "nnunet")
    assert report.lost == ("label numbers: 4 -> 2",)
    assert set(report.aside) == {"description", "patients", "split", "colours"}
    document = json.loads((tmp_path / "nn/dataset.json").read_text())
    assert document["labels"] == {"background": 0, "liver": 1, "kidney, left": 2}
    assert document["channel_names"] == {"0": "CT"}
    assert document["numTraining"] == 4
    assert document["file_ending"] == ".nii.gz"
    assert document["medprism"]["colours"]["2"] == list(COLOURS[4])


def test_images_that_stay_are_copied_byte_by_byte(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "nn", "nnunet")
    for case in CASES:
        copied = tmp_path / "nn/imagesTr" / f"{case}_0000.nii.gz"
        assert copied.read_bytes() == (tmp_path / f"source/images/{case}.nii.gz").read_bytes()


@pytest.mark.parametrize("layout", ["nnunet", "coco", "plain"])
def test_pictures_keep_pixels_names_and_colours(tmp_path: Path, layout: str) -> None:
    write_plain_pictures(tmp_path / "source")
    source = open_layout(tmp_path / "source")
    assert dict(source.classes) == CLASSES
    assert dict(source.colours) == COLOURS
    convert(tmp_path / "source", tmp_path / "one", layout)
    found = open_layout(tmp_path / "one")
    _same_content(source, found)
    assert list(found.colours.values()) == list(COLOURS.values())
    assert all(item.channels[0].read().is_rgb for item in found.items)


@pytest.mark.parametrize("layout", ["msd", "bids"])
def test_pictures_become_nifti_with_the_same_values(tmp_path: Path, layout: str) -> None:
    write_plain_pictures(tmp_path / "source")
    source = open_layout(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "one", layout)
    assert ".png files: their pixels are stored as NIfTI" in report.lost
    found = open_layout(tmp_path / "one")
    for first, second in zip(source.items, found.items, strict=True):
        voxels = [channel.read().voxels for channel in second.channels]
        np.testing.assert_array_equal(
            first.channels[0].read().voxels, np.concatenate(voxels, axis=3)
        )
    ours, theirs = named_planes(source), named_planes(found)
    for case, planes in ours.items():
        for name, plane in planes.items():
            np.testing.assert_array_equal(plane, theirs[case][name])


def test_jpeg_becomes_png_for_nnunet_and_that_is_said(tmp_path: Path) -> None:
    write_plain_pictures(tmp_path / "source", ".jpg")
    report = convert(tmp_path / "source", tmp_path / "nn", "nnunet")
    assert "JPEG files: their pixels are stored as PNG" in report.lost
    _same_content(open_layout(tmp_path / "source"), open_layout(tmp_path / "nn"))
    document = json.loads((tmp_path / "nn/dataset.json").read_text())
    assert document["channel_names"] == {"0": "R", "1": "G", "2": "B"}


def test_volumes_in_coco_become_slices_and_the_affine_is_lost(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "coco", "coco")
    assert any("affine" in what for what in report.lost)
    assert any("8 bit" in what for what in report.lost)
    found = open_layout(tmp_path / "coco")
    assert len(found.items) == 4 * 5
    planes = named_planes(found)
    for case in CASES:
        for index, plane in enumerate(numbers_of(case)):
            shown = planes[f"{case}_z{index:04d}"]
            for number, name in CLASSES.items():
                expected = plane == number
                np.testing.assert_array_equal(shown.get(name, np.zeros_like(expected)), expected)
    assert {item.split for item in found.items} == {"train", "val", "test"}


def test_overlaps_of_coco_are_flattened_and_counted(tmp_path: Path) -> None:
    write_plain_pictures(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "coco", "coco")
    path = tmp_path / "coco/annotations/instances_all.json"
    document = json.loads(path.read_text())
    square = [2.0, 2.0, 12.0, 2.0, 12.0, 9.0, 2.0, 9.0]
    document["annotations"].append(
        {"id": 999, "image_id": 1, "category_id": 4, "segmentation": [square], "iscrowd": 0}
    )
    path.write_text(json.dumps(document))
    overlap = named_planes(open_layout(tmp_path / "coco"))["p-1_a"]
    both = int((overlap["liver"] & overlap["kidney, left"]).sum())
    assert both > 0
    report = convert(tmp_path / "coco", tmp_path / "plain", "plain")
    assert f"{both} pixels of 'liver' that other labels cover" in report.lost
    again = convert(tmp_path / "coco", tmp_path / "plain", "plain")
    assert (again.written, again.unchanged) == (0, 4)
    assert again.lost == report.lost


def test_unchanged_cases_are_left_alone_and_stale_files_removed(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    write_plain_volumes(source)
    first = convert(source, out, "bids")
    assert (first.written, first.unchanged) == (4, 0)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert convert(source, out, "bids").unchanged == 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before
    save_nifti(source / "images" / "q.nii.gz", voxels_of("q", 3))
    changed = convert(source, out, "bids")
    assert (changed.written, changed.unchanged) == (1, 3)
    for side in ("images", "masks"):
        (source / side / "q.nii.gz").unlink()
    (source / "dataset.json").unlink()
    convert(source, out, "bids")
    assert not list(out.rglob("sub-q*.nii.gz"))
    assert len(open_layout(out).items) == 3


class _Stop:
    def __init__(self, after: int) -> None:
        self.after = after
        self.seen: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.seen.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.seen) >= self.after


def test_a_stopped_conversion_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    stop = _Stop(2)
    with pytest.raises(CancelledError, match="after 2 of 4 cases"):
        convert(tmp_path / "source", tmp_path / "out", "nnunet", stop)
    assert stop.seen == [(1, 4, "p-1_a"), (2, 4, "p-1_b")]
    assert not (tmp_path / "out/dataset.json").exists()
    assert not list((tmp_path / "out").rglob(".writing-*"))
    report = convert(tmp_path / "source", tmp_path / "out", "nnunet")
    assert (report.written, report.unchanged) == (2, 2)
    _same_content(open_layout(tmp_path / "source"), open_layout(tmp_path / "out"))


def test_a_damaged_case_stops_with_its_name_and_the_rest_is_kept(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    mask = tmp_path / "source/masks/q.nii.gz"
    mask.write_bytes(mask.read_bytes()[:90])
    with pytest.raises(ImageReadError, match=r"masks/q\.nii\.gz"):
        convert(tmp_path / "source", tmp_path / "out", "nnunet")
    save_nifti(mask, numbers_of("q"))
    assert convert(tmp_path / "source", tmp_path / "out", "nnunet").unchanged == 3


def test_targets_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for out, said in (
        ("other", "is not empty and was not written by a conversion"),
        ("source/in", "lie inside one another"),
        ("source", "lie inside one another"),
        ("file", "is a file"),
    ):
        with pytest.raises(ConfigError, match=said):
            convert(tmp_path / "source", tmp_path / out, "msd")
    with pytest.raises(
        ConfigError, match="no layout 'yolo'; known: nnunet, msd, bids, coco, plain"
    ):
        convert(tmp_path / "source", tmp_path / "out", "yolo")
    assert not (tmp_path / "out").exists()


def test_a_label_that_no_class_names_is_refused(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    numbers = numbers_of("q")
    numbers[2, 3, 4] = 9
    save_nifti(tmp_path / "source/masks/q.nii.gz", numbers)
    with pytest.raises(LabelError, match="the mask of q holds the label 9"):
        convert(tmp_path / "source", tmp_path / "out", "nnunet")


def test_a_set_without_any_label_is_refused(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source", described=False)
    for case in CASES:
        save_nifti(tmp_path / "source/masks" / f"{case}.nii.gz", numbers_of(case) * 0)
    with pytest.raises(LabelError, match="no mask of the dataset has a label"):
        convert(tmp_path / "source", tmp_path / "out", "nnunet")


def test_a_manifest_cannot_make_files_elsewhere_disappear(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "out", "msd")
    (tmp_path / "keep.txt").touch()
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    manifest["cases"]["gone"] = {"signature": "", "files": ["../keep.txt"], "overlap": {}}
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(manifest))
    convert(tmp_path / "source", tmp_path / "out", "msd")
    assert (tmp_path / "keep.txt").exists()


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_can_become_a_store(tmp_path: Path, layout: str) -> None:
    write_plain_volumes(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "one", layout)
    convert(tmp_path / "one", tmp_path / "phantoms", "plain")
    prepare([tmp_path / "phantoms"], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    (name,) = store.infos
    assert list(store.info(name).classes.values()) == list(CLASSES.values())
    assert sum(bool(row.areas) for row in store.rows) == 4 * 3
    sides = {row.case_id: row.split for row in store.rows}
    assert all(
        sides[case] == side
        for side, cases in SPLIT.items()
        for case in sides
        if case.partition("_z")[0] in cases
    )


def test_a_copy_of_the_source_converts_alike(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    shutil.copytree(tmp_path / "source", tmp_path / "copy")
    for name in ("source", "copy"):
        convert(tmp_path / name, tmp_path / f"{name}-nn", "nnunet")
    first, second = (
        {
            p.relative_to(tmp_path / f"{n}-nn"): p.read_bytes()
            for p in (tmp_path / f"{n}-nn").rglob("*")
            if p.is_file() and p.name != MANIFEST and "labelsTr" not in p.parts
        }
        for n in ("source", "copy")
    )
    assert first == second
