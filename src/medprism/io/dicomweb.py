"""A PACS over DICOMweb: find and read a series (QIDO-RS, WADO-RS), store a mask (STOW-RS).

What goes wrong is said in our words, without patient data: UIDs, modalities and counts only.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from medprism.core.errors import CancelledError, ConfigError, ImageReadError, WriteError
from medprism.core.progress import Progress, SilentProgress
from medprism.io.dicom_pixels import NO_IMAGES
from medprism.io.foreign import decoding

# dicomweb-client is an extra, imported when a PACS is asked.
Client: TypeAlias = Any

TOKEN: Final = "MEDPRISM_DICOMWEB_TOKEN"
CONNECT_SECONDS: Final = 10.0
# Between two packets; a PACS may take a while to fetch a study from its archive.
READ_SECONDS: Final = 120.0

_SCHEMES: Final = {"dicomweb": "http", "dicomwebs": "https"}
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH: Final = 64
_PATH: Final = re.compile(
    r"(?P<root>.*?)(/studies/(?P<study>[^/]+)(/series/(?P<series>[^/]+))?)?/?", re.DOTALL
)
# Parts of a path that would lead elsewhere, or that come after the service's own path.
_UNCLEAR: Final = frozenset({".", "..", "studies", "series"})
_FORM: Final = "dicomweb://HOST:PORT/PATH/studies/UID[/series/UID] (dicomwebs:// for https)"
# Objects beside the images of a study that have pixels of their own or none.
_NO_SERIES: Final = (*NO_IMAGES, "PR", "KO", "DOC", "REG", "FID", "RWV", "PLAN")
_LISTED: Final = 12


@dataclass(frozen=True)
class PacsAddress:
    """Where a DICOMweb service is, and which study and series of it are meant."""

    url: str
    study: str | None = None
    series: str | None = None

    def __str__(self) -> str:
        scheme, _, place = self.url.partition("://")
        parts = [f"dicomweb{'s' if scheme == 'https' else ''}://{place}"]
        parts += ["studies", self.study] if self.study else []
        parts += ["series", self.series] if self.series else []
        return "/".join(parts)


def is_pacs(text: str) -> bool:
    """Say whether a text is meant as the address of a PACS.

    >>> is_pacs("dicomweb://localhost:8042/dicom-web"), is_pacs("scan.dcm")
    (True, False)
    """
    return text.partition("://")[0].lower() in _SCHEMES and "://" in text


def parse_address(text: str) -> PacsAddress:
    """Return the address that a text names.

    Raises:
        ConfigError: another scheme, no host, a password, a query, or a UID that is none.

    >>> parse_address("dicomwebs://pacs.example/dicom-web/studies/1.2.3").url
    'https://pacs.example/dicom-web'
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    found = _PATH.fullmatch(parts.path)
    is_clear = found is not None and not _UNCLEAR.intersection(found["root"].split("/"))
    if parts.scheme not in _SCHEMES or not host or found is None or not is_clear:
        raise ConfigError(f"{_without_secrets(text)!r} is no address of a PACS; give {_FORM}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"the address of {host} holds a password, a query or a fragment; leave it out and put "
            f"a token into the environment variable {TOKEN}"
        )
    for uid in (found["study"], found["series"]):
        if uid is not None and (len(uid) > _UID_LENGTH or not _UID.fullmatch(uid)):
            raise ConfigError(
                f"{uid[: _UID_LENGTH + 1]!r} is no UID (digits and dots, at most {_UID_LENGTH}); "
                f"give {_FORM}"
            )
    place = f"[{host}]" if ":" in host else host
    where = f"{place}:{port}" if port else place
    url = f"{_SCHEMES[parts.scheme]}://{where}{found['root'].rstrip('/')}"
    return PacsAddress(url, found["study"], found["series"])


def fetch_series(
    address: PacsAddress, folder: Path, progress: Progress | None = None
) -> tuple[PacsAddress, Path]:
    """Read the images of a series into a new folder inside `folder`, named by the series' UID.

    Returns the address with the series that was chosen, and the folder. A study may hold one
    series of images; of several one must be named.

    Raises:
        ImageReadError: no answer, a refusal, nothing there, several series, or objects of another
            study than was asked for.
        ConfigError: no study in the address, no dicomweb-client, or a token that would be sent
            unencrypted.
        CancelledError: the progress asked to stop.
    """
    progress = progress or SilentProgress()
    if address.study is None:
        raise ConfigError(f"{address} names no study; give {_FORM}")
    with _client(address) as client, _asking(address, ImageReadError):
        series = address.series or _choose_series(client, address)
        chosen = PacsAddress(address.url, address.study, series)
        # The UID has digits and dots alone, and is no "..": it stays inside the folder.
        target = folder / series
        target.mkdir()
        instances = client.iter_series(
            address.study, series, media_types=(("application/dicom", "*"),)
        )
        count = 0
        for count, dataset in enumerate(instances, start=1):
            if progress.is_cancelled():
                raise CancelledError(f"stopped while reading {chosen}")
            _check_belongs(dataset, chosen)
            dataset.save_as(target / f"{count:06d}.dcm", enforce_file_format=True)
            progress.report(count, count, "reading")
    if count == 0:
        raise ImageReadError(f"{chosen} holds no object; choose another series")
    return chosen, target


def store_object(address: PacsAddress, path: Path) -> None:
    """Store a DICOM file, and make sure that the service has it.

    Raises:
        WriteError: no answer, or the service refuses the object.
        ConfigError: no dicomweb-client, or a token that would be sent unencrypted.
    """
    with _client(address) as client, _asking(address, WriteError):
        dataset = pydicom.dcmread(path)
        reply = client.store_instances([dataset], study_instance_uid=address.study)
        uid = str(dataset.SOPInstanceUID)
        failed = reply.get("FailedSOPSequence") or []
        stored = [str(item.get("ReferencedSOPInstanceUID")) for item in _stored_of(reply)]
        if not failed and uid not in stored:
            found = client.search_for_instances(
                str(dataset.StudyInstanceUID),
                str(dataset.SeriesInstanceUID),
                search_filters={"SOPInstanceUID": uid},
            )
            stored = [uid] if found else []
    if failed or not stored:
        reason = failed[0].get("FailureReason") if failed else None
        why = "it does not have it" if reason is None else f"failure reason {int(reason):#06x}"
        raise WriteError(
            f"{address} did not store the mask ({why}); see the log of that service, or write a "
            "file with -o"
        )


def _stored_of(reply: pydicom.Dataset) -> Sequence[pydicom.Dataset]:
    return reply.get("ReferencedSOPSequence") or []


@contextmanager
def _client(address: PacsAddress) -> Iterator[Client]:
    try:
        import requests
        from dicomweb_client.api import DICOMwebClient
    except ImportError as error:
        raise ConfigError(
            "a PACS is reached through the package dicomweb-client, which is not installed; run "
            "pip install 'medprism[pacs]'"
        ) from error
    # Its warnings and errors quote answers of the service, which may name patients.
    logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL + 1)
    token = os.environ.get(TOKEN)
    if token:
        _check_may_send(address)
    with requests.Session() as session:
        session.auth = _Bearer(token) if token else None
        answers: list[Any] = []
        session.hooks["response"].append(lambda answer, *_, **__: answers.append(answer))
        client = DICOMwebClient(address.url, session, timeout=(CONNECT_SECONDS, READ_SECONDS))
        client.set_http_retry_params(retry=False)
        try:
            yield client
        finally:
            # One that was not read to its end keeps its connection, which the session has lost.
            for answer in answers:
                answer.close()


class _Bearer:
    """Put a token on requests; a file .netrc is then not asked."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:  # noqa: ANN401 - requests is not imported here
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _check_may_send(address: PacsAddress) -> None:
    parts = urlsplit(address.url)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return
    raise ConfigError(
        f"{TOKEN} is set and {address} is not encrypted, so anybody on the way could read the "
        "token; use dicomwebs://, or unset the variable"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _asking(
    address: PacsAddress, failure: type[ImageReadError] | type[WriteError]
) -> Iterator[None]:
    """Turn what the network and the service do into one sentence of ours."""
    import requests

    try:
        with decoding("DICOMweb", InvalidDicomError, BytesLengthException, is_private=True):
            yield
    except ImageReadError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, ImageReadError):
            raise
        if isinstance(cause, requests.HTTPError):
            reason = _status(cause)
        elif isinstance(cause, requests.exceptions.SSLError):
            reason = "its certificate cannot be trusted; ask its administrator"
        elif isinstance(cause, requests.Timeout):
            reason = f"it did not answer within {CONNECT_SECONDS:g} to {READ_SECONDS:g} s"
        elif isinstance(cause, requests.ConnectionError):
            reason = "there is no connection; check host and port, and that the service runs"
        else:
            reason = f"its answer is no DICOMweb ({type(cause).__name__}); check the path"
        # Causes are left out: they quote the answer, which may name the patient.
        raise failure(f"{address}: {reason}") from None


def _status(error: Any) -> str:  # noqa: ANN401 - requests is not imported here
    code = error.response.status_code if error.response is not None else 0
    if code in (401, 403):
        return f"it refuses access (HTTP {code}); put a token into {TOKEN}"
    if code == 404:
        return "it has nothing there (HTTP 404); check the path and the UIDs"
    return f"it refuses (HTTP {code}); see the log of that service"


def _choose_series(client: Client, address: PacsAddress) -> str:
    found = client.search_for_series(
        address.study, fields=["Modality", "NumberOfSeriesRelatedInstances"]
    )
    rows = [pydicom.Dataset.from_json(row) for row in found]
    images = [row for row in rows if str(row.get("Modality") or "") not in _NO_SERIES]
    if not images:
        raise ImageReadError(
            f"{address} holds no series of images ({len(rows)} others); choose another study"
        )
    uids = [str(row.get("SeriesInstanceUID")) for row in images]
    if len(uids) > 1:
        listed = "; ".join(
            f"{uid} ({row.get('Modality') or 'unknown'}, "
            f"{row.get('NumberOfSeriesRelatedInstances') or '?'} objects)"
            for uid, row in list(zip(uids, images, strict=True))[:_LISTED]
        )
        raise ImageReadError(
            f"{address} holds {len(uids)} series of images; choose one by adding /series/UID: "
            f"{listed}"
        )
    if not _UID.fullmatch(uids[0]):
        raise ImageReadError(f"{address} gives its series no usable UID; name it in the address")
    return uids[0]


def _check_belongs(dataset: pydicom.Dataset, asked: PacsAddress) -> None:
    """Refuse what was not asked for: a mix-up of patients must not go unseen."""
    found = (str(dataset.get("StudyInstanceUID")), str(dataset.get("SeriesInstanceUID")))
    if found != (asked.study, asked.series):
        raise ImageReadError(
            f"{asked} sent an object of another study or series; do not use it, and tell the "
            "administrator of that service"
        )


def _without_secrets(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", text)
