from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError
from medprism.data.datasets.discovery import find_datasets
from tests.data.phantoms import write_dataset


def test_sets_are_found_by_name_and_inside_a_folder(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_dataset(tmp_path / "all" / name, num_patients=1)
    (tmp_path / "all" / "notes").mkdir()
    (tmp_path / "all" / "index.json").write_text("{}")
    (tmp_path / "scans" / "volumes").mkdir(parents=True)
    inside = tmp_path / "all"
    found = find_datasets([tmp_path / "scans", inside, inside / "b"])
    assert found == (tmp_path / "scans", inside / "a", inside / "b")


@pytest.mark.parametrize("name", ["nothing here", "file"])
def test_what_holds_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageReadError, match="images, volumes"):
        find_datasets([tmp_path / name])
