"""`medprism predict` from a PACS into a PACS: a service in this process, and Orthanc itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from medprism.io.dicomweb import TOKEN, fetch_series, parse_address
from medprism.io.reader import read_image, read_mask
from tests.apps.conftest import Command
from tests.inference.phantom import scene
from tests.io.pacs_server import encoded, running_pacs
from tests.io.phantoms import ct_slice, write_series

pytest.importorskip("dicomweb_client", reason="dicomweb-client (the extra pacs) is not installed")

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
STARTS_SECONDS = 60.0


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


def study() -> list[Dataset]:
    """Return a CT series of three slices on an oblique grid."""
    turned = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
    found = []
    for number in range(3):
        pixels = scene(number)[0].astype(np.uint16) * 4 + 1024
        place = (-10.0, 5.0, 3.0 * number)
        one = ct_slice(pixels, place, series=SERIES, orientation=turned)
        one.StudyInstanceUID, one.FrameOfReferenceUID = STUDY, f"{SERIES}.9"
        one.PatientName, one.PatientID = "Secret^Name", "secret-17"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number + 1}"
        found.append(one)
    return found


@contextmanager
def orthanc(folder: Path) -> Iterator[str]:
    """Run Orthanc on a free port with everything it keeps in a folder; give its HTTP address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder
        )
        try:
            _wait(f"http://127.0.0.1:{port}", service, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            service.terminate()
            service.wait(20)


def _wait(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < until and service.poll() is None:
        try:
            with urlopen(f"{url}/system", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"Orthanc did not start: {log.read_text(errors='replace')[-2000:]}")


def check_stored(pacs: str, folder: Path, mask: Path) -> None:
    """Find the one DICOM-SEG of the study, and compare it with the mask file, voxel by voxel."""
    with urlopen(f"{parse_address(pacs).url}/studies/{STUDY}/series?Modality=SEG") as reply:
        (row,) = json.load(reply)
    uid = row["0020000E"]["Value"][0]
    folder.mkdir()
    _, images = fetch_series(parse_address(f"{pacs}/studies/{STUDY}"), folder)
    _, stored = fetch_series(parse_address(f"{pacs}/studies/{STUDY}/series/{uid}"), folder)
    (seg,) = stored.iterdir()
    image = read_image(images)
    found, expected = read_mask(seg, image), read_mask(mask, image)
    assert expected.array.any()
    np.testing.assert_array_equal(found.array > 0, expected.array > 0)
    referred = pydicom.dcmread(seg).ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == SERIES
    uids = {item.ReferencedSOPInstanceUID for item in referred.ReferencedInstanceSequence}
    assert uids == {f"{SERIES}.{number}" for number in (1, 2, 3)}


def predict(medprism: Command, nano: Path, pacs: str, mask: Path) -> None:
    source = f"{pacs}/studies/{STUDY}"
    ended = medprism(
        *("predict", source, "--to", pacs, "-o", mask, "--model", nano, "--json"),
        *("--click", "1,30,30,+", "--label", "liver"),
    )
    assert ended.status == 0, ended.err
    (one,) = ended.json()["segmented"]
    assert one["image"] == source and one["mask"] == str(mask)
    assert "ecret" not in ended.out + ended.err


def test_a_series_is_read_from_a_pacs_and_its_mask_stored_there(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    with running_pacs() as pacs:
        pacs.objects.extend(study())
        predict(medprism, nano, pacs.url, tmp_path / "m.nii.gz")
        check_stored(pacs.url, tmp_path / "check", tmp_path / "m.nii.gz")
        posted = [line for line in pacs.asked if line.startswith("POST")]
        assert posted == ["POST /pacs/studies"]
    image = nib.load(tmp_path / "m.nii.gz")
    # Rows run along (0.8, 0.6, 0) in LPS.
    np.testing.assert_allclose(image.affine[:3, 0], (-0.8 * 0.8, -0.6 * 0.8, 0), atol=1e-6)


@pytest.mark.skipif(
    shutil.which("Orthanc") is None or not PLUGIN.exists(),
    reason="Orthanc with its DICOMweb plug-in is not installed (apt: orthanc orthanc-dicomweb)",
)
def test_a_series_is_read_from_orthanc_and_its_mask_stored_there(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    (tmp_path / "orthanc").mkdir()
    with orthanc(tmp_path / "orthanc") as url:
        for one in study():
            with urlopen(Request(f"{url}/instances", encoded(one), method="POST")) as reply:
                assert reply.status == 200
        pacs = f"dicomweb{url.removeprefix('http')}/dicom-web"
        predict(medprism, nano, pacs, tmp_path / "m.nii.gz")
        check_stored(pacs, tmp_path / "check", tmp_path / "m.nii.gz")
        gone = f"{pacs}/studies/{STUDY}.9"
        ended = medprism("predict", gone, "--to", pacs, "--model", nano, "--classes", "hook")
        assert ended.status == 2
        assert f"{STUDY}.9" in ended.err and len(ended.err.splitlines()) == 1


def test_files_are_stored_in_a_pacs_without_a_mask_file(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    (tmp_path / "series").mkdir()
    for number, one in enumerate(study()):
        (tmp_path / "series" / f"{number}.dcm").write_bytes(encoded(one))
    with running_pacs() as pacs:
        ended = medprism(
            *("predict", tmp_path / "series", "--to", pacs.url, "--model", nano),
            *("--classes", "hook", "--statistics", tmp_path / "s.csv"),
        )
        assert ended.status == 0, ended.err
        assert f"-> {pacs.url}" in ended.out
        assert [one.Modality for one in pacs.objects] == ["SEG"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "series"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("picture.png",), "nothing says where the mask goes"),
        (("picture.png", "--to", "PACS"), "refers to the DICOM files"),
        (("picture.png", "--to", "PACS/studies/1.2"), "names a study"),
        (("picture.png", "--to", "http://h/"), "no address of a PACS"),
        (("PACS", "--to", "PACS"), "names no study"),
        (("PACS/studies/1.2", "--to", "PACS", "--series", "x"), "is no UID"),
        (("PACS/studies/1.2", "-o", "nowhere/m.nii.gz", "--to", "PACS"), "no series of images"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_stored(
    medprism: Command,
    nano: Path,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(picture.parent)
    with running_pacs() as pacs:
        words = [word.replace("PACS", pacs.url) for word in options]
        ended = medprism("predict", *words, "--model", nano, "--classes", "hook")
        assert not pacs.objects
    assert ended.status == 2
    assert said in ended.err and len(ended.err.splitlines()) == 1
    assert [path.name for path in picture.parent.iterdir()] == ["picture.png"]


def test_a_refused_mask_is_an_error_after_the_file_is_written(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "other", np.zeros((2, 40, 60), np.uint16))
    with running_pacs() as pacs:
        pacs.objects.extend(study())
        pacs.failure = 0x0110
        ended = medprism(
            *("predict", f"{pacs.url}/studies/{STUDY}", "--to", pacs.url, "--model", nano),
            *("--classes", "hook", "-o", tmp_path / "m.nrrd"),
        )
    assert ended.status == 2
    assert "failure reason 0x0110" in ended.err
    assert (tmp_path / "m.nrrd").exists()
