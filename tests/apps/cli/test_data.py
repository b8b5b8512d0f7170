from __future__ import annotations

import fcntl
from pathlib import Path

from medprism.data.store import SliceStore
from tests.apps.conftest import Command
from tests.data.phantoms import damage, write_dataset, write_volumes


def test_folders_become_a_store_and_unchanged_ones_are_left_alone(
    medprism: Command, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_dataset(tmp_path / "sets" / name, num_patients=2)
    first = medprism("data", "prepare", tmp_path / "sets", "--store", tmp_path / "store")
    assert first.status == 0
    assert "2 datasets, 12 slices" in first.out
    assert len(SliceStore.open(tmp_path / "store")) == 12
    again = medprism("data", "prepare", tmp_path / "sets", "--store", tmp_path / "store", "--json")
    assert [one["was_prepared"] for one in again.json()["datasets"]] == [False, False]


def test_sets_are_chosen_by_role_and_licence(medprism: Command, tmp_path: Path) -> None:
    write_dataset(tmp_path / "free", num_patients=2)
    write_dataset(tmp_path / "closed", num_patients=2, redistributable="unclear")
    write_dataset(tmp_path / "outside", num_patients=2, role="external")
    folders = [tmp_path / name for name in ("free", "closed", "outside")]
    options = ("--store", tmp_path / "store", "--roles", "train", "--only-redistributable")
    assert medprism("data", "prepare", *folders, *options).status == 0
    assert list(SliceStore.open(tmp_path / "store").infos) == ["free"]


def test_a_damaged_case_is_a_warning_and_with_strictness_an_error(
    medprism: Command, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    damage(tmp_path / "set" / "images" / "p0_z004.png")
    store = ("--store", tmp_path / "store")
    strict = medprism("data", "prepare", tmp_path / "set", *store, "--strict")
    assert strict.status == 2
    assert "p0_z004" in strict.err
    assert len(strict.err.splitlines()) == 1
    assert not (tmp_path / "store" / "store.json").exists()
    ended = medprism("data", "prepare", tmp_path / "set", *store)
    assert ended.status == 0
    assert ended.err == "warning: 1 cases could not be read and were left out\n"
    assert "left out set/p0_z004" in ended.out
    again = medprism("data", "prepare", tmp_path / "set", *store, "--json")
    (failure,) = again.json()["datasets"][0]["failures"]
    assert failure["file"].endswith("p0_z004.png")


def test_slices_without_labels_can_be_left_out(medprism: Command, tmp_path: Path) -> None:
    write_volumes(tmp_path / "set", ["a", "b"])
    options = ("--store", tmp_path / "store", "--workers", "1", "--json")
    with_them = medprism("data", "prepare", tmp_path / "set", *options).json()
    without = medprism("data", "prepare", tmp_path / "set", *options, "--labelled-only").json()
    assert [one["datasets"][0]["num_unlabelled"] for one in (with_them, without)] == [4, 0]
    assert [one["datasets"][0]["num_slices"] for one in (with_them, without)] == [8, 8]


def test_a_store_that_another_process_prepares_is_left_alone(
    medprism: Command, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    store = tmp_path / "store"
    store.mkdir()
    with (store / "prepare.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = medprism("data", "prepare", tmp_path / "set", "--store", store)
    assert ended.status == 2
    assert "another process is preparing the store" in ended.err
    assert [path.name for path in store.iterdir()] == ["prepare.lock"]


def test_mistakes_are_one_sentence(medprism: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    store = ("--store", tmp_path / "store")
    for arguments, said in (
        ((tmp_path / "empty",), "is no dataset and holds none"),
        ((tmp_path / "empty", "--roles", "exam"), "--roles has no 'exam'"),
        ((tmp_path / "empty", "--long-side", "100"), "long side 100"),
        ((tmp_path / "empty", "--workers", "9999"), "9999 workers"),
    ):
        ended = medprism("data", "prepare", *arguments, *store)
        assert ended.status == 2
        assert said in ended.err
        assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "store").exists()
