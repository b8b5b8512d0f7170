import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core import durable
from medprism.core.errors import (
    ConfigError,
    StoreError,
    WriteError,
)
from medprism.core.image import Image
from medprism.data import conversion, preparation, source_record
from medprism.data.case import Case, DatasetInfo
from medprism.data.preparation import PrepareConfig, find_folders, prepare
from medprism.data.source_record import Stamp
from medprism.data.store import SliceStore
from tests.data.phantoms import (
    comma,
    damage,
    picture,
    real_folder,
    settle,
    store_files,
    stored_cases,
    write_case,
    write_dataset,
    write_volumes,
)


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


def test_workers_give_the_bytes_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "one", num_patients=2)
    write_volumes(tmp_path / "two", ["a", "b", "c"], empty=["b"])
    write_dataset(tmp_path / "three", num_patients=1, channels=3)
    damage(tmp_path / "two" / "volumes" / "c_seg.nii.gz")
    folders = [tmp_path / name for name in ("one", "two", "three")]
    prepare(folders, tmp_path / "a", PrepareConfig(workers=1))
    monkeypatch.setattr(conversion, "PATIENCE_S", 0.0)
    monkeypatch.setattr(preparation, "available_cores", lambda: 2)
    prepare(folders, tmp_path / "b", PrepareConfig(workers=2))
    assert store_files(tmp_path / "a") == store_files(tmp_path / "b")
    assert len(stored_cases(tmp_path / "a")) == 6 + 4 + 3


def test_all_cores_but_one_work_unless_a_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 1), (16, 15)):
        monkeypatch.setattr(preparation, "available_cores", lambda cores=cores: cores)
        assert PrepareConfig().num_workers == expected
        assert PrepareConfig(workers=cores).num_workers == cores
        with pytest.raises(ConfigError, match=f"{cores + 1} workers; preparing uses 1 to {cores}"):
            PrepareConfig(workers=cores + 1)


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
    before, out = tmp_path / "before", tmp_path / "store"
    prepare(folders, before)
    former = stored_cases(before)
    for folder in folders:
        write_dataset(folder, num_patients=3)
    real_fsync, real_replace = os.fsync, Path.replace
    failures = 0
    for failing in range(100):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(before, out)
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
        now = stored_cases(out)
        assert now == former or len(now) == 18
        assert not list(out.glob(".writing-*"))
        if failing % 5 == 0:
            prepare(folders, out)
            assert len(stored_cases(out)) == 18
            assert not list(out.glob(".*"))
    # Per file: fsync, rename, fsync of the folder; two records of sources, two parts of two files,
    # one manifest.
    assert failures == 21
    assert len(stored_cases(out)) == 18


@pytest.mark.parametrize("change", ["nothing", "moved", "touched", "content"])
def test_bytes_are_read_again_only_where_size_or_time_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    write_dataset(tmp_path / "here" / "set", num_patients=2)
    settle(tmp_path / "here" / "set")
    prepare([tmp_path / "here" / "set"], tmp_path / "here" / "store")
    names: list[str] = []
    real = source_record._read

    def read(path: Path) -> Stamp:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(source_record, "_read", read)
    root = tmp_path / "here"
    image = root / "set" / "images" / "p1_z004.png"
    if change == "moved":
        root = root.rename(tmp_path / "there")
    elif change == "touched":
        os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
    elif change == "content":
        write_case(root / "set", "p1_z004", *[np.ones((60, 44), np.uint8)] * 2)
    report = prepare([root / "set"], root / "store")
    assert report.datasets[0].was_prepared == (change == "content")
    files = {"touched": ["p1_z004.png"], "content": ["p1_z004.png"] * 2}
    assert names == files.get(change, [])
    if change == "touched":
        names.clear()
        prepare([root / "set"], root / "store")
        assert names == []


def test_slices_without_labels_are_kept_apart_or_left_out(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set", ["a", "b"], empty=["b"])
    report = prepare([tmp_path / "set"], tmp_path / "store")
    assert (report.datasets[0].num_slices, report.datasets[0].num_unlabelled) == (4, 8)
    assert "8 slices more without labels" in report.lines()[0]
    assert report.lines()[-1].startswith("1 datasets, 4 slices")
    fewer = prepare([tmp_path / "set"], tmp_path / "store", PrepareConfig(labelled_only=True))
    assert (fewer.datasets[0].num_slices, fewer.datasets[0].num_unlabelled) == (4, 0)
    assert not len(SliceStore.open(tmp_path / "store").unlabelled())


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


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one" / "set", num_patients=1)
    write_dataset(tmp_path / "two" / "set", num_patients=1)
    with pytest.raises(StoreError, match="both hold a dataset named 'set'"):
        prepare([tmp_path / "one" / "set", tmp_path / "two" / "set"], tmp_path / "store")


@pytest.mark.parametrize("change", [{"long_side": 100}, {"long_side": 0}, {"workers": 0}])
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
