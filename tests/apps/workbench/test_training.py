"""A class is trained in a project through the interface, offered, and gone back from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medprism.engines.loaded import LoadedModel
from medprism.models.checkpoint import load_checkpoint
from medprism.training import finetune
from tests.apps.workbench.conftest import SETTINGS, Desk, Json, Live
from tests.apps.workbench.training_desk import (
    COUNT,
    EASY,
    accept_phantoms,
    knowing,
    phantoms,
)
from tests.training.taught_nano import KNOWN, NEW

__all__ = ["knowing", "phantoms"]


@pytest.fixture
def server(phantoms: Path, knowing: LoadedModel) -> Iterator[Live]:
    live = Live(phantoms, knowing, SETTINGS, EASY)
    yield live
    live.end()


def _train(desk: Desk, **more: object) -> Json:
    body = {"kind": "training", "label": NEW, "steps": 2, **more}
    job: Json = desk.post("/api/jobs", body, 201)
    return job


def test_a_class_is_trained_offered_and_gone_back_from(server: Live) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk)
    labels = {one["name"]: one for one in desk.get("/api/labels")["labels"]}
    assert (labels[NEW]["is_class"], labels[NEW]["masks"]) == (False, COUNT)
    job = desk.finish(_train(desk)["id"])
    assert job["state"] == "done", job
    assert (job["done"], job["total"], job["author"]) == (2, 2, "Ada")
    result = job["result"]
    assert result["is_current"] and result["report"]["classes"] == [NEW]
    (new,) = result["report"]["new"]
    assert new["before"]["class"] is None and 0 <= new["after"]["class"] <= 1
    assert [one["name"] for one in result["report"]["old"]] == [KNOWN[0]]

    listed = desk.get("/api/checkpoints")
    base, trained = listed["checkpoints"]
    assert listed["current"] == trained["id"] == result["checkpoint"]
    assert base["is_base"] and base["report"] is None and base["id"] == 0
    assert (trained["parent"], trained["label"], trained["job"]) == (0, NEW, job["id"])
    assert trained["report"] == result["report"] and not trained["is_missing"]
    assert desk.get(f"/api/checkpoints/{trained['id']}") == trained

    def is_offered() -> bool:
        names = [one["name"] for one in desk.get(f"/api/classes?query={NEW}")["classes"]]
        labels = {one["name"]: one for one in desk.get("/api/labels")["labels"]}
        assert (NEW in names) == labels[NEW]["is_class"]
        return NEW in names

    assert is_offered()
    model = desk.get("/api/project")["model"]
    assert model["checkpoint"] == trained["id"] and model["classes"] == len(KNOWN) + 1
    assert "/" not in model["name"]
    back = desk.post("/api/checkpoints/0/use")
    assert back["current"] == 0 and not is_offered()
    desk.post(f"/api/checkpoints/{trained['id']}/use")
    assert is_offered()
    desk.post("/api/checkpoints/9/use", status=404)
    file = desk.get(f"/api/checkpoints/{trained['id']}/file")
    assert len(file.content) > 100_000
    desk.get("/api/checkpoints/0/file", 404)
    # The next training begins with the checkpoint in use, which stays as it is.
    before = file.content
    second = desk.finish(_train(desk, use=False)["id"])
    assert second["state"] == "done", second
    assert not second["result"]["is_current"]
    third = desk.get("/api/checkpoints")["checkpoints"][2]
    assert third["parent"] == trained["id"]
    assert desk.get(f"/api/checkpoints/{trained['id']}/file").content == before
    assert not any(server.project.training.iterdir())


def test_sessions_opened_afterwards_use_it_and_those_open_do_not(server: Live) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk, COUNT - 1)
    early = desk.open(COUNT)
    assert desk.finish(_train(desk)["id"])["state"] == "done"
    desk.post(f"{early}/predict", {"classes": [NEW]}, 422)
    desk.ask("DELETE", early, 204)
    late = desk.open(COUNT)
    answer = desk.post(f"{late}/predict", {"classes": [NEW]})
    (label,) = [one for one in answer["state"]["labels"] if one["name"] == NEW]
    assert label["uses"] == "class"


def test_the_choice_outlives_the_server_and_a_lost_file_is_said(
    server: Live, phantoms: Path, knowing: LoadedModel
) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk)
    made = desk.finish(_train(desk)["id"])["result"]["checkpoint"]
    server.end()
    again = Live(phantoms, knowing, SETTINGS)
    shown = Desk(again.client).get("/api/project")
    assert shown["model"]["checkpoint"] == made and shown["notice"] is None
    record = again.project.checkpoints.get(made)
    again.project.checkpoints.path_of(record).unlink()
    again.end()
    bare = Live(phantoms, knowing, SETTINGS)
    desk = Desk(bare.client)
    shown = desk.get("/api/project")
    assert shown["model"]["checkpoint"] == 0 and "the base model is in use" in shown["notice"]
    assert desk.get("/api/checkpoints")["checkpoints"][1]["is_missing"]
    desk.post(f"/api/checkpoints/{made}/use", status=409)
    bare.end()


def test_it_is_followed_cancelled_and_gone_on_with(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk)
    monkeypatch.setattr(finetune, "SAVE_EVERY", 1)
    job = _train(desk, steps=400)["id"]
    seen = []
    headers = desk.headers
    with server.client.stream("GET", f"/api/jobs/{job}/events", headers=headers) as events:
        for line in events.iter_lines():
            if not line.startswith("data: "):
                continue
            told = json.loads(line.removeprefix("data: "))
            seen.append(told["message"])
            if told["message"] == "learning" and told["done"] >= 2:
                desk.post(f"/api/jobs/{job}/cancel")
            if told["state"] == "cancelled":
                break
    # Short phases may pass between two looks.
    assert "learning" in seen
    stopped = desk.get(f"/api/jobs/{job}")
    assert "of 400; what was learned is kept" in stopped["message"]
    assert desk.get("/api/checkpoints")["current"] == 0
    # It goes on with the state it has, not from the beginning.
    state = server.project.training / f"job-{job:06d}" / "run"
    assert (state / "state.safetensors").is_file()
    desk.post(f"/api/jobs/{job}/resume")
    while desk.get(f"/api/jobs/{job}")["message"] != "learning":
        assert desk.get(f"/api/jobs/{job}")["state"] in ("queued", "running")
    assert desk.get(f"/api/jobs/{job}")["done"] > 2
    desk.post(f"/api/jobs/{job}/cancel")
    assert desk.finish(job)["state"] == "cancelled"


def test_a_training_that_the_server_ended_in_goes_on_when_it_starts_again(
    server: Live, phantoms: Path, knowing: LoadedModel
) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk)
    job = _train(desk, steps=3)["id"]
    server.end()
    again = Live(phantoms, knowing, SETTINGS, EASY)
    try:
        done = Desk(again.client).finish(job)
        assert done["state"] == "done", done["message"]
        made = again.project.checkpoints.get(done["result"]["checkpoint"])
        info = load_checkpoint(again.project.checkpoints.path_of(made)).info
    finally:
        again.end()
    assert info.concepts.names == (*KNOWN, NEW)


def test_what_cannot_be_trained_is_refused_at_once(server: Live) -> None:
    desk = Desk(server.client)
    accept_phantoms(desk, 2)
    few = desk.post("/api/jobs", {"kind": "training", "label": NEW}, 409)
    assert "accepted masks on 2 images" in few["error"]["message"]
    assert "at least 5 masks on at least 2 images" in few["error"]["message"]
    unknown = desk.post("/api/jobs", {"kind": "training", "label": "nothing"}, 422)
    assert unknown["error"]["code"] == "bad_label"
    both = {"kind": "training", "label": NEW, "steps": 1, "minutes": 1}
    assert "either minutes or steps" in desk.post("/api/jobs", both, 422)["error"]["message"]
    absent = {"kind": "training", "label": NEW, "checkpoint": 7}
    desk.post("/api/jobs", absent, 404)
    assert desk.get("/api/project")["limits"]["training_masks"] == finetune.LEAST_MASKS
    assert desk.get("/api/jobs")["jobs"] == []
