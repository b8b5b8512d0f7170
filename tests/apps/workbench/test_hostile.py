"""Requests that mean no good: guessed tokens, foreign pages, huge headers, bombs, odd names."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import socket
import struct
import time
import zlib
from pathlib import Path

import httpx
import pydicom
import pytest

from medprism.apps.workbench.guessing import FORGOTTEN, FREE, WrongTokens
from medprism.io import memory_budget
from tests.apps.workbench.conftest import TOKEN, Desk, Live, Serve
from tests.inference.phantom import scene
from tests.io.phantoms import ct_slice

SCRIPT = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
ROOT = Path(__file__).resolve().parents[3]


def test_guessing_is_slow_and_shuts_nobody_out(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def hold_up(wrong: WrongTokens) -> None:
        waited.append(wrong.note())

    monkeypatch.setattr(WrongTokens, "hold_up", hold_up)
    live = serve(wrong_token_seconds=1.5)
    wrong = {"Authorization": "Bearer 0123456789abcdeX"}
    for number in range(FREE + 2):
        if number % 2:
            answer = live.client.post("/api/login", json={"token": "wrong"})
        else:
            answer = live.client.get("/api/project", headers=wrong)
        assert answer.status_code == 401
    assert waited == [0.0] * FREE + [1.5] * 2
    # Neither the right token nor none at all is held up.
    Desk(live.client).get("/api/project")
    assert live.client.get("/api/project").json()["error"]["code"] == "no_token"
    assert len(waited) == FREE + 2


def test_an_answer_that_is_held_up_comes_later() -> None:
    started = time.monotonic()
    wrong = WrongTokens(0.05)
    for _ in range(FREE + 1):
        asyncio.run(wrong.hold_up())
    assert time.monotonic() - started >= 0.05


def test_wrong_tokens_are_forgotten_after_a_minute() -> None:
    now = [1000.0]
    wrong = WrongTokens(2.0, clock=lambda: now[0])
    assert [wrong.note() for _ in range(FREE + 1)][-1] == 2.0
    now[0] += FORGOTTEN + 1
    assert wrong.note() == 0.0


def test_no_page_of_another_origin_may_read_an_answer(live: Live) -> None:
    origin = {"Origin": "http://evil.example", "Authorization": f"Bearer {TOKEN}"}
    asked = {**origin, "Access-Control-Request-Method": "POST"}
    for method, headers in (("OPTIONS", asked), ("GET", origin)):
        answer = live.client.request(method, "/api/images", headers=headers)
        opened = [name for name in answer.headers if name.startswith("access-control-")]
        assert opened == []


def test_huge_headers_and_torn_requests_leave_the_server_alive(live: Live) -> None:
    host, port = live.address.removeprefix("http://").split(":")
    torn = (
        b"GET /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /api/labels HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -7\r\n\r\n",
        b"POST /api/labels HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: \xff\xfe=;;;\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
    )
    for message in torn:
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            try:
                raw.sendall(message)
                raw.shutdown(socket.SHUT_WR)
                answer = raw.recv(4096)
            except OSError:
                # Hung up in the middle of it, which is an answer too.
                answer = b""
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:80]
    assert live.client.get("/healthz").json() == {"ok": True}


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _png_bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes that unpacks to `side` squared bytes of black."""
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _nifti_bomb(side: int) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, side, side, side, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        file.write(header)
        for _ in range(side):
            file.write(bytes(side * side))
    return packed.getvalue()


def test_small_files_that_unpack_to_much_are_refused(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 8 MB of memory to spare; the files unpack to 9 and 16 million bytes."""
    monkeypatch.setattr(memory_budget, "memory_bytes", lambda: 32_000_000)
    desk = Desk(live.client)
    bombs = {"bomb.png": _png_bomb(3000), "bomb.nii.gz": _nifti_bomb(256)}
    assert all(len(content) < 30_000 for content in bombs.values())
    files = [("files", (name, content)) for name, content in bombs.items()]
    told = desk.ask("POST", "/api/images", 201, files=files)
    # Whether it is read at once or when it is shown: it is never unpacked.
    said = [one["message"] for one in told["refused"]]
    for one in told["added"]:
        shown = desk.get(f"/api/images/{one['id']}/thumbnail.png", 422)
        said.append(shown["error"]["message"])
    assert len(said) == len(bombs)
    assert all("unpack" in message for message in said), said


def test_names_of_uploads_and_links_lead_nowhere(live: Live) -> None:
    desk, root = Desk(live.client), live.project.root
    before = {path.name for path in root.parent.iterdir()}
    picture = (root / "0.png").read_bytes()
    names = ("../../evil.png", "/etc/evil.png", "..\\evil.png", ".ssh", "a/../../evil.png")
    told = desk.ask("POST", "/api/images", 201, files=[("files", (n, picture)) for n in names])
    assert {path.name for path in root.parent.iterdir()} == before
    assert all("/" not in Path(one["name"]).name for one in told["added"])
    secret = root.parent / "secret.png"
    secret.write_bytes(picture)
    (root / "link.png").symlink_to(secret)
    (root / "folder").symlink_to(root.parent, target_is_directory=True)
    assert desk.post("/api/images/scan")["added"] == []
    secret.unlink()


def test_a_pickle_is_refused_whatever_it_is_called(live: Live) -> None:
    """By its content: nothing of it is ever run."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("import pathlib; pathlib.Path('/tmp/medprism-was-run').touch()",)

    import pickle

    desk, content = Desk(live.client), pickle.dumps(Bomb())
    names = ("a.png", "a.nii.gz", "a.dcm", "a.npy", "a.safetensors", "a.tif")
    told = desk.ask("POST", "/api/images", 201, files=[("files", (n, content)) for n in names])
    assert told["added"] == [] and len(told["refused"]) == len(names)
    for path in ("/set_image", "/add_scribble_interaction", "/add_initial_seg_interaction"):
        answer = live.client.post(path, content=content, headers=desk.headers)
        assert 400 <= answer.status_code < 500, (path, answer.status_code)
    assert not Path("/tmp/medprism-was-run").exists()


def test_script_in_names_is_text_and_answers_are_never_pages(live: Live, tmp_path: Path) -> None:
    desk = Desk(live.client)
    dataset = ct_slice(scene(1)[0].astype("uint16"), (0.0, 0.0, 0.0))
    dataset.SeriesDescription = dataset.PatientName = dataset.StudyDescription = SCRIPT[:60]
    dataset.PatientID = dataset.ProtocolName = SCRIPT[:60]
    dataset.save_as(tmp_path / "x.dcm")
    content = (tmp_path / "x.dcm").read_bytes()
    assert b"onerror" in content and pydicom.dcmread(tmp_path / "x.dcm").PatientName
    (added,) = desk.ask("POST", "/api/images", 201, files={"files": ("x.dcm", content)})["added"]
    desk.post("/api/labels", {"name": SCRIPT[:60]}, 201)
    for path in (f"/api/images/{added['id']}", "/api/labels", "/api/images", "/api/classes"):
        answer = live.client.get(path, headers=desk.headers)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe-inline' 'script" not in policy
        assert "script-src" not in policy, "scripts fall under default-src: own files only"
    # What the header says about the patient is not even handed out.
    assert "onerror" not in live.client.get("/api/images", headers=desk.headers).text


def test_the_page_never_reads_text_as_markup() -> None:
    sources = [*(ROOT / "client" / "src").rglob("*.ts"), *(ROOT / "client" / "src").rglob("*.tsx")]
    assert len(sources) > 20
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert not any(way in text for way in ways), path.name


def test_the_token_is_in_no_log_and_in_no_address(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), httpx.Client(base_url=live.address) as browser:
        assert browser.post("/api/login", json={"token": TOKEN}).status_code == 204
        assert browser.get("/api/images").status_code == 200
        # In an address it opens nothing, so nobody gets used to putting it there.
        for query in (f"?token={TOKEN}", f"?access_token={TOKEN}", f"?Authorization={TOKEN}"):
            assert live.client.get(f"/api/images{query}").status_code == 401
    ours = [one for one in caplog.records if not one.name.startswith(("http", "hpack"))]
    assert ours and not any(TOKEN in one.getMessage() for one in ours)
