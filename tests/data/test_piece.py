from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from medprism.core.image import Image
from medprism.data.case import Case, Dataset, DatasetInfo
from medprism.data.datasets.adapters import PUBLISHED, open_dataset
from medprism.data.datasets.published import PublishedSet
from medprism.data.piece import count_pieces, pieces_of
from medprism.data.stored_slice import read_image, read_planes
from tests.data.datasets.releases import write_release
from tests.data.phantoms import comma, damage, picture, write_dataset, write_volume, write_volumes


def _facts(case: Case) -> tuple[object, ...]:
    image = read_image(case)
    planes = {label_id: plane.tobytes() for label_id, plane in read_planes(case, image).items()}
    names = ("dataset", "case_id", "patient", "split", "role", "modality", "slice_index")
    more = ("relative_position", "view", "spacing", "plane")
    return (*(getattr(case, name) for name in (*names, *more)), planes, image.digest)


def _apart(dataset: Dataset) -> list[Case]:
    """Return the cases of all pieces as another process would read them."""
    handed_over = [pickle.loads(pickle.dumps(piece)) for piece in pieces_of(dataset)]
    return [case for piece in handed_over for case in piece.read()]


def test_pieces_of_pictures_give_the_cases_of_their_set(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2, slices=4)
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    expected = [_facts(case) for case in dataset.cases()]
    assert [_facts(case) for case in _apart(dataset)] == expected
    positions = [case.relative_position for case in _apart(dataset)]
    assert positions[:4] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert count_pieces(dataset) == len(list(pieces_of(dataset))) == 8


def test_a_volume_is_one_piece_with_all_its_slices(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set", ["a", "b", "c"], empty=["c"])
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    assert [piece.name for piece in pieces_of(dataset)] == ["a", "b", "c"]
    assert count_pieces(dataset) == 3
    cases = _apart(dataset)
    assert [_facts(case) for case in cases] == [_facts(case) for case in dataset.cases()]
    assert len(cases) == 18
    assert sum(case.is_unlabelled for case in cases) == 2 + 2 + 6


def test_nothing_is_read_before_a_piece_is(tmp_path: Path) -> None:
    write_volumes(tmp_path / "set", ["a", "b"])
    for path in (tmp_path / "set" / "volumes").iterdir():
        damage(path)
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    (first, _) = pieces_of(dataset)
    assert [path.name for path in first.files] == ["a_img.nii.gz", "a_seg.nii.gz"]


SETS = ("amos_ct", "acdc", "kits19", "structseg_han", "chaos_mr", "bkai_igh", "busi", "kpis")


@pytest.mark.parametrize("name", SETS)
def test_pieces_of_a_published_set_give_its_cases_and_the_slices_without_labels(
    tmp_path: Path, name: str
) -> None:
    published: PublishedSet = write_release(name, tmp_path / "set")
    dataset = open_dataset(Path(f"{name}={tmp_path / 'set'}"), tmp_path / "splits")
    cases = _apart(dataset)
    labelled = [_facts(case) for case in cases if not case.is_unlabelled]
    assert labelled == [_facts(case) for case in dataset.cases()]
    for case in cases:
        if case.is_unlabelled:
            assert published.unit == "volumes"
            assert case.masks == {}
            assert case.case_id.endswith(f"_z{case.plane:03d}")
    assert count_pieces(dataset) == len(list(pieces_of(dataset)))


def test_a_published_volume_without_any_label_is_there_too(tmp_path: Path) -> None:
    write_release("kits19", tmp_path)
    case = tmp_path / "data" / "case_00000"
    assert case.is_dir()
    write_volume(case / "imaging.nii.gz", case / "segmentation.nii.gz", 3, is_labelled=False)
    dataset = open_dataset(Path(f"kits19={tmp_path}"), tmp_path / "splits")
    cases = [case for case in _apart(dataset) if case.case_id.startswith("case_00000")]
    assert [case.is_unlabelled for case in cases] == [True] * 6
    assert not [case for case in dataset.cases() if case.case_id.startswith("case_00000")]


@dataclass
class _Arrays:
    """A dataset of its own kind: two volumes that are read already."""

    info: DatasetInfo = field(default=DatasetInfo("own", "Own", "train", None, {1: "comma"}))
    split: dict[str, str] = field(default_factory=dict)

    def source_files(self) -> tuple[Path, ...]:
        return ()

    def cases(self) -> Iterator[Case]:
        mask = comma((20, 30), 2, 3, 14)
        for name in ("a", "b"):
            image = Image.from_array(np.stack([picture((20, 30), mask, k) for k in range(4)]))
            for plane in range(3):
                yield Case(
                    "own", f"{name}{plane}", None, "train", "train", image, {1: mask}, plane=plane
                )


def test_cases_of_another_dataset_are_joined_where_they_share_an_image() -> None:
    dataset = _Arrays()
    pieces = list(pieces_of(dataset))
    assert [[case.case_id for case in piece.read()] for piece in pieces] == [
        ["a0", "a1", "a2"],
        ["b0", "b1", "b2"],
    ]
    assert count_pieces(dataset) is None


def test_every_set_used_above_is_published() -> None:
    assert set(SETS) <= set(PUBLISHED)
