from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from torch import Tensor

from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.open_sessions import OpenSessions
from medprism.apps.workbench.turns import ModelTurns
from medprism.inference.work_file import read_work
from medprism.metrics.dice import dice
from medprism.models.segmenter import Features
from tests.apps.workbench.conftest import PICTURES, VOLUME, Desk, Live, Serve, unpack
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import scene


def _wait(condition: object) -> None:
    for _ in range(300):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("it does not happen")


def test_two_people_on_one_image_get_a_clear_answer(live: Live) -> None:
    ada, grace = Desk(live.client, "Ada%20L%C3%B6we"), Desk(live.client, "Grace")
    session = ada.open(1)
    refused = grace.post("/api/sessions", {"image": 1}, 409)["error"]
    assert refused["code"] == "image_in_use"
    assert refused["lease"]["author"] == "Ada Löwe"
    assert refused["message"].startswith("Ada Löwe works on this image since")
    assert refused["lease"]["until"] > refused["lease"]["since"]
    (shown,) = grace.get("/api/sessions")["sessions"]
    assert (shown["image"], shown["author"]) == (1, "Ada Löwe")
    assert "session" not in shown
    assert grace.get("/api/images/1")["in_use_by"] == "Ada Löwe"
    ada.click(session, 65, 75)
    taken = grace.post("/api/sessions", {"image": 1, "take_over": True}, 201)
    # What Ada did was saved before it was taken over.
    assert [one["name"] for one in taken["labels"]] == ["thing"]
    gone = ada.post(f"{session}/undo", status=410)["error"]
    assert gone["code"] == "session_expired"
    assert "open the image again" in gone["message"]


def test_work_is_found_again_after_a_reload_and_after_a_restart(serve: Serve) -> None:
    desk = Desk(serve().client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    after = desk.click(session, 30, 30)["masks"]
    desk.post(f"{session}/undo")
    desk.ask("DELETE", session, 204)
    again = desk.post("/api/sessions", {"image": 1}, 201)
    assert again["can_undo"] and again["can_redo"]
    # The page was closed without a word, and then the server.
    desk = Desk(serve().client, "Grace")
    session = desk.open(1)
    assert desk.post(f"{session}/redo")["masks"] == after
    assert desk.get("/api/images/1")["state"] == "started"
    events = desk.get("/api/images/1/log")["events"]
    assert [event["author"] for event in events] == ["Ada", "Ada"]


def test_a_session_that_nobody_asks_for_ends_and_is_saved(serve: Serve) -> None:
    live = serve(lease_seconds=1.5, autosave_seconds=0.03)
    desk = Desk(live.client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    for _ in range(5):
        time.sleep(0.4)
        assert desk.post(f"{session}/heartbeat")["expires_in"] <= 2
    _wait(lambda: desk.get("/api/sessions")["sessions"] == [])
    assert desk.get(session, 410)["error"]["code"] == "session_expired"
    _wait(lambda: live.bench.sessions.list() == [])
    assert [one["name"] for one in desk.post("/api/sessions", {"image": 1}, 201)["labels"]] == [
        "thing"
    ]


def test_changes_are_saved_by_themselves(serve: Serve) -> None:
    live = serve(autosave_seconds=0.03)
    desk = Desk(live.client)
    desk.click(desk.open(1), 65, 75)
    _wait(lambda: live.project.works.of(1) is not None)
    assert len(read_work(live.project.works.target(1)).log) == 1


def test_accepted_masks_are_on_the_disk_before_the_answer(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(1)
    mask = unpack(desk.click(session, 65, 75)["masks"]["thing"])
    answer = desk.post(f"{session}/accept", {"absent": ["polyp"]})
    there = {one["name"]: one for one in answer["accepted"]}
    assert there["polyp"]["is_absent"] and there["thing"]["pixels"] == int(mask.sum())
    assert there["thing"]["author"] == "Ada"
    assert answer["state"]["labels"][0]["is_locked"]
    shown = desk.get("/api/images/1/accepted?slice=0")["accepted"]
    kept = {one["name"]: unpack(one["mask"]) for one in shown}
    assert np.array_equal(kept["thing"], mask) and not kept["polyp"].any()
    image = desk.get("/api/images/1")
    assert (image["state"], image["labels"]) == ("accepted", ["thing"])
    assert [one["name"] for one in desk.get("/api/references")["references"]] == ["thing"]
    (found,) = [one for one in live.project.masks.of(1) if one.file]
    assert (live.project.home / "masks" / str(found.file)).is_file()
    # Changed and accepted again, the older mask is kept as a former one.
    desk.post(f"{session}/locks", {"label": "thing", "is_locked": False})
    desk.click(session, 30, 30)
    desk.post(f"{session}/accept", {"labels": ["thing"]})
    former = [one["is_current"] for one in desk.get("/api/images/1/accepted")["accepted"]]
    assert sorted(former) == [False, True, True]


def test_what_cannot_be_accepted_is_refused_and_nothing_changes(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(1)
    assert desk.post(f"{session}/accept", status=409)["error"]["code"] == "conflict"
    before = desk.click(session, 65, 75)["state"]
    for body in (
        {"labels": ["nobody"]},
        {"labels": ["thing"], "absent": ["thing"]},
        {"labels": ["thing"], "colour": "red"},
    ):
        desk.post(f"{session}/accept", body, 422)

    def refuse(*_: object, **__: object) -> None:
        raise live_error

    from medprism.core.errors import WriteError

    live_error = WriteError("no space left")
    live_error.__cause__ = OSError(28, "No space left on device")
    real = live.project.masks.accept
    live.project.masks.accept = refuse  # type: ignore[method-assign,assignment]
    refused = desk.post(f"{session}/accept", status=507)["error"]
    assert refused == {"code": "cannot_write", "message": "no space left"}
    live.project.masks.accept = real  # type: ignore[method-assign]
    after = desk.get(session)
    assert after["labels"] == before["labels"]
    assert desk.get("/api/images/1")["state"] == "started"
    assert desk.post(f"{session}/accept")["accepted"][0]["name"] == "thing"


def test_the_flywheel_turns(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    desk.post(f"{session}/accept")
    state = desk.post(f"{session}/next", status=201)
    assert state["image"] == 2
    (label,) = state["labels"]
    assert (label["name"], label["uses"], label["interactions"]) == ("thing", "references", 0)
    session = f"/api/sessions/{state['session']}"
    found = unpack(desk.get(f"{session}/masks")["masks"]["thing"])
    assert dice(found, scene(1, shift=4)[1]["left kidney"]) > 0.8
    image = desk.get("/api/images/2")
    assert image["is_presegmented"] and 0 < image["uncertainty"] < 1
    desk.post(f"{session}/accept")
    desk.post(f"{session}/skip", {"reason": "again"}, 204)
    assert desk.get("/api/images/2")["reason"] == "again"
    desk.get(session, 410)
    session = desk.open(PICTURES)
    # The last one of the list goes on at the beginning, past what is finished.
    desk.post(f"{session}/skip", {}, 204)
    assert desk.get(f"/api/images/next?after={VOLUME}")["image"]["id"] == 3
    for image in (3, VOLUME):
        desk.post(f"{desk.open(image)}/skip", {}, 204)
    assert desk.get("/api/images/next")["image"] is None
    last = desk.open(1)
    assert desk.post(f"{last}/next") == {"session": None}


def test_the_next_image_is_made_ready_while_one_works(live: Live) -> None:
    desk = Desk(live.client)
    desk.post("/api/labels", {"name": "liver"}, 201)
    session = desk.open(1)
    _wait(lambda: live.project.images.get(2).is_presegmented)
    calls: list[int] = []
    real = live.bench.desk.model.segmenter.encode
    live.bench.desk.model.segmenter.encode = lambda image: (  # type: ignore[method-assign]
        calls.append(1) or real(image)
    )
    state = desk.post(f"{session}/next", status=201)
    assert [one["name"] for one in state["labels"]] == ["liver"]
    _wait(lambda: live.project.images.get(3).is_presegmented)
    settings = desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    assert settings["presegment_next"] is False
    calls.clear()
    desk.post(f"/api/sessions/{state['session']}/next", status=201)
    # Prepared before the setting was changed: nothing is left to encode.
    assert calls == []
    time.sleep(0.1)
    assert not live.project.images.get(4).is_presegmented


def test_an_image_is_encoded_before_the_first_click(serve: Serve) -> None:
    segmenter = CountingSegmenter()
    live = serve(fake_model(segmenter))
    desk = Desk(live.client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    session = desk.open(1)
    _wait(lambda: segmenter.calls.encode)
    assert segmenter.calls.encode == 1
    # Large enough not to be looked at more closely: a click only decodes.
    desk.click(session, 30, 36)
    assert (segmenter.calls.encode, segmenter.calls.decode) == (1, [1])
    desk.post(f"{session}/undo")
    desk.click(session, 70, 80)
    # The whole slice was at hand; only the crop that is looked at again was new.
    assert (segmenter.calls.encode, segmenter.calls.decode) == (2, [1, 1, 1])


def test_a_click_while_the_image_is_encoded_waits_and_encodes_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = CountingSegmenter()
    live = serve(fake_model(segmenter))
    desk = Desk(live.client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    begun, may_go, encode = threading.Event(), threading.Event(), segmenter.encode

    def slowly(image: Tensor) -> Features:
        begun.set()
        assert may_go.wait(10)
        return encode(image)

    monkeypatch.setattr(segmenter, "encode", slowly)
    session = desk.open(1)
    assert begun.wait(10)
    with ThreadPoolExecutor(1) as person:
        clicked = person.submit(desk.click, session, 30, 36)
        with pytest.raises(TimeoutError):
            clicked.result(0.2)
        may_go.set()
        assert clicked.result(10)["state"]["labels"][0]["pixels"] > 0
    assert segmenter.calls.encode == 1


def test_work_on_a_volume_is_encoded_where_it_is_shown_first(serve: Serve) -> None:
    desk = Desk(serve().client)
    session = desk.open(VOLUME)
    desk.click(session, 30, 42, slice=4)
    desk.ask("DELETE", session, 204)
    segmenter = CountingSegmenter()
    desk = Desk(serve(fake_model(segmenter)).client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    session = desk.open(VOLUME)
    _wait(lambda: segmenter.calls.encode)
    desk.click(session, 32, 48, slice=4)
    assert segmenter.calls.encode == 1


def test_a_session_that_was_closed_is_not_encoded(serve: Serve) -> None:
    segmenter = CountingSegmenter()
    live = serve(fake_model(segmenter))
    desk = Desk(live.client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    # Somebody uses the model, so that the encoding waits.
    with live.bench.turns.for_a_person():
        desk.ask("DELETE", desk.open(1), 204)
    desk.click(desk.open(2), 30, 36)
    live.bench.sessions.shut_down()
    assert segmenter.calls.encode == 1


def test_all_sessions_together_keep_to_the_limits_of_memory(serve: Serve) -> None:
    # Less than the pictures and the volume together hold, and a few encodings.
    limits = {"images_bytes": 60_000, "encodings_bytes": 9_000, "maps_bytes": 20_000}
    live = serve(**limits)
    desks = [Desk(live.client, f"person {number}") for number in range(PICTURES)]
    sessions = [desk.open(number) for number, desk in enumerate(desks, start=1)]
    seen = 0
    for turn in range(3):
        for desk, session in zip(desks, sessions, strict=True):
            desk.click(session, 20 + 8 * turn, 30)
            memory = live.bench.desk.memory.cache
            assert memory.num_bytes <= limits["encodings_bytes"]
            assert live.bench.desk.shelf.num_bytes <= limits["images_bytes"]
            seen = max(seen, len(memory))
    assert seen >= 2
    # What had to go is made again: undo and redo still give the same masks.
    for desk, session in zip(desks, sessions, strict=True):
        before = desk.get(f"{session}/masks")["masks"]
        desk.post(f"{session}/undo")
        assert desk.post(f"{session}/redo")["masks"] == before


def test_a_broken_image_says_why_and_is_passed_over(live: Live) -> None:
    (live.project.root / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    desk = Desk(live.client)
    refused = desk.post("/api/sessions", {"image": 2}, 422)["error"]
    assert refused["code"] == "bad_image"
    shown = desk.get("/api/images?state=broken")["images"]
    assert [one["id"] for one in shown] == [2]
    assert shown[0]["reason"] == refused["message"]
    assert str(live.project.root) not in refused["message"]
    assert desk.get("/api/sessions")["sessions"] == []
    (live.project.root / "2.png").write_bytes(b"gone bad while one works")
    assert desk.post(f"{desk.open(1)}/next", status=201)["image"] == 4


def test_sessions_that_ended_are_let_go_however_busy_the_server_is(live: Live) -> None:
    desk = Desk(live.client)
    desk.ask("PATCH", "/api/settings", json={"presegment_next": False})
    ended: list[weakref.ref[OpenSession]] = []
    # Somebody uses the model all the time, so that nothing is encoded in the background.
    with live.bench.turns.for_a_person():
        desk.open(1)
        for _ in range(5):
            session = desk.open(2)
            ended.append(weakref.ref(live.bench.sessions.get(session.rpartition("/")[2])))
            desk.ask("DELETE", session, 204)
        gc.collect()
        assert [one() for one in ended] == [None] * 5


def test_an_image_that_somebody_else_takes_first_is_passed_over(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, grace = Desk(live.client), Desk(live.client, "Grace")
    session = ada.open(1)
    grace.open(2)
    # Chosen before Grace took it.
    chosen, look = [live.project.images.get(2)], live.bench.sessions.next_image
    monkeypatch.setattr(
        live.bench.sessions, "next_image", lambda **at: chosen.pop() if chosen else look(**at)
    )
    assert ada.post(f"{session}/next", status=201)["image"] == 3


def test_the_least_certain_image_comes_first_if_wanted(live: Live) -> None:
    desk = Desk(live.client)
    for image, doubt in ((1, 0.2), (3, 0.9), (4, 0.5)):
        live.project.images.note_presegmentation(image, doubt)
    assert [one["id"] for one in desk.get("/api/suggestions")["images"]] == [3, 4, 1]
    assert [one["id"] for one in desk.get("/api/suggestions?limit=1")["images"]] == [3]
    desk.ask("PATCH", "/api/settings", json={"order": "uncertain", "presegment_next": False})
    assert desk.get("/api/images/next?after=1")["image"]["id"] == 3
    assert desk.get("/api/images/next?after=1&order=list")["image"]["id"] == 2
    assert desk.post(f"{desk.open(1)}/next", status=201)["image"] == 3


def test_references_are_switched_for_a_session(live: Live) -> None:
    desk = Desk(live.client)
    for number, place in ((1, (65, 75)), (2, (65, 79))):
        session = desk.open(number)
        desk.click(session, *place)
        desk.post(f"{session}/accept")
        desk.ask("DELETE", session, 204)
    session = desk.open(3)
    first, second = (one["id"] for one in desk.get("/api/references")["references"])
    use = {"label": "thing", "use": "references"}
    answer = desk.post(f"{session}/knowledge", {**use, "references": [first]})
    assert answer["state"]["labels"][0]["uses"] == "references"
    assert dice(unpack(answer["masks"]["thing"]), scene(2, shift=8)[1]["left kidney"]) > 0.8
    desk.get(f"{session}/disagreement.png?label=thing", 422)
    desk.post(f"{session}/knowledge", use)
    map_ = desk.get(f"{session}/disagreement.png?label=thing")
    assert map_.content.startswith(b"\x89PNG")
    desk.post(f"{session}/knowledge", {"label": "thing", "use": "nothing"})
    other = {"label": "nobody", "use": "references"}
    assert desk.post(f"{session}/knowledge", other, 409)["error"]["code"] == "conflict"
    desk.post(f"{session}/knowledge", {**other, "references": [second]}, 409)
    desk.post(f"{session}/knowledge", {**use, "references": [99]}, 404)


def test_many_people_click_at_once_and_nothing_mixes(live: Live) -> None:
    seen: dict[int, list[dict[str, object]]] = {}

    def work(image: int) -> None:
        desk = Desk(live.client, f"person {image}")
        session = desk.open(image)
        seen[image] = [
            desk.click(session, row, 75, "thing", is_positive=row % 2 == 1)["masks"]["thing"]
            for row in range(55, 65)
        ]
        desk.ask("DELETE", session, 204)

    threads = [threading.Thread(target=work, args=(image,)) for image in range(1, PICTURES + 1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    desk = Desk(live.client)
    for image in range(1, PICTURES + 1):
        session = desk.open(image)
        assert desk.get(f"{session}/masks")["masks"]["thing"] == seen[image][-1]
        for expected in reversed(seen[image][:-1]):
            assert desk.post(f"{session}/undo")["masks"]["thing"] == expected


def test_a_full_server_says_so(serve: Serve) -> None:
    desk = Desk(serve(max_sessions=1).client)
    session = desk.open(1)
    refused = desk.post("/api/sessions", {"image": 2}, 503)["error"]
    assert refused["code"] == "full"
    desk.ask("DELETE", session, 204)
    desk.open(2)


def test_a_log_that_cannot_be_saved_is_said_and_tried_again(live: Live) -> None:
    desk = Desk(live.client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    folder = live.project.home / "work"
    _wait(lambda: live.project.works.of(1) is not None)
    folder.rename(folder.with_name("elsewhere"))
    answer = desk.post(f"{session}/accept")
    assert "not saved yet" in answer["state"]["notice"]
    folder.with_name("elsewhere").rename(folder)
    _wait(lambda: len(read_work(live.project.works.target(1)).log) == 2)


@pytest.mark.parametrize("begins", [True, False])
def test_who_waits_for_an_image_does_not_wait_for_everybody_else(live: Live, begins: bool) -> None:
    """On a busy server somebody always waits for an answer; background work never has a turn."""
    turns = ModelTurns(2)
    sessions = OpenSessions(live.bench.desk, turns, most=8, seconds=900.0)
    lane = sessions._background
    busy = threading.Event()
    try:
        with turns.for_a_person(), ThreadPoolExecutor(1) as somebody:
            if not begins:
                lane.submit(busy.wait)
            sessions.prepare(2, "Ada")
            time.sleep(0.1)
            opening = somebody.submit(sessions.open, 2, "Ada", wants_presegment=True)
            try:
                assert opening.result(timeout=20).image == 2
            finally:
                busy.set()
                for stop, _ in sessions._preparing.values():
                    stop.is_wanted.set()
    finally:
        sessions.shut_down()


def test_what_was_made_ready_before_something_was_learned_is_not_waited_for(live: Live) -> None:
    turns = ModelTurns(2)
    sessions = OpenSessions(live.bench.desk, turns, most=8, seconds=900.0)
    with turns.for_a_person():
        sessions.prepare(2, "Ada")
        time.sleep(0.1)
        ((stop, _),) = sessions._preparing.values()
        sessions.note_knowledge()
        sessions.open(2, "Ada", wants_presegment=True)
        assert stop.is_cancelled()
    sessions.shut_down()
