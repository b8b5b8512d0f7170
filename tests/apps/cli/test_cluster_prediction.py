from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medprism.apps.cli.cluster_prediction import SaysNowAndThen
from medprism.core.progress import SilentProgress
from medprism.inference import ray_cluster
from medprism.inference.archive_record import RECORD_FILE, Line
from medprism.inference.cluster import ArchiveOrder
from tests.apps.conftest import Command
from tests.inference.archives import write_archive
from tests.inference.in_process import InProcess


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> list[ray_cluster.RayCluster]:
    """Let this process be the cluster; return the clusters that were asked."""
    asked: list[ray_cluster.RayCluster] = []

    def spread(
        self: ray_cluster.RayCluster, studies: Sequence[Path], order: ArchiveOrder
    ) -> Iterator[Line]:
        asked.append(self)
        return InProcess().spread(studies, order)

    monkeypatch.setattr(ray_cluster.RayCluster, "spread", spread)
    return asked


def test_a_folder_of_studies_with_a_bad_one(
    medprism: Command,
    nano: Path,
    tmp_path: Path,
    without_ray: list[ray_cluster.RayCluster],
) -> None:
    folder, out = write_archive(tmp_path / "in", 3), tmp_path / "out"
    (folder / "01.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    command = (
        *("predict", folder, "-o", out, "--model", nano, "--classes", "hook,flag"),
        *("--priority", "flag", "--ray", "", "--workers", "2", "--threads", "1"),
        *("--statistics", tmp_path / "s.csv"),
    )
    ended = medprism(*command)
    assert ended.status == 2
    assert ended.out.startswith("2 segmented (0 of them before), 1 left out; ")
    assert ended.err.startswith("left out 01.png: ")
    assert sorted(path.name for path in out.iterdir()) == ["00.png", "02.png", RECORD_FILE]
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == ["00.png", "00.png", "02.png", "02.png"]
    assert [(one.address, one.workers) for one in without_ray] == [("local", 2)]
    again = medprism(*command, "--json")
    assert [Path(one["mask"]).name for one in again.json()["segmented"]] == ["00.png", "02.png"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2"), "--workers 2 is for --ray"),
        (("--ray", "local", "--overlay", "o.png"), "--overlay does not go with --ray"),
        (("--ray", "local", "--level", "0"), "--level"),
        (("--ray", "local", "--click", "3,4,+"), "clicks and boxes belong to one image"),
        (("--ray", "local", "--workers", "0"), "--workers must be at least 1"),
        (("--ray", "local", "-o", "masks.nii.gz"), "names one file"),
        (("--ray", "local", "--classes", "huk"), "did you mean hook?"),
    ],
)
def test_mistakes_are_one_sentence(
    medprism: Command,
    nano: Path,
    tmp_path: Path,
    without_ray: list[ray_cluster.RayCluster],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    folder = write_archive(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    given = ("predict", folder, "-o", "out", "--model", nano, "--classes", "hook", *options)
    ended = medprism(*given)
    assert ended.status == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert without_ray == []


def test_one_image_needs_no_cluster(
    medprism: Command, nano: Path, picture: Path, without_ray: list[ray_cluster.RayCluster]
) -> None:
    ended = medprism(
        *("predict", picture, "-o", picture.parent / "out", "--model", nano),
        *("--classes", "hook", "--ray", "local"),
    )
    assert ended.status == 2
    assert "is no folder of studies" in ended.err


def test_without_a_terminal_a_line_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    often, seldom = SaysNowAndThen(SilentProgress(), 0.0), SaysNowAndThen(SilentProgress(), 99.0)
    for progress in (often, seldom):
        progress.report(3, 8, "03.png, 1.5 a second, 0:03 left")
        assert not progress.is_cancelled()
    assert capsys.readouterr().err == "3 of 8: 03.png, 1.5 a second, 0:03 left\n"
