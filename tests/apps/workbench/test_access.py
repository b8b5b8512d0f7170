from __future__ import annotations

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from medprism.apps.workbench.access import OPEN
from medprism.apps.workbench.serve import TALKATIVE, quiet_libraries
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.core.errors import ConfigError
from tests.apps.workbench.conftest import TOKEN, Desk, Live, Serve

PAGE = Path(__file__).resolve().parents[3] / "docs" / "server.md"
ROW = re.compile(r"^\| `([A-Z]+) (/[^ `]*)`( \*open\*)? \|", re.MULTILINE)
CLICK = {"kind": "point", "label": "thing", "row": 30, "col": 36}
PATIENT = "Mustermann, Erika"
Route = tuple[str, str]


def _documented() -> dict[Route, bool]:
    """Return every route of the page, and whether it is said to be open."""
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {
        (method, re.sub(r"\{\w+\}", "{}", path.partition("?")[0])): bool(is_open)
        for method, path, is_open in found
    }


def _served(live: Live) -> dict[Route, str]:
    """Return every route of the interface, with a path that can be asked."""
    routes: dict[Route, str] = {}
    for path, methods in live.app.openapi()["paths"].items():
        for method in methods:
            key = (method.upper(), re.sub(r"\{\w+\}", "{}", path))
            routes[key] = re.sub(r"\{\w+\}", "1", path)
    return routes


def test_the_page_lists_exactly_the_routes_there_are(live: Live) -> None:
    served = set(_served(live)) | {("GET", "/"), ("GET", "/{}"), ("GET", "/api/openapi.json")}
    assert set(_documented()) == served


def test_every_route_wants_the_token_except_those_said_to_be_open(live: Live) -> None:
    documented = _documented()
    served = {**_served(live), ("GET", "/api/openapi.json"): "/api/openapi.json"}
    for (method, shape), path in served.items():
        without = live.client.request(method, path).status_code
        wrong = live.client.request(method, path, headers={"Authorization": "Bearer no"})
        is_open = documented[method, shape] or path in OPEN
        assert (without != 401) == is_open, (method, path)
        assert (wrong.status_code != 401) == is_open, (method, path)
        if not is_open and method != "HEAD":
            assert wrong.json()["error"]["code"] == "wrong_token"


def test_too_many_waiting_requests_are_refused_and_nothing_of_them_is_done(serve: Serve) -> None:
    live = serve(max_waiting=2)
    desks = [Desk(live.client, f"person {number}") for number in range(3)]
    sessions = [desk.open(number) for number, desk in enumerate(desks, start=1)]

    def insist(desk: Desk, session: str) -> httpx.Response:
        # The third one's look at the list may be what is one too many.
        for _ in range(400):
            answer = live.client.post(f"{session}/prompts", headers=desk.headers, json=CLICK)
            if answer.status_code != 503:
                break
            time.sleep(0.01)
        return answer

    with ThreadPoolExecutor(2) as people:
        # Somebody uses the model, so that the clicks of two have to wait.
        with live.bench.turns.for_a_person():
            waiting = [
                people.submit(insist, desk, session)
                for desk, session in zip(desks[:2], sessions, strict=False)
            ]
            headers = desks[2].headers
            for _ in range(400):
                refused = live.client.get("/api/images", headers=headers)
                if refused.status_code != 200:
                    break
                time.sleep(0.01)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "busy")
            assert "try again" in error["message"] and refused.headers["Retry-After"] == "2"
            desks[2].post(f"{sessions[2]}/prompts", CLICK, 503)
        answers = [one.result(20).json() for one in waiting]
    assert all(one["state"]["labels"][0]["pixels"] > 0 for one in answers)
    assert desks[2].get(sessions[2])["labels"] == []
    for _ in range(5):
        desks[2].click(sessions[2], 30, 36)


def test_every_route_is_described_with_a_summary(live: Live) -> None:
    described = live.app.openapi()
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            assert route["summary"] and route["description"], (method, path)
    examples = [one for one in described["components"]["schemas"].values() if "example" in str(one)]
    assert len(examples) > 5
    assert Desk(live.client).get("/api/openapi.json")["info"]["title"] == "medprism workbench"


def test_a_cookie_opens_pictures_but_not_to_foreign_pages(live: Live) -> None:
    with httpx.Client(base_url=live.address) as browser:
        assert browser.get("/api/images").json()["error"]["code"] == "no_token"
        wrong = browser.post("/api/login", json={"token": "no"})
        assert wrong.status_code == 401
        login = browser.post("/api/login", json={"token": TOKEN})
        assert login.status_code == 204
        kept = login.headers["set-cookie"].lower()
        assert "httponly" in kept and "samesite=strict" in kept
        assert browser.get("/api/images/1/thumbnail.png").status_code == 200
        own = browser.post("/api/images/scan", headers={"Origin": live.address})
        assert own.status_code == 200
        foreign = browser.post("/api/images/scan", headers={"Origin": "http://evil.example"})
        assert foreign.json()["error"]["code"] == "wrong_origin"


def test_other_host_names_are_refused(live: Live) -> None:
    # A foreign page whose name was made to lead to this machine.
    answer = live.client.get(
        "/api/images", headers={"Host": "evil.example", "Authorization": f"Bearer {TOKEN}"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_host")
    port = live.address.rsplit(":", 1)[1]
    for host in (f"localhost:{port}", f"[::1]:{port}"):
        assert live.client.get("/healthz", headers={"Host": host}).json() == {"ok": True}


def test_bodies_over_the_limit_are_refused_before_they_are_read(serve: Serve) -> None:
    live = serve(body_bytes=2000, upload_bytes=5000)
    desk = Desk(live.client)
    large = desk.post("/api/labels", {"name": "x" * 3000}, 413)
    assert large["error"]["code"] == "too_large"

    def chunks() -> object:
        for _ in range(10):
            yield b" " * 1000

    told = live.client.post(
        "/api/labels",
        content=chunks(),  # type: ignore[arg-type]
        headers={**desk.headers, "Content-Type": "application/json"},
    )
    assert told.status_code == 413
    files = {"files": ("a.png", b"\x89PNG" + bytes(9000))}
    desk.ask("POST", "/api/images", 413, files=files)
    desk.ask("POST", "/api/images", 201, files={"files": ("a.txt", bytes(3000))})


def test_errors_are_sentences_in_one_form(live: Live) -> None:
    desk = Desk(live.client)
    for method, path, status, code in (
        ("GET", "/api/nowhere", 404, "not_found"),
        ("DELETE", "/api/project", 405, "bad_method"),
        ("GET", "/api/images/999999999999999999999", 422, "bad_value"),
        ("GET", "/api/jobs/1", 404, "not_found"),
        ("GET", "/api/sessions/abc", 410, "session_expired"),
    ):
        found = desk.ask(method, path, status)["error"]
        assert found["code"] == code and len(found["message"]) > 10, path
    broken = live.client.post(
        "/api/labels",
        content=b"{",
        headers={**desk.headers, "Content-Type": "application/json"},
    )
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "bad_request")


def test_a_bug_is_said_to_be_one_without_names_in_the_log(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError(PATIENT)

    monkeypatch.setattr(live.project.labels, "all", fail)
    found = Desk(live.client).get("/api/labels", 500)["error"]
    assert found["code"] == "internal" and PATIENT not in str(found)
    assert "KeyError" in caplog.text and PATIENT not in caplog.text


def test_the_log_holds_routes_and_no_names(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live.project.root / "Mustermann_Erika.png").write_bytes(
        (live.project.root / "0.png").read_bytes()
    )
    desk = Desk(live.client, "Dr%20Geheim")
    for name in TALKATIVE:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    quiet_libraries()
    with caplog.at_level(logging.DEBUG):
        desk.post("/api/images/scan")
        desk.get("/api/images?query=Mustermann")
        session = desk.open(6)
        desk.click(session, 3, 3, "Mustermanns lesion")
        desk.get("/datastore/image/info?image=Mustermann_Erika.png")
        desk.post(f"{session}/prompts", {"kind": "point", "label": "Mustermann", "row": 999}, 422)
    ours = "\n".join(
        one.getMessage() for one in caplog.records if not one.name.startswith(("http", "hpack"))
    )
    assert "POST /api/sessions/{session}/prompts 200" in ours
    assert not re.search("Mustermann|Erika|Geheim|3, 3", ours)
    assert session.rsplit("/", 1)[1] not in ours


def test_paths_lead_nowhere_outside_the_project(live: Live) -> None:
    (live.project.root.parent / "secret.txt").write_text("secret")
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/api/images/..%2f..%2fsecret.txt"):
        answer = live.client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code in (404, 422) and "secret" not in answer.text
    with live.project.database.writing() as connection:
        connection.execute("UPDATE images SET path = '../secret.txt' WHERE id = 1")
    found = Desk(live.client).get("/api/images/1", 403)["error"]
    assert found["code"] == "outside_project"


def test_without_a_token_only_own_pages_change_anything(serve: Serve) -> None:
    live = serve(token=None)
    assert live.client.post("/api/images/scan").status_code == 200
    foreign = live.client.post("/api/images/scan", headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    assert live.client.get("/auth/").json() == {"enabled": False}


@pytest.mark.parametrize(
    "wrong",
    [{"token": "short"}, {"host": "0.0.0.0"}, {"port": 70000, "token": TOKEN}],
)
def test_settings_that_would_let_others_in_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        WorkbenchSettings(**wrong)  # type: ignore[arg-type]


def test_the_page_says_what_is_missing_until_the_client_is_there(
    live: Live, tmp_path: Path
) -> None:
    from fastapi import FastAPI
    from starlette.routing import Mount

    from medprism.apps.workbench.app import create_app, static_folder

    page = live.client.get("/")
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    if not (static_folder() / "index.html").is_file():
        assert "not bundled" in " ".join(page.text.split())
    (tmp_path / "index.html").write_text("<!doctype html>the client")
    app = create_app(live.bench, tmp_path)
    assert isinstance(app, FastAPI)
    assert any(isinstance(one, Mount) for one in app.routes)


def test_what_readers_say_of_files_is_not_in_the_servers_log(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TALKATIVE:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    image = nib.Nifti1Image(np.zeros((20, 30, 4), np.uint8), np.diag([1.0, 1.0, 1.0, 1.0]))
    image.set_qform(np.diag([1.0, 1.0, 5.0, 1.0]), code=1)
    image.set_sform(np.diag([1.0, 1.0, 2.0, 1.0]), code=1)
    nib.save(image, live.project.root / "Mustermann.nii.gz")
    desk = Desk(live.client)
    with caplog.at_level(logging.INFO):
        (added,) = desk.post("/api/images/scan")["added"]
        desk.get(f"/api/images/{added['id']}")
        assert "Mustermann.nii.gz has a qform" in caplog.text
        caplog.clear()
        quiet_libraries()
        live.bench.desk.shelf.forget(added["id"])
        desk.get(f"/api/images/{added['id']}/slices/0.png")
    assert "Mustermann" not in caplog.text
