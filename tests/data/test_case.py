from pathlib import Path

import pytest

from medprism.data.case import ROLES, SPLITS, Case, Dataset
from medprism.data.datasets.folder import open_folder
from tests.data.phantoms import write_dataset


def test_what_the_folder_adapter_returns_is_a_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    dataset = open_folder(tmp_path / "set", tmp_path / "splits")
    assert isinstance(dataset, Dataset)
    cases = list(dataset.cases())
    assert all(isinstance(case, Case) for case in cases)
    assert {case.role for case in cases} <= set(ROLES)
    assert {case.split for case in cases} <= set(SPLITS)


def test_a_case_cannot_be_changed(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    case = next(iter(open_folder(tmp_path / "set", tmp_path / "splits").cases()))
    with pytest.raises(AttributeError, match="split"):
        case.split = "val"  # type: ignore[misc]
