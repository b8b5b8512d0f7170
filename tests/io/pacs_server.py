"""A PACS in this process: QIDO-RS, WADO-RS and STOW-RS over plain HTTP, as little as is needed."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset

BOUNDARY = "a-boundary"
SHOWN = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality")


@dataclass
class Pacs:
    """What the service holds, what it was asked, and how it misbehaves."""

    objects: list[Dataset] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    status: int = 200
    answer: bytes | None = None
    delay: float = 0.0
    failure: int | None = None
    is_forgetful: bool = False
    url: str = ""

    def found(self, study: str | None, series: str | None) -> list[Dataset]:
        """Return the objects of a study and series."""
        return [
            one
            for one in self.objects
            if study in (None, one.StudyInstanceUID) and series in (None, one.SeriesInstanceUID)
        ]


def encoded(dataset: Dataset) -> bytes:
    with BytesIO() as stream:
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()


class _Handler(BaseHTTPRequestHandler):
    pacs: Pacs

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer a search or send a series."""
        if self._misbehaves():
            return
        path, _, query = self.path.partition("?")
        found = re.fullmatch(
            r"/pacs/studies/([^/]+)(?:/series/([^/]+))?(/series|/instances)?", path
        )
        objects = [] if found is None else self.pacs.found(found[1], found[2])
        if found is None or (found[3] is None and not objects):
            self._send(404, "text/plain", b"no such place, patient Secret^Name")
            return
        if found[3] is None:
            parts = [
                f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + encoded(one)
                for one in objects
            ]
            body = b"\r\n".join([*parts, f"--{BOUNDARY}--".encode()])
            kind = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
            self._send(200, kind, body)
            return
        for name, wanted in re.findall(r"(SOPInstanceUID|Modality)=([\w.]+)", query):
            objects = [one for one in objects if one.get(name) == wanted]
        self._send(200, "application/dicom+json", self._rows(objects, found[3]))

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Store what is sent."""
        body = self._body()
        if self._misbehaves():
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        reply, failed = Dataset(), []
        done = []
        for part in message_from_bytes(head + body).get_payload():
            dataset = pydicom.dcmread(BytesIO(part.get_payload(decode=True)))
            item = Dataset()
            item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
            if self.pacs.failure is not None:
                item.FailureReason = self.pacs.failure
                failed.append(item)
            elif not self.pacs.is_forgetful:
                self.pacs.objects.append(dataset)
                done.append(item)
        if failed:
            reply.FailedSOPSequence = failed
        if done:
            reply.ReferencedSOPSequence = done
        self._send(202 if failed else 200, "application/dicom+json", reply.to_json().encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(chunks)

    def _misbehaves(self) -> bool:
        self.pacs.asked.append(f"{self.command} {self.path}")
        self.pacs.tokens.append(self.headers.get("Authorization"))
        time.sleep(self.pacs.delay)
        if self.pacs.status != 200:
            self._send(self.pacs.status, "text/plain", b"patient Secret^Name is not for you")
        elif self.pacs.answer is not None:
            self._send(200, "text/html", self.pacs.answer)
        return self.pacs.status != 200 or self.pacs.answer is not None

    def _rows(self, objects: list[Dataset], kind: str) -> bytes:
        rows: dict[str, dict[str, Any]] = {}
        for one in objects:
            key = one.SeriesInstanceUID if kind == "/series" else one.SOPInstanceUID
            shown = Dataset()
            for name in SHOWN:
                setattr(shown, name, one.get(name))
            if kind == "/series":
                shown.NumberOfSeriesRelatedInstances = sum(
                    one.SeriesInstanceUID == other.SeriesInstanceUID for other in objects
                )
            rows[key] = shown.to_json_dict()
        return json.dumps(list(rows.values())).encode()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_pacs() -> Iterator[Pacs]:
    """Serve on a free port of this machine until the block ends."""
    pacs = Pacs()
    handler = type("Handler", (_Handler,), {"pacs": pacs})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    pacs.url = f"dicomweb://127.0.0.1:{server.server_port}/pacs"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
