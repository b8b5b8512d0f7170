"""Exports of the workbench without identity, by the code that `medprism predict` uses."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from pathlib import Path

import pydicom
import pytest

from medprism.apps.identity import KEY_VARIABLE
from medprism.io.reader import read_mask
from tests.apps.workbench.conftest import Desk, Live
from tests.inference.phantom import SHAPE, volume
from tests.io.phantoms import write_series

KEY = "a key of the tests...."
# What the series, its folder, the people and the label's owner are called; nothing else is.
TELLING = ("Jörg", "Müller", "J\xc3\xb6rg", "MRN-4711", "1.2.3.4", "Geheim", "thorax")


@pytest.fixture
def annotated(live: Live) -> Desk:
    """Return a desk with accepted masks on a picture and on a DICOM series of a named patient."""
    write_series(live.project.root / "MRN-4711_Müller", volume()[0].astype("uint16"))
    desk = Desk(live.client, "Dr%20Geheim")
    (series,) = desk.post("/api/images/scan")["added"]
    for image in (1, series["id"]):
        session = desk.open(image)
        stroke = {"kind": "brush", "label": "liver", "points": [[30, 30], [34, 44]], "radius": 6}
        desk.post(f"{session}/prompts", stroke)
        desk.post(f"{session}/accept")
        desk.ask("DELETE", session, 204)
    return desk


def _export(desk: Desk, **wishes: object) -> tuple[dict[str, object], dict[str, bytes]]:
    """Return the job of an export, and the files in its ZIP."""
    job = desk.finish(desk.post("/api/jobs", {"kind": "export", **wishes}, 201)["id"])
    assert job["state"] == "done", job
    content = desk.get(f"/api/jobs/{job['id']}/file")
    assert (b"deidentified" in content.headers["content-disposition"].encode()) == bool(
        wishes.get("deidentify")
    )
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        return job, {name: archive.read(name) for name in archive.namelist()}


def _tells(content: bytes) -> list[str]:
    # As text, as DICOM has it, and as JSON has it.
    forms = {
        one: (one.encode(), one.encode("latin-1", "ignore"), json.dumps(one)[1:-1].encode())
        for one in TELLING
    }
    return [one for one, form in forms.items() if any(part and part in content for part in form)]


@pytest.mark.parametrize("format", ["dicom-seg", "rtstruct", "nifti", "coco", "png-stack"])
def test_nothing_in_the_archive_tells_who_it_is(
    annotated: Desk, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    job, files = _export(annotated, format=format, deidentify=True)
    assert job["result"]["images"] + len(job["result"]["left_out"]) == 2  # type: ignore[index]
    assert not [name for name in files if name.startswith("logs/")]
    for name, content in files.items():
        assert not _tells(name.encode()) and not _tells(content), name
    report = json.loads(files["export.json"])
    assert report["is_deidentified"] is True
    for one in report["images"]:
        assert one["name"] == f"{one['image']:06d}"
        assert {key for entry in one["accepted"] for key in entry} == {
            *("label", "name", "pixels", "is_current")
        }


def test_with_names_it_tells_what_a_reader_needs(annotated: Desk) -> None:
    _, files = _export(annotated, format="dicom-seg")
    assert {"MRN-4711", "Geheim"} <= set(_tells(files["export.json"]))
    (mask,) = [name for name in files if name.endswith(".dcm")]
    assert "MRN-4711" in mask
    found = pydicom.dcmread(io.BytesIO(files[mask]))
    assert str(found.PatientName) == "Müller^Jörg"
    assert found.StudyInstanceUID == "1.2.3"


def test_dicom_masks_say_that_they_were_deidentified(
    annotated: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    studies = []
    for _ in range(2):
        _, files = _export(annotated, format="dicom-seg", deidentify=True)
        (mask,) = [name for name in files if name.endswith(".dcm")]
        found = pydicom.dcmread(io.BytesIO(files[mask]))
        assert found.PatientIdentityRemoved == "YES"
        assert str(found.PatientName).startswith("ANON-")
        assert (found.Rows, found.Columns) == SHAPE
        studies.append(found.StudyInstanceUID)
    # The key of the environment makes exports fit one another.
    assert studies[0] == studies[1] != "1.2.3"


def test_one_image_can_be_exported_so(annotated: Desk) -> None:
    images = annotated.get("/api/images")["images"]
    series = max(one["id"] for one in images)
    path = f"/api/images/{series}/export?format=dicom-seg"
    named, nameless = annotated.get(path), annotated.get(f"{path}&deidentify=true")
    assert "MRN-4711" in named.headers["content-disposition"]
    assert nameless.headers["content-disposition"].endswith(f"{series:06d}.dcm")
    assert _tells(named.content) and not _tells(nameless.content)


def test_logs_name_people_and_are_refused(annotated: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"kind": "export", "deidentify": True, "logs": True}
    refused = annotated.post("/api/jobs", body, 422)["error"]
    assert "a prompt log names files and people" in refused["message"]
    _, files = _export(annotated, format="coco")
    assert [name for name in files if name.startswith("logs/")]
    monkeypatch.setenv(KEY_VARIABLE, "short")
    job = annotated.post("/api/jobs", {"kind": "export", "deidentify": True}, 201)
    ended = annotated.finish(job["id"])
    assert ended["state"] == "failed" and "can be guessed" in ended["message"]
    annotated.get("/api/images/1/export?deidentify=true", 422)


def test_the_masks_are_those_that_were_accepted(annotated: Desk, tmp_path: Path) -> None:
    _, named = _export(annotated, format="nifti", logs=False)
    _, nameless = _export(annotated, format="nifti", deidentify=True)
    masks = sorted(name for name in nameless if name.startswith("masks/"))
    assert masks[0] == "masks/000001.nii.gz" and len(masks) == 2
    for name in masks:
        (other,) = [one for one in named if one.startswith(name.removesuffix(".nii.gz"))]
        (tmp_path / "a.nii.gz").write_bytes(named[other])
        (tmp_path / "b.nii.gz").write_bytes(nameless[name])
        one, two = read_mask(tmp_path / "a.nii.gz"), read_mask(tmp_path / "b.nii.gz")
        assert (one.array == two.array).all() and one.names == two.names


def test_exporting_logs_neither_names_nor_times(
    annotated: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for format in ("dicom-seg", "rtstruct", "coco"):
            _export(annotated, format=format, deidentify=format != "coco")
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]
    assert ours and not _tells("\n".join(ours).encode())
