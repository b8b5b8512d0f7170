from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import CancelledError
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.datasets.checking import CheckReport, CountRow, check
from tests.data.datasets.releases import numbers_of, write_release


class _Cancelled:
    def report(self, done: int, total: int, message: str = "") -> None:
        """Ignore."""

    def is_cancelled(self) -> bool:
        return True


def _row(
    report: CheckReport, split: str, what: str = "volumes", paper: str = "K-Prism"
) -> CountRow:
    return next(r for r in report.counts if (r.split, r.what, r.paper) == (split, what, paper))


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_tree_is_counted_and_reads_whole(tmp_path: Path, name: str) -> None:
    published = write_release(name, tmp_path)
    report = check(published, tmp_path, reads_all=True)
    assert report.odd == ()
    assert report.unreadable == ()
    assert not any("the mask of" in problem for problem in report.missing)
    assert not report.is_complete, "three cases are not the whole release"
    papers = {row.paper for row in report.counts}
    assert papers == {use.paper for use in published.uses}
    assert report.lines()[-1] == f"{name}: not as the papers describe it"


def test_counts_stand_beside_those_of_the_paper(tmp_path: Path) -> None:
    published = write_release("amos_ct", tmp_path)
    report = check(published, tmp_path)
    assert (_row(report, "test").found, _row(report, "test").expected) == (1, 100)
    assert _row(report, "train").expected == 190
    assert _row(report, "all", paper="Iris").found == 3
    assert not any(row.what == "slices" for row in report.counts)


def test_labelled_slices_are_counted_when_everything_is_read(tmp_path: Path) -> None:
    published = write_release("amos_ct", tmp_path)
    report = check(published, tmp_path, reads_all=True)
    expected = 0
    for seed in range(3):
        numbers = numbers_of(published, seed)
        numbers[numbers > 13] = 0
        expected += int(numbers.any((1, 2)).sum())
    # The paper's draw is not ours, so its slices are compared as a whole.
    row = _row(report, "all", "slices")
    assert (row.found, row.expected) == (expected, 33944 + 1689 + 17861)
    official = check(write_release("acdc", tmp_path / "acdc"), tmp_path / "acdc", reads_all=True)
    assert _row(official, "test", "slices").expected == 1001


def test_frames_count_as_volumes(tmp_path: Path) -> None:
    report = check(write_release("mnms", tmp_path), tmp_path)
    assert (_row(report, "train").found, _row(report, "train").expected) == (2, 300)
    assert (_row(report, "test").found, _row(report, "test").expected) == (4, 340)


def test_tiles_are_counted_only_when_read(tmp_path: Path) -> None:
    published = write_release("kpis", tmp_path)
    shallow = check(published, tmp_path)
    assert all(row.expected is None for row in shallow.counts)
    deep = check(published, tmp_path, reads_all=True)
    tiles = [row for row in deep.counts if row.what == "tiles"]
    assert [(row.split, row.found, row.expected) for row in tiles] == [("all", 3, 12816)]


def test_missing_masks_absent_cases_and_odd_files_are_named(tmp_path: Path) -> None:
    published = write_release("amos_ct", tmp_path)
    (tmp_path / "labelsTr/amos_0004.nii.gz").rename(tmp_path / "labelsTr/amos-4.nii.gz")
    report = check(published, tmp_path)
    assert report.missing == ("labelsTr/amos_0004.nii.gz (the mask of imagesTr/amos_0004.nii.gz)",)
    assert report.odd == ("labelsTr/amos-4.nii.gz",)
    kits = write_release("kits19", tmp_path / "kits")
    absent = check(kits, tmp_path / "kits")
    assert len(absent.missing) == 210 - 3
    assert absent.missing[0] == "case_00002"
    assert "missing: and 197 more" in absent.lines()


def test_a_damaged_file_is_reported_and_the_rest_is_counted(tmp_path: Path) -> None:
    published = write_release("segthor", tmp_path)
    broken = tmp_path / "train/Patient_02/GT.nii.gz"
    broken.write_bytes(broken.read_bytes()[:100])
    report = check(published, tmp_path, reads_all=True)
    assert len(report.unreadable) == 1
    assert "Patient_02/GT.nii.gz" in report.unreadable[0]
    assert _row(report, "test", "slices", "Iris").found > 0


def test_a_whole_release_is_complete(tmp_path: Path) -> None:
    published = write_release("structseg_han", tmp_path)
    for number in range(1, 51):
        folder = tmp_path / "HaN_OAR" / str(number)
        if not folder.exists():
            folder.mkdir()
            for name in ("data.nii.gz", "label.nii.gz"):
                (folder / name).hardlink_to(tmp_path / "HaN_OAR/1" / name)
    report = check(published, tmp_path)
    assert report.is_complete
    assert report.lines()[-1] == "structseg_han: complete"


def test_checking_can_be_cancelled(tmp_path: Path) -> None:
    published = write_release("busi", tmp_path)
    with pytest.raises(CancelledError, match="checking busi"):
        check(published, tmp_path, reads_all=True, progress=_Cancelled())
