from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import typer
from benchmarks.volumes import examine, find_cases, main, measure, summarise
from typer.testing import CliRunner

from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import volume
from tests.models.checkpoints import save_nano

STACK, MASKS = volume(6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of one volume with two structures; the polyp lies on two slices only."""
    root = tmp_path / "sets" / "phantoms"
    (root / "volumes").mkdir(parents=True)
    labels = np.zeros(STACK.shape, np.uint8)
    for number, name in enumerate(("liver", "polyp"), start=1):
        labels[MASKS[name]] = number
    for name, voxels in (("img", STACK), ("seg", labels)):
        # NIfTI axes are (x, y, z); a diagonal affine keeps the order of the phantom's axes.
        image = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 3.0, 1.0]))
        nibabel.save(image, root / "volumes" / f"one_{name}.nii.gz")
    about = {"classes": {"1": "liver", "2": "polyp"}, "split": {"test": ["one"], "train": ["no"]}}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def test_every_figure_is_that_of_the_whole_volume(folder: Path) -> None:
    (case,) = find_cases(folder, "test", None)
    assert (case.structure, case.truth.shape) == ("liver", case.image.shape)
    assert np.count_nonzero(case.truth) == np.count_nonzero(MASKS["liver"])
    session, scratch = Session(fake_model()), Session(fake_model())
    found = examine(session, scratch, case)
    middle = case.truth[3]
    repeated = np.broadcast_to(middle, case.truth.shape).copy()
    assert found.repeated_inside == found.repeated == dice(repeated, case.truth)
    assert found.propagated == dice(session.mask("structure"), case.truth)
    assert 0.8 < found.propagated <= 1
    assert (found.missed, found.added, found.slices) == (0, 0, 6)


def test_a_wrong_stop_is_counted_in_slices(folder: Path) -> None:
    (case,) = find_cases(folder, "test", None)
    shorter = case.truth.copy()
    shorter[5] = False
    longer = type(case)(case.dataset, case.case, case.structure, case.image, shorter)
    found = examine(Session(fake_model()), Session(fake_model()), longer)
    assert (found.missed, found.added) == (0, 1)
    rows = summarise([found, found])
    assert [row["dataset"] for row in rows] == ["phantoms", "mean of sets"]
    assert rows[0]["added"] == rows[1]["added"] == pytest.approx(1 / 5)
    assert rows[1]["structures"] == 2
    assert len(measure(fake_model(), iter([case]))) == 1


def test_the_command_prints_a_row_a_set(folder: Path, tmp_path: Path) -> None:
    save_nano(tmp_path / "nano.safetensors")
    app = typer.Typer()
    app.command()(main)
    asked = ["--data", str(folder.parent), "--model", str(tmp_path / "nano.safetensors")]
    printed = CliRunner().invoke(app, [*asked, "--json"])
    assert printed.exit_code == 0, printed.output
    document = json.loads(printed.stdout)
    assert document["rows"][0]["structures"] == 1
    assert document["engine"] == "torch"
    wrong = CliRunner().invoke(app, [*asked, "--split", "exam"])
    assert wrong.exit_code == 2
