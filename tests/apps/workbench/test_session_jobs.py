"""Jobs on an open volume: progress, reading meanwhile, changes that win, what a page needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.apps.workbench.conftest import PICTURES, VOLUME, Desk, Live, Serve, unpack
from tests.inference.fake_segmenter import fake_model
from tests.inference.patient_segmenter import PatientSegmenter
from tests.inference.phantom import volume

SLICES = 5


@pytest.fixture
def patient() -> PatientSegmenter:
    return PatientSegmenter()


@pytest.fixture
def slow(serve: Serve, patient: PatientSegmenter) -> Live:
    """Return a server whose model waits when told to; one that is left waiting is let go."""
    return serve(fake_model(patient))


def _mask(desk: Desk, session: str, index: int, label: str = "liver") -> np.ndarray:
    masks = desk.get(f"{session}/masks", params={"slice": index})["masks"]
    return unpack(masks[label])


def test_a_class_on_a_volume_is_a_job_that_can_be_watched(
    slow: Live, patient: PatientSegmenter
) -> None:
    desk = Desk(slow.client)
    session = desk.open(VOLUME)
    patient.hold()
    job = desk.post(f"{session}/predict/job", {"classes": ["hepar"]}, 201)
    assert (job["kind"], job["author"]) == ("predict", "Ada")
    assert patient.is_waiting.wait(10)
    # The masks can be read while it runs, and the state names the job, for a page that reloads.
    state = desk.get(session)
    assert (state["job"], state["revision"], state["labels"]) == (job["id"], 0, [])
    assert desk.get(f"{session}/masks", params={"slice": 1})["masks"] == {}
    patient.go_on()
    done = desk.finish(job["id"])
    assert (done["state"], done["done"], done["total"]) == ("done", SLICES, SLICES)
    assert done["result"]["presence"]["liver"] > 0.9
    (label,) = desk.get(session)["labels"]
    assert (label["name"], label["uses"]) == ("liver", "class")
    assert label["slices_with_mask"] == list(range(SLICES))
    masks = volume()[1]["liver"]
    for index in range(SLICES):
        found = _mask(desk, session, index)
        assert 2 * (found & masks[index]).sum() / (found.sum() + masks[index].sum()) > 0.8
    assert desk.get(f"/api/images/{VOLUME}")["state"] == "started"
    undone = desk.post(f"{session}/undo")
    assert undone["state"]["labels"] == []


def test_who_changes_something_meanwhile_wins(slow: Live, patient: PatientSegmenter) -> None:
    desk = Desk(slow.client)
    session = desk.open(VOLUME)
    desk.click(session, 60, 70, "kidney")
    patient.hold()
    job = desk.post(f"{session}/predict/job", {"classes": ["liver"]}, 201)
    assert patient.is_waiting.wait(10)
    desk.post(f"{session}/undo")
    patient.go_on()
    ended = desk.finish(job["id"])
    assert ended["state"] == "failed" and "once more" in ended["message"]
    assert desk.get(session)["labels"] == []
    desk.post(f"/api/jobs/{job['id']}/resume", status=409)


def test_a_session_that_ends_takes_its_job_along(slow: Live, patient: PatientSegmenter) -> None:
    desk = Desk(slow.client)
    session = desk.open(VOLUME)
    patient.hold()
    job = desk.post(f"{session}/predict/job", {"classes": ["liver"]}, 201)
    assert patient.is_waiting.wait(10)
    desk.ask("DELETE", session, 204)
    patient.go_on()
    ended = desk.finish(job["id"])
    assert ended["state"] == "failed" and "closed" in ended["message"]


def test_a_job_is_cancelled_and_nothing_is_changed(slow: Live, patient: PatientSegmenter) -> None:
    desk = Desk(slow.client)
    session = desk.open(VOLUME)
    patient.hold()
    first = desk.post(f"{session}/predict/job", {"classes": ["liver"]}, 201)
    second = desk.post(f"{session}/predict/job", {"classes": ["polyp"]}, 201)
    assert patient.is_waiting.wait(10)
    assert desk.post(f"/api/jobs/{second['id']}/cancel")["state"] == "cancelled"
    patient.go_on()
    assert desk.finish(first["id"])["state"] == "done"
    assert [one["name"] for one in desk.get(session)["labels"]] == ["liver"]


def test_a_job_cancelled_in_its_only_step_changes_nothing(
    slow: Live, patient: PatientSegmenter
) -> None:
    desk = Desk(slow.client)
    session = desk.open(VOLUME)
    patient.hold()
    # At this size the model takes all slices in one go.
    job = desk.post(f"{session}/predict/job", {"classes": ["liver"]}, 201)
    assert patient.is_waiting.wait(10)
    assert desk.post(f"/api/jobs/{job['id']}/cancel")["state"] == "running"
    patient.go_on()
    assert desk.finish(job["id"])["state"] == "cancelled"
    state = desk.get(session)
    assert (state["labels"], state["can_undo"]) == ([], False)


@pytest.mark.parametrize(
    "wrong", [{"classes": ["spleem"]}, {"labels": ["never seen"]}, {}, {"classes": [""]}]
)
def test_what_nothing_is_known_about_is_refused_at_once(desk: Desk, wrong: dict[str, Any]) -> None:
    session = desk.open(VOLUME)
    answer = desk.post(f"{session}/predict/job", wrong, 422)
    assert answer["error"]["message"]
    assert desk.get("/api/jobs")["jobs"] == []
    assert desk.get("/api/labels")["labels"] == []


def test_a_volume_is_opened_at_once_and_segmented_by_a_job(
    slow: Live, patient: PatientSegmenter
) -> None:
    desk = Desk(slow.client)
    desk.post("/api/labels", {"name": "liver"}, 201)
    patient.hold()
    wishes = {"image": VOLUME, "presegment": True, "in_background": True}
    state = desk.post("/api/sessions", wishes, 201)
    session = f"/api/sessions/{state['session']}"
    assert (state["labels"], state["job"] is None) == ([], False)
    patient.go_on()
    assert desk.finish(state["job"])["state"] == "done"
    assert _mask(desk, session, 2).any()
    image = desk.get(f"/api/images/{VOLUME}")
    assert (image["state"], image["is_presegmented"]) == ("new", True)
    assert image["uncertainty"] is not None
    # What was done once is not done again.
    desk.ask("DELETE", session, 204)
    again = desk.post("/api/sessions", wishes, 201)
    assert again["job"] is None and [one["name"] for one in again["labels"]] == ["liver"]


def test_the_next_image_may_be_a_volume_too(live: Live) -> None:
    desk = Desk(live.client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    desk.post("/api/labels", {"name": "liver"}, 201)
    session = desk.open(PICTURES)
    state = desk.post(f"{session}/next", {"in_background": True}, 201)
    assert state["image"] == VOLUME
    assert desk.finish(state["job"])["state"] == "done"
    # A picture is segmented before the answer, which is faster than to ask again.
    following = desk.post(f"/api/sessions/{state['session']}/next", {"in_background": True}, 201)
    assert following["job"] is None and following["labels"][0]["pixels"] > 0


def test_references_are_chosen_without_a_prediction_and_then_asked_as_a_job(live: Live) -> None:
    desk = Desk(live.client)
    first = desk.open(1)
    desk.click(first, 30, 30, "spot")
    desk.post(f"{first}/accept")
    session = desk.open(VOLUME)
    desk.post(f"{session}/knowledge", {"label": "spot", "use": "nothing"})
    wanted = {"label": "spot", "use": "references", "predict": False}
    state = desk.post(f"{session}/knowledge", wanted)["state"]
    assert state["labels"] == []
    job = desk.post(f"{session}/predict/job", {"labels": ["spot"]}, 201)
    assert desk.finish(job["id"])["state"] == "done"
    (label,) = desk.get(session)["labels"]
    assert label["uses"] == "references" and len(label["slices_with_mask"]) == SLICES
    assert _mask(desk, session, 4, "spot").any()


def test_the_answer_of_a_job_is_that_of_a_request(live: Live) -> None:
    ada = Desk(live.client)
    session = ada.open(VOLUME)
    ada.post(f"{session}/predict", {"classes": ["left kidney"]})
    plain = [_mask(ada, session, index, "left kidney") for index in range(SLICES)]
    ada.post(f"{session}/undo")
    job = ada.post(f"{session}/predict/job", {"classes": ["left kidney"]}, 201)
    ada.finish(job["id"])
    jobs = [_mask(ada, session, index, "left kidney") for index in range(SLICES)]
    assert all(np.array_equal(one, other) for one, other in zip(plain, jobs, strict=True))
