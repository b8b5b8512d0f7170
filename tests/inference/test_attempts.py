from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError, WriteError
from medprism.inference.attempts import LIMIT, begin_study, finish_study, forget_all


def test_a_study_that_ends_its_process_is_begun_three_times_and_no_more(tmp_path: Path) -> None:
    for _ in range(LIMIT):
        begin_study(tmp_path, "scan.v2")
    with pytest.raises(ImageReadError, match="ended 3 times"):
        begin_study(tmp_path, "scan.v2")
    begin_study(tmp_path, "scan")
    finish_study(tmp_path, "scan.v2")
    assert [path.name for path in tmp_path.iterdir()] == [".begun-0-scan"]
    begin_study(tmp_path, "scan.v2")
    (tmp_path / ".writing-abc.png").touch()
    (tmp_path / ".writing-def").mkdir()
    (tmp_path / ".writing-def" / "slice_0000.png").touch()
    (tmp_path / "mask.png").touch()
    forget_all(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_a_folder_that_is_not_there_is_no_fault_of_the_study(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="every machine of the cluster"):
        begin_study(tmp_path / "nowhere", "scan")
