from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError
from medprism.data.case import Dataset
from medprism.data.datasets.adapters import ADAPTERS, open_dataset
from tests.data.phantoms import write_dataset


def test_the_layout_chooses_the_adapter(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    assert isinstance(dataset, Dataset)
    assert "images" in ADAPTERS


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="none of the subfolders"):
        open_dataset(tmp_path, tmp_path / "splits")
