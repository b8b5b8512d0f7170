"""No program of ours says who a patient is in a log, however loud it is asked to be."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.apps.conftest import Command
from tests.inference.phantom import volume
from tests.io.phantoms import write_series

TELLING = ("Zeltner", "Ottilie", "MRN-4711", "19520317", "Charite Nord")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a series whose headers say a lot, part of it where libraries quote what is wrong."""
    folder = tmp_path / "study"
    write_series(folder, volume(2)[0].astype(np.uint16))
    for path in sorted(folder.iterdir()):
        one = pydicom.dcmread(path)
        one.PatientName, one.PatientID = "Zeltner^Ottilie", "MRN-4711"
        one.PatientBirthDate, one.InstitutionName = "19520317", "Charite Nord"
        one.StudyDate, one.StudyTime, one.AccessionNumber = "20200101", "101112", "A1"
        one.save_as(path)
        content = path.read_bytes()
        assert content.count(b"20200101") == 1
        # No date at all, and pydicom's warnings quote what they warn of.
        path.write_bytes(content.replace(b"20200101", b"Zeltner."))
    return folder


@pytest.mark.parametrize("name", ["m.nii.gz", "m.dcm", "m.rtstruct.dcm", "m.json"])
@pytest.mark.parametrize("options", [(), ("--deidentify",)], ids=["named", "deidentified"])
def test_predicting_says_nothing_of_the_patient(
    medprism: Command,
    nano: Path,
    study: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    options: tuple[str, ...],
) -> None:
    out = study.parent / name
    with caplog.at_level(logging.DEBUG):
        ended = medprism(
            "--debug", "predict", study, "-o", out, "--model", nano, "--classes", "hook", *options
        )
    assert ended.status == 0, ended.err
    assert out.exists()
    said = ended.out + ended.err + caplog.text
    assert [one for one in TELLING if one in said] == []


def test_a_file_that_cannot_be_read_is_no_way_out(
    medprism: Command, nano: Path, study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in sorted(study.iterdir()):
        path.write_bytes(path.read_bytes()[:-200])
    out = study.parent / "m.nii.gz"
    with caplog.at_level(logging.DEBUG):
        ended = medprism("predict", study, "-o", out, "--model", nano, "--classes", "hook")
    assert ended.status == 2
    said = ended.out + ended.err + caplog.text
    assert [one for one in TELLING if one in said] == []
