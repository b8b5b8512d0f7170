from __future__ import annotations

import builtins
import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medprism.core.errors import CancelledError, ConfigError, ImageReadError, WriteError
from medprism.io import dicomweb
from medprism.io.dicomweb import (
    TOKEN,
    PacsAddress,
    fetch_series,
    is_pacs,
    parse_address,
    store_object,
)
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.pacs_server import Pacs, running_pacs
from tests.io.phantoms import ct_slice, labels

pytest.importorskip("dicomweb_client", reason="dicomweb-client (the extra pacs) is not installed")

STUDY, SERIES = "1.2.3", "1.2.3.4"
VOLUME = np.random.default_rng(3).integers(0, 900, (4, 6, 9)).astype(np.uint16)


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pacs]:
    monkeypatch.delenv(TOKEN, raising=False)
    with running_pacs() as service:
        for number, plane in enumerate(VOLUME):
            one = ct_slice(plane, (0.0, 0.0, 2.0 * number), series=SERIES)
            one.StudyInstanceUID, one.FrameOfReferenceUID = STUDY, "1.2.9"
            one.PatientName, one.PatientID = "Secret^Name", "secret-17"
            service.objects.append(one)
        yield service


def at(pacs: Pacs, place: str = f"studies/{STUDY}") -> PacsAddress:
    return parse_address(f"{pacs.url}/{place}")


def add_report(pacs: Pacs, modality: str, series: str) -> None:
    one = ct_slice(VOLUME[0], (0.0, 0.0, 0.0), series=series)
    one.StudyInstanceUID, one.Modality = STUDY, modality
    pacs.objects.append(one)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dicomweb://h:8042/dicom-web", PacsAddress("http://h:8042/dicom-web")),
        ("dicomwebs://h/", PacsAddress("https://h")),
        ("dicomweb://[::1]:80/a/studies/1.2", PacsAddress("http://[::1]:80/a", "1.2")),
        ("dicomweb://h/studies/1.2/series/3.4/", PacsAddress("http://h", "1.2", "3.4")),
    ],
)
def test_addresses_name_service_study_and_series(text: str, address: PacsAddress) -> None:
    assert is_pacs(text)
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://h/studies/1", "no address of a PACS"),
        ("dicomweb://", "no address of a PACS"),
        ("dicomweb://h:port/", "no address of a PACS"),
        ("dicomweb://me:word@h/", "holds a password"),
        ("dicomweb://h/studies/1.2?limit=1", "a query"),
        ("dicomweb://h/studies/../../x", "no address of a PACS"),
        ("dicomweb://h/studies/1.2/series/..", "is no UID"),
        (f"dicomweb://h/studies/{'1' * 65}", "at most 64"),
    ],
)
def test_other_addresses_are_refused_without_their_secrets(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_address(text)
    assert "word" not in str(caught.value).replace("password", "")


def test_a_series_is_read_as_it_was_stored(pacs: Pacs, tmp_path: Path) -> None:
    add_report(pacs, "SR", "7.7")
    chosen, folder = fetch_series(at(pacs), tmp_path)
    assert chosen.series == SERIES
    assert folder == tmp_path / SERIES
    image = read_image(folder)
    np.testing.assert_array_equal(image.voxels[..., 0], VOLUME.astype(int) - 1024)
    assert image.geometry.spacing == (2.0, 0.5, 0.8)
    assert [path.name for path in tmp_path.iterdir()] == [SERIES]


def test_of_several_series_one_must_be_named(pacs: Pacs, tmp_path: Path) -> None:
    add_report(pacs, "MR", "7.7")
    with pytest.raises(ImageReadError, match="holds 2 series of images") as caught:
        fetch_series(at(pacs), tmp_path)
    assert f"{SERIES} (CT, 4 objects)" in str(caught.value)
    assert "7.7 (MR, 1 objects)" in str(caught.value)
    fetch_series(at(pacs, f"studies/{STUDY}/series/7.7"), tmp_path)
    assert len(list((tmp_path / "7.7").iterdir())) == 1


def test_what_is_not_there_is_said(pacs: Pacs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no study"):
        fetch_series(parse_address(pacs.url), tmp_path)
    with pytest.raises(ImageReadError, match="holds no series of images"):
        fetch_series(at(pacs, "studies/9.9"), tmp_path)
    with pytest.raises(ImageReadError, match=r"nothing there \(HTTP 404\)"):
        fetch_series(at(pacs, f"studies/{STUDY}/series/9.9"), tmp_path)


def test_names_from_the_service_make_no_paths(pacs: Pacs, tmp_path: Path) -> None:
    for one in pacs.objects:
        one["SeriesInstanceUID"]._value = "../../escaped"
        one["SOPInstanceUID"]._value = "../../escaped"
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(ImageReadError):
        fetch_series(at(pacs), inner)
    with pytest.raises(ImageReadError):
        fetch_series(at(pacs, f"studies/{STUDY}/series/{SERIES}"), inner)
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


def test_objects_of_somebody_else_are_refused(
    pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs.objects[2].StudyInstanceUID = "6.6.6"
    monkeypatch.setattr(Pacs, "found", lambda self, study, series: self.objects)
    with pytest.raises(ImageReadError, match="another study or series"):
        fetch_series(at(pacs, f"studies/{STUDY}/series/{SERIES}"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": 401}, r"refuses access \(HTTP 401\); put a token"),
        ({"status": 404}, r"nothing there \(HTTP 404\)"),
        ({"status": 500}, r"refuses \(HTTP 500\)"),
        ({"answer": b"<html>Secret^Name</html>"}, "its answer is no DICOMweb"),
        ({"answer": b'[{"00080060": 5}]'}, "its answer is no DICOMweb|no series"),
        ({"delay": 1.0}, "did not answer within"),
    ],
)
def test_what_goes_wrong_is_one_sentence_without_the_patient(
    pacs: Pacs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changes: Mapping[str, object],
    said: str,
) -> None:
    monkeypatch.setattr(dicomweb, "READ_SECONDS", 0.3)
    for name, value in changes.items():
        setattr(pacs, name, value)
    with caplog.at_level(logging.DEBUG, "medprism"), pytest.raises(ImageReadError) as caught:
        fetch_series(at(pacs), tmp_path)
    assert caught.match(said)
    assert str(at(pacs)) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "ecret" not in str(caught.value) + caplog.text


def test_nobody_at_the_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ImageReadError, match="there is no connection"):
        fetch_series(parse_address(f"dicomweb://127.0.0.1:{port}/studies/1.2"), tmp_path)


def test_a_token_is_sent_to_this_machine_but_not_unencrypted_elsewhere(
    pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "a-token")
    fetch_series(at(pacs), tmp_path)
    assert set(pacs.tokens) == {"Bearer a-token"}
    with pytest.raises(ConfigError, match="is not encrypted") as caught:
        fetch_series(parse_address("dicomweb://pacs.example/studies/1.2"), tmp_path)
    assert "a-token" not in str(caught.value)


def test_reading_can_be_stopped(pacs: Pacs, tmp_path: Path) -> None:
    class Stop:
        def report(self, done: int, total: int, message: str = "") -> None: ...

        def is_cancelled(self) -> bool:
            return True

    with pytest.raises(CancelledError):
        fetch_series(at(pacs), tmp_path, Stop())


def segmentation(pacs: Pacs, folder: Path) -> Path:
    image = read_image(fetch_series(at(pacs), folder)[1])
    write_mask(folder / "m.dcm", labels(VOLUME.shape), image)
    return folder / "m.dcm"


def test_a_mask_is_stored_and_can_be_read_back(pacs: Pacs, tmp_path: Path) -> None:
    seg = segmentation(pacs, tmp_path)
    store_object(parse_address(pacs.url), seg)
    stored = pacs.objects[-1]
    assert stored.Modality == "SEG" and stored.StudyInstanceUID == STUDY
    (tmp_path / "again").mkdir()
    place = f"studies/{STUDY}/series/{stored.SeriesInstanceUID}"
    _, folder = fetch_series(at(pacs, place), tmp_path / "again")
    (again,) = folder.iterdir()
    found = read_mask(again, read_image(tmp_path / SERIES))
    np.testing.assert_array_equal(found.array, read_mask(seg, read_image(tmp_path / SERIES)).array)
    # The study still has one series of images.
    (tmp_path / "third").mkdir()
    assert fetch_series(at(pacs), tmp_path / "third")[0].series == SERIES


def test_a_mask_that_is_not_stored_is_an_error(pacs: Pacs, tmp_path: Path) -> None:
    seg = segmentation(pacs, tmp_path)
    pacs.failure = 0xA700
    with pytest.raises(WriteError, match="failure reason 0xa700"):
        store_object(parse_address(pacs.url), seg)
    pacs.failure, pacs.is_forgetful = None, True
    with pytest.raises(WriteError, match="it does not have it"):
        store_object(parse_address(pacs.url), seg)
    pacs.status = 403
    with pytest.raises(WriteError, match="refuses access"):
        store_object(parse_address(pacs.url), seg)


def test_without_the_package_the_way_to_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = builtins.__import__

    def refuse(name: str, *rest: object) -> ModuleType:
        if name.startswith("dicomweb_client"):
            raise ImportError(name)
        return ordinary(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'medprism\[pacs\]'"):
        fetch_series(parse_address("dicomweb://127.0.0.1/studies/1.2"), tmp_path)
