from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import CheckpointError
from medprism.evaluation.bench.official.packages import CHECKPOINT
from medprism.evaluation.bench.official.weights import find_folds, hash_files, read_described
from tests.evaluation.bench.official.packages import nnunet_folder


def test_folds_are_those_asked_for_or_all_numbered_ones(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path, folds=("0", "3", "all"))
    (folder / "fold_1").mkdir()
    assert find_folds(folder, (), CHECKPOINT) == ("0", "3")
    assert find_folds(folder, ("all",), CHECKPOINT) == ("all",)
    assert find_folds(folder, ("3", "0", "3"), CHECKPOINT) == ("3", "0")
    for folds, checkpoint in ((("1",), CHECKPOINT), ((), "checkpoint_best.pth")):
        with pytest.raises(CheckpointError, match="name the folder that training wrote"):
            find_folds(folder, folds, checkpoint)
    with pytest.raises(CheckpointError, match="fold_N"):
        find_folds(tmp_path / "none", (), CHECKPOINT)
    only = nnunet_folder(tmp_path / "only", folds=("all",))
    assert find_folds(only, (), CHECKPOINT) == ("all",)


def test_a_hash_follows_names_and_contents_and_not_the_place(tmp_path: Path) -> None:
    first, second = nnunet_folder(tmp_path / "a"), nnunet_folder(tmp_path / "b" / "c")
    files = ("dataset.json", f"fold_0/{CHECKPOINT}")

    def digest(folder: Path) -> str:
        return hash_files(folder, [folder / name for name in files])

    whole = digest(first)
    assert whole == digest(second) == hash_files(first, [first / name for name in files[::-1]])
    (second / "plans.json").write_text("changed, but not among the files")
    assert digest(second) == whole
    (second / files[1]).write_text("changed")
    assert digest(second) != whole
    (first / "dataset.json").rename(first / "other.json")
    assert hash_files(first, [first / "other.json", first / files[1]]) != whole
    with pytest.raises(CheckpointError, match="cannot be read"):
        digest(first)


@pytest.mark.parametrize("content", [None, "", "[1]", "{", "\udcff"])
def test_a_description_that_is_none_is_said(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        path = tmp_path / "plans.json"
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CheckpointError, match=r"plans\.json"):
        read_described(tmp_path, "plans.json")
