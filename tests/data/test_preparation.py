import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core import durable
from medprism.core.errors import (
    CancelledError,
    ConfigError,
    GeometryError,
    ImageReadError,
    StoreError,
    WriteError,
)
from medprism.core.image import Image
from medprism.data import preparation
from medprism.data.case import Case, DatasetInfo
from medprism.data.preparation import PrepareConfig, find_folders, prepare
from medprism.data.store import SliceStore
from tests.data.phantoms import comma, picture, real_folder, write_case, write_dataset


def _snapshot(out: Path) -> list[tuple[str, int, bytes]]:
    store = SliceStore.open(out)
    return [
        (row.case_id, row.offset, store.image(number).tobytes())
        for number, row in enumerate(store.rows)
    ]


def _stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.bin")}


def test_what_did_not_change_is_not_prepared_again(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_dataset(folder, num_patients=2)
    first = prepare(folders, tmp_path / "store")
    assert [report.was_prepared for report in first.datasets] == [True, True]
    stamps = _stamps(tmp_path / "store")
    again = prepare(folders, tmp_path / "store")
    assert [report.was_prepared for report in again.datasets] == [False, False]
    assert _stamps(tmp_path / "store") == stamps


@pytest.mark.parametrize("kind", ["image", "mask", "description", "long side"])
def test_a_changed_source_is_prepared_again_and_its_old_part_goes(
    tmp_path: Path, kind: str
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_dataset(folder, num_patients=2)
    prepare(folders, tmp_path / "store")
    before = set(_stamps(tmp_path / "store"))
    config = PrepareConfig()
    if kind == "long side":
        config = PrepareConfig(long_side=48)
    elif kind == "description":
        path = folders[1] / "dataset.json"
        path.write_text(path.read_text().replace("big comma", "large comma"))
    else:
        path = folders[1] / f"{kind}s" / "p1_z004.png"
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        pixels[0, 0] ^= 1
        cv2.imwrite(str(path), pixels)
    report = prepare(folders, tmp_path / "store", config)
    changed = [r.dataset for r in report.datasets if r.was_prepared]
    assert changed == (["one", "two"] if kind == "long side" else ["two"])
    after = set(_stamps(tmp_path / "store"))
    assert len(after) == 2
    assert len(after & before) == (0 if kind == "long side" else 1)


def test_two_processes_give_the_bytes_of_one(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for number, folder in enumerate(folders):
        write_dataset(folder, num_patients=1 + number)
    prepare(folders, tmp_path / "a", PrepareConfig(workers=1))
    prepare(folders, tmp_path / "b", PrepareConfig(workers=2))
    assert _snapshot(tmp_path / "a") == _snapshot(tmp_path / "b")


def test_roles_and_licences_are_filtered(tmp_path: Path) -> None:
    write_dataset(tmp_path / "free", num_patients=1)
    write_dataset(tmp_path / "closed", num_patients=1, redistributable="unclear")
    write_dataset(tmp_path / "far", num_patients=1, role="unseen", redistributable="yes (BY)")
    folders = find_folders(tmp_path)
    assert [folder.name for folder in folders] == ["closed", "far", "free"]
    free = prepare(folders, tmp_path / "s1", PrepareConfig(only_redistributable=True))
    assert [report.dataset for report in free.datasets] == ["far", "free"]
    train = prepare(folders, tmp_path / "s2", PrepareConfig(roles=("train",)))
    assert [report.dataset for report in train.datasets] == ["closed", "free"]


def test_the_report_counts_and_names_the_same_image_on_two_sides(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=3, slices=2)
    copy = cv2.imread(str(tmp_path / "set" / "images" / "p0_z000.png"), cv2.IMREAD_UNCHANGED)
    assert copy is not None
    cv2.imwrite(str(tmp_path / "set" / "images" / "p2_z004.png"), copy)
    report = prepare([tmp_path / "set"], tmp_path / "store")
    assert report.datasets[0].num_slices == 6
    assert report.leaks == (("set/p0_z000", "set/p2_z004"),)
    lines = report.lines()
    assert "6 slices" in lines[0]
    assert lines[1] == "same image on two sides: set/p0_z000, set/p2_z004"
    assert lines[-1].startswith("1 datasets, 6 slices")


def test_an_image_that_trains_here_and_tests_there_is_a_leak(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ours", num_patients=2, slices=1)
    write_dataset(tmp_path / "theirs", num_patients=2, slices=1, role="external")
    report = prepare([tmp_path / "ours", tmp_path / "theirs"], tmp_path / "store")
    assert report.leaks == (("ours/p1_z000", "theirs/p1_z000"),)


def _hold_lock(out: str, ready: Event, release: Event) -> None:
    with preparation._locked(Path(out)):
        ready.set()
        release.wait(30)


def test_the_second_of_two_processes_gets_one_sentence(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    out = tmp_path / "store"
    out.mkdir()
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold_lock, args=(str(out), ready, release))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(StoreError, match="another process is preparing") as caught:
            prepare([tmp_path / "set"], out)
        assert "\n" not in str(caught.value)
    finally:
        release.set()
        holder.join(30)
    assert prepare([tmp_path / "set"], out).datasets[0].num_slices == 3


def test_every_failing_write_leaves_the_former_store_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_dataset(folder, num_patients=2)
    out = tmp_path / "store"
    prepare(folders, out)
    former = _snapshot(out)
    for folder in folders:
        write_dataset(folder, num_patients=3)
    real_fsync, real_replace = os.fsync, Path.replace
    failures = 0
    for failing in range(100):
        calls = iter(range(1000))

        def fail_at(number: int = failing, calls: Iterator[int] = calls) -> None:
            if next(calls) == number:
                raise OSError(28, "No space left on device")

        def fsync(descriptor: int) -> None:
            fail_at()
            real_fsync(descriptor)

        def replace(source: Path, target: Path) -> Path:
            fail_at()
            return real_replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(durable.os, "fsync", fsync)
            patch.setattr(Path, "replace", replace)
            try:
                prepare(folders, out)
                break
            except WriteError:
                failures += 1
        now = _snapshot(out)
        assert len(now) in (len(former), 18)
    # Per file: fsync, rename, fsync of the folder; two files a part, two parts, one manifest.
    assert failures == 15
    assert len(_snapshot(out)) == 18
    assert not list(out.glob(".writing-*"))


class _Cancelling:
    def __init__(self) -> None:
        self.reports: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.reports.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.reports) == 2


def test_a_cancelled_run_changes_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        write_dataset(folder, num_patients=1)
    progress = _Cancelling()
    with pytest.raises(CancelledError, match="former store is unchanged"):
        prepare(folders, tmp_path / "store", progress=progress)
    assert progress.reports == [(1, 3, "one"), (2, 3, "two")]
    with pytest.raises(StoreError, match="holds no slice store"):
        SliceStore.open(tmp_path / "store")
    assert len(prepare(folders, tmp_path / "store").datasets) == 3


def test_overlapping_planes_of_a_case_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disc, cup = comma((30, 44), 3, 4, 24), comma((30, 44), 5, 5, 9)
    info = DatasetInfo("overlap", "Overlap", "train", None, {1: "disc", 2: "cup"})

    class Arrays:
        def __init__(self) -> None:
            self.info = info
            self.split = {"a": "train"}

        def source_files(self) -> tuple[Path, ...]:
            return ()

        def cases(self) -> Iterator[Case]:
            image = Image.from_array(picture((30, 44), disc, 1))
            masks = {1: disc, 2: cup}
            yield Case("overlap", "a", None, "train", "train", image, masks, spacing=(0.5, 0.7))

    monkeypatch.setattr(preparation, "open_dataset", lambda folder, splits: Arrays())
    prepare([tmp_path], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    assert (disc & cup).any()
    np.testing.assert_array_equal(store.plane(0, (1,)), disc)
    np.testing.assert_array_equal(store.plane(0, (2,)), cup)
    np.testing.assert_array_equal(store.plane(0, (1, 2)), disc | cup)
    assert store.rows[0].spacing == (0.5, 0.7)


def test_a_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    mask = comma((40, 30), 5, 6, 15)
    write_case(tmp_path / "set", "a", picture((40, 30), mask, 3), mask[:, 1:] * 1)
    with pytest.raises(GeometryError, match=r"\(1, 40, 29\) voxels"):
        prepare([tmp_path / "set"], tmp_path / "store")


@pytest.mark.parametrize("side", ["images", "masks"])
def test_a_damaged_picture_is_refused(tmp_path: Path, side: str) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    path = tmp_path / "set" / side / "p0_z004.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ImageReadError, match="p0_z004"):
        prepare([tmp_path / "set"], tmp_path / "store")


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    colours = np.zeros((60, 44, 3), np.uint8)
    colours[3:9, 4:20] = (10, 200, 30)
    cv2.imwrite(str(tmp_path / "set" / "masks" / "p0_z004.png"), colours)
    with pytest.raises(ImageReadError, match="p0_z004"):
        prepare([tmp_path / "set"], tmp_path / "store")


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one" / "set", num_patients=1)
    write_dataset(tmp_path / "two" / "set", num_patients=1)
    with pytest.raises(StoreError, match="both hold a dataset named 'set'"):
        prepare([tmp_path / "one" / "set", tmp_path / "two" / "set"], tmp_path / "store")


@pytest.mark.parametrize("change", [{"long_side": 100}, {"long_side": 0}, {"workers": 3}])
def test_settings_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        PrepareConfig(**change)  # type: ignore[arg-type]


@pytest.mark.realdata
@pytest.mark.parametrize("slug", ["msd_hippocampus_mri", "drishti_gs", "mt_ms_flair_mri"])
def test_real_sets_agree_with_their_descriptions(tmp_path: Path, slug: str) -> None:
    folder = real_folder(slug)
    prepare([folder], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    described = json.loads((folder / "dataset.json").read_text())
    assert len(store) == described["num_images"]
    for label_id, count in described["images_per_class"].items():
        assert sum(int(label_id) in row.areas for row in store.rows) == count
    for name, members in described["split"].items():
        assert sorted(r.case_id for r in store.rows if r.split == name) == sorted(members)
    assert {row.case_id: row.patient for row in store.rows} == described["patients"]
    assert max(max(row.shape[:2]) for row in store.rows) <= 384
